"""Losses over scores of pairs: torch, brute force and the same losses over cosines as oracles."""

import math

import pytest
import torch
import torch.nn.functional as F

from cosent_lib.losses.base import SummedLoss, cosine
from cosent_lib.losses.make import LOSSES, SCORE_LOSSES, make_loss
from cosent_lib.losses.order import CoSENTLoss, PairwiseLogisticLoss
from cosent_lib.losses.scores import (
    BinaryCrossEntropyLoss,
    MeanSquaredErrorLoss,
    ScoreLogisticLoss,
    ScoreRankingLoss,
)
from cosent_lib.ranking.rank_loss import NoDemandedPairsWarning

SCORES = torch.tensor([0.3, -1.2, 2.0, 0.0, 0.7], dtype=torch.float64)
LABELS = torch.tensor([0.25, 0.0, 1.0, 0.25, 0.5], dtype=torch.float64)


class Cross:
    name, reads_pairs, dim = "cross:any", True, 4


class Vectors:
    name, dim = "any", 4
    reads_pairs = False


def test_each_pair_for_itself_as_torch_has_it() -> None:
    assert BinaryCrossEntropyLoss()(SCORES, LABELS) == F.binary_cross_entropy_with_logits(SCORES, LABELS)
    probability = 1 / (1 + (-SCORES).exp())
    expected = -(LABELS * probability.log() + (1 - LABELS) * (1 - probability).log()).mean()
    torch.testing.assert_close(BinaryCrossEntropyLoss()(SCORES, LABELS), expected)
    torch.testing.assert_close(MeanSquaredErrorLoss()(SCORES, LABELS), ((SCORES - LABELS) ** 2).mean())


@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_order_losses_by_brute_force(scale: float) -> None:
    terms = [
        scale * float(SCORES[i] - SCORES[j]) for i in range(5) for j in range(5) if float(LABELS[i]) < float(LABELS[j])
    ]
    assert len(terms) == 9  # four levels, one of them twice
    assert float(ScoreRankingLoss(scale)(SCORES, LABELS)) == pytest.approx(math.log1p(sum(map(math.exp, terms))))
    logistic = sum(math.log1p(math.exp(term)) for term in terms) / len(terms)
    assert float(ScoreLogisticLoss(scale)(SCORES, LABELS)) == pytest.approx(logistic)


def test_on_cosines_they_are_the_losses_over_vectors() -> None:
    u, v = torch.randn(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    c = cosine(u, v)
    torch.testing.assert_close(ScoreRankingLoss(20.0)(c, LABELS), CoSENTLoss(20.0)(u, v, LABELS))
    torch.testing.assert_close(ScoreLogisticLoss(20.0)(c, LABELS), PairwiseLogisticLoss(20.0)(u, v, LABELS))


def test_queries_are_compared_within_themselves() -> None:
    segments = torch.tensor([0, 0, 0, 1, 1])
    parts = [ScoreRankingLoss()(SCORES[s], LABELS[s]) for s in (slice(0, 3), slice(3, 5))]
    torch.testing.assert_close(ScoreRankingLoss()(SCORES, LABELS, segments=segments), sum(parts) / 2)
    with pytest.raises(ValueError, match=r"ScoreLogisticLoss compares all pairs of a batch, .*: score_cosent can"):
        ScoreLogisticLoss()(SCORES, LABELS, segments=segments)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"scores and labels must have shape \[batch\], got \[5, 1\] and \[5\]"):
        ScoreRankingLoss()(SCORES[:, None], LABELS)
    with pytest.raises(ValueError, match=r"scores must be floating point, got torch.int64"):
        MeanSquaredErrorLoss()(LABELS.long(), LABELS)
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 1\]: 1 of 5 do not, the first at index 2"):
        BinaryCrossEntropyLoss()(SCORES, LABELS * 3 * (LABELS == 1))
    with pytest.raises(ValueError, match="scores must be finite"):
        ScoreLogisticLoss()(SCORES * math.inf, LABELS)
    with pytest.raises(ValueError, match="scale \\(λ\\) must be a positive finite number, got 'suggested'"):
        ScoreRankingLoss("suggested")  # type: ignore[arg-type]
    with pytest.warns(NoDemandedPairsWarning):
        assert ScoreLogisticLoss()(SCORES, LABELS * 0) == 0
    assert ScoreRankingLoss()(SCORES * 7, LABELS * 7) > 0  # only the order of labels counts


@pytest.mark.parametrize("name", SCORE_LOSSES)
def test_half_precision_is_computed_in_single(name: str) -> None:
    loss = make_loss(name, Cross())
    assert loss(SCORES.bfloat16(), LABELS.float()).dtype == torch.float32
    torch.testing.assert_close(loss(SCORES.bfloat16(), LABELS.float()), loss(SCORES.bfloat16().float(), LABELS.float()))


def test_losses_are_made_for_what_an_encoder_gives() -> None:
    assert isinstance(make_loss("score_cosent", Cross(), scale=3), ScoreRankingLoss)
    expected = "gives scores of pairs, which loss 'cosent' does not take: choose bce, mse, score_cosent, score_ranknet"
    with pytest.raises(ValueError, match=f"encoder 'cross:any' {expected}"):
        make_loss("cosent", Cross())
    with pytest.raises(
        ValueError, match="encoder 'any' gives vectors of texts, which loss 'bce' does not take: choose"
    ):
        make_loss("bce", Vectors())
    with pytest.raises(ValueError, match=r"unknown loss 'bec': choose one of cosine_linear.* bce"):
        make_loss("bec", Cross())
    with pytest.raises(ValueError, match="part bce of a sum is over scores of pairs"):
        make_loss("bce+mse", Cross())
    with pytest.raises(ValueError, match="part one of a sum is over scores"):
        SummedLoss({"one": BinaryCrossEntropyLoss(), "two": CoSENTLoss()})
    assert not set(LOSSES) & set(SCORE_LOSSES)
