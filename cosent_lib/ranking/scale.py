"""Which λ suits given cosines: a convex problem in one variable."""

import math
import sys
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from torch import Tensor

from cosent_lib.errors import CosentError, check_number
from cosent_lib.ranking.rank_loss import rank_loss

CUSTOMARY = 20.0  # the λ of Su's post (8847) and of everybody since
CUTS = (0.3, 0.5, 0.7)  # where graded labels are cut in two for a logistic regression
OBJECTIVES = ("cosent", "ranknet")  # what a λ can be chosen to minimise
CHUNK = 1 << 22  # demanded pairs listed at once for RankNet's objective, and numbers for a bootstrap's resamples
RESAMPLES = 200  # samples of pairs drawn for the interval of a λ
WIDEST = 600.0  # λ times the width of the cosines, up to which no exponential leaves float64


class NoScaleHelps(CosentError, ValueError):  # noqa: N818 — the name says it
    """The cosines run against the labels on average, so that no λ > 0 is better than 0."""


def suggest_scale(cosines: Tensor | ArrayLike, labels: Tensor | ArrayLike, loss: str = "cosent") -> float:
    r"""Return the λ for which a ranking loss of λ·cosines is least, for cosines as they are.

    For ``"cosent"`` that is the minimum of log(Σ/P), the logarithm of the mean of e^{λ(c_i − c_j)} over the demanded
    pairs: the λ with the smallest bound on the share of pairs in wrong order. If the log-odds of label 1 are
    β·cos + const, it tends to β/2 in large samples: noisier labels mean a smaller λ. For ``"ranknet"``, the mean of
    log(1 + e^{λ(c_i − c_j)}), it tends to β, about twice as much (Uematsu & Lee 2017). Both are convex in λ, so the
    zero of the slope is exact. A step costs linear time for ``"cosent"``, after one sort, and time in proportion to
    the number of demanded pairs for ``"ranknet"``.

    Args:
        cosines: of validation pairs, shape ``[n]``; a tensor, an array or a list.
        labels: their labels, shape ``[n]``; only the order counts.
        loss: ``"cosent"`` or ``"ranknet"``.

    Returns:
        λ > 0; infinite when no pair is in wrong order, for then a larger λ is always better.

    Raises:
        NoScaleHelps: a ``ValueError``: the mean cosine difference of the demanded pairs has the wrong sign or is 0, or
            all of these differences are 0.
        ValueError: another ``loss``; labels that demand no order; cosines or labels that are not finite.

    Source: Chapters 3 and 8.
    """
    if loss not in OBJECTIVES:
        raise ValueError(f"loss must be one of {', '.join(OBJECTIVES)}, got {loss!r}")
    pairs = _DemandedPairs(_tensor(cosines), _tensor(labels))
    slope = pairs.slope if loss == "cosent" else pairs.logistic_slope
    if pairs.in_order():
        if slope(0.0) == 0:
            raise NoScaleHelps("the cosines of all pairs to be compared are equal, so no λ is better than another")
        return math.inf
    if slope(0.0) >= 0:
        larger = "on average the lower label has the larger cosine"
        raise NoScaleHelps(f"the cosines do not follow the labels: {larger}, so no λ helps")
    high = 1.0
    while slope(high) < 0:
        high *= 2
    return float(brentq(slope, 0.0, high, xtol=1e-10, rtol=1e-12))


class ScaleReport(NamedTuple):
    """What speaks for a λ.

    Attributes:
        scale: what :func:`suggest_scale` returns.
        log_bounds: λ → log(Σ/P), for ``scale`` (where finite) and the customary λ. e to its power bounds the share of
            pairs in wrong order: above 0 it says nothing, below 0 the order is better than chance.
        effective_shares: for the same λ, (Σ e^{λΔ})²/(P·Σ e^{2λΔ}), the share of the demanded pairs among which the
            pull is spread: 1 where all pull alike, 1/P where one pair rules.
        half_slopes: cut → half the slope of a logistic regression of "label > cut" on the cosine, to which λ tends
            where that regression is the truth; infinite where a cosine separates the two. Binary labels have one
            cut, ½; graded ones those of 0.3, 0.5 and 0.7 that leave labels on both sides.
        interval: the middle 95 % of ``scale`` over samples of as many pairs, drawn with replacement (percentile
            bootstrap): 0 stands for a sample in which no λ helps, infinity for one that is in order. Some hundreds of
            pairs leave a factor of two. None where none were drawn, or ``scale`` is infinite or nearly so.
    """

    scale: float
    log_bounds: dict[float, float]
    effective_shares: dict[float, float]
    half_slopes: dict[float, float]
    interval: tuple[float, float] | None = None


