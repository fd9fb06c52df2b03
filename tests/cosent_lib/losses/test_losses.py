"""Every loss against torch, sentence-transformers, the original masked-matrix code, or a case worked out by hand."""

import math
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cosent_lib.losses.base import SummedLoss, cosine
from cosent_lib.losses.direct import CosineEmbeddingLoss, CosineSimilarityLoss
from cosent_lib.losses.items import circle_loss, cross_entropy, multilabel_loss
from cosent_lib.losses.make import LOSSES, make_loss
from cosent_lib.losses.order import (
    AnglELoss,
    CoSENTLoss,
    MultipleNegativesRankingLoss,
    PairwiseLogisticLoss,
    PowerMeanLoss,
)
from cosent_lib.losses.sentence_bert import SoftmaxLoss
from cosent_lib.ranking.rank_loss import NoDemandedPairsWarning, rank_loss


class Encoder:
    dim = 6


def batch(n: int = 12, graded: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    u, v = torch.randn(2, n, 6, generator=generator, dtype=torch.float64)
    levels = 5 if graded else 1
    return u, v, torch.randint(0, levels + 1, (n,), generator=generator) / levels


def masked_matrix_cosent(u: Tensor, v: Tensor, labels: Tensor, scale: float = 20.0) -> Tensor:
    """The form in which CoSENT was published: all differences, minus 1e12 where no order is demanded."""
    u = u / u.square().sum(1, keepdim=True).sqrt()
    v = v / v.square().sum(1, keepdim=True).sqrt()
    scores = (u * v).sum(1) * scale
    differences = scores[:, None] - scores[None, :]
    demanded = (labels[:, None] < labels[None, :]).to(differences.dtype)
    differences = (differences - (1 - demanded) * 1e12).reshape(-1)
    return torch.logsumexp(torch.cat([differences.new_zeros(1), differences]), 0)


def gradients(loss: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, inputs)


def test_cosine_is_torch_cosine_similarity() -> None:
    u, v, _ = batch()
    torch.testing.assert_close(cosine(u, v), F.cosine_similarity(u, v))
    huge_and_tiny = torch.tensor([[3e30, 4e30], [3e-30, 4e-30]])  # their squares leave float32
    torch.testing.assert_close(cosine(huge_and_tiny, huge_and_tiny.flip(0)), torch.ones(2))


@pytest.mark.parametrize("margin", [-1.0, 0.0, 0.7])
def test_cosine_embedding_loss_is_torchs(margin: float) -> None:
    u, v, labels = batch(40)
    u[:5] = v[:5] + 0.01  # some cosines above the margin
    expected = F.cosine_embedding_loss(u, v, 2 * labels - 1, margin=margin)
    torch.testing.assert_close(CosineEmbeddingLoss(margin)(u, v, labels), expected)


def test_direct_losses_by_hand() -> None:
    # cosines 0.6, 1, 0.8 with labels 1, 0, 0.5
    u = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.5, 0.0]])
    v = torch.tensor([[3.0, 4.0], [7.0, 0.0], [8.0, 6.0]])
    labels = torch.tensor([1.0, 0.0, 0.5])
    linear = (0.4 + 2.0 + 0.5 * 0.2 + 0.5 * 1.8) / 3
    squared = (0.4**2 + 1.0**2 + 0.3**2) / 3
    margin = (0.4 + 0.3 + 0.5 * 0.2 + 0.5 * 0.1) / 3
    assert float(make_loss("cosine_linear", Encoder())(u, v, labels)) == pytest.approx(linear)
    assert float(CosineSimilarityLoss()(u, v, labels)) == pytest.approx(squared)
    assert float(make_loss("cosine_margin", Encoder())(u, v, labels)) == pytest.approx(margin)


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("scale", [1.0, 20.0, 50.0])
def test_cosent_is_the_published_masked_matrix(scale: float, graded: bool) -> None:
    u, v, labels = batch(30, graded)
    u.requires_grad_()
    v.requires_grad_()
    loss, reference = CoSENTLoss(scale)(u, v, labels), masked_matrix_cosent(u, v, labels, scale)
    torch.testing.assert_close(loss, reference, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradients(loss, u, v), gradients(reference, u, v), rtol=1e-6, atol=1e-9)


