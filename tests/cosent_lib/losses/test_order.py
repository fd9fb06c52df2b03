"""Losses of the order against the published code, sentence-transformers and brute force."""

import math

import pytest
import torch
import torch.nn.functional as F
from loss_kit import Encoder, Passthrough, batch, gradients
from torch import Tensor

from cosent_lib.losses.base import SummedLoss, cosine
from cosent_lib.losses.direct import CosineSimilarityLoss
from cosent_lib.losses.in_batch import MultipleNegativesRankingLoss
from cosent_lib.losses.make import make_loss
from cosent_lib.losses.order import (
    AnglELoss,
    CoSENTLoss,
    PairwiseLogisticLoss,
    PowerMeanLoss,
)
from cosent_lib.ranking.rank_loss import NoDemandedPairsWarning, rank_loss


def masked_matrix_cosent(u: Tensor, v: Tensor, labels: Tensor, scale: float = 20.0) -> Tensor:
    """The form in which CoSENT was published: all differences, minus 1e12 where no order is demanded."""
    u = u / u.square().sum(1, keepdim=True).sqrt()
    v = v / v.square().sum(1, keepdim=True).sqrt()
    scores = (u * v).sum(1) * scale
    differences = scores[:, None] - scores[None, :]
    demanded = (labels[:, None] < labels[None, :]).to(differences.dtype)
    differences = (differences - (1 - demanded) * 1e12).reshape(-1)
    return torch.logsumexp(torch.cat([differences.new_zeros(1), differences]), 0)


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("scale", [1.0, 20.0, 50.0])
def test_cosent_is_the_published_masked_matrix(scale: float, graded: bool) -> None:
    u, v, labels = batch(30, graded)
    u.requires_grad_()
    v.requires_grad_()
    loss, reference = CoSENTLoss(scale)(u, v, labels), masked_matrix_cosent(u, v, labels, scale)
    torch.testing.assert_close(loss, reference, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradients(loss, u, v), gradients(reference, u, v), rtol=1e-6, atol=1e-9)


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