def scale_report(
    cosines: Tensor | ArrayLike,
    labels: Tensor | ArrayLike,
    customary: float = CUSTOMARY,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> ScaleReport:
    """Compute λ for validation pairs together with what speaks for it.

    Args:
        cosines: shape ``[n]``.
        labels: shape ``[n]``, in [0, 1].
        customary: the λ to compare with.
        resamples: how many samples are drawn for the interval; 0 for none.
        seed: of their generator.

    Raises:
        ValueError: as :func:`suggest_scale`.

    Source: Chapters 3 and 8; the share is Kish's effective sample size over P.
    """
    check_number("customary", customary, "a positive finite number", math.ulp(0), sys.float_info.max)
    cosines, labels = _tensor(cosines), _tensor(labels)
    best, pairs = suggest_scale(cosines, labels), _DemandedPairs(cosines, labels)
    scales = [scale for scale in dict.fromkeys((best, customary)) if math.isfinite(scale)]
    at = {scale: pairs.at(scale) for scale in [*scales, *(2 * scale for scale in scales)]}
    c, y = pairs.cosines, pairs.labels
    sides = [(0.5, y == y[-1])] if y.unique().numel() == 2 else [(cut, y > cut) for cut in CUTS]
    halves: dict[int, tuple[float, Tensor]] = {}  # number of ones -> the lowest cut that gives it
    for cut, ones in sides:
        halves.setdefault(int(ones.sum()), (cut, ones))
    return ScaleReport(
        best,
        {scale: at[scale] for scale in scales},
        {scale: math.exp(2 * at[scale] - at[2 * scale]) for scale in scales},
        {cut: half_slope(c, ones) for count, (cut, ones) in halves.items() if 0 < count < y.numel()},
        pairs.interval(best, resamples, seed) if resamples and math.isfinite(best) else None,
    )


def half_slope(cosines: Tensor, ones: Tensor) -> float:
    """Return half the slope of a logistic regression (no penalty) of ``ones``, boolean ``[n]``, on the cosines ``[n]``.

    Infinite when a cosine separates the two sides in the right order, minus infinite in the wrong one.
    """
    from sklearn.linear_model import LogisticRegression

    up, down = cosines[ones], cosines[~ones]
    if down.max() <= up.min() or up.max() <= down.min():
        return math.copysign(math.inf, float(up.mean() - down.mean()))
    fit = LogisticRegression(C=math.inf, solver="newton-cholesky", tol=1e-9)
    return float(fit.fit(cosines[:, None].numpy(), ones.numpy()).coef_[0, 0]) / 2


def _tensor(values: Tensor | ArrayLike) -> Tensor:
    """As a tensor; a list as float64, which torch would make float32."""
    return values if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))


