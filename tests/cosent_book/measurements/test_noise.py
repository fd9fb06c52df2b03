"""Which pairs pull, whether wrong labels pull more than their share, and whether mistakes are learned."""

import pytest
import torch

from cosent_book.measurements.noise import fate_of_flipped, pair_weights, pull_on_flipped, pull_shares
from cosent_book.measurements.registry import Data
from cosent_lib.ranking.power_mean import power_mean_rank_loss
from cosent_lib.ranking.rank_loss import rank_loss


@pytest.mark.parametrize("exponent", [-1.0, -0.3, 0.0, 0.5, 1.0, None])
def test_weights_are_the_derivatives_of_the_loss(exponent: float | None) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(12, generator=generator, dtype=torch.float64).mul(3).requires_grad_()
    labels = torch.randint(0, 3, (12,), generator=generator)
    loss = rank_loss(scores, labels) if exponent is None else power_mean_rank_loss(scores, labels, exponent)
    (gradient,) = torch.autograd.grad(loss, scores)
    low, high, weights = pair_weights(scores.detach(), labels, exponent)
    ours = torch.zeros(12, dtype=torch.float64).index_add(0, low, weights).index_add(0, high, -weights)
    assert torch.allclose(ours, gradient, atol=1e-12)


def test_shares_by_hand() -> None:
    # one demanded pair in each batch, one of four items flipped: half of the first batch's weight, σ(0) each
    labels, flipped = torch.tensor([0.0, 1.0, 0.0, 1.0]), torch.tensor([True, False, False, False])
    found = pull_shares(torch.zeros(4), labels, flipped, 0.0, batch_size=2)
    assert found == pytest.approx({"flipped": 0.25, "pull": 0.25, "effective_share": 1.0})


def test_a_flipped_pair_far_on_the_wrong_side_rules_the_sum_and_is_given_up_by_the_smoothed_auc() -> None:
    labels = torch.tensor([1.0] * 16 + [0.0] * 16)
    scores = torch.cat([torch.linspace(1.0, 3.0, 16), torch.linspace(-3.0, -1.0, 16)])
    flipped = torch.zeros(32, dtype=torch.bool)
    flipped[0], scores[0] = True, -8.0  # was a negative, and scored as one
    share = {k: pull_shares(scores, labels, flipped, k, 32)["pull"] for k in (-1.0, 0.0, 1.0, None)}
    assert share[-1.0] < 0.05 < share[0.0] < 0.45 < share[1.0] < 0.5
    assert share[None] == pytest.approx(share[1.0], rel=0.05)


def test_rows_along_training() -> None:
    losses = [{"loss": "power_mean", "scale": 10.0, "exponent": 0.0}, {"loss": "cosent", "scale": 10.0}]
    settings = {"flip": 0.25, "losses": losses, "seeds": [0], "epochs": 1, "take": 512, "points": 2}
    rows = pull_on_flipped(Data(), task="builtin", **settings)["rows"]
    assert [(row["loss"], row["step"]) for row in rows] == [
        (each["loss"], step) for each in losses for step in (0, 4, 8)
    ]
    assert all(0.2 < row["flipped"] < 0.3 and 0 < row["pull"] < 1 and 0 < row["effective_share"] <= 1 for row in rows)


def test_few_pairs_seen_often_are_learned_mistakes_and_all() -> None:
    losses = [{"loss": "power_mean", "scale": 20.0, "exponent": exponent} for exponent in (-1.0, 1.0)]
    settings = {"flip": 0.3, "losses": losses, "seeds": [0], "epochs": 8, "take": 640, "looks": 1}
    rows = fate_of_flipped(Data(), task="builtin_random", **settings)["rows"]
    assert [(row["exponent"], row["epoch"]) for row in rows] == [(k, e) for k in (-1.0, 1.0) for e in range(9)]
    for first, last in ((rows[0], rows[8]), (rows[9], rows[17])):
        assert first["flipped_auc"] == pytest.approx(first["kept_auc"], abs=0.1), "before training nobody knows"
        assert last["flipped_auc"] < 0.05, "by the true labels, every mistake stands the wrong way round"
        assert last["kept_auc"] > 0.95


def test_without_steps_that_matter_flipped_and_other_pairs_stand_alike() -> None:
    losses = [{"loss": "power_mean", "scale": 1e-3, "exponent": 0.0}]
    settings = {"flip": 0.5, "losses": losses, "seeds": [0], "epochs": 1, "take": 64, "looks": 1}
    rows = fate_of_flipped(Data(), task="builtin", **settings)["rows"]
    # hard negatives: an encoder that has learned nothing ranks them above the positives
    assert all(row["flipped_auc"] < 0.5 and row["kept_auc"] < 0.5 for row in rows)
