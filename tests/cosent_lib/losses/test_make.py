"""Losses by their names: options are checked, and each knows which batches teach it something."""

import math

import pytest
import torch
from loss_kit import Encoder, batch

from cosent_lib.losses.base import SummedLoss
from cosent_lib.losses.direct import CosineEmbeddingLoss
from cosent_lib.losses.make import LOSSES, make_loss
from cosent_lib.losses.order import (
    AnglELoss,
    CoSENTLoss,
)
from cosent_lib.losses.sentence_bert import SoftmaxLoss


def test_wrong_shapes_and_options_are_refused_by_name() -> None:
    u, v, labels = batch(4)
    with pytest.raises(ValueError, match=r"u and v must both have shape \[batch, dim\], got \[4, 6\] and \[3, 6\]"):
        CoSENTLoss()(u, v[:3], labels)
    with pytest.raises(ValueError, match=r"labels must have shape \[4\], one a pair, got \[3\]"):
        CoSENTLoss()(u, v, labels[:3])
    with pytest.raises(ValueError, match="length must be even, got 5"):
        AnglELoss()(u[:, :5], v[:, :5], labels)
    with pytest.raises(ValueError, match="unknown loss 'cosnet': choose one of cosine_linear"):
        make_loss("cosnet", Encoder())
    with pytest.raises(ValueError, match="loss 'cosent' has no option sacle: it has scale, margin, learn_scale"):
        make_loss("cosent", Encoder(), sacle=3.0)
    with pytest.raises(ValueError, match="loss 'cosine_linear' has no option margin"):
        make_loss("cosine_linear", Encoder(), margin=0.5)
    with pytest.raises(ValueError, match=r"scale .* positive finite number, got 0"):
        CoSENTLoss(0)
    with pytest.raises(ValueError, match=r"margin must lie in \[-1, 1\]"):
        CosineEmbeddingLoss(1.5)
    with pytest.raises(ValueError, match=r"features must be some of u, v, \|u-v\|, u\*v, got \['u-v'\]"):
        SoftmaxLoss(6, features=("u-v",))
    with pytest.raises(ValueError, match="num_labels must be at least 2"):
        SoftmaxLoss(6, num_labels=1)


def test_a_fixed_scale_is_a_number_and_stays_exact() -> None:
    loss = CoSENTLoss(20.0)
    assert loss.scale == 20.0
    for moved in (CoSENTLoss(0.1).half(), CoSENTLoss(0.1).to("meta")):  # devices without float64 keep it too
        assert moved.scale == 0.1


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cosent", {"scale": "abc"}, "scale .* must be a positive finite number, or suggested or followed, got 'abc'"),
        ("cosent", {"learn_scale": 1}, "option learn_scale of loss 'cosent' must be a bool, got 1"),
        ("cosent", {"scale": True}, "option scale of loss 'cosent' must be a number, or the name of a rule, got True"),
        ("sbert", {"num_labels": 2.5}, "option num_labels of loss 'sbert' must be a int, got 2.5"),
        ("sbert", {"features": 5}, "option features of loss 'sbert' must be a list of names, got 5"),
        ("sbert", {"features": "u"}, "option features of loss 'sbert' must be a list of names, got 'u'"),
    ],
)
def test_options_of_the_wrong_type_are_refused(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_loss(name, Encoder(), **options)


def test_every_loss_knows_which_batches_teach_it_something() -> None:
    ones, zeros, mixed = torch.ones(4), torch.zeros(4), torch.tensor([0.0, 1.0, 0.0, 1.0])
    taught = {name: [make_loss(name, Encoder()).teaches(y) for y in (ones, zeros, mixed)] for name in LOSSES}
    assert all(row[2] for row in taught.values())
    order = {"cosent", "ranknet", "power_mean", "angle"}
    assert {name for name, row in taught.items() if not row[0]} == order
    assert {name for name, row in taught.items() if not row[1]} == order | {"mnrl"}


def test_a_sum_by_its_name_gives_each_part_its_options() -> None:
    u, v, labels = batch(12)
    loss = make_loss(
        "cosent+cosine_margin+sbert", Encoder(),
        cosent_scale=5, cosent_flat=True, cosine_margin_margin=0.3, cosine_margin_weight=2.0, sbert_num_labels=3,
        sbert_features=["u", "v"],
    )  # fmt: skip
    assert isinstance(loss, SummedLoss)
    by_hand = (
        CoSENTLoss(5.0, flat=True)(u, v, labels)
        + 2 * CosineEmbeddingLoss(0.3)(u, v, labels)
        + SoftmaxLoss(6, 3, ("u", "v"))(u.float(), v.float(), labels)
    )
    torch.testing.assert_close(loss(u.float(), v.float(), labels).double(), by_hand.double(), rtol=1e-5, atol=1e-5)
    assert loss.options() == {
        "cosent_scale": 5.0, "cosent_margin": 0.0, "cosent_learn_scale": False, "cosent_flat": True,
        "cosent_weight": 1.0,
        "cosine_margin_margin": 0.3, "cosine_margin_weight": 2.0,
        "sbert_num_labels": 3, "sbert_features": ("u", "v"), "sbert_weight": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cosent+cosent", {}, "loss 'cosent.cosent' names a part twice; give it a weight instead"),
        ("cosent+mnlr", {}, "unknown loss 'mnlr': choose one of"),
        ("cosent+mnrl", {"scale": 5.0}, "option scale of loss 'cosent.mnrl' must begin with a part's name"),
        ("cosent+mnrl", {"angle_scale": 5.0}, "option angle_scale of loss 'cosent.mnrl' must begin with a part's name"),
        (
            "cosent+mnrl",
            {"mnrl_margin": 1.0},
            "loss 'mnrl' has no option margin: it has scale, learn_scale, equal_are_negatives",
        ),
        ("cosent+mnrl", {"mnrl_scale": "a"}, "option scale of loss 'mnrl' must be a float, got 'a'"),
        ("cosent+mnrl", {"mnrl_weight": True}, "option mnrl_weight of loss 'cosent.mnrl' must be a float, got True"),
        ("cosent+mnrl", {"mnrl_weight": "1"}, "option mnrl_weight of loss 'cosent.mnrl' must be a float, got '1'"),
        ("cosent+mnrl", {"mnrl_weight": 0}, "the weight of mnrl must be a positive finite number, got 0"),
        ("cosent+mnrl", {"cosent_weight": -1.0}, "the weight of cosent must be a positive finite number, got -1"),
        ("cosent+mnrl", {"cosent_weight": math.inf}, "the weight of cosent must be a positive finite number, got inf"),
        ("cosent+", {}, "unknown loss ''"),
    ],
)
def test_mistakes_in_a_sum_are_named(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_loss(name, Encoder(), **options)
