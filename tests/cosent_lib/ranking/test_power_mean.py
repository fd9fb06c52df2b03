"""The dial from CoSENT to RankNet and beyond: its definition, its special cases, its limits, and what it promises."""

import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cosent_lib.losses.base import cosine
from cosent_lib.losses.order import PairwiseLogisticLoss, PowerMeanLoss
from cosent_lib.ranking.power_mean import NEAR_ZERO, power_mean_rank_loss
from cosent_lib.ranking.rank_loss import NoDemandedPairsWarning, count_demanded_pairs, rank_loss

EXPONENTS = (-3.0, -1.0, -0.3, 0.0, 0.3, 1.0, 2.5)
ITEMS = st.lists(st.tuples(st.floats(-30, 30), st.integers(0, 3)), min_size=2, max_size=15)


def items(n: int = 12, spread: float = 2.0, levels: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scores = spread * torch.randn(n, generator=generator, dtype=torch.float64)
    return scores, torch.randint(0, levels, (n,), generator=generator)


def gaps(scores: Tensor, labels: Tensor) -> list[float]:
    """The gap s_i − s_j of every demanded pair, by two loops."""
    n = len(labels)
    return [float(scores[i] - scores[j]) for i in range(n) for j in range(n) if labels[i] < labels[j]]


def brute_force(scores: Tensor, labels: Tensor, exponent: float) -> float:
    """The definition, with Python's floats; the scores must be small."""
    terms = [1 + math.exp(z) for z in gaps(scores, labels)]
    if exponent == 0:
        return math.fsum(map(math.log, terms)) / len(terms)
    return math.log(math.fsum(term**exponent for term in terms) / len(terms)) / exponent


def gradient(scores: Tensor, labels: Tensor, exponent: float) -> Tensor:
    s = scores.clone().requires_grad_()
    return torch.autograd.grad(power_mean_rank_loss(s, labels, exponent), s)[0]


# --- the definition and its special cases


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("levels", [2, 3, 12])
def test_is_the_power_mean_of_the_definition(exponent: float, levels: int) -> None:
    scores, labels = items(levels=levels)
    assert float(power_mean_rank_loss(scores, labels, exponent)) == pytest.approx(
        brute_force(scores, labels, exponent), rel=1e-13
    )


def test_by_hand() -> None:
    # z = 0 and z = log 3: the terms are 2 and 4
    scores, labels = torch.tensor([0.0, -math.log(3.0), 0.0], dtype=torch.float64), torch.tensor([0, 1, 1])
    by_hand = {1.0: math.log(3), 0.0: math.log(8) / 2, -1.0: math.log(8 / 3), 2.0: math.log(10) / 2}
    for exponent, expected in by_hand.items():
        assert float(power_mean_rank_loss(scores, labels, exponent)) == pytest.approx(expected, rel=1e-14)


def test_at_one_it_is_cosent_with_the_mean_in_the_place_of_the_sum() -> None:
    for seed in range(10):
        scores, labels = items(20, seed=seed)
        pairs, whole = count_demanded_pairs(labels), rank_loss(scores, labels)
        expected = torch.log1p(whole.expm1() / pairs)
        torch.testing.assert_close(power_mean_rank_loss(scores, labels, 1.0), expected, rtol=1e-13, atol=0)


def test_at_zero_it_is_ranknet() -> None:
    generator = torch.Generator().manual_seed(3)
    u, v = torch.randn(2, 20, 6, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 4, (20,), generator=generator)
    ours, theirs = PowerMeanLoss(7.0)(u, v, labels), PairwiseLogisticLoss(7.0)(u, v, labels)
    torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=0)
    direct = power_mean_rank_loss(7.0 * cosine(u, v), labels, 0.0)
    assert torch.equal(ours, direct)


def test_at_minus_one_it_is_the_logarithm_of_the_smoothed_share_of_pairs_in_right_order() -> None:
    scores, labels = items(15)
    share = np.mean([1 / (1 + math.exp(z)) for z in gaps(scores, labels)])
    assert float(power_mean_rank_loss(scores, labels, -1.0)) == pytest.approx(-math.log(share), rel=1e-13)
    # and with a large scale the smoothed step is the step, the share the AUC
    binary = (labels > 0).long()
    auc = np.mean([z < 0 for z in gaps(scores, binary)])
    assert float(power_mean_rank_loss(1e6 * scores, binary, -1.0)) == pytest.approx(-math.log(auc), rel=1e-9)


