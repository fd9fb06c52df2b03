"""What all losses share, cosine and sums of losses: shapes, precision, zero vectors, options refused by name."""

import math
import warnings

import pytest
import torch
import torch.nn.functional as F
from loss_kit import Encoder, Passthrough, batch, gradients

from cosent_lib.losses.base import SummedLoss, cosine
from cosent_lib.losses.direct import CosineSimilarityLoss
from cosent_lib.losses.in_batch import MultipleNegativesRankingLoss
from cosent_lib.losses.make import LOSSES, make_loss
from cosent_lib.losses.order import (
    AnglELoss,
    CoSENTLoss,
)
from cosent_lib.losses.sentence_bert import SoftmaxLoss


def test_cosine_is_torch_cosine_similarity() -> None:
    u, v, _ = batch()
    torch.testing.assert_close(cosine(u, v), F.cosine_similarity(u, v))
    huge_and_tiny = torch.tensor([[3e30, 4e30], [3e-30, 4e-30]])  # their squares leave float32
    torch.testing.assert_close(cosine(huge_and_tiny, huge_and_tiny.flip(0)), torch.ones(2))


@pytest.mark.parametrize("name", LOSSES)
def test_zero_vectors_give_finite_values_and_gradients(name: str) -> None:
    u, v, labels = (t.float() for t in batch(8))
    u[0], v[1], u[2], v[2] = 0, 0, 0, 0
    labels[:4] = torch.tensor([1.0, 0.0, 1.0, 0.0])
    u.requires_grad_()
    v.requires_grad_()
    loss = make_loss(name, Encoder())(u, v, labels)
    assert math.isfinite(float(loss.detach()))
    for gradient in gradients(loss, u, v):
        assert bool(gradient.isfinite().all())
        assert float(gradient.abs().max()) > 0
    if name != "sbert":  # a zero vector has no direction to turn: it gets no push
        assert float(gradients(make_loss(name, Encoder())(u, v, labels), u)[0][0].abs().max()) == 0


