"""The processes of one run: what each does of a step's batch, and what they exchange.

A launcher (torchrun, ``accelerate launch``) starts W of them; the run is then that of one process with W times the
batch. Gradients are added up here rather than by DDP: it has no sparse gradients but those of an `nn.Embedding`, waits
for every parameter on every rank though a rank may be without pairs, and averages where the parts of one loss add up.
"""

import atexit
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from cosent_lib.errors import CosentError, check_launch, launched_ranks

T = TypeVar("T")
TIMEOUT = timedelta(minutes=30)
"""How long a rank waits for one that lives and says nothing, as others do while rank 0 validates."""
LOST = r"closed by peer|reset by peer|broken pipe|timed? ?out|connection (refused|was)|socket|NCCL|remote process"


class RankLost(CosentError, RuntimeError):  # noqa: N818 — the name says it
    """Another process of the run has ended, so that this one cannot go on."""


class Ranks:
    """The ranks of a run; without a group, the one process that it is."""

    def __init__(self, group: ProcessGroup | None = None) -> None:
        self.group = group
        self.count = 1 if group is None else dist.get_world_size(group)
        self.rank = 0 if group is None else dist.get_rank(group)
        self.is_first = self.rank == 0

    def seed(self, seed: int) -> int:
        """What seeds this rank's dropout: the run's seed on the first, others on the others."""
        return seed if self.is_first else int(np.random.SeedSequence([seed, self.rank]).generate_state(1)[0])

    @contextmanager
    def exchanging(self, loss: nn.Module) -> Iterator[None]:
        """Give a loss that exchanges by itself the group, inside the block."""
        if self.count == 1 or not getattr(loss, "exchanges", False) or loss.group is not None:
            yield
            return
        loss.group = self.group
        try:
            yield
        finally:
            loss.group = None

    def part(self, count: int) -> slice:
        """Which of a batch's ``count`` rows are this rank's; they differ by one at most, and may be none."""
        short, more = divmod(count, self.count)
        start = self.rank * short + min(self.rank, more)
        return slice(start, start + short + (self.rank < more))

    def agree(self, mine: Mapping[str, Any]) -> None:
        """Refuse to go on where ranks were given different things.

        Raises:
            ValueError: on all ranks; says what differs.
        """
        if self.count == 1:
            return
        all_of_them: list[Any] = [None] * self.count
        dist.all_gather_object(all_of_them, dict(mine), group=self.group)
        for rank, other in enumerate(all_of_them):
            if differing := [name for name, value in all_of_them[0].items() if other.get(name) != value]:
                raise ValueError(
                    f"rank {rank} was given another {', '.join(differing)} than rank 0: all ranks of a run call train "
                    "with the same arguments, and each takes its part of every batch"
                )

    def any(self, mine: bool) -> bool:
        """Whether it is so on any rank."""
        if self.count == 1:
            return mine
        flag = torch.tensor([float(mine)], device=self._device())
        dist.all_reduce(flag, dist.ReduceOp.MAX, group=self.group)
        return bool(flag)

    def on_first(self, function: Callable[[], T]) -> T:
        """What ``function`` returns on rank 0, which alone calls it; its error on rank 0, `RankLost` on the others."""
        if self.count == 1:
            return function()
        found: list[Any] = [None, None]
        error: Exception | None = None
        if self.is_first:
            try:
                found[0] = function()
            except Exception as caught:
                error, found[1] = caught, f"{type(caught).__name__}: {caught}"
        dist.broadcast_object_list(found, src=dist.get_global_rank(self._group(), 0), group=self.group)
        if error is not None:
            raise error
        if found[1] is not None:
            raise RankLost(f"rank 0 has ended the run: {found[1]}")
        result: T = found[0]
        return result

    def gathered(self, mine: T) -> list[T]:
        """An object of every rank, in rank order."""
        if self.count == 1:
            return [mine]
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, mine, group=self.group)
        return found

    def start_alike(self, module: nn.Module) -> None:
        """Give every rank the parameters and buffers of rank 0."""
        for tensor in module.state_dict().values() if self.count > 1 else ():
            sent = tensor.detach().to(self._device(), copy=True).contiguous()
            dist.broadcast(sent, dist.get_global_rank(self._group(), 0), group=self.group)
            tensor.copy_(sent)

    def joined(self, mine: Tensor, count: int) -> Tensor:
        """The vectors ``[2, count, dim]`` of a whole batch; a gradient flows to this rank's, ``[2, n_rank, dim]``."""
        sizes = [count // self.count + (rank < count % self.count) for rank in range(self.count)]
        padded = mine.new_zeros(2, max(sizes), mine.shape[2])
        padded[:, : mine.shape[1]] = mine.detach()
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded, group=self.group)
        cut = [part[:, :size] for part, size in zip(parts, sizes, strict=True)]
        cut[self.rank] = mine
        return torch.cat(cut, dim=1)

    def add_gradients(self, dense: Sequence[nn.Parameter], sparse: Sequence[nn.Parameter]) -> None:
        """Put the sum over all ranks in the place of each gradient; None stays where no rank has one."""
        if self.count == 1:
            return
        for kind in sorted({str(p.dtype) for p in dense}):
            self._add_dense([p for p in dense if str(p.dtype) == kind])
        for parameter in sparse:
            self._add_sparse(parameter)

    def _add_dense(self, parameters: list[nn.Parameter]) -> None:
        has = [parameter.grad is not None for parameter in parameters]
        pieces = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([*(piece.flatten() for piece in pieces), pieces[0].new_tensor(has, dtype=pieces[0].dtype)])
        dist.all_reduce(flat, group=self.group)
        *sums, some = flat.split([*(p.numel() for p in parameters), len(has)])
        for parameter, added, is_there in zip(parameters, sums, some.tolist(), strict=True):
            parameter.grad = added.view_as(parameter) if is_there else None

    def _add_sparse(self, parameter: nn.Parameter) -> None:
        grad = torch.zeros_like(parameter).to_sparse(1) if parameter.grad is None else parameter.grad.coalesce()
        rows, values = grad.indices()[0], grad.values()
        sizes = [torch.zeros(1, dtype=torch.long, device=rows.device) for _ in range(self.count)]
        dist.all_gather(sizes, rows.new_tensor([rows.numel()]), group=self.group)
        counts = [int(size) for size in sizes]
        found = []
        for mine in (rows, values):
            padded = mine.new_zeros(max(counts), *mine.shape[1:])
            padded[: len(mine)] = mine
            parts = [torch.empty_like(padded) for _ in counts]
            dist.all_gather(parts, padded, group=self.group)
            found.append(torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)]))
        parameter.grad = torch.sparse_coo_tensor(
            found[0][None], found[1], parameter.shape, check_invariants=False
        ).coalesce()

    def _group(self) -> ProcessGroup:
        assert self.group is not None
        return self.group

    def _device(self) -> torch.device:
        """Where this group's numbers have to be."""
        return torch.device("cuda" if dist.get_backend(self.group) == "nccl" else "cpu")