class Passthrough(torch.nn.Module):
    """Stands for a sentence-transformers model: the features are the embeddings."""

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return features


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (CoSENTLoss(20.0), "CoSENTLoss"),
        (AnglELoss(20.0), "AnglELoss"),
        (CosineSimilarityLoss(), "CosineSimilarityLoss"),
    ],
)
@pytest.mark.parametrize("graded", [False, True])
def test_equals_sentence_transformers(ours: torch.nn.Module, theirs: str, graded: bool) -> None:
    losses = pytest.importorskip("sentence_transformers.losses")
    u, v, labels = batch(25, graded)
    reference = getattr(losses, theirs)(Passthrough())
    features = [{"sentence_embedding": u.clone()}, {"sentence_embedding": v.clone()}]
    torch.testing.assert_close(ours(u, v, labels), reference(features, labels.double()), rtol=1e-6, atol=1e-6)


def test_in_batch_negatives_equal_sentence_transformers_on_positives() -> None:
    losses = pytest.importorskip("sentence_transformers.losses")
    u, v, _ = batch(9)
    features = [{"sentence_embedding": u}, {"sentence_embedding": v}]
    expected = losses.MultipleNegativesRankingLoss(Passthrough(), scale=20.0)(features, None)
    got = MultipleNegativesRankingLoss(20.0)(u, v, torch.ones(9))
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)


def test_in_batch_negatives_are_one_rank_loss_a_row() -> None:
    u, v, labels = batch(9)
    rows = []
    for i in labels.nonzero().flatten():
        similarities = 20 * F.cosine_similarity(u[i : i + 1], v)
        rows.append(rank_loss(similarities, torch.arange(9) == i))
    torch.testing.assert_close(MultipleNegativesRankingLoss(20.0)(u, v, labels), torch.stack(rows).mean())


def test_pairwise_logistic_is_the_mean_over_strict_pairs() -> None:
    u, v, labels = batch(11, graded=True)
    s = 7 * F.cosine_similarity(u, v)
    terms = [F.softplus(s[i] - s[j]) for i in range(11) for j in range(11) if labels[i] < labels[j]]
    torch.testing.assert_close(PairwiseLogisticLoss(7.0)(u, v, labels), torch.stack(terms).mean())


def test_sandwich_between_pairwise_and_log_sum() -> None:
    # mean softplus ≤ log(1 + Σ/P) ≤ L ≤ Σ softplus
    u, v, labels = batch(14)
    loss, mean = CoSENTLoss(5.0)(u, v, labels), PairwiseLogisticLoss(5.0)(u, v, labels)
    pairs = int((labels[:, None] < labels[None, :]).sum())
    middle = torch.log1p(loss.expm1() / pairs)
    assert mean <= middle <= loss <= mean * pairs


def test_margin_shifts_the_scores_by_the_label() -> None:
    u, v, labels = batch(10, graded=True)
    expected = rank_loss(20 * (F.cosine_similarity(u, v) - 0.1 * labels), labels)
    torch.testing.assert_close(CoSENTLoss(20.0, margin=0.1)(u, v, labels), expected)


@pytest.mark.parametrize(
    "kind", [CoSENTLoss, PairwiseLogisticLoss, PowerMeanLoss, AnglELoss, MultipleNegativesRankingLoss]
)
def test_learned_scale_gets_the_gradient_of_lambda(kind: type[CoSENTLoss]) -> None:
    u, v, labels = batch(16)
    loss = kind(10.0, learn_scale=True)
    loss(u, v, labels).backward()
    step = 1e-6
    difference = kind(10 + step)(u, v, labels) - kind(10 - step)(u, v, labels)
    by_log = float(difference) / (2 * step) * 10  # the parameter is log λ
    assert float(loss.log_scale.grad) == pytest.approx(by_log, rel=1e-4)
    assert loss.scale == pytest.approx(10.0, rel=1e-6)
    assert not list(kind(10.0).parameters())


