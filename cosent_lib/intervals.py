"""How far a metric would move on another sample of pairs: percentile bootstrap, paired where two are compared.

The unit that is drawn is the pair of sentences. Where sentences are shared between pairs (LCQMC), pairs are
not independent and the interval is somewhat too narrow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Metric: TypeAlias = Callable[[NDArray[np.float64], NDArray[np.float64]], float]


class Interval(NamedTuple):
    """An estimate on all rows with the ends of its bootstrap interval."""

    estimate: float
    low: float
    high: float


def bootstrap_interval(
    scores: ArrayLike,
    labels: ArrayLike,
    metric: Metric,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of ``metric(scores, labels)`` (Efron 1979).

    Args:
        scores: ``[n]``; rows are drawn together, with replacement.
        labels: ``[n]``; rows are drawn together, with replacement.
        metric: a function of (scores, labels), for example :func:`cosent_lib.evaluation.spearman`.
        resamples: how many samples of n rows are drawn.
        confidence: share of the resampled values inside the interval, in (0, 1).
        seed: of the generator; the same seed gives the same interval.

    Raises:
        ValueError: other shapes, bad options, or a resample on which the metric is undefined (too few rows of a label).
    """
    draws = _draws(np.asarray(labels).size, resamples, confidence, seed)
    columns = _columns(scores, labels)
    values = [metric(columns[0][rows], columns[1][rows]) for rows in draws]
    return _interval(metric(columns[0], columns[1]), values, confidence)


def bootstrap_difference(
    scores: ArrayLike,
    baseline: ArrayLike,
    labels: ArrayLike,
    metric: Metric,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Paired bootstrap interval of ``metric(scores, labels) − metric(baseline, labels)``.

    Both are judged on the same drawn rows, so what the two find equally hard cancels. An interval that leaves
    out 0 says that more *pairs* would not change the sign; it says nothing about other training seeds.

    Args:
        scores: ``[n]``, row by row of the same pairs.
        baseline: ``[n]``, row by row of the same pairs.
        labels: ``[n]``, row by row of the same pairs.
        metric: as in :func:`bootstrap_interval`.
        resamples: as in :func:`bootstrap_interval`.
        confidence: as in :func:`bootstrap_interval`.
        seed: as in :func:`bootstrap_interval`.

    Raises:
        ValueError: as :func:`bootstrap_interval`.
    """
    draws = _draws(np.asarray(labels).size, resamples, confidence, seed)
    ours, theirs, truth = _columns(scores, baseline, labels)
    values = [metric(ours[rows], truth[rows]) - metric(theirs[rows], truth[rows]) for rows in draws]
    return _interval(metric(ours, truth) - metric(theirs, truth), values, confidence)


def _draws(size: int, resamples: int, confidence: float, seed: int) -> list[NDArray[np.int64]]:
    """The rows of every resample."""
    if size < 2:
        raise ValueError(f"a bootstrap needs at least two rows, got {size}")
    if resamples < 1 or not 0 < confidence < 1:
        raise ValueError(f"expected resamples >= 1 and confidence in (0, 1), got {resamples} and {confidence}")
    generator = np.random.default_rng(seed)
    return [generator.integers(0, size, size) for _ in range(resamples)]


def _columns(*columns: ArrayLike) -> list[NDArray[np.float64]]:
    """The columns as float64 ``[n]`` of one length."""
    arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    shapes = {array.shape for array in arrays}
    if len(shapes) != 1 or arrays[0].ndim != 1:
        raise ValueError(f"expected columns of one shape [n], got {[array.shape for array in arrays]}")
    return arrays


def _interval(estimate: float, values: list[float], confidence: float) -> Interval:
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(float(estimate), float(low), float(high))
