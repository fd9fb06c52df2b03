"""How far a metric would move on another sample of pairs: percentile bootstrap, paired where two are compared.

The unit that is drawn is the pair of sentences. Where sentences are shared between pairs (LCQMC), pairs are
not independent and the interval is somewhat too narrow.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

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
        scores: ``[n]``; a row is drawn with its label, with replacement.
        labels: ``[n]``.
        metric: a function of (scores, labels), for example :func:`cosent_lib.spearman`.
        resamples: how many samples of n rows are drawn.
        confidence: share of the resampled values inside the interval, in (0, 1).
        seed: of the generator; the same seed gives the same interval.

    Raises:
        ValueError: other shapes, bad options, or a resample on which the metric is undefined (too few rows of a label).

    Example:
        >>> from cosent_lib import concordance
        >>> scores, labels = [0.1, 0.4, 0.3, 0.8] * 25, [0, 0, 1, 1] * 25
        >>> bootstrap_interval(scores, labels, concordance, resamples=50).estimate
        0.75
    """
    return _bootstrap((scores, labels), metric, resamples, confidence, seed)


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

    Both are computed on the same drawn rows, so what the two find equally hard cancels. An interval that leaves
    out 0 says that more *pairs* would not change the sign; it says nothing about other training seeds.

    Args:
        scores: ``[n]``.
        baseline: ``[n]``, of the same rows.
        labels: ``[n]``.
        metric: as for :func:`cosent_lib.bootstrap_interval`.
        resamples: likewise.
        confidence: likewise.
        seed: likewise.

    Raises:
        ValueError: as from :func:`cosent_lib.bootstrap_interval`.

    Example:
        >>> from cosent_lib import concordance
        >>> labels, better, worse = [0, 0, 1, 1] * 25, [0.1, 0.2, 0.3, 0.8] * 25, [0.1, 0.4, 0.3, 0.8] * 25
        >>> bootstrap_difference(better, worse, labels, concordance, resamples=50).estimate
        0.25

    Source: Chapters 4 and 9.
    """
    columns = (scores, baseline, labels)
    return _bootstrap(columns, lambda a, b, y: metric(a, y) - metric(b, y), resamples, confidence, seed)


def _bootstrap(
    columns: Sequence[ArrayLike], statistic: Callable[..., float], resamples: int, confidence: float, seed: int
) -> Interval:
    """Scipy's percentile bootstrap of rows drawn together, after the checks whose messages name our arguments."""
    arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    if len({array.shape for array in arrays}) != 1 or arrays[0].ndim != 1:
        raise ValueError(f"expected columns of one shape [n], got {[array.shape for array in arrays]}")
    if arrays[0].size < 2:
        raise ValueError(f"a bootstrap needs at least two rows, got {arrays[0].size}")
    if resamples < 1 or not 0 < confidence < 1:
        raise ValueError(f"expected resamples >= 1 and confidence in (0, 1), got {resamples} and {confidence}")
    how: dict[str, Any] = {"paired": True, "vectorized": False, "method": "percentile", "n_resamples": resamples}
    how |= {"confidence_level": confidence, "rng": np.random.default_rng(seed)}
    interval = stats.bootstrap(arrays, statistic, **how).confidence_interval
    found = Interval(float(statistic(*arrays)), float(interval.low), float(interval.high))
    if not np.isfinite(found).all():
        raise ValueError(f"the metric is not finite on all rows or on some of the samples drawn: {tuple(found)}")
    return found