def repeated() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows 0 and 2 have one answer, rows 1 and 3 one question; row 4, labelled 0, has the answer of row 0."""
    u, v = (torch.eye(6, dtype=torch.float64)[rows] for rows in ([0, 1, 2, 1, 4], [0, 1, 0, 3, 0]))
    return u, v, torch.tensor([1.0, 1, 1, 1, 0])


# for each positive pair the candidates that stay, by hand: its own and those not known to be right
LEFT = {0: [0, 1, 3], 1: [1, 0, 2, 4], 2: [2, 1, 3], 3: [3, 0, 2, 4]}


def test_equal_answers_and_other_answers_of_a_question_are_no_negatives() -> None:
    torch.manual_seed(0)
    weight = torch.randn(6, 4, dtype=torch.float64)
    u, v, labels = repeated()
    u, v = (vectors @ weight for vectors in (u, v))
    rows = [
        F.cross_entropy(5 * F.cosine_similarity(u[i : i + 1], v[left])[None], torch.tensor([0]))
        for i, left in LEFT.items()
    ]
    got = MultipleNegativesRankingLoss(5.0)(u, v, labels)
    torch.testing.assert_close(got, torch.stack(rows).mean())
    # by number the same, also where dropout has made the vectors of one text differ
    texts = torch.tensor([[0, 10], [1, 11], [2, 10], [1, 13], [4, 10]])
    torch.testing.assert_close(MultipleNegativesRankingLoss(5.0)(u, v, labels, texts), got)
    noisy = v + 1e-9 * torch.randn_like(v)
    torch.testing.assert_close(MultipleNegativesRankingLoss(5.0)(u, noisy, labels, texts), got, rtol=1e-6, atol=0)
    assert MultipleNegativesRankingLoss(5.0)(u, noisy, labels) > got + 0.1


def test_a_perfect_encoder_has_no_loss_where_an_answer_stands_twice() -> None:
    u = torch.eye(3)[[0, 0, 1]]
    assert float(MultipleNegativesRankingLoss(50.0)(u, u, torch.ones(3))) < 1e-6
    usual = MultipleNegativesRankingLoss(50.0, equal_are_negatives=True)(u, u, torch.ones(3))
    assert float(usual) == pytest.approx(2 / 3 * math.log(2))
    losses = pytest.importorskip("sentence_transformers.losses")
    features = [{"sentence_embedding": u}, {"sentence_embedding": u}]
    torch.testing.assert_close(usual, losses.MultipleNegativesRankingLoss(Passthrough(), scale=50.0)(features, None))


def test_equal_answers_are_told_to_a_part_of_a_sum() -> None:
    u, v, labels = repeated()
    texts = torch.tensor([[0, 10], [1, 11], [2, 12], [1, 13], [4, 14]])  # other answers, whatever the vectors say
    parts = {"cosent": CoSENTLoss(5.0), "mnrl": MultipleNegativesRankingLoss(5.0)}
    for given in ((), (texts,)):
        expected = sum(part(u, v, labels, *given) for part in parts.values())
        torch.testing.assert_close(SummedLoss(parts)(u, v, labels, *given), expected)
    assert parts["mnrl"](u, v, labels) < parts["mnrl"](u, v, labels, texts)


def test_a_batch_of_one_answer_has_no_negatives_and_warns() -> None:
    u, _, _ = batch(4)
    u.requires_grad_()
    with pytest.warns(NoDemandedPairsWarning, match="no pair labelled 0.5 or more that has a negative"):
        loss = MultipleNegativesRankingLoss()(u, torch.ones_like(u), torch.ones(4))
    assert float(loss.detach()) == 0
    assert float(gradients(loss, u)[0].abs().max()) == 0


@pytest.mark.parametrize("usual", [True, False])
def test_a_single_pair_has_no_negative_and_warns(usual: bool) -> None:
    u, v, _ = batch(1)
    loss = MultipleNegativesRankingLoss(equal_are_negatives=usual)
    assert not loss.teaches(torch.ones(1))
    with pytest.warns(NoDemandedPairsWarning, match="no pair labelled 0.5 or more that has a negative"):
        assert float(loss(u, v, torch.ones(1))) == 0
    assert not SummedLoss({"cosent": CoSENTLoss(), "mnrl": loss}).teaches(torch.ones(1))


@pytest.mark.parametrize("name", ["cosent", "ranknet", "power_mean", "angle"])
@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_labels_that_are_no_numbers_are_refused_by_every_loss_on_the_order(name: str, wrong: float) -> None:
    u, v, labels = batch(6)
    labels[2] = wrong
    with pytest.raises(ValueError, match=r"labels must be finite: 1 of 6 are not, the first at index 2"):
        make_loss(name, Encoder())(u, v, labels)


@pytest.mark.parametrize(
    ("texts", "got"), [(torch.zeros(4, 2), "float32 .4, 2."), (torch.zeros(2, 4, dtype=torch.long), "int64 .2, 4.")]
)
def test_texts_that_do_not_fit_are_refused(texts: torch.Tensor, got: str) -> None:
    u, v, labels = batch(4)
    with pytest.raises(ValueError, match=f"texts must be integers of shape .4, 2., two a pair, got {got}"):
        MultipleNegativesRankingLoss()(u, v, labels, texts)


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


def test_small_scale_limit_is_the_class_balanced_linear_loss() -> None:
    # λ → 0: the gradient of CoSENT is λ/(1 + 1/P)·(mean positive − mean negative cosine), balanced eq. 1.
    u, v, labels = batch(10)
    u.requires_grad_()
    scale, pairs = 1e-4, float(labels.sum() * (1 - labels).sum())
    (got,) = gradients(CoSENTLoss(scale)(u, v, labels), u)
    c = F.cosine_similarity(u, v)
    (want,) = gradients(c[labels == 0].mean() - c[labels == 1].mean(), u)
    torch.testing.assert_close(got, want * scale * pairs / (1 + pairs), rtol=1e-3, atol=1e-9)


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
