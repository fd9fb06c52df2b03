"""What can be watched along training beside the validation metrics: the classifier, λ, the vectors' geometry."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from cosent_book.geometry import geometry
from cosent_lib.data.columns import Pairs, pair_columns
from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.evaluation.evaluate import evaluate, evaluate_classifier
from cosent_lib.losses.base import cosine
from cosent_lib.losses.sentence_bert import SoftmaxLoss
from cosent_lib.ranking.scale import CUSTOMARY, NoScaleHelps, scale_report
from cosent_lib.training.setup import Watch


def watch_classifier(encoder: SentenceEncoder, loss: nn.Module, pairs: Pairs) -> dict[str, float | None]:
    """``classifier_accuracy`` of Sentence-BERT's head, None for other losses; ``spearman``, ``auc`` of the cosine."""
    metrics = evaluate(encoder, pairs)
    accuracy = evaluate_classifier(encoder, loss, pairs)["accuracy"] if isinstance(loss, SoftmaxLoss) else None
    return {"classifier_accuracy": accuracy, "spearman": metrics["spearman"], "auc": metrics["auc"]}


def watch_scale(encoder: SentenceEncoder, loss: nn.Module, pairs: Pairs) -> dict[str, float | None]:
    """``suggested_scale`` for the cosines as they are (None where none helps or any larger one does), the logarithm of
    the bound Σ/P there (``log_bound``) and at the customary 20 (``log_bound_20``), and the loss's own ``scale``.
    """
    columns = pair_columns(pairs)
    u, v = (encoder.encode(texts) for texts in (columns.first, columns.second))
    own = getattr(loss, "scale", None)
    found: dict[str, float | None] = {"suggested_scale": None, "log_bound": None, "log_bound_20": None}
    try:
        report = scale_report(cosine(u, v), torch.from_numpy(columns.labels), resamples=0)
    except NoScaleHelps:  # that none does is what there is to see
        report = None
    if report is not None and math.isfinite(report.scale):
        bounds = report.log_bounds
        found = {"suggested_scale": report.scale, "log_bound": bounds[report.scale], "log_bound_20": bounds[CUSTOMARY]}
    return found | {"scale": None if own is None else float(own)}


def watch_geometry(encoder: SentenceEncoder, loss: nn.Module, pairs: Pairs) -> dict[str, float | None]:
    """`geometry` of the distinct sentences of the pairs."""
    columns = pair_columns(pairs)
    vectors = encoder.encode(list(dict.fromkeys([*columns.first, *columns.second]))).numpy()
    return dict(geometry(vectors[np.linalg.norm(vectors, axis=1) > 0]))


def watch_test(encoder: SentenceEncoder, loss: nn.Module, pairs: Pairs) -> dict[str, float | None]:
    """``test_spearman``, for an experiment on what choosing by it would gain; nothing here chooses by it."""
    return {"test_spearman": evaluate(encoder, pairs)["spearman"]}


WATCHES: dict[str, Callable[[SentenceEncoder, nn.Module, Pairs], dict[str, float | None]]] = {
    "classifier": watch_classifier, "scale": watch_scale, "geometry": watch_geometry,
    "test": watch_test,
}  # fmt: skip


def make_watch(names: Sequence[str], pairs: Pairs, test: Pairs | None = None) -> Watch:
    """One callable for `train` that watches all of ``names`` on ``pairs``, and ``test`` on the pairs given as such.

    Raises:
        ValueError: an unknown name, or ``test`` without test pairs.
    """
    unknown = [name for name in names if name not in WATCHES]
    if unknown:
        raise ValueError(f"unknown watch {unknown[0]!r}, expected some of: {', '.join(WATCHES)}")
    if "test" in names and test is None:
        raise ValueError("watch 'test' needs test pairs, and the run loads none (judge is empty?)")
    places = {name: test if name == "test" else pairs for name in names}

    def watch(encoder: SentenceEncoder, loss: nn.Module) -> dict[str, Any]:
        return {
            key: value for name, place in places.items() for key, value in WATCHES[name](encoder, loss, place).items()
        }

    return watch
