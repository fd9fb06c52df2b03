"""The threshold on a score that decides best between two labels: an exact sweep, no search."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

METRICS = ("accuracy", "f1")


class Threshold(NamedTuple):
    """A decision rule ``score >= threshold`` and what it reaches on the data it was fitted on."""

    threshold: float
    value: float


def best_threshold(scores: ArrayLike, labels: ArrayLike, metric: str = "accuracy") -> Threshold:
    """The threshold with the best accuracy (or F1 of the ones) under the rule "one where score >= threshold".

    Every rule that can tell the scores apart is tried: a cut between any two neighbouring distinct scores
    (tied scores are never torn apart), "all ones" and "all zeros". O(n log n) for the sort.

    Args:
        scores: real ``[n]``, finite.
        labels: ``[n]``, each 0 or 1. One class alone is fine for accuracy; F1 needs a one.
        metric: ``"accuracy"`` or ``"f1"``.

    Returns:
        Threshold: the cut half-way between the two neighbouring scores and the value there. "All ones" is the
        smallest score, "all zeros" the next float above the largest (infinite only above the largest float).
        Of several equally good cuts the highest is returned.

    Raises:
        ValueError: other shapes, non-finite scores, labels other than 0 and 1, an unknown metric, F1 without ones.

    Example:
        >>> best_threshold([0.25, 0.5, 0.75], [0, 0, 1])
        Threshold(threshold=0.625, value=1.0)
    """
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}")
    values, ones = _checked(scores, labels)
    if metric == "f1" and not ones.any():
        raise ValueError("F1 is undefined: none of the labels is 1")
    order = np.argsort(-values, kind="stable")
    values, ones = values[order], ones[order]
    # after[k]: the k highest scores are called one; a cut is allowed where the score changes, and at both ends
    cuts = np.concatenate(([0], np.flatnonzero(np.diff(values)) + 1, [values.size]))
    hits = np.concatenate(([0], np.cumsum(ones)))[cuts]  # ones among those called one
    if metric == "accuracy":
        reached = (hits + (values.size - ones.sum()) - (cuts - hits)) / values.size
    else:
        reached = 2 * hits / (cuts + ones.sum())
    best = int(np.argmax(reached))
    return Threshold(_between(values, int(cuts[best])), float(reached[best]))


def threshold_metrics(scores: ArrayLike, labels: ArrayLike, threshold: float) -> dict[str, float]:
    """Accuracy and F1 (of the ones) of the rule "one where score >= threshold"; both in [0, 1].

    The threshold was usually fitted on other data (:func:`cosent_lib.best_threshold`, whose conditions on scores and
    labels hold here too). F1 is 0 where nothing is called one and nothing is one.

    Example:
        >>> threshold_metrics([0.2, 0.6, 0.9], [0, 0, 1], threshold=0.5)["f1"]  # one of two called ones is one
        0.6666666666666666
    """
    values, ones = _checked(scores, labels)
    if math.isnan(threshold):
        raise ValueError("threshold is not a number")
    called = values >= threshold
    hits, total = int((called & ones).sum()), int(called.sum() + ones.sum())
    return {"accuracy": float((called == ones).mean()), "f1": 2 * hits / total if total else 0.0}


def is_binary(labels: ArrayLike) -> bool:
    """Whether every label is exactly 0 or 1."""
    return bool(np.isin(np.asarray(labels), (0, 1)).all())


def _between(descending: NDArray[np.float64], cut: int) -> float:
    """A number above ``descending[cut]`` (if any) and not above ``descending[cut - 1]`` (if any)."""
    if cut == 0:
        return float(np.nextafter(descending[0], np.inf))
    if cut == descending.size:
        return float(descending[-1])
    high, low = float(descending[cut - 1]), float(descending[cut])
    middle = low + (high - low) / 2
    return middle if low < middle <= high else high  # neighbouring floats have no middle


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores as float64 and labels as booleans, or a ValueError that says what is wrong."""
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if values.ndim != 1 or values.shape != truth.shape or values.size == 0:
        raise ValueError(f"expected scores and labels of one shape [n], n >= 1, got {values.shape} and {truth.shape}")
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(f"scores must be finite, but scores[{row}] is {values[row]}")
    if not is_binary(truth):
        row = int(np.flatnonzero(~np.isin(truth, (0, 1)))[0])
        raise ValueError(f"a threshold needs labels 0 and 1, but labels[{row}] is {truth[row]}")
    return values, truth == 1
