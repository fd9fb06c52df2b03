"""rank_loss over a process group: two and four real processes on gloo against one process with the joined batch."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from cosent_lib.ranking.rank_loss import NoDemandedPairsWarning, rank_loss

SIZES = {2: (5, 8), 4: (9, 0, 1, 30)}  # items of each rank: unequal, none, a single one
KINDS = ("binary", "six", "many", "continuous", "segments", "sorted", "wide", "mixed types", "equal", "one label")
FEW = {"binary": 2, "six": 6, "sorted": 6, "wide": 6, "mixed types": 6}


@contextmanager
def count_traffic() -> Iterator[SimpleNamespace]:
    """Count what a rank exchanges inside the block: rounds, bytes of its own handed over, bytes of others it got."""
    traffic, gather = SimpleNamespace(rounds=0, sent=0, received=0), dist.all_gather

    def counted(parts: list[Tensor], tensor: Tensor, **options: Any) -> None:
        gather(parts, tensor, **options)
        traffic.rounds += 1
        traffic.sent += tensor.nbytes
        traffic.received += tensor.nbytes * (len(parts) - 1)

    with patch.object(dist, "all_gather", counted):
        yield traffic


def whole_batch(world_size: int, kind: str) -> tuple[Tensor, Tensor, Tensor | None]:
    """Scores, labels and segments of all ranks together."""
    generator = torch.Generator().manual_seed(world_size)
    n = sum(SIZES[world_size])
    scores = 3 * torch.randn(n, generator=generator, dtype=torch.float64)
    labels = torch.rand(n, generator=generator)
    segments = 2**60 + 7 * (torch.arange(n) // 2 % 4) if kind == "segments" else None  # no float64 holds these
    levels = {"binary": 2, "six": 6, "wide": 6, "mixed types": 6, "many": 30, "one label": 1}
    if kind in levels:
        labels = (levels[kind] * labels).floor()
    if kind == "sorted":  # no rank has the levels of another
        labels = (torch.arange(n) * 6 // n).float()
    if kind == "wide":  # no exponential of these is a number
        scores *= 1e4
    if kind == "equal":
        scores = torch.zeros_like(scores)
    return scores, labels, segments


def parts(world_size: int, kind: str, rank: int) -> list[Any]:
    """One rank's part; the types may differ where the numbers do not."""
    found = [None if t is None else t.split(SIZES[world_size])[rank].clone() for t in whole_batch(world_size, kind)]
    if kind == "mixed types" and rank == 0:
        found[:2] = [found[0].float(), found[1].int()]
    return found


def said_by(call: Callable[[], Any]) -> str:
    """The words of the error that a call raises."""
    try:
        call()
    except (ValueError, NotImplementedError) as error:
        return str(error)
    return "nothing"


def faults(rank: int, world_size: int) -> dict[str, str]:
    """What this rank hears where rank 0 alone is wrong."""
    scores, labels, segments = parts(world_size, "segments", rank)
    group, first = dist.group.WORLD, rank == 0
    wrong = {
        "nan": lambda: rank_loss(scores * (torch.nan if first else 1.0), labels, group=group),
        "label": lambda: rank_loss(scores, labels / (0.0 if first else 1.0), group=group),
        "shape": lambda: rank_loss(scores[:, None] if first else scores, labels, group=group),
        "whole": lambda: rank_loss(scores.long() if first else scores, labels, group=group),
        "huge": lambda: rank_loss(scores, (labels.long() + 2**60) if first else labels.long(), group=group),
        "segments": lambda: rank_loss(scores, labels, segments=segments if first else None, group=group),
        "types": lambda: rank_loss(scores, labels.double() if first else labels, group=group),
        "unchecked": lambda: rank_loss(scores * (torch.nan if first else 1.0), labels, group=group, validate=first),
        "twice": lambda: torch.autograd.grad(
            rank_loss(x := scores.requires_grad_(), labels, group=group), x, create_graph=True
        ),
    }
    return {name: said_by(call) for name, call in wrong.items()}


