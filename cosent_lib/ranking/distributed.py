r"""The ranking loss over the items of all ranks of a process group, with as little exchanged as its levels allow.

The double sum factorises: Σ = Σ_l Z_l·A_l, where Z_l is the sum of e^{s} over level l and A_l that of e^{−s} over all
levels above it. So with few levels a rank sends one agreement of 22 numbers (its count, its levels) and then, of the L
levels that there are on all ranks, log-sums of e^{s} of all but the highest and of e^{−s} of all but the lowest: 2L − 2
numbers, whatever the batch. Each rank's gradient then needs nothing more from the others. Many levels and segments
have the items themselves exchanged, 16 or 24 bytes each.
"""

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

from cosent_lib.ranking.fast import FEW, SAMPLE
from cosent_lib.ranking.reference import any_demand

Local = Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]
WHOLE = 1  # the kind of labels that are whole numbers; 0 is that of none
FLOATS = (torch.bfloat16, torch.float16, torch.float32, torch.float64)


def ranks_of(group: ProcessGroup | None) -> int:
    """How many ranks a group has; 1 without one.

    Raises:
        ValueError: this process is none of them.
    """
    if group is None:
        return 1
    if dist.get_rank(group) < 0:
        raise ValueError(f"rank {dist.get_rank()} is not in the group; only its ranks may call rank_loss with it")
    return dist.get_world_size(group)


def across_ranks(
    scores: Tensor, labels: Tensor, segments: Tensor | None, group: ProcessGroup, fault: str | None, local: Local
) -> tuple[Tensor, Tensor, bool]:
    """Value and own gradient ``[n_rank]`` of the loss of all ranks' items, and whether any order is demanded.

    Args:
        scores: this rank's, ``[n_rank]``; ranks may hold different numbers of items, or none.
        labels: ``[n_rank]``; compared as float64 (exact for whole numbers up to 2⁵³).
        segments: ``[n_rank]``, or None on every rank that has items.
        group: every rank of it must call this function.
        fault: what is wrong with this rank's items, found before; None if nothing is.
        local: how value and gradient of one process's items are computed.

    Raises:
        ValueError: on all ranks together: a fault on one; segments, or floating labels of another type, on some only.
    """
    levels = torch.empty(0) if fault or segments is not None else _levels(labels)
    heads = _agree(scores, labels, segments, levels, fault, group)
    sizes, counts = ([int(head[column]) for head in heads] for column in (0, 4))
    if not any(head[2] for head in heads) and max(counts) <= FEW:
        union = sorted({level for head, count in zip(heads, counts, strict=True) for level in head[5 : 5 + count]})
        if len(union) <= FEW:
            return _by_level(scores.double(), labels, union, group)
    with_segments = any(head[2] for head in heads)
    everything = _gather_items(scores, labels, segments if with_segments else None, sizes, with_segments, group)
    start = sum(sizes[: dist.get_rank(group)])
    value, gradient = local(*everything)
    return value, gradient[start : start + scores.numel()], any_demand(*everything[1:])


def _levels(labels: Tensor) -> Tensor:
    """The different labels, rising; where there are few, found without a sort of all."""
    labels = labels.double() if labels.is_floating_point() else labels.long()
    some = labels[:SAMPLE].unique()
    return some if some.numel() <= FEW and bool(torch.isin(labels, some).all()) else labels.unique()


def _agree(
    scores: Tensor, labels: Tensor, segments: Tensor | None, levels: Tensor, fault: str | None, group: ProcessGroup
) -> list[list[float]]:
    """What each rank says of its items: how many, fault, segments, kind of labels, number of levels, the levels."""
    head = torch.zeros(5 + FEW + 1, dtype=torch.float64)
    head[1] = fault is not None
    if fault is None and scores.numel():
        kind = FLOATS.index(labels.dtype) + 1 + WHOLE if labels.is_floating_point() else WHOLE
        head[0], head[2], head[3] = scores.numel(), segments is not None, kind
        shown = levels[: FEW + 1]
        head[4] = shown.numel()
        head[5 : 5 + shown.numel()] = shown
    heads = [each.tolist() for each in _all_gather(head.to(scores.device), group)]
    if any(each[1] for each in heads):
        faults: list[str | None] = [None] * len(heads)
        dist.all_gather_object(faults, fault, group=group)
        raise ValueError("; ".join(f"rank {rank}: {each}" for rank, each in enumerate(faults) if each))
    filled = [each for each in heads if each[0]]
    if len({each[2] for each in filled}) > 1:
        raise ValueError("segments are given on some ranks only: give them on all, or on none")
    if len(kinds := {each[3] for each in filled} - {WHOLE}) > 1:
        names = ", ".join(str(FLOATS[int(kind) - 1 - WHOLE]).removeprefix("torch.") for kind in sorted(kinds))
        differ = f"labels have different types on the ranks ({names})"
        raise ValueError(f"{differ}, so equal ones might differ: convert them")
    return heads


