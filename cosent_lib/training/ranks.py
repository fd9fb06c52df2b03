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
from cosent_lib.ranking.distributed import gather_rows

T = TypeVar("T")
TIMEOUT = timedelta(minutes=30)  # that a rank waits for one that lives and says nothing, as while rank 0 validates
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
        gives = self.count > 1 and getattr(loss, "exchanges", False) and getattr(loss, "group", None) is None
        if gives:
            vars(loss)["group"] = self.group
        try:
            yield
        finally:
            if gives:
                vars(loss)["group"] = None

    @contextmanager
    def telling(self, folder: str | Path | None) -> Iterator[None]:
        """Say in plain words, as `RankLost`, what a backend says where another rank does not answer any more."""
        try:
            yield
        except RuntimeError as error:
            if self.count == 1 or isinstance(error, CosentError) or not re.search(LOST, str(error), re.I):
                raise
            saved = f"; checkpoints are in {folder}: go on with resume_from (--resume)" if folder else ""
            ended = f"rank {self.rank} of {self.count}: another process of the run has ended or stopped{saved}"
            raise RankLost(f"{ended} ({str(error)[:200]})") from error

    def sizes(self, count: int) -> list[int]:
        """How many of a batch's ``count`` rows each rank has; they differ by one at most, and may be 0."""
        return [count // self.count + (rank < count % self.count) for rank in range(self.count)]

    def part(self, count: int) -> slice:
        """Which of a batch's rows are this rank's."""
        sizes = self.sizes(count)
        start = sum(sizes[: self.rank])
        return slice(start, start + sizes[self.rank])

    def agree(self, mine: Mapping[str, Any]) -> None:
        """Refuse, on all ranks with a ``ValueError``, to go on where they were given different things."""
        first, *others = self.gathered(dict(mine))
        for rank, other in enumerate(others, start=1):
            if differing := [name for name, value in first.items() if other.get(name) != value]:
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
        dist.broadcast_object_list(found, src=0, group=self.group)
        if error is not None:
            raise error
        if found[1] is not None:
            raise RankLost(f"rank 0 has ended the run: {found[1]}")
        result: T = found[0]
        return result

    def gathered(self, mine: T) -> list[T]:
        """An object of every rank, in rank order."""
        found: list[Any] = [mine] * self.count
        if self.count > 1:
            dist.all_gather_object(found, mine, group=self.group)
        return found

    def start_alike(self, module: nn.Module) -> None:
        """Give every rank the parameters and buffers of rank 0."""
        for tensor in module.state_dict().values() if self.count > 1 else ():
            sent = tensor.detach().to(self._device(), copy=True).contiguous()
            dist.broadcast(sent, src=0, group=self.group)
            tensor.copy_(sent)

    def joined(self, mine: Tensor, count: int) -> Tensor:
        """The vectors ``[count, …]`` of a whole batch; a gradient flows to this rank's, ``[n_rank, …]``."""
        parts = gather_rows(mine.detach(), self.sizes(count), self.group)
        parts[self.rank] = mine
        return torch.cat(parts)

    def add_gradients(self, dense: Sequence[nn.Parameter], sparse: Sequence[nn.Parameter]) -> None:
        """Put the sum over all ranks in the place of each gradient; None stays where no rank has one."""
        if self.count == 1:
            return
        for kind in sorted({str(p.dtype) for p in dense}):
            self._add_dense([p for p in dense if str(p.dtype) == kind])
        for parameter in sparse:
            self._add_sparse(parameter)

    def _add_dense(self, parameters: list[nn.Parameter]) -> None:
        pieces = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        has = pieces[0].new_tensor([float(p.grad is not None) for p in parameters])
        flat = torch.cat([*(piece.flatten() for piece in pieces), has])
        dist.all_reduce(flat, group=self.group)
        *sums, some = flat.split([*(p.numel() for p in parameters), len(has)])
        for parameter, added, is_there in zip(parameters, sums, some.tolist(), strict=True):
            parameter.grad = added.view_as(parameter) if is_there else None

    def _add_sparse(self, parameter: nn.Parameter) -> None:
        grad = torch.zeros_like(parameter).to_sparse(1) if parameter.grad is None else parameter.grad.coalesce()
        rows, values = grad.indices()[0], grad.values()
        sizes = self.gathered(len(rows))
        rows, values = (torch.cat(gather_rows(mine, sizes, self.group)) for mine in (rows, values))
        added = torch.sparse_coo_tensor(rows[None], values, parameter.shape, check_invariants=False)
        parameter.grad = added.coalesce()

    def _device(self) -> torch.device:
        """Where this group's numbers have to be."""
        return torch.device("cuda" if dist.get_backend(self.group) == "nccl" else "cpu")


def ranks_of_run(device: str) -> Ranks:
    """The ranks that a launcher started, or that a program joined by itself; the group is opened where it is not yet.

    Raises:
        ValueError: several processes that cannot find each other; a GPU for each is not there.
    """
    check_launch()
    if launched_ranks() == 1 and not dist.is_initialized():
        return Ranks()
    on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if on_gpu:
        local = int(os.environ.get("LOCAL_RANK", 0))
        if local >= torch.cuda.device_count():
            raise ValueError(f"LOCAL_RANK={local}, but there are {torch.cuda.device_count()} GPUs: one process each")
        torch.cuda.set_device(local)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if on_gpu else "gloo", timeout=TIMEOUT)
        atexit.register(lambda: dist.is_initialized() and dist.destroy_process_group())  # a second run takes it up
    return Ranks(dist.group.WORLD if dist.get_world_size() > 1 else None)