def ranks_of_run(device: str) -> Ranks:
    """The ranks that a launcher started, or that a program joined by itself; the group is opened where it is not yet.

    Raises:
        ValueError: several processes that cannot find each other; a GPU for each is not there.
    """
    check_launch()
    on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if launched_ranks() > 1 or dist.is_initialized():
        if on_gpu:
            local = int(os.environ.get("LOCAL_RANK", 0))
            if local >= torch.cuda.device_count():
                raise ValueError(
                    f"LOCAL_RANK={local}, but there are {torch.cuda.device_count()} GPUs: one process each"
                )
            torch.cuda.set_device(local)
        if not dist.is_initialized():
            dist.init_process_group("nccl" if on_gpu else "gloo", timeout=TIMEOUT)
            atexit.register(_close)  # not before: a second run of the program takes it up
        if dist.get_world_size() > 1:
            return Ranks(dist.group.WORLD)
    return Ranks()


def _close() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def is_lost(error: BaseException) -> bool:
    """Whether an error is a backend's way to say that another rank does not answer."""
    return isinstance(error, RuntimeError) and re.search(LOST, str(error), re.I) is not None


def lost_words(error: BaseException, ranks: Ranks, checkpoint: Path | None) -> str:
    """What to say where `is_lost`."""
    how = f"go on from {checkpoint} with resume_from (--resume)" if checkpoint else "nothing was saved"
    what = f"rank {ranks.rank} of {ranks.count}: another process of the run has ended or stopped"
    return f"{what}; {how}. ({str(error)[:200]})"
