"""A run of several processes is the run of one with that many times the batch; a rank that dies ends the others."""

from functools import cache
from typing import Any

import pytest
import torch
from ranks_kit import CASES, all_ranks, run_case


@cache
def alone(case: str) -> dict[str, Any]:
    return run_case(case, 1)


@pytest.fixture(scope="module", params=[2, 4])
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each rank found."""
    return all_ranks(request.param, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("case", CASES)
def test_the_losses_are_those_of_one_process_with_the_whole_batch(case: str, ranks: list[dict[str, Any]]) -> None:
    want = alone(case)
    for rank, found in enumerate(each[case] for each in ranks):
        assert len(found["loss"]) == len(want["loss"])
        torch.testing.assert_close(torch.tensor(found["loss"]), torch.tensor(want["loss"]), rtol=1e-4, atol=1e-6)
        assert found["bound"] == pytest.approx(want["bound"], rel=1e-3, nan_ok=True)
        assert found["metrics"] == pytest.approx(want["metrics"], abs=2e-3)
        torch.testing.assert_close(found["weights"], want["weights"], rtol=1e-3, atol=1e-4)
        assert found["watched"] == (want["watched"] if rank == 0 else 0)
        assert found["group"], "the loss has the group only while it is trained with"


@pytest.mark.parametrize("case", CASES)
def test_all_ranks_end_with_the_same_numbers(case: str, ranks: list[dict[str, Any]]) -> None:
    for each in ranks[1:]:
        assert all(map(torch.equal, each[case]["weights"], ranks[0][case]["weights"]))
        assert each[case]["metrics"] == ranks[0][case]["metrics"]


def test_ranks_with_other_pairs_are_refused_on_all(ranks: list[dict[str, Any]]) -> None:
    for each in ranks:
        assert each["other pairs"].startswith("rank 1 was given another train_pairs than rank 0")