def test_sentence_bert_by_hand() -> None:
    u, v = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]])
    loss = SoftmaxLoss(dim=2, num_labels=3)
    with torch.no_grad():
        loss.classifier.weight.copy_(torch.arange(18.0).reshape(3, 6) / 10)
        loss.classifier.bias.copy_(torch.tensor([0.1, 0.0, -0.1]))
    features = torch.tensor([1.0, 2.0, 3.0, -1.0, 2.0, 3.0])
    logits = torch.stack([features @ (torch.arange(6.0) + 6 * k) / 10 for k in range(3)])
    logits = logits + torch.tensor([0.1, 0.0, -0.1])
    expected = torch.logsumexp(logits, 0) - logits[1]
    torch.testing.assert_close(loss(u, v, torch.tensor([0.5])), expected)
    assert loss.predict(u, v).tolist() == [int(logits.argmax())]


def test_sentence_bert_classes_round_halves_up() -> None:
    labels = torch.tensor([0.0, 0.24, 0.25, 0.49, 0.5, 0.74, 0.75, 1.0])
    assert SoftmaxLoss(2, 2).classes(labels).tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert SoftmaxLoss(2, 3).classes(labels).tolist() == [0, 0, 1, 1, 1, 1, 2, 2]
    grades = torch.arange(6, dtype=torch.float32) / 5  # as load_pairs scales 0..5
    assert SoftmaxLoss(2, 6).classes(grades).tolist() == [0, 1, 2, 3, 4, 5]


def test_sentence_bert_features_and_seed() -> None:
    u, v, _ = batch(4)
    loss = SoftmaxLoss(6, features=("u*v", "v"))
    expected = torch.cat([u * v, v], 1).float() @ loss.classifier.weight.T + loss.classifier.bias
    torch.testing.assert_close(loss.logits(u.float(), v.float()), expected)
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    same, other = SoftmaxLoss(6, seed=0), SoftmaxLoss(6, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(same.classifier.weight, SoftmaxLoss(6, seed=0).classifier.weight)
    assert not torch.equal(same.classifier.weight, other.classifier.weight)


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


@pytest.mark.parametrize("name", ["cosent", "ranknet", "power_mean", "angle"])
def test_batch_without_order_is_zero_and_warns(name: str) -> None:
    u, v, _ = batch(5)
    u.requires_grad_()
    with pytest.warns(NoDemandedPairsWarning, match="demanded"):
        loss = make_loss(name, Encoder())(u, v, torch.ones(5))
    assert float(loss.detach()) == 0
    assert float(gradients(loss, u)[0].abs().max()) == 0


def test_in_batch_negatives_without_a_positive_is_zero_and_warns() -> None:
    u, v, _ = batch(5)
    u.requires_grad_()
    with pytest.warns(NoDemandedPairsWarning, match="no pair labelled 0.5 or more"):
        loss = MultipleNegativesRankingLoss()(u, v, torch.zeros(5))
    assert float(loss.detach()) == 0
    assert float(gradients(loss, u)[0].abs().max()) == 0


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


def test_cross_entropy_is_torchs() -> None:
    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = torch.tensor([0, 3, 6, 2, 2])
    torch.testing.assert_close(cross_entropy(logits, targets), F.cross_entropy(logits, targets))
    torch.testing.assert_close(cross_entropy(logits[0], 4), F.cross_entropy(logits[:1], torch.tensor([4])))


def test_multilabel_loss_is_the_product_form() -> None:
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(6, 9, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, 2, (6, 9), generator=generator)
    targets[0], targets[1] = 0, 1  # no positive, no negative
    for threshold in (0.0, 0.8):
        negatives = ((scores - threshold).exp() * (1 - targets)).sum(1)
        positives = ((threshold - scores).exp() * targets).sum(1)
        expected = (torch.log1p(negatives) + torch.log1p(positives)).mean()
        torch.testing.assert_close(multilabel_loss(scores, targets, threshold), expected)
    single = multilabel_loss(torch.tensor([0.3]), torch.tensor([1]))  # one label: sigmoid cross-entropy
    torch.testing.assert_close(single, F.binary_cross_entropy_with_logits(torch.tensor(0.3), torch.tensor(1.0)))
    with pytest.raises(ValueError, match="targets of multilabel_loss must be 0 or 1"):
        multilabel_loss(scores, scores)


def test_circle_loss_is_the_papers_form_with_weights_held_fixed() -> None:
    generator = torch.Generator().manual_seed(2)
    p, n = (torch.rand(k, generator=generator, dtype=torch.float64).requires_grad_() for k in (4, 6))
    gamma, m = 20.0, 0.25
    alpha_p, alpha_n = (1 + m - p).clamp_min(0).detach(), (n + m).clamp_min(0).detach()
    total = (gamma * alpha_n * (n - m)).exp().sum() * (-gamma * alpha_p * (p - (1 - m))).exp().sum()
    loss, expected = circle_loss(p, n, gamma, m), torch.log1p(total)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradients(loss, p, n), gradients(expected, p, n))


