"""Metrics of an order: rank and linear correlation, concordance (AUC), and the ceiling that tied labels set.

All take real ``scores`` and ``labels`` of one shape ``[n]``. Other shapes, non-finite values and a metric that is
undefined (all labels equal; all scores equal, where the metric needs them to differ) are a ``ValueError``, never a
silent NaN.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from cosent_lib.errors import CosentError
from cosent_lib.evaluation.thresholds import is_binary


def score_metrics(scores: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """The threshold-free entries of :func:`cosent_lib.evaluate` for scores at hand; neither side may be constant."""
    metrics = {
        "spearman": spearman(scores, labels),
        "pearson": pearson(scores, labels),
        "auc": concordance(scores, labels),
        "ceiling": spearman_ceiling(labels),
    }
    return metrics | ({"average_precision": average_precision(scores, labels)} if is_binary(labels) else {})


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float:
    """Mean over the ones of the precision at their score, tied scores called together; in (0, 1].

    Not interpolated; unlike AUC it depends on the share of ones, which is what chance reaches (scikit-learn's).
    Labels other than 0 and 1 are a ``ValueError``.
    """
    from sklearn.metrics import average_precision_score  # a second of import that no other function needs

    x, y = _two_columns(scores, labels)
    if not is_binary(y):
        raise ValueError("average precision needs labels 0 and 1")
    return float(average_precision_score(y, x))


def spearman(scores: ArrayLike, labels: ArrayLike) -> float:
    """Spearman's rank correlation (Pearson of average ranks), in [−1, 1]; neither side may be constant.

    Example:
        >>> round(spearman([0.1, 0.5, 0.4], [1, 2, 3]), 4)
        0.5
    """
    x, y = _two_columns(scores, labels)
    check_defined(x, "scores")
    return float(stats.spearmanr(x, y).statistic)


def pearson(scores: ArrayLike, labels: ArrayLike) -> float:
    """Pearson's linear correlation, in [−1, 1]; neither side may be constant."""
    x, y = _two_columns(scores, labels)
    check_defined(x, "scores")
    # By powers of two, which is exact: squares of numbers near the ends of float64 would overflow or vanish.
    x, y = (np.ldexp(column, -np.frexp(np.abs(column).max())[1]) for column in (x, y))
    return float(stats.pearsonr(x, y).statistic)


def concordance(scores: ArrayLike, labels: ArrayLike) -> float:
    """Share of the pairs of rows with different labels whose scores stand in the labels' order; ties count half.

    With labels 0/1 this is the area under the ROC curve; with grades its generalisation. O(n log n): Kendall's
    count of (concordant − discordant), by merge sort, is half the way there. Constant scores give ½.

    Example:
        >>> concordance([0.1, 0.4, 0.3, 0.8], [0, 0, 1, 1])  # of four pairs, 0.4 and 0.3 stand wrong
        0.75
    """
    x, y = _two_columns(scores, labels)
    total = x.size * (x.size - 1) // 2
    x_distinct, y_distinct = (total - _tied_pairs(column) for column in (x, y))
    if x_distinct == 0:
        return 0.5
    if x.size == 2:  # scipy's p-value, which nobody asked for, would divide by n − 2
        return float((x[0] < x[1]) == (y[0] < y[1]))
    tau = stats.kendalltau(x, y, variant="b", method="asymptotic").statistic
    surplus = round(float(tau) * float(x_distinct) ** 0.5 * float(y_distinct) ** 0.5)  # an integer, recovered
    return (1 + surplus / y_distinct) / 2


def spearman_ceiling(labels: ArrayLike) -> float:
    r"""The largest Spearman correlation that scores without ties can have with these labels.

    Labels tie, such scores do not, so even the perfect order stays below 1:
    :math:`\sqrt{1 - \sum_l (n_l^3 - n_l) / (n^3 - n)}` with :math:`n_l` rows of label l; about
    :math:`\sqrt{1 - \sum_l p_l^3}`, and with two labels exactly :math:`\sqrt{3p(1-p)}\,n/\sqrt{n^2-1}`. Scores that
    tie as the labels do can exceed it (chapter 4).

    Example:
        >>> round(spearman_ceiling([0, 1] * 500), 4)
        0.866
    """
    y = _two_columns(labels, labels)[1]
    counts = [int(count) for count in np.unique(y, return_counts=True)[1]]  # Python integers: n³ is exact
    return float((1 - sum(c**3 - c for c in counts) / (y.size**3 - y.size)) ** 0.5)


def _tied_pairs(column: NDArray[np.float64]) -> int:
    counts = np.unique(column, return_counts=True)[1].astype(np.int64)
    return int((counts * (counts - 1) // 2).sum())


def _two_columns(scores: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as float64 ``[n]``, finite, labels not constant."""
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"expected scores and labels of one shape [n], got {x.shape} and {y.shape}")
    for name, column in (("scores", x), ("labels", y)):
        bad = np.flatnonzero(~np.isfinite(column))
        if bad.size:
            first = f"{name}[{bad[0]}] = {column[bad[0]]}"
            raise ValueError(f"{name} must be finite, but {bad.size} are not, first {first}")
    check_defined(y, "labels")
    return x, y


class UndefinedMetric(CosentError, ValueError):  # noqa: N818
    """Scores or labels that are all equal have no order to measure."""


def check_defined(column: NDArray[np.float64], name: str) -> None:
    """No order can be measured where one side has none."""
    if column.size == 0 or (column == column[0]).all():
        value = f"all {column.size} {name} equal {column[0]}" if column.size else f"there are no {name}"
        raise UndefinedMetric(f"the metric is undefined: {value}")