@pytest.mark.parametrize("tiny", [1e-3, 1e-6, 1e-9, 1e-15, 1e-90, 1e-300, 5e-324])
def test_the_limit_at_zero_is_reached_from_both_sides(tiny: float) -> None:
    for spread in (0.1, 5.0, 100.0):
        scores, labels = items(30, spread=spread)
        at_zero = float(power_mean_rank_loss(scores, labels, 0.0))
        terms = np.logaddexp(0, gaps(scores, labels))
        slope = float(np.var(terms)) / 2  # of the loss by κ at 0
        for exponent in (tiny, -tiny):
            value = float(power_mean_rank_loss(scores, labels, exponent))
            third = exponent**2 * float(np.ptp(terms)) ** 3  # what the next term of the series cannot exceed
            assert value == pytest.approx(at_zero + exponent * slope, rel=1e-12, abs=third)
            grads = gradient(scores, labels, exponent)
            torch.testing.assert_close(grads, gradient(scores, labels, 0.0), rtol=0, atol=200 * tiny + 1e-12)


def test_the_two_ways_of_computing_agree_where_they_meet() -> None:
    scores, labels = items(40, spread=1.0)
    for exponent in (NEAR_ZERO, -NEAR_ZERO):
        near = exponent * (1 - 1e-12)
        plain, careful = (power_mean_rank_loss(scores, labels, kappa) for kappa in (exponent, near))
        torch.testing.assert_close(plain, careful, rtol=1e-11, atol=0)
    # and far scores near κ = 0, where κ·log(1 + e^z) is not small
    far, labels = items(40, spread=2000.0)
    terms = torch.tensor(gaps(far, labels), dtype=torch.float64).clamp_min(0)  # log(1 + e^z) within 1e-300 … or 0.7
    bounds = (0.005 * terms).logsumexp(0), (0.005 * (terms + math.log(2))).logsumexp(0)
    low, high = ((float(bound) - math.log(len(terms))) / 0.005 for bound in bounds)
    assert low <= float(power_mean_rank_loss(far, labels, 0.005)) <= high


# --- what it promises


@settings(max_examples=150, deadline=None)
@given(ITEMS, st.lists(st.floats(-4, 4), min_size=2, max_size=6))
def test_never_falls_as_the_exponent_grows(pairs: list[tuple[float, int]], exponents: list[float]) -> None:
    scores = torch.tensor([score for score, _ in pairs], dtype=torch.float64)
    labels = torch.tensor([label for _, label in pairs])
    values = [float(power_mean_rank_loss(scores, labels, each, validate=False)) for each in sorted(exponents)]
    for lower, higher in itertools.pairwise(values):
        assert higher >= lower - 1e-12 * max(1.0, abs(lower))
    if len(set(labels.tolist())) > 1:  # between the logarithms of the least and of the greatest term
        terms = np.logaddexp(0, gaps(scores, labels))
        assert terms.min() - 1e-12 <= values[0]
        assert values[-1] <= terms.max() + 1e-12