def test_small_scale_limit_is_the_class_balanced_linear_loss() -> None:
    # λ → 0: the gradient of CoSENT is λ/(1 + 1/P)·(mean positive − mean negative cosine), balanced eq. 1.
    u, v, labels = batch(10)
    u.requires_grad_()
    scale, pairs = 1e-4, float(labels.sum() * (1 - labels).sum())
    (got,) = gradients(CoSENTLoss(scale)(u, v, labels), u)
    c = F.cosine_similarity(u, v)
    (want,) = gradients(c[labels == 0].mean() - c[labels == 1].mean(), u)
    torch.testing.assert_close(got, want * scale * pairs / (1 + pairs), rtol=1e-3, atol=1e-9)


def test_a_fixed_scale_is_a_number_and_stays_exact() -> None:
    loss = CoSENTLoss(20.0)
    assert loss.scale == 20.0
    assert not list(loss.buffers())  # a float64 buffer could not move to a device without float64


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cosent", {"scale": "abc"}, "option scale of loss 'cosent' must be a float, got 'abc'"),
        ("cosent", {"learn_scale": 1}, "option learn_scale of loss 'cosent' must be a bool, got 1"),
        ("cosent", {"scale": True}, "option scale of loss 'cosent' must be a float, got True"),
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


# --- CoSENT without its 1