@pytest.mark.parametrize("name", LOSSES)
def test_autocast_keeps_cosines_in_float32(name: str) -> None:
    u, v, labels = (t.float() for t in batch(32))
    loss = make_loss(name, Encoder())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(u, v, labels)
    tolerance = 1e-2 if name == "sbert" else 0.0  # its linear layer may run in bf16, as any linear layer
    torch.testing.assert_close(inside, loss(u, v, labels), rtol=tolerance, atol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_vectors_give_the_float32_loss_of_the_same_numbers(name: str) -> None:
    u, v, labels = (t.float() for t in batch(32))
    u, v = u.bfloat16(), v.bfloat16()
    if name == "sbert":
        pytest.skip("its classifier has the type of its weights")
    loss = make_loss(name, Encoder())
    assert torch.equal(loss(u, v, labels), loss(u.float(), v.float(), labels))


def test_losses_with_targets_refuse_labels_outside_0_1() -> None:
    u, v, labels = batch(4)
    labels[2] = 5
    message = r"labels must lie in \[0, 1\]: 1 of 4 do not, the first at index 2 \(5.0\)"
    for name in ("cosine_linear", "cosine_squared", "cosine_margin", "sbert", "mnrl"):
        with pytest.raises(ValueError, match=message):
            make_loss(name, Encoder())(u, v, labels)
    labels[2] = torch.nan
    with pytest.raises(ValueError, match=r"index 2 \(nan\)"):
        CosineSimilarityLoss()(u, v, labels)
    with pytest.raises(ValueError, match="labels must be finite"):
        CoSENTLoss()(u, v, labels)
    labels[2] = 5  # an order needs no range
    assert CoSENTLoss()(u, v, labels) > 0


PARTS = {"cosent": CoSENTLoss(20.0), "mnrl": MultipleNegativesRankingLoss(10.0), "sbert": SoftmaxLoss(6)}


def test_a_sum_is_the_weighted_sum_of_its_parts_and_so_is_its_gradient() -> None:
    u, v, labels = batch(12)
    u, v = u.float().requires_grad_(), v.float().requires_grad_()
    weights = {"mnrl": 0.5, "sbert": 3.0}
    total = SummedLoss(PARTS, weights)(u, v, labels)
    parts = {name: part(u, v, labels) for name, part in PARTS.items()}
    by_hand = parts["cosent"] + 0.5 * parts["mnrl"] + 3 * parts["sbert"]
    torch.testing.assert_close(total, by_hand)
    own = [u, v, *PARTS["sbert"].parameters()]
    torch.testing.assert_close(gradients(total, *own), gradients(by_hand, *own))


def test_a_part_that_is_taught_nothing_adds_nothing_and_does_not_warn() -> None:
    u, v, _ = batch(5)
    u.requires_grad_()
    loss = SummedLoss({"cosent": CoSENTLoss(), "mnrl": MultipleNegativesRankingLoss(20.0)})
    ones, zeros, middle = torch.ones(5), torch.zeros(5), torch.tensor([0.0, 0.25, 0.0, 0.25, 0.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(loss(u, v, ones), MultipleNegativesRankingLoss(20.0)(u, v, ones))  # no order
        assert torch.equal(loss(u, v, middle), CoSENTLoss()(u, v, middle))  # no positive
        nothing = loss(u, v, zeros)
    assert [loss.teaches(y) for y in (ones, middle, zeros)] == [True, True, False]
    assert nothing.item() == 0
    assert float(gradients(nothing, u)[0].abs().max()) == 0


def test_what_a_sum_needs_is_what_its_parts_need() -> None:
    u, v, labels = batch(4)
    order = SummedLoss({"cosent": CoSENTLoss(), "angle": AnglELoss()})
    assert (order.needs_order, order.needs_targets, order.is_rank_loss) == (True, False, False)
    targets = SummedLoss({"cosent": CoSENTLoss(), "mnrl": MultipleNegativesRankingLoss()})
    assert (targets.needs_order, targets.needs_targets) == (False, True)
    labels[2] = 5
    assert order(u, v, labels) > 0
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 1\]"):
        targets(u, v, labels)
    with pytest.raises(ValueError, match="u and v must both have shape"):
        order(u, v[:3], labels)


def test_equals_the_sum_of_sentence_transformers_losses() -> None:
    losses = pytest.importorskip("sentence_transformers.losses")
    u, v, labels = batch(25, graded=True)
    features = [{"sentence_embedding": u}, {"sentence_embedding": v}]
    theirs = [getattr(losses, name)(Passthrough())(features, labels.double()) for name in ("CoSENTLoss", "AnglELoss")]
    ours = make_loss("cosent+angle", Encoder(), angle_weight=0.5)(u, v, labels)
    torch.testing.assert_close(ours, theirs[0] + 0.5 * theirs[1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("parts", "weights", "message"),
    [
        ({}, None, "a sum needs at least two losses, got 0: none"),
        ({"cosent": CoSENTLoss()}, None, "a sum needs at least two losses, got 1: cosent"),
        ({"a": CoSENTLoss(), "b": torch.nn.MSELoss()}, None, "part b of a sum must be a PairLoss, got MSELoss"),
        ({"a": CoSENTLoss(), "b": "mnrl"}, None, "part b of a sum must be a PairLoss, got str"),
        ({"a": CoSENTLoss(), "b": AnglELoss()}, {"c": 2.0}, "a weight is given for c, which is no part: .* a, b"),
        ({"a": CoSENTLoss(), "b": AnglELoss()}, {"b": math.nan}, "the weight of b must be a positive finite number"),
    ],
)
def test_a_sum_refuses_what_it_cannot_add(parts: dict, weights: dict | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SummedLoss(parts, weights)


@pytest.mark.parametrize(
    ("dtype", "sizes"),
    [(torch.float32, (1e-45, 1e-38, 1e-20, 3e38)), (torch.float64, (5e-324, 1e-170, 1e160, 1.7e308))],
)
def test_cosines_of_vectors_at_the_ends_of_their_type(dtype: torch.dtype, sizes: tuple[float, ...]) -> None:
    directions = torch.tensor([[1.0, 1, 0], [-1.0, 0, 1]], dtype=dtype)
    expected = cosine(directions, directions.flip(0))
    for size in sizes:
        extreme = (directions * size).requires_grad_()
        torch.testing.assert_close(cosine(extreme, directions.flip(0)), expected)
        torch.testing.assert_close(cosine(extreme, extreme), torch.ones(2, dtype=dtype))
    ordinary = directions.clone().requires_grad_()
    (large,) = torch.autograd.grad(cosine(extreme, directions.flip(0)).sum(), extreme)
    (plain,) = torch.autograd.grad(cosine(ordinary, directions.flip(0)).sum(), ordinary)
    torch.testing.assert_close(large * extreme.detach().abs().max(), plain, rtol=1e-4, atol=1e-7)
