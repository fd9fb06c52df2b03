r"""The ranking loss on the CPU: closed-form value and gradient out of plain sums, a few passes over the scores.

Scores are centred, so that e^{s} and e^{−s} stay normal numbers and no sum needs a logarithm as long as the spread is
at most `SAFE_SPREAD`. Two levels need one exponential and no sort: Σ = Z_low·Z_high, and the gradient is those same
exponentials times a constant each (RankBoost's factorisation, Freund et al. 2003). A few levels need each level's two
sums, many levels one sort. Exponentials and products by torch, whose loops are vectorised; look-ups, counts and sorts
by numpy, whose calls cost less.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SAFE_SPREAD = 600.0
"""Largest max(s) − min(s) for which products of two exponentials of centred scores stay normal float64 numbers."""

FEW = 16
"""Levels up to which each has a pass of its own rather than a place in a sort."""

SAMPLE = 256
"""Labels looked at first, to see whether there are few levels."""

SMALL = 1024
"""Items below which the calls cost more than the passes."""

Floats = NDArray[np.float64]


def by_sums(s: Tensor, labels: Tensor, segments: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Value (a scalar) and gradient ``[n]`` of ``rank_loss``; scores float64 on the CPU, at most `SAFE_SPREAD` apart.

    Args:
        s: scores less the middle of their range, ``[n]``, n ≥ 2.
        labels: as for ``rank_loss``, checked.
        segments: likewise.
    """
    y = (labels.float() if labels.dtype == torch.bfloat16 else labels).numpy()
    if segments is not None:
        return _by_segment(s, y, segments.numpy())
    low, high = y.min(), y.max()
    is_high = y == high
    if low == high:
        return s.new_zeros(()), torch.zeros_like(s)
    if np.count_nonzero(is_high) + np.count_nonzero(y == low) == y.size:
        return _two_levels(s, is_high)
    if y.size < SMALL:
        return _by_running_sums(s, y)
    levels = _few_levels(y)
    return _by_segment(s, y, None) if levels is None else _by_level(s, y, levels)


def _few_levels(y: NDArray[np.generic]) -> NDArray[np.generic] | None:
    """All levels of the labels, rising, if they are few; None otherwise, or where the first labels do not show them."""
    levels = np.unique(y[:SAMPLE])
    if levels.size > FEW:
        return None
    if sum(np.count_nonzero(y == level) for level in levels) < y.size:
        return None
    return levels