def one_rank(rank: int, world_size: int, folder: str) -> None:
    """All that a rank does, its results in a file."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world_size)
    found: dict[str, Any] = {}
    for kind in KINDS:
        scores, labels, segments = parts(world_size, kind, rank)
        scores.requires_grad_()
        with warnings.catch_warnings(record=True) as caught, count_traffic() as traffic:
            warnings.simplefilter("always")
            loss = rank_loss(scores, labels, segments=segments, group=dist.group.WORLD)
        (gradient,) = torch.autograd.grad(2 * loss, scores)
        kinds = [each.category for each in caught]
        found[kind] = loss.detach(), gradient, (traffic.rounds, traffic.sent, traffic.received), kinds
    found["faults"] = faults(rank, world_size)
    pair = dist.new_group([0, world_size - 1])  # a group of some of the ranks
    mine = rank in (0, world_size - 1)
    scores, labels, _ = parts(world_size, "six", rank)
    found["pair"] = (
        rank_loss(scores, labels, group=pair) if mine else said_by(lambda: rank_loss(scores, labels, group=pair))
    )
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module", params=sorted(SIZES))
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each rank found, for each number of ranks."""
    folder: Path = tmp_path_factory.mktemp("ranks")
    mp.spawn(one_rank, args=(request.param, str(folder)), nprocs=request.param)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(request.param)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_rank_gets_the_global_loss_and_its_part_of_the_gradient(kind: str, ranks: list[dict[str, Any]]) -> None:
    scores, labels, segments = whole_batch(len(ranks), kind)
    if kind == "mixed types":  # what rank 0 holds is float32
        scores[: SIZES[len(ranks)][0]] = scores[: SIZES[len(ranks)][0]].float().double()
    scores.requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoDemandedPairsWarning)
        loss = rank_loss(scores, labels, segments=segments)
    (gradient,) = torch.autograd.grad(2 * loss, scores)
    near = 1e-6 if kind == "mixed types" else 1e-12
    for result in ranks:
        torch.testing.assert_close(result[kind][0].double(), loss.detach(), rtol=near, atol=0)
        assert result[kind][3] == ([NoDemandedPairsWarning] if kind == "one label" else [])
    found = torch.cat([result[kind][1].double() for result in ranks])
    torch.testing.assert_close(found, gradient, rtol=near, atol=1e-7 if kind == "mixed types" else 1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_few_levels_exchange_a_few_numbers_whatever_the_batch(kind: str, ranks: list[dict[str, Any]]) -> None:
    others, longest = len(ranks) - 1, max(SIZES[len(ranks)])
    levels = whole_batch(len(ranks), kind)[1].unique().numel()
    second = {"one label": 0}.get(kind, 2 * levels - 2 if levels <= 16 else (2 + (kind == "segments")) * longest)
    if kind == "segments":
        second = 3 * longest
    for result in ranks:
        rounds, sent, received = result[kind][2]
        assert (rounds, sent, received) == (1 + (second > 0), 8 * (22 + second), 8 * (22 + second) * others)


def test_what_is_wrong_on_one_rank_raises_on_all_and_nobody_waits(ranks: list[dict[str, Any]]) -> None:
    words = {
        "nan": "rank 0: scores must be finite: 5 of 5 are not" if len(ranks) == 2 else "rank 0: scores must be finite",
        "label": "rank 0: labels must be finite",
        "shape": "rank 0: scores must have shape [n]",
        "whole": "rank 0: scores must be floating point",
        "huge": "rank 0: labels above 2**53",
        "segments": "segments are given on some ranks only",
        "types": "labels have different types on the ranks (float32, float64)",
        "unchecked": "rank 0: scores must be finite",
        "twice": "no second derivatives across a process group",
    }
    for result in ranks:
        assert set(result["faults"]) == set(words)
        for name, beginning in words.items():
            assert beginning in result["faults"][name], name


def test_a_group_of_some_ranks_is_theirs(ranks: list[dict[str, Any]]) -> None:
    scores, labels, _ = whole_batch(len(ranks), "six")
    sizes = SIZES[len(ranks)]
    own = torch.cat([torch.arange(sizes[0]), torch.arange(sum(sizes) - sizes[-1], sum(sizes))])
    for result in (ranks[0], ranks[-1]):
        torch.testing.assert_close(result["pair"], rank_loss(scores[own], labels[own]), rtol=1e-12, atol=0)
    for rank, result in enumerate(ranks[1:-1], start=1):
        assert result["pair"] == f"rank {rank} is not in the group; only its ranks may call rank_loss with it"


def test_a_group_of_one_rank_is_one_process(tmp_path: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        scores, labels, _ = whole_batch(2, "six")
        scores.requires_grad_()
        with count_traffic() as traffic:
            loss = rank_loss(scores, labels, group=dist.group.WORLD)
        assert torch.equal(loss, rank_loss(scores, labels))
        torch.autograd.grad(loss, scores, create_graph=True)
        assert (traffic.rounds, traffic.sent) == (0, 0)
    finally:
        dist.destroy_process_group()
