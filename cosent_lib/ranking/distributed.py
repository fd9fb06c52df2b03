"""What a ranking loss over several processes must exchange."""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup


def gather_items(
    scores: Tensor, labels: Tensor, segments: Tensor | None, group: ProcessGroup
) -> tuple[Tensor, Tensor, Tensor | None, slice]:
    """Collect every rank's scores, labels and segments, in rank order; ranks may hold different numbers of items.

    Args:
        scores: this rank's scores, shape ``[n_rank]``.
        labels: this rank's labels, shape ``[n_rank]``; exchanged as float64 (exact for integers up to 2⁵³).
        segments: this rank's segments, shape ``[n_rank]``, likewise; or None on every rank.
        group: the process group; every rank of it must call this function.

    Returns:
        All scores ``[n]``, all labels ``[n]`` (detached, float64), all segments ``[n]`` (int64) or None, and the slice
        in which this rank's items lie.
    """
    columns = [scores.detach(), labels, *([] if segments is None else [segments])]
    sizes: list[int] = [0] * dist.get_world_size(group)
    dist.all_gather_object(sizes, scores.numel(), group=group)
    longest, rank = max(sizes), dist.get_rank(group)
    padded = torch.zeros(len(columns), longest, dtype=torch.float64, device=scores.device)
    for row, column in enumerate(columns):
        padded[row, : sizes[rank]] = column
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded, group=group)
    everything = torch.cat([part[:, :size] for part, size in zip(parts, sizes, strict=True)], dim=1)
    start = sum(sizes[:rank])
    own = slice(start, start + sizes[rank])
    return everything[0], everything[1], None if segments is None else everything[2].long(), own
