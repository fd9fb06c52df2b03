"""The weights on |u − v|: read off, set, and what the start of training owes to them (chapter 7)."""

import pytest
import torch
from datasets import Dataset

from cosent_book.measurements.sbert import (
    SIGNED,
    _classifier,
    classifier_starts,
    difference_weights,
    start_difference_weights,
)
from cosent_lib.data.load import load_pairs
from cosent_lib.encoders.load import load_encoder
from cosent_lib.losses.sentence_bert import SoftmaxLoss


@pytest.mark.parametrize("features", [("u", "v", "|u-v|"), ("|u-v|", "u*v"), ("u", "|u-v|", "v")])
@pytest.mark.parametrize("num_labels", [2, 6])
def test_the_weights_are_those_that_act_on_the_difference(features: tuple[str, ...], num_labels: int) -> None:
    loss = SoftmaxLoss(4, num_labels, features)
    u, v = torch.zeros(1, 4), torch.zeros(1, 4)
    base = loss.logits(u, v)
    for k in range(4):
        moved = loss.logits(u, v + torch.eye(4)[k])
        other = [f for f in features if f != "|u-v|"]
        if "v" not in other:  # nothing but |u - v| has changed
            change = (moved - base)[0]
            assert torch.isclose(change[-1] - change[0], difference_weights(loss)[k])
    before = loss.classifier.weight.detach().clone()
    start_difference_weights(loss, -0.5)
    assert torch.allclose(difference_weights(loss), torch.full((4,), -0.5))
    changed = (loss.classifier.weight != before).any(0)
    assert int(changed.sum()) == 4
    place = features.index("|u-v|")
    assert changed[4 * place : 4 * place + 4].all()
    column = loss.classifier.weight[:, 4 * place].detach()
    assert torch.allclose(column.diff(), torch.full((num_labels - 1,), -0.5 / (num_labels - 1)))


def test_a_classifier_without_the_difference_has_no_such_weights() -> None:
    with pytest.raises(ValueError, match=r"only at u, v"):
        difference_weights(SoftmaxLoss(4, features=("u", "v")))
    with pytest.raises(ValueError, match=r"only at u\*v"):
        start_difference_weights(SoftmaxLoss(4, features=("u*v",)), 1.0)


def test_signs_are_changed_and_sizes_stay_as_drawn() -> None:
    encoder = load_encoder("static", ["a request", "another request"], dim=8, seed=0)
    drawn = difference_weights(_classifier({"start": None}, 2, 3, encoder))
    negative, positive = (difference_weights(_classifier(setting, 2, 3, encoder)) for setting in SIGNED)
    assert 0 < int((drawn > 0).sum()) < 8
    assert torch.allclose(negative, -drawn.abs())
    assert torch.allclose(positive, drawn.abs())


class Built:
    """A part of the built-in corpus."""

    def load(self, task: str, split: str) -> Dataset:
        return load_pairs(task, split).select(range(6000 if split == "train" else 400))


def test_the_start_decides_which_way_the_cosine_goes() -> None:
    settings = [{"start": None}, {"start": -0.5}, {"start": None, "features": ["u", "v"]}]
    found = classifier_starts(Built(), task="builtin", settings=settings, seeds=[0], epochs=2)
    drawn, turned, without = found["rows"]
    assert found["untrained"]["auc"] < 0.05
    assert (drawn["start"], turned["start"], without["features"]) == (None, -0.5, ["u", "v"])
    assert drawn["share_positive"] == 1
    assert drawn["spearman"] < -0.8
    assert drawn["near_1"] > drawn["near_0"]
    assert turned["share_positive"] == 0
    assert turned["spearman"] > 0.8
    assert turned["near_1"] < turned["near_0"]
    assert min(drawn["accuracy"], turned["accuracy"]) > 0.9 > 0.6 > without["accuracy"]
    assert without["share_positive"] is None
    assert without["majority"] == pytest.approx(0.5, abs=0.1)


def test_taken_pairs_and_classes() -> None:
    (row,) = classifier_starts(
        Built(), task="builtin_graded", settings=[{}], seeds=[1], epochs=1, num_labels=4, take=500
    )["rows"]
    assert row["seed"] == 1
    assert 0 < row["accuracy"] < 1
    assert -1 < row["mean_cosine"] < 1
