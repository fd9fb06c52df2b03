"""Scales that are computed: what a loss does with a rule, and that a number can be set."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from cosent_lib.losses.base import SummedLoss
from cosent_lib.losses.in_batch import MultipleNegativesRankingLoss
from cosent_lib.losses.make import make_loss
from cosent_lib.losses.order import (
    AnglELoss,
    CoSENTLoss,
    PairwiseLogisticLoss,
    PowerMeanLoss,
)
from cosent_lib.ranking.scale import suggest_scale


def noisy(n: int = 200) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 2
    return 0.2 * labels + 0.3 * torch.randn(n, generator=generator, dtype=torch.float64), labels


def vectors(n: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    u, v = torch.randn(2, n, 8, generator=generator, dtype=torch.float64)
    return u, v, torch.arange(n) % 2


@pytest.mark.parametrize("rule", ["suggested", "followed"])
@pytest.mark.parametrize(
    ("loss", "objective"),
    [(CoSENTLoss, "cosent"), (PairwiseLogisticLoss, "ranknet"), (lambda scale: PowerMeanLoss(scale, 1.0), "cosent")],
)
def test_a_rule_gives_the_loss_of_the_number_it_computes(loss, objective: str, rule: str) -> None:
    ruled = loss(rule)
    assert math.isnan(ruled.scale)
    assert ruled.fit_scale(*noisy()) == suggest_scale(*noisy(), objective)
    assert ruled(*vectors()) == loss(suggest_scale(*noisy(), objective))(*vectors())


def test_without_its_number_a_rule_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"CoSENTLoss is to be suggested: train\(\) computes it .* fit_scale"):
        CoSENTLoss("suggested")(*vectors())


@pytest.mark.parametrize(
    "make",
    [AnglELoss, MultipleNegativesRankingLoss, lambda scale: PowerMeanLoss(scale, 0.5), lambda _: CoSENTLoss("best")],
)
def test_no_rule_where_there_is_none(make) -> None:
    with pytest.raises(ValueError, match=r"scale .* must be a positive finite number"):
        make("suggested")


def test_a_rule_and_learning_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="not learned"):
        CoSENTLoss("followed", learn_scale=True)


def test_perfect_order_keeps_the_scale_that_is_there_and_is_an_error_where_none_is() -> None:
    ordered = torch.tensor([0.1, 0.9]), torch.tensor([0, 1])
    loss = CoSENTLoss("followed")
    with pytest.raises(ValueError, match="no pair is in wrong order"):
        loss.fit_scale(*ordered)
    before = loss.fit_scale(*noisy())
    assert loss.fit_scale(*ordered) == before


@pytest.mark.parametrize("learn", [False, True])
def test_a_scale_can_be_set_and_is_part_of_the_state(learn: bool) -> None:
    loss = CoSENTLoss(20.0, learn_scale=learn)
    loss.scale = 7.5
    assert float(loss(*vectors()).detach()) == pytest.approx(float(CoSENTLoss(7.5)(*vectors())), rel=1e-6)
    other = CoSENTLoss(3.0, learn_scale=learn)
    other.load_state_dict(loss.state_dict())
    assert other.scale == pytest.approx(7.5, rel=1e-6)
    assert loss.given()["scale"] == 20.0
    assert loss.options()["scale"] == pytest.approx(7.5, rel=1e-6)
    for wrong in (0.0, -1, math.nan, math.inf, True, "suggested", None):
        with pytest.raises(ValueError, match="positive finite number"):
            loss.scale = wrong


def test_the_scale_keeps_its_digits_when_the_loss_changes_its_type() -> None:
    assert CoSENTLoss(0.1).half().scale == 0.1


def test_in_a_sum_a_rule_belongs_to_its_part() -> None:
    loss = make_loss("cosent+mnrl", None, cosent_scale="followed")
    assert isinstance(loss, SummedLoss)
    assert loss.given() == {
        "cosent_scale": "followed", "cosent_margin": 0.0, "cosent_learn_scale": False, "cosent_flat": False,
        "mnrl_scale": 20.0, "mnrl_learn_scale": False, "mnrl_equal_are_negatives": False,
        "cosent_weight": 1.0, "mnrl_weight": 1.0,
    }  # fmt: skip


# --- RankNet's objective, and what is taken for cosines -------------------------------------------------------------


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_ranknets_scale_is_the_minimum_over_all_pairs(levels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.optimize import minimize_scalar

    monkeypatch.setattr("cosent_lib.ranking.scale.CHUNK", 300)  # so that several chunks are added up
    generator = torch.Generator().manual_seed(levels)
    labels = torch.randint(0, levels, (130,), generator=generator)
    cosines = (0.5 * labels / levels + 0.3 * torch.randn(130, generator=generator)).double()
    differences = (cosines[:, None] - cosines[None, :])[labels[:, None] < labels[None, :]]

    def mean(scale: float) -> float:
        return float(torch.nn.functional.softplus(scale * differences).mean())

    best = minimize_scalar(mean, bounds=(0, 500), method="bounded", options={"xatol": 1e-9})
    assert suggest_scale(cosines, labels, "ranknet") == pytest.approx(best.x, rel=1e-5)


def test_ranknets_scale_is_twice_cosents_in_large_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(2_000) % 2  # a million demanded pairs
    cosines = 0.1 * labels + 0.15 * torch.randn(2_000, generator=generator, dtype=torch.float64)
    assert suggest_scale(cosines, labels, "ranknet") / suggest_scale(cosines, labels) == pytest.approx(2, rel=0.01)


def test_arrays_lists_and_modes_without_gradients() -> None:
    cosines, labels = noisy()
    expected = suggest_scale(cosines, labels)
    assert suggest_scale(cosines.numpy(), labels.numpy()) == expected
    assert suggest_scale(cosines.tolist(), labels.tolist()) == pytest.approx(expected, rel=1e-6)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert suggest_scale(*noisy()) == expected
    assert suggest_scale(np.asarray(cosines), labels) == expected


def test_unknown_objective() -> None:
    with pytest.raises(ValueError, match="loss must be one of cosent, ranknet, got 'angle'"):
        suggest_scale(*noisy(), "angle")