@settings(max_examples=60, deadline=None)
@given(ITEMS, st.floats(-3, 3), st.floats(-20, 20))
def test_only_differences_and_the_order_of_labels_count(
    pairs: list[tuple[float, int]], exponent: float, shift: float
) -> None:
    s = torch.tensor([score for score, _ in pairs], dtype=torch.float64)
    y = torch.tensor([label for _, label in pairs])
    value = power_mean_rank_loss(s, y, exponent, validate=False)
    for same in (
        power_mean_rank_loss(s + shift, y, exponent, validate=False),
        power_mean_rank_loss(s, y**3 + 5, exponent, validate=False),
        power_mean_rank_loss(-s, -y, exponent, validate=False),
        power_mean_rank_loss(s.flip(0), y.flip(0), exponent, validate=False),
    ):
        torch.testing.assert_close(value, same, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_a_pairs_share_of_the_gradient_is_the_one_of_the_docstring(exponent: float) -> None:
    scores, labels = items(10)
    pulls = {
        (i, j): math.exp(exponent * np.logaddexp(0, z := float(scores[i] - scores[j]))) / (1 + math.exp(-z))
        for i in range(10) for j in range(10) if labels[i] < labels[j]
    }  # fmt: skip
    total = math.fsum(math.exp(exponent * np.logaddexp(0, z)) for z in gaps(scores, labels))
    expected = torch.zeros(10, dtype=torch.float64)
    for (i, j), pull in pulls.items():
        expected[i] += pull / total
        expected[j] -= pull / total
    torch.testing.assert_close(gradient(scores, labels, exponent), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("exponent", [*EXPONENTS, 1e-6])
def test_gradcheck(exponent: float) -> None:
    scores, labels = items(8)
    scores.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: power_mean_rank_loss(s, labels, exponent), scores)
    assert torch.autograd.gradgradcheck(lambda s: power_mean_rank_loss(s, labels, exponent), scores)


def test_how_pulls_fade_and_grow() -> None:
    """A pair in right order is left alone as e^z whatever κ is; one in wrong order pulls as e^{κz}."""
    labels = torch.tensor([0, 0, 1])

    def pull(z: float, exponent: float) -> float:  # of a pair with gap z, in units of a tied pair's beside it
        grads = gradient(torch.tensor([z, 0.0, 0.0], dtype=torch.float64), labels, exponent)
        return float(grads[0] / grads[1])

    for exponent in (-1.0, 0.0, 0.5, 1.0):
        assert math.log(pull(-30.0, exponent) / pull(-31.0, exponent)) == pytest.approx(1, abs=1e-6)
        assert math.log(pull(31.0, exponent) / pull(30.0, exponent)) == pytest.approx(exponent, abs=1e-6)


@pytest.mark.parametrize("exponent", [0.0, 1e-4, 0.3, 1.0, 2.0])
def test_convex_for_exponents_of_at_least_zero(exponent: float) -> None:
    for seed in range(20):
        (a, labels), (b, _) = items(spread=5.0, seed=seed), items(spread=5.0, seed=100 + seed)
        ends = [power_mean_rank_loss(s, labels, exponent) for s in (a, b)]
        for share in (0.1, 0.5, 0.7):
            between = power_mean_rank_loss((1 - share) * a + share * b, labels, exponent)
            assert between <= (1 - share) * ends[0] + share * ends[1] + 1e-12
        hessian = torch.autograd.functional.hessian(lambda s, y=labels: power_mean_rank_loss(s, y, exponent), a)
        assert float(torch.linalg.eigvalsh(hessian).min()) > -1e-10


def test_not_convex_below_zero() -> None:
    labels = torch.tensor([0, 1, 1])
    a, b = torch.tensor([0.0, -9.0, 9.0]), torch.tensor([0.0, 9.0, -9.0])
    ends = [float(power_mean_rank_loss(s, labels, -3.0)) for s in (a, b)]
    assert float(power_mean_rank_loss((a + b) / 2, labels, -3.0)) > max(ends)


@pytest.mark.parametrize("flips", [(0.1, 0.1), (0.3, 0.1), (0.0, 0.4), (0.5, 0.5)])
def test_noise_draws_the_smoothed_share_towards_one_half(flips: tuple[float, float]) -> None:
    """κ = −1, labels wrong with rates π and π′: Ã − ½ = (1 − π − π′)(A − ½) exactly, for e^−loss = A."""
    generator = torch.Generator().manual_seed(4)
    high, low = (torch.randn(n, generator=generator, dtype=torch.float64) + shift for n, shift in ((4, 1), (5, 0)))

    def share(above: Tensor, below: Tensor) -> float:
        scores, labels = torch.cat([above, below]), torch.cat([torch.ones(len(above)), torch.zeros(len(below))])
        return math.exp(-float(power_mean_rank_loss(scores, labels, -1.0)))

    def mixed(main: Tensor, other: Tensor, rate: float) -> Tensor:
        """The two populations in exact shares 1 − rate and rate: items repeated, in twentieths."""
        right, wrong = round(20 * (1 - rate)), round(20 * rate)
        return torch.cat([main.repeat(right * len(other)), other.repeat(wrong * len(main))])

    noisy = share(mixed(high, low, flips[0]), mixed(low, high, flips[1]))
    assert noisy - 0.5 == pytest.approx((1 - sum(flips)) * (share(high, low) - 0.5), abs=1e-12)


# --- extremes and edges


@pytest.mark.parametrize("exponent", [-5.0, -1.0, -0.001, 0.0, 1e-6, 0.001, 1.0, 5.0])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_huge_scores_neither_overflow_nor_give_nan(exponent: float, dtype: torch.dtype) -> None:
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    for scores in ([-1e4, 1e4] * 3, [1e4, -1e4] * 3, [1e4, -1e4, 0.0, 0.0, -1e4, 1e4]):
        s = torch.tensor(scores, dtype=dtype)
        value, grads = power_mean_rank_loss(s, labels, exponent), gradient(s, labels, exponent)
        assert 0 <= float(value) <= 2.01e4
        assert bool(grads.isfinite().all())
    wrong = torch.tensor([1e4, -1e4], dtype=dtype)  # one pair: its own log(1 + e^z) = z, whatever κ
    assert float(power_mean_rank_loss(wrong, labels[:2], exponent)) == pytest.approx(
        float(wrong.double()[0] - wrong.double()[1]), rel=1e-6
    )
    assert gradient(wrong, labels[:2], exponent).tolist() == [1, -1]


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_types(exponent: float) -> None:
    scores, labels = items(30)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        narrow = scores.to(dtype)
        value = power_mean_rank_loss(narrow, labels, exponent)
        wide = power_mean_rank_loss(narrow.double(), labels, exponent)
        assert (value.dtype, wide.dtype) == (torch.float32, torch.float64)
        torch.testing.assert_close(value, wide.float())
        grads = gradient(narrow, labels, exponent)
        assert grads.dtype == dtype
        torch.testing.assert_close(grads, gradient(narrow.double(), labels, exponent).to(dtype))


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_ties_of_scores_count_as_log_two(exponent: float) -> None:
    scores = torch.zeros(6, dtype=torch.float64)
    assert float(power_mean_rank_loss(scores, torch.arange(6), exponent)) == pytest.approx(math.log(2), rel=1e-14)


@pytest.mark.parametrize("labels", [[], [1], [2, 2, 2]])
def test_without_order_it_is_zero_and_warns(labels: list[int]) -> None:
    scores = torch.arange(float(len(labels)), requires_grad=True)
    with pytest.warns(NoDemandedPairsWarning, match="power_mean_rank_loss: .* so no pair is demanded") as seen:
        loss = power_mean_rank_loss(scores, torch.tensor(labels), 0.5)
    assert seen[0].filename == __file__
    assert loss.item() == 0.0
    loss.backward()
    assert torch.equal(scores.grad, torch.zeros_like(scores))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert power_mean_rank_loss(scores, torch.tensor(labels), 0.5, validate=False).item() == 0.0


def test_the_module_warns_once_of_a_batch_without_order() -> None:
    u = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    with pytest.warns(NoDemandedPairsWarning) as seen:
        loss = PowerMeanLoss(exponent=1.0)(u, u.detach() + 1, torch.ones(4))
    assert len(seen) == 1
    assert float(torch.autograd.grad(loss, u)[0].abs().max()) == 0


@pytest.mark.parametrize("exponent", [math.inf, -math.inf, math.nan])
def test_an_exponent_that_is_no_finite_number_is_refused(exponent: float) -> None:
    message = r"exponent \(κ\) must be a finite number, got"
    with pytest.raises(ValueError, match=message):
        power_mean_rank_loss(*items(), exponent)
    with pytest.raises(ValueError, match=message):
        PowerMeanLoss(exponent=exponent)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (torch.tensor([1, 2]), torch.tensor([0, 1]), "scores must be floating point, got torch.int64"),
        (torch.rand(3, 4), torch.rand(3, 4), r"scores must have shape \[n\], got \[3, 4\]"),
        (torch.rand(3), torch.rand(4), r"labels must have the shape of scores, \[3\], got \[4\]"),
        (torch.tensor([0.0, math.nan]), torch.tensor([0, 1]), r"scores must be finite: 1 of 2 are not, .* index 1"),
        (torch.rand(2), torch.tensor([0, math.inf]), r"labels must be finite: 1 of 2 are not, .* index 1 \(inf\)"),
    ],
)
def test_bad_input_is_refused_as_rank_loss_refuses_it(scores: Tensor, labels: Tensor, message: str) -> None:
    for loss in (rank_loss, lambda s, y: power_mean_rank_loss(s, y, 0.5)):
        with pytest.raises(ValueError, match=message):
            loss(scores, labels)
