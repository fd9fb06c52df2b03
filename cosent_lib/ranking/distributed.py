"""What a ranking loss over several processes must exchange."""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup


def gather_items(scores: Tensor, labels: Tensor, group: ProcessGroup) -> tuple[Tensor, Tensor, slice]:
    """Collect every rank's scores and labels, in rank order; the ranks may hold different numbers of items.

    Args:
        scores: this rank's scores, shape ``[n_rank]``.
        labels: this rank's labels, shape ``[n_rank]``; exchanged as float64 (exact for integers up to 2⁵³).
        group: the process group; every rank of it must call this function.

    Returns:
        All scores ``[n]``, all labels ``[n]`` (detached, float64) and the slice in which this rank's items lie.
    """
    sizes: list[int] = [0] * dist.get_world_size(group)
    dist.all_gather_object(sizes, scores.numel(), group=group)
    longest, rank = max(sizes), dist.get_rank(group)
    padded = torch.zeros(2, longest, dtype=torch.float64, device=scores.device)
    padded[0, : sizes[rank]] = scores.detach()
    padded[1, : sizes[rank]] = labels
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded, group=group)
    everything = torch.cat([part[:, :size] for part, size in zip(parts, sizes, strict=True)], dim=1)
    start = sum(sizes[:rank])
    return everything[0], everything[1], slice(start, start + sizes[rank])
