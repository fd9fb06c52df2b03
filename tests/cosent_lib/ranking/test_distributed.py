"""rank_loss over a process group: two and three real processes on gloo against the single-process result."""

import warnings
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from cosent_lib.ranking.rank_loss import rank_loss

SIZES = {2: (5, 8), 3: (4, 0, 9)}


def whole_batch(world_size: int, kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(world_size)
    n = sum(SIZES[world_size])
    scores = 3 * torch.randn(n, generator=generator, dtype=torch.float64)
    labels = torch.rand(n, generator=generator) if kind == "continuous" else torch.arange(n) % 3
    return scores, labels


def segments_of(world_size: int, kind: str) -> torch.Tensor | None:
    """Segments that lie across the ranks, numbered with gaps; None where there are none."""
    return 7 * (torch.arange(sum(SIZES[world_size])) // 2 % 4) if kind == "segments" else None


def one_rank(rank: int, world_size: int, kind: str, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world_size)
    scores, labels = (t.split(SIZES[world_size])[rank] for t in whole_batch(world_size, kind))
    scores = scores.clone().requires_grad_()
    whole = segments_of(world_size, kind)
    segments = None if whole is None else whole.split(SIZES[world_size])[rank]
    loss = rank_loss(scores, labels, segments=segments, group=dist.group.WORLD)
    (gradient,) = torch.autograd.grad(loss, scores)
    messages = []
    for bad in (scores.detach() * (torch.nan if rank == 0 else 1.0), scores):
        try:
            value = rank_loss(bad, labels, group=dist.group.WORLD)
            torch.autograd.grad(value, bad, create_graph=True)
        except (ValueError, NotImplementedError) as error:
            messages.append(str(error))
    torch.save({"loss": loss.detach(), "gradient": gradient, "messages": messages}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("kind", ["graded", "continuous", "segments"])
@pytest.mark.parametrize("world_size", sorted(SIZES))
def test_every_rank_gets_the_global_loss_and_its_part_of_the_gradient(
    world_size: int, kind: str, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mp.spawn(one_rank, args=(world_size, kind, str(tmp_path)), nprocs=world_size)
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(world_size)]
    scores, labels = whole_batch(world_size, kind)
    scores.requires_grad_()
    loss = rank_loss(scores, labels, segments=segments_of(world_size, kind))
    (gradient,) = torch.autograd.grad(loss, scores)
    for result in ranks:
        torch.testing.assert_close(result["loss"], loss.detach(), rtol=1e-14, atol=0)
        # A bad value on rank 0 stops all ranks with the same words; nobody is left waiting for the others.
        assert "scores must be finite" in result["messages"][0]
        assert "no second derivatives across a process group" in result["messages"][1]
    torch.testing.assert_close(torch.cat([r["gradient"] for r in ranks]), gradient, rtol=1e-13, atol=1e-15)
