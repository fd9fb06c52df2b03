r"""The ranking loss on the CPU: closed-form value and gradient out of plain sums, a few passes over the scores.

Scores are centred, so that e^{s} and e^{−s} stay normal numbers and no sum needs a logarithm as long as the spread is
at most `SAFE_SPREAD`. Two levels need one exponential and no sort: Σ = Z_low·Z_high, and the gradient is those same
exponentials times a constant each (RankBoost's factorisation, Freund et al. 2003). A few levels need each level's two
sums, many levels one sort; a small batch its n×n demands, in the fewest calls. Exponentials and products by torch,
whose loops are vectorised; sorts, look-ups and counts by numpy, whose calls cost less.
"""

import math
import sys

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SAFE_SPREAD = 600.0  # max(s) − min(s) up to which products of two exponentials of centred scores are normal numbers
FEW = 16  # levels up to which each has a pass of its own rather than a place in a sort
SAMPLE = 256  # labels looked at first, to see whether there are few levels
DENSE = 128  # items up to which n² demands cost less than the calls of a sort
SMALL = 1024  # items below which the calls cost more than the passes
UPPER = int(sys.byteorder == "little")  # which 32-bit half of a 64-bit whole number is the upper one
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


def by_dense_sums(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor] | None:
    """Value and gradient ``[n]`` of ``rank_loss`` for a small batch, from the matrix of its demands.

    None if the scores, which are not centred, are too large for that, or not numbers: arguments as for `by_sums`.
    """
    wide = scores.double()
    if not float(wide.dot(wide)) <= (SAFE_SPREAD / 2) ** 2:  # bounds each |s| in one call; numpy's warns of overflow
        return None
    s, y = wide.numpy(), _array(labels)
    demanded = np.less(y[:, None], y).astype(np.float64)
    up = np.exp(s)
    down = 1 / up
    below = up.dot(demanded)
    up *= demanded.dot(down)
    total = float(up.sum())
    down *= below
    up -= down
    up /= 1 + total
    return torch.scalar_tensor(math.log1p(total), dtype=torch.float64), torch.from_numpy(up)


def by_sums(s: Tensor, labels: Tensor, segments: Tensor | None = None, centre: float = 0.0) -> tuple[Tensor, Tensor]:
    """Value (a scalar) and gradient ``[n]``, float64, of ``rank_loss``; scores on the CPU, at most `SAFE_SPREAD` apart.

    Args:
        s: scores of any floating type, ``[n]``, n ≥ 2.
        labels: as for ``rank_loss``, checked.
        segments: likewise.
        centre: the middle of the scores' range.
    """
    y = _array(labels)
    if segments is not None:
        value, gradient = _by_segment(_centred(s, centre), y, segments.numpy())
    elif y.size < SMALL:
        value, gradient = _by_running_sums(_centred(s, centre), y)
    elif np.count_nonzero(is_high := y == y.max()) + np.count_nonzero(y == y.min()) == y.size:
        value, gradient = _two_levels(_centred(s, centre), is_high)
    elif (levels := _few_levels(y)) is None:
        value, gradient = _by_order(s, y, centre)
    else:
        value, gradient = _by_level(_centred(s, centre), y, levels)
    return torch.scalar_tensor(value, dtype=torch.float64), gradient


def _array(labels: Tensor) -> NDArray[np.generic]:
    """The labels for numpy, which has no bfloat16."""
    return (labels.float() if labels.dtype == torch.bfloat16 else labels).numpy()


def _centred(scores: Tensor, centre: float) -> Tensor:
    """The scores less their centre, a float64 tensor of its own."""
    return scores - centre if scores.dtype == torch.float64 else scores.double().sub_(centre)


def _few_levels(y: NDArray[np.generic]) -> NDArray[np.generic] | None:
    """All levels of the labels, rising, if they are few; None otherwise, or where the first labels do not show them."""
    levels = np.unique(y[:SAMPLE])
    if levels.size > FEW:
        return None
    if sum(np.count_nonzero(y == level) for level in levels) < y.size:
        return None
    return levels


def _two_levels(s: Tensor, is_high: NDArray[np.bool_]) -> tuple[float, Tensor]:
    """The loss of scores with a low and a high level: 1 + Z_low·Z_high, one exponential a score."""
    high = torch.from_numpy(is_high).to(s.dtype)
    up = torch.addcmul(s, s, high, value=-2).exp_()  # e^{s} where low, e^{−s} where high
    high *= up
    up -= high  # exact: all or nothing is left
    z_high, z_low = float(high.sum()), float(up.sum())
    total = z_low * z_high
    gradient = up.mul_(z_high / (1 + total)).add_(high, alpha=-z_low / (1 + total))
    return math.log1p(total), gradient


