"""For sentence-transformers, which must be installed: our losses for its trainers, our encoders as its folders."""

from cosent_lib.sentence_transformers.callback import FitScale
from cosent_lib.sentence_transformers.export import export_encoder, to_sentence_transformer
from cosent_lib.sentence_transformers.losses import AnglELoss, CoSENTLoss, PairwiseLogisticLoss, PowerMeanLoss

__all__ = [
    "AnglELoss",
    "CoSENTLoss",
    "FitScale",
    "PairwiseLogisticLoss",
    "PowerMeanLoss",
    "export_encoder",
    "to_sentence_transformer",
]