class _DemandedPairs:
    """The pairs (i, j) with y_i < y_j, never listed: items in the order of labels, and how many stand lower."""

    def __init__(self, cosines: Tensor, labels: Tensor) -> None:
        if cosines.numel() < 2 or labels.numel() < 2 or bool((labels == labels[0]).all()):
            raise ValueError(f"the labels of {labels.numel()} pairs demand no order, so no λ is better than another")
        with torch.inference_mode(False):  # what is made in that mode cannot be differentiated, a copy can
            c, y = cosines.detach().clone().double(), labels.detach().clone()
            rank_loss(c, y)  # refuses what is not a score or a label
            order = y.argsort()
            self.cosines, self.labels = c[order], y[order]
            counts = self.labels.unique_consecutive(return_counts=True)[1]
            lower = (counts.cumsum(0) - counts).repeat_interleave(counts)  # how many labels are lower than each
            self.start = int((lower == 0).sum())  # the first item with any
            self.last = lower[self.start :] - 1  # the last of the items that are lower
            self.log_count = math.log(int(lower.sum()))  # log P

    def in_order(self) -> bool:
        """Whether no pair is in wrong order, ties allowed."""
        return bool((self.cosines.cummax(0).values[self.last] <= self.cosines[self.start :]).all())

    def at(self, scale: float) -> float:
        """The value of log(Σ/P)."""
        return float(self._log_bound(torch.tensor(scale, dtype=torch.float64)))

    def slope(self, scale: float) -> float:
        """The derivative of log(Σ/P) in λ."""
        with torch.inference_mode(False), torch.enable_grad():
            variable = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
            return float(torch.autograd.grad(self._log_bound(variable), variable)[0])

    def logistic_slope(self, scale: float) -> float:
        """The derivative of the sum of log(1 + e^{λ(c_i − c_j)}) in λ, over the demanded pairs."""
        total, rows = 0.0, max(1, CHUNK // self.cosines.numel())
        for first in range(self.start, self.cosines.numel(), rows):
            higher = self.cosines[first : first + rows]
            last = self.last[first - self.start : first - self.start + rows]
            differences = self.cosines[: int(last[-1]) + 1] - higher[:, None]
            demanded = torch.arange(differences.shape[1], device=last.device) <= last[:, None]
            total += float((differences * (scale * differences).sigmoid())[demanded].sum())
        return total

    def interval(self, scale: float, resamples: int, seed: int, share: float = 0.95) -> tuple[float, float] | None:
        """The middle ``share`` of the least λ over samples of rows; None where it cannot be computed.

        Found to half a percent by halving [λ/8, 8 λ] on a logarithmic scale, for many samples at once; what lies
        outside counts as 0 or infinite.
        """
        size, width = self.cosines.numel(), float(self.cosines.max() - self.cosines.min())
        found: list[float] = []
        generator = torch.Generator().manual_seed(seed)
        for drawn in torch.arange(resamples if scale * width < WIDEST else 0).split(max(1, CHUNK // size)):
            rows = torch.randint(size, (size, len(drawn)), generator=generator)
            times = torch.zeros(rows.shape, dtype=torch.float64)  # how often each row was drawn, a column a sample
            times.scatter_add_(0, rows, torch.ones(1, dtype=torch.float64).expand(rows.shape))
            times = times[:, (times.cumsum(0)[self.last] * times[self.start :]).sum(0) > 0]  # those with an order
            low = torch.full(times.shape[1:], scale / 8, dtype=torch.float64)
            high = (low * 64).clamp(max=WIDEST / width)
            least, most = self._slopes(low, times), self._slopes(high, times)
            for _ in range(10):
                middle = (low * high).sqrt()
                falls = self._slopes(middle, times) < 0
                low, high = torch.where(falls, middle, low), torch.where(falls, high, middle)
            found += torch.where(least >= 0, 0.0, torch.where(most < 0, math.inf, (low * high).sqrt())).tolist()
        out = math.floor((1 - share) / 2 * len(found))  # how many are left out on either side
        return (sorted(found)[out], sorted(found)[-1 - out]) if found else None

    def _slopes(self, scales: Tensor, times: Tensor) -> Tensor:
        """The derivative of Σ at one λ a sample, ``[r]``, up to a positive factor; ``times: [n, r]``."""
        c = (self.cosines - self.cosines.mean())[:, None]
        up = (scales * c).exp()
        lower, higher = times * up, (times / up)[self.start :]
        falling = (lower * c).cumsum(0)[self.last] - lower.cumsum(0)[self.last] * c[self.start :]
        return (falling * higher).sum(0)

    def _log_bound(self, scale: Tensor) -> Tensor:
        """log(Σ/P) by running sums, differentiable in λ."""
        s = scale * self.cosines
        return (s.logcumsumexp(0)[self.last] - s[self.start :]).logsumexp(0) - self.log_count
