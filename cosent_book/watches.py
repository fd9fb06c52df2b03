"""What is watched along training beside the validation metrics: classifier, λ, geometry, order of labels and lists."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cosent_book.geometry import geometry
from cosent_lib.data.columns import Pairs, pair_columns
from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.evaluation.evaluate import cosine_scores, evaluate, evaluate_classifier
from cosent_lib.evaluation.metrics import concordance, spearman
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


def watch_order(encoder: SentenceEncoder, loss: nn.Module, pairs: Pairs) -> dict[str, float | None]:
    """What the cosines put in order: ``spearman`` of all pairs; ``top_auc``, the AUC of the highest label against all
    others; ``query_order``, the mean of `query_order` with the first sentence as query (None without two answers to
    compare); and ``mean_0``, ``mean_1``, …, the mean cosine of each label from the lowest to the highest.
    """
    columns, scores = pair_columns(pairs), cosine_scores(encoder, pairs)
    levels = np.unique(columns.labels)
    within = query_order(scores, columns.labels, columns.first)
    return {
        "spearman": spearman(scores, columns.labels),
        "top_auc": concordance(scores, columns.labels == levels[-1]),
        "query_order": float(within.mean()) if within.size else None,
        **{f"mean_{place}": float(scores[columns.labels == level].mean()) for place, level in enumerate(levels)},
    }


def query_order(
    scores: NDArray[np.float64], labels: NDArray[np.float64], queries: Sequence[str]
) -> NDArray[np.float64]:
    """For each query with answers of different labels, the share of its demanded pairs that are in order.

    A tie counts a half. For two labels this is the AUC within the query.

    Args:
        scores: ``[n]``.
        labels: ``[n]``.
        queries: what the pairs of one query share, ``[n]``.

    Example:
        >>> query_order(np.array([0.9, 0.2, 0.5, 0.4]), np.array([1, 0, 1, 1]), ["a", "a", "b", "b"])
        array([1.])
    """
    rows: dict[str, list[int]] = {}
    for row, query in enumerate(queries):
        rows.setdefault(query, []).append(row)
    several = [each for each in rows.values() if len(set(labels[each].tolist())) > 1]
    return np.array([concordance(scores[each], labels[each]) for each in several])


WATCHES: dict[str, Callable[[SentenceEncoder, nn.Module, Pairs], dict[str, float | None]]] = {
    "classifier": watch_classifier, "scale": watch_scale, "geometry": watch_geometry,
    "order": watch_order, "test": watch_test,
}  # fmt: skip


def make_watch(
    names: Sequence[str], pairs: Pairs, test: Pairs | None = None, splits: Mapping[str, Pairs] | None = None
) -> Watch:
    """One callable for `train` that watches all of ``names`` on ``pairs``, and ``test`` on the pairs given as such.

    ``test:NAME`` is the watch NAME on test, its values named ``test_…``; ``TASK/SPLIT`` the Spearman on that one of
    ``splits``, named ``TASK/SPLIT_spearman``.

    Raises:
        ValueError: an unknown name, one of test without test pairs, or a split that is not there.
    """
    bare = [name.removeprefix("test:") for name in names]
    unknown = [name for name in bare if name not in WATCHES and "/" not in name]
    if unknown:
        raise ValueError(f"unknown watch {unknown[0]!r}, expected some of: {', '.join(WATCHES)}")
    if test is None and any(name.partition(":")[0] == "test" for name in names):
        raise ValueError("watch 'test' needs test pairs, and the run loads none (judge is empty?)")
    absent = [name for name in bare if "/" in name and name not in (splits or {})]
    if absent:
        raise ValueError(f"watch {absent[0]!r} looks at pairs that the run does not load: name them in judge")

    def look(name: str, encoder: SentenceEncoder, loss: nn.Module) -> Mapping[str, Any]:
        if "/" in name:
            return {f"{name}_spearman": evaluate(encoder, (splits or {})[name])["spearman"]}
        if name.startswith("test:"):
            found = WATCHES[name.removeprefix("test:")](encoder, loss, test)
            return {f"test_{key}": value for key, value in found.items()}
        return WATCHES[name](encoder, loss, test if name == "test" else pairs)

    def watch(encoder: SentenceEncoder, loss: nn.Module) -> dict[str, Any]:
        return {key: value for name in names for key, value in look(name, encoder, loss).items()}

    return watch