def level_log_sums(s: Tensor, level: Tensor, count: int) -> Tensor:
    """The 2L − 2 numbers of one rank: log Σe^{s} of all levels but the highest, log Σe^{−s} of all but the lowest.

    Args:
        s: scores, ``[n]``.
        level: the number of each item's level, from 0 to L − 1, ``[n]``.
        count: L, of all ranks.
    """
    return torch.cat([_log_sums(s, level, count)[:-1], _log_sums(-s, level, count)[1:]])


def loss_of_log_sums(sums: Tensor, s: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """Value and own gradient ``[n]`` from all ranks' `level_log_sums`, ``[ranks, 2L − 2]``."""
    up, down = sums.logsumexp(0).chunk(2)
    nothing = up.new_full((1,), -torch.inf)
    below = torch.cat([nothing, up.logcumsumexp(0)])  # log Σe^{s} of all levels below each
    above = torch.cat([down.flip(0).logcumsumexp(0).flip(0), nothing])
    value = torch.logaddexp((up + above[:-1]).logsumexp(0), up.new_zeros(()))
    return value, (s + above[level] - value).exp() - (below[level] - s - value).exp()


def _by_level(s: Tensor, labels: Tensor, levels: list[float], group: ProcessGroup) -> tuple[Tensor, Tensor, bool]:
    """`across_ranks` where there are few levels on all ranks together."""
    if len(levels) < 2:
        return s.new_zeros(()), torch.zeros_like(s), False
    level = torch.searchsorted(s.new_tensor(levels), labels.double())
    sums = torch.stack(_all_gather(level_log_sums(s, level, len(levels)), group))
    return *loss_of_log_sums(sums, s, level), True


def _log_sums(x: Tensor, level: Tensor, count: int) -> Tensor:
    """The log of Σe^x of each level, ``[L]``; −∞ for one without items."""
    highest = x.new_full((count,), -torch.inf).scatter_reduce(0, level, x, "amax")
    highest = torch.where(highest.isfinite(), highest, 0)
    return x.new_zeros(count).scatter_add(0, level, (x - highest[level]).exp()).log() + highest


def _gather_items(
    scores: Tensor, labels: Tensor, segments: Tensor | None, sizes: list[int], with_segments: bool, group: ProcessGroup
) -> tuple[Tensor, Tensor, Tensor | None]:
    """All ranks' scores and labels (float64) and segments (int64), each ``[n]``, in rank order; bit for bit."""
    columns = [column.double().view(torch.int64) for column in (scores, labels)]
    if with_segments:
        columns.append(columns[0] if segments is None else segments.long())  # None on a rank without items
    everything = torch.cat(gather_rows(torch.stack(columns, dim=1), sizes, group))
    s, y = (column.contiguous().view(torch.float64) for column in everything.T[:2])
    return s, y, everything[:, 2] if with_segments else None


def gather_rows(mine: Tensor, sizes: list[int], group: ProcessGroup | None) -> list[Tensor]:
    """The rows ``[n_rank, …]`` of every rank, of which each has so many."""
    padded = mine.new_zeros(max(sizes), *mine.shape[1:])
    padded[: len(mine)] = mine
    return [part[:size] for part, size in zip(_all_gather(padded, group), sizes, strict=True)]


def _all_gather(tensor: Tensor, group: ProcessGroup | None) -> list[Tensor]:
    """The same tensor of every rank, in rank order."""
    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size(group))]
    dist.all_gather(parts, tensor.contiguous(), group=group)
    return parts
