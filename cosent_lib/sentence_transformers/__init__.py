"""Our losses for the trainers of sentence-transformers, which must be installed: change the import, keep the script."""

from cosent_lib.sentence_transformers.callback import FitScale
from cosent_lib.sentence_transformers.losses import AnglELoss, CoSENTLoss, PairwiseLogisticLoss, PowerMeanLoss

__all__ = ["AnglELoss", "CoSENTLoss", "FitScale", "PairwiseLogisticLoss", "PowerMeanLoss"]