def _by_running_sums(s: Tensor, y: NDArray[np.generic]) -> tuple[float, Tensor]:
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
    total = float(up.sum())
    gradient = np.empty_like(up)
    gradient[order] = (up - down * below) / (1 + total)
    return math.log1p(total), torch.from_numpy(gradient)


def _by_level(s: Tensor, y: NDArray[np.generic], levels: NDArray[np.generic]) -> tuple[float, Tensor]:
    """The loss of scores with a few levels: the sums of e^{s} and of e^{−s} of each level, and look-ups of both."""
    counted = np.zeros(y.size, dtype=np.uint8)
    for each in levels[1:]:
        counted += (y >= each).view(np.uint8)
    level = counted.astype(np.int64)
    up = s.exp_()
    down = up.reciprocal()
    sums_up, sums_down = (np.bincount(level, x.numpy(), levels.size).astype(np.float64) for x in (up, down))
    below, above = _before(sums_up), _before(sums_down[::-1])[::-1]
    total = float((sums_up * above).sum())
    gradient = up.mul_(torch.from_numpy((above / (1 + total)).take(level)))
    gradient -= down.mul_(torch.from_numpy((below / (1 + total)).take(level)))
    return math.log1p(total), gradient


def _by_order(scores: Tensor, y: NDArray[np.generic], centre: float) -> tuple[float, Tensor]:
    """The loss of scores with many levels: one sort, then running sums of items, mended where labels are equal.

    An item equal to the one before it has the same ones below it, so each level takes over the sum of its first item
    below, of its last above. Few columns are alive at a time: fresh memory costs as much as arithmetic.
    """
    order, tied = _sorted(y)
    begins = np.flatnonzero(np.diff(tied, prepend=-1) != 1)  # of each level of several items, in `tied`
    counts = np.diff(begins, append=tied.size)
    up = _centred(scores.index_select(0, torch.from_numpy(order)), centre).exp_()
    down = up.reciprocal()
    below = np.zeros(y.size)
    torch.cumsum(up[:-1], 0, out=torch.from_numpy(below[1:]))
    below[tied] = below[tied[begins] - 1].repeat(counts)
    above = np.zeros(y.size + 1)  # at each place what is above the item before
    np.cumsum(down.numpy()[:0:-1], out=above[-2:0:-1])
    above[tied] = above[tied[begins + counts - 1] + 1].repeat(counts)
    below *= down.numpy()
    total = float(up.mul_(torch.from_numpy(above[1:])).sum())
    up.sub_(torch.from_numpy(below)).mul_(1 / (1 + total))
    below[order] = up.numpy()  # memory that is there already
    return math.log1p(total), torch.from_numpy(below)


def _sorted(y: NDArray[np.generic]) -> tuple[Rows, Rows]:
    """Rows in the order of the labels, and the places, in that order, of labels equal to the one before.

    Single-precision labels by numpy's vectorised sort of whole numbers: a float32 number's bits, turned round for
    negative ones, are in the order of the numbers; with its row in the lower half, one sort of int64 gives both.
    """
    if y.dtype != np.float32:
        order = np.argsort(y)
        y = y[order]
        return order, np.flatnonzero(y[1:] == y[:-1]) + 1
    keys = np.arange(y.size)
    upper = keys.view(np.int32)[UPPER::2]
    np.add(y, np.float32(0), out=upper.view(np.float32))  # + 0: the two zeros are one level
    if not y.min() >= 0:
        np.bitwise_xor(upper, 0x7FFFFFFF, out=upper, where=upper < 0)
    keys.sort()
    tied = np.flatnonzero(upper[1:] == upper[:-1]) + 1
    keys &= 0xFFFFFFFF
    return keys, tied


def _by_segment(s: Tensor, y: NDArray[np.generic], segments: NDArray[np.integer]) -> tuple[float, Tensor]:
    """The loss of scores with any levels, compared within their segments: one sort, then running sums of levels."""
    order = np.lexsort((y, segments))
    new_segment = _changes(segments[order])
    is_new = new_segment | _changes(y[order])
    starts = np.flatnonzero(is_new)
    up = s.exp_().numpy().take(order)
    down = 1 / up
    sums_up, sums_down = (np.add.reduceat(x, starts) for x in (up, down))
    part = new_segment.cumsum()[is_new] - 1  # the segment of each level
    below, above = _before_within(sums_up, part), _before_within(sums_down[::-1], part[::-1])[::-1]
    totals = np.bincount(part, sums_up * above)
    demanding = max(1, int(np.count_nonzero(totals)))
    share, sizes = (1 / (1 + totals) / demanding)[part], np.diff(starts, append=y.size)
    up *= (above * share).repeat(sizes)
    up -= np.multiply(down, (below * share).repeat(sizes), out=down)
    placed = down  # memory that is there already
    placed[order] = up
    return float(np.log1p(totals).sum()) / demanding, torch.from_numpy(placed)


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