def ordered(gap: float, n: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of unit vectors in the plane; the positives' cosines stand ``gap`` above the negatives'."""
    labels = torch.arange(n) % 2
    angles = torch.acos(torch.where(labels == 1, gap / 2, -gap / 2) + 0.01 * torch.arange(n, dtype=torch.float64) / n)
    u = torch.tensor([[1.0, 0.0]], dtype=torch.float64).repeat(n, 1)
    return u, torch.stack([angles.cos(), angles.sin()], 1), labels.double()


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("scale", [0.1, 1.0, 20.0, 200.0])
def test_flat_cosent_is_the_logarithm_of_the_bare_sum(scale: float, graded: bool) -> None:
    u, v, labels = batch(20, graded)
    u.requires_grad_()
    scores = scale * F.cosine_similarity(u, v)
    bare = (scores[:, None] - scores[None, :])[labels[:, None] < labels[None, :]].logsumexp(0)
    flat = CoSENTLoss(scale, flat=True)(u, v, labels)
    torch.testing.assert_close(flat, bare, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradients(flat, u), gradients(bare, u), rtol=1e-10, atol=1e-12)
    if scale < 200:
        torch.testing.assert_close(flat, CoSENTLoss(scale)(u, v, labels).expm1().log(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("gap", [0.5, 1.0, 1.9])
@pytest.mark.parametrize("scale", [20.0, 60.0, 300.0, 3000.0])
def test_the_gradient_of_flat_cosent_does_not_fade(scale: float, gap: float) -> None:
    """With Σ down to e^−5700, where log(1 + Σ) has no gradient left to give."""
    u, v, labels = ordered(gap)
    v.requires_grad_()
    flat, plain = CoSENTLoss(scale, flat=True), CoSENTLoss(scale)
    value, c = flat(u, v, labels), cosine(u, v).detach().requires_grad_()
    assert float(value.detach()) == pytest.approx(
        float((scale * (c[labels == 0][:, None] - c[labels == 1])).logsumexp((0, 1)).detach()), rel=1e-9
    )
    # the pulls on the negatives sum to λ, however well the batch is ordered
    negatives = torch.autograd.grad((scale * (c[labels == 0][:, None] - c[labels == 1])).logsumexp((0, 1)), c)[0]
    assert float(negatives[labels == 0].sum()) == pytest.approx(scale)
    (got,), (faded,) = gradients(value, v), gradients(plain(u, v, labels), v)
    through = torch.autograd.grad((cosine(u, v) * negatives).sum(), v)[0]
    torch.testing.assert_close(got, through, rtol=1e-9, atol=1e-9)
    assert float(faded.norm()) < float(got.norm())
    if scale * gap > 30:
        assert float(faded.norm()) < 1e-10 * float(got.norm())


def test_flat_cosent_in_float32_keeps_a_sum_of_1e_12_beside_the_1() -> None:
    u, v, labels = ordered(1.5)
    narrow = CoSENTLoss(20.0, flat=True)(u.float(), v.float(), labels.float())
    wide = CoSENTLoss(20.0, flat=True)(u, v, labels)
    assert narrow.dtype == torch.float32
    assert float(wide) < math.log(1e-12)
    assert float(narrow) == pytest.approx(float(wide), abs=1e-4)


def test_flat_cosent_without_order_is_zero_and_warns() -> None:
    u, v, _ = batch(5)
    u.requires_grad_()
    with pytest.warns(NoDemandedPairsWarning):
        loss = CoSENTLoss(flat=True)(u, v, torch.ones(5))
    assert float(loss.detach()) == 0
    assert float(gradients(loss, u)[0].abs().max()) == 0


def test_flat_cosent_has_no_inversion_bound_and_takes_margin_and_learned_scale() -> None:
    assert CoSENTLoss().is_rank_loss
    assert not CoSENTLoss(flat=True).is_rank_loss
    u, v, labels = batch(10, graded=True)
    shifted = rank_loss(20 * (F.cosine_similarity(u, v) - 0.1 * labels), labels).expm1().log()
    torch.testing.assert_close(CoSENTLoss(20.0, margin=0.1, flat=True)(u, v, labels), shifted)
    learned = CoSENTLoss(20.0, learn_scale=True, flat=True)
    learned(u, v, labels).backward()
    assert float(learned.log_scale.grad.abs()) > 0


# --- sums of losses


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
        "cosent_scale": 5.0, "cosent_margin": 0.0, "cosent_flat": True, "cosent_weight": 1.0,
        "cosine_margin_margin": 0.3, "cosine_margin_weight": 2.0,
        "sbert_num_labels": 3, "sbert_features": ("u", "v"), "sbert_weight": 1.0,
    }  # fmt: skip


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
    ("name", "options", "message"),
    [
        ("cosent+cosent", {}, "loss 'cosent.cosent' names a part twice; give it a weight instead"),
        ("cosent+mnlr", {}, "unknown loss 'mnlr': choose one of"),
        ("cosent+mnrl", {"scale": 5.0}, "option scale of loss 'cosent.mnrl' must begin with a part's name"),
        ("cosent+mnrl", {"angle_scale": 5.0}, "option angle_scale of loss 'cosent.mnrl' must begin with a part's name"),
        ("cosent+mnrl", {"mnrl_margin": 1.0}, "loss 'mnrl' has no option margin: it has scale, learn_scale"),
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