def _two_levels(s: Tensor, is_high: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
    """The loss of scores with a low and a high level: 1 + Z_low·Z_high, one exponential a score."""
    high = torch.from_numpy(is_high).to(s.dtype)
    up = torch.addcmul(s, s, high, value=-2).exp_()  # e^{s} where low, e^{−s} where high
    high *= up
    up -= high  # exact: all or nothing is left
    z_high, z_low = float(high.sum()), float(up.sum())
    total = z_low * z_high
    gradient = up.mul_(z_high / (1 + total)).add_(high, alpha=-z_low / (1 + total))
    return s.new_tensor(np.log1p(total)), gradient


def _by_running_sums(s: Tensor, y: NDArray[np.generic]) -> tuple[Tensor, Tensor]:
    """The loss of few scores with any levels, in as few calls as there can be: a sort, and running sums of items."""
    order = y.argsort()
    y = y[order]
    starts = np.concatenate([[0], (y[1:] != y[:-1]).nonzero()[0] + 1, [y.size]])  # of each level, and the end
    up = np.exp(s.numpy()[order])
    down = 1 / up
    sizes = starts[1:] - starts[:-1]
    below = np.concatenate([[0.0], up.cumsum()])[starts[:-1]].repeat(sizes)
    above = np.concatenate([down[::-1].cumsum()[::-1], [0.0]])[starts[1:]].repeat(sizes)
    up *= above
    total = up.sum()
    gradient = np.empty_like(up)
    gradient[order] = (up - down * below) / (1 + total)
    return s.new_tensor(np.log1p(total)), torch.from_numpy(gradient)


def _by_level(s: Tensor, y: NDArray[np.generic], levels: NDArray[np.generic]) -> tuple[Tensor, Tensor]:
    """The loss of scores with a few levels: the sums of e^{s} and of e^{−s} of each level, and look-ups of both."""
    counted = np.zeros(y.size, dtype=np.uint8)
    for each in levels[1:]:
        counted += (y >= each).view(np.uint8)
    level = counted.astype(np.int64)
    up = s.exp()
    down = up.reciprocal()
    sums_up, sums_down = (np.bincount(level, x.numpy(), levels.size).astype(np.float64) for x in (up, down))
    below, above = _before(sums_up), _before(sums_down[::-1])[::-1]
    total = float((sums_up * above).sum())
    gradient = up.mul_(torch.from_numpy((above / (1 + total)).take(level)))
    gradient -= down.mul_(torch.from_numpy((below / (1 + total)).take(level)))
    return s.new_tensor(np.log1p(total)), gradient


def _by_segment(s: Tensor, y: NDArray[np.generic], segments: NDArray[np.integer] | None) -> tuple[Tensor, Tensor]:
    """The loss of scores with any levels, compared within their segments: one sort, then running sums of levels."""
    order, is_new, new_segment = _sorted(y, segments)
    starts = np.flatnonzero(is_new)
    up = torch.from_numpy(s.exp().numpy().take(order))  # numpy's look-up is several times faster than torch's
    down = up.reciprocal()
    alone = starts.size == y.size  # each level has one item
    sums_up, sums_down = (x.numpy() if alone else np.add.reduceat(x.numpy(), starts) for x in (up, down))
    if segments is None:
        below, above = _before(sums_up), _before(sums_down[::-1])[::-1]
        totals = np.atleast_1d((sums_up * above).sum())
        share = np.float64(1 / (1 + totals[0]))
    else:
        part = new_segment.cumsum()[is_new] - 1  # the segment of each level
        below, above = _before_within(sums_up, part), _before_within(sums_down[::-1], part[::-1])[::-1]
        totals = np.bincount(part, sums_up * above)
        share = (1 / (1 + totals) / max(1, int(np.count_nonzero(totals))))[part]
    each = (lambda x: x) if alone else (lambda x: x.repeat(np.diff(starts, append=y.size)))
    gradient = up.mul_(torch.from_numpy(each(above * share)))
    gradient -= down.mul_(torch.from_numpy(each(below * share)))
    placed = np.empty(y.size)
    placed[order] = gradient.numpy()
    return s.new_tensor(np.log1p(totals).sum() / max(1, int(np.count_nonzero(totals)))), torch.from_numpy(placed)


def _sorted(
    y: NDArray[np.generic], segments: NDArray[np.integer] | None
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Rows in the order of segment and label, and in that order, where a new level begins and where a new segment.

    Single-precision labels by numpy's vectorised sort of whole numbers: a float32 number's bits, turned round for
    negative ones, are in the order of the numbers; with its row in the lower half, one sort of int64 gives both.
    """
    if segments is not None:
        order = np.lexsort((y, segments))
        new_segment = _changes(segments[order])
        return order, new_segment | _changes(y[order]), new_segment
    if y.dtype != np.float32:
        order = np.argsort(y)
        return order, _changes(y[order]), np.zeros(0, dtype=np.bool_)
    bits = (y.astype(np.float32) + np.float32(0)).view(np.int32)  # + 0: the two zeros are one level
    bits = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    keys = (bits.astype(np.int64) << 32) | np.arange(y.size)
    keys.sort()
    return keys & 0xFFFFFFFF, _changes(keys >> 32), np.zeros(0, dtype=np.bool_)


def _changes(values: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Where a sorted column has another value than one place before; True at the first place."""
    change = np.ones(values.size, dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=change[1:])
    return change


def _before(sums: Floats) -> Floats:
    """The sum of all earlier ones, for each."""
    before = np.zeros_like(sums)
    np.cumsum(sums[:-1], out=before[1:])
    return before


def _before_within(sums: Floats, part: NDArray[np.int64]) -> Floats:
    """The sum of all earlier ones of the same segment, for each; nothing is subtracted, so nothing cancels."""
    found = np.zeros_like(sums)
    found[1:] = np.where(part[1:] == part[:-1], sums[:-1], 0.0)
    longest, reach = int(np.bincount(part).max()), 1
    while reach < longest:  # running sums within segments, doubling their reach
        added = np.where(part[reach:] == part[:-reach], found[:-reach], 0.0)
        found[reach:] += added
        reach *= 2
    return found
