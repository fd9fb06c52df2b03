"""suggest_scale and its reasons against a scalar minimiser, brute force over pairs, and what theory says."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize, minimize_scalar
from torch import Tensor

from cosent_lib.ranking.scale import NoScaleHelps, half_slope, scale_report, suggest_scale


def log_mean_term(scale: float, cosines: Tensor, labels: Tensor) -> float:
    differences = (cosines[:, None] - cosines[None, :])[labels[:, None] < labels[None, :]]
    return float(torch.logsumexp(scale * differences, 0) - math.log(differences.numel()))


@pytest.mark.parametrize("levels", [2, 5, 1000])
@pytest.mark.parametrize("noise", [0.1, 0.3, 1.0])
def test_is_the_minimum_of_the_objective(levels: int, noise: float) -> None:
    generator = torch.Generator().manual_seed(levels)
    labels = torch.randint(0, levels, (120,), generator=generator)
    cosines = (0.6 * labels / levels + noise * torch.randn(120, generator=generator)).clamp(-1, 1).double()
    best = minimize_scalar(lambda x: log_mean_term(x, cosines, labels), bounds=(0, 2000), method="bounded")
    assert log_mean_term(suggest_scale(cosines, labels), cosines, labels) <= best.fun + 1e-9
    assert suggest_scale(cosines, labels) == pytest.approx(best.x, rel=1e-3)


def test_is_half_the_logistic_slope_in_large_samples() -> None:
    # Cosines normal with one variance in both classes: log-odds slope β = gap/variance, and λ* = β/2 exactly.
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(400_000) % 2
    cosines = 0.3 + 0.1 * labels + 0.15 * torch.randn(400_000, generator=generator, dtype=torch.float64)
    assert suggest_scale(cosines, labels) == pytest.approx(0.1 / 0.15**2 / 2, rel=0.03)


def test_scales_inversely_with_the_cosines() -> None:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 2, (300,), generator=generator)
    cosines = 0.2 * labels + 0.2 * torch.randn(300, generator=generator, dtype=torch.float64)
    assert suggest_scale(cosines / 3, labels) == pytest.approx(3 * suggest_scale(cosines, labels), rel=1e-6)


def test_perfect_order_has_no_finite_optimum() -> None:
    assert suggest_scale(torch.tensor([0.1, 0.2, 0.5]), torch.tensor([0, 0, 1])) == math.inf
    assert suggest_scale(torch.tensor([0.1, 0.1, 0.9]), torch.tensor([0, 1, 1])) == math.inf  # a tie is no inversion
    close = torch.linspace(0, 1, 100_001)
    assert suggest_scale(close, (close > 0.5).long()) == math.inf
    assert suggest_scale(close, torch.arange(100_001)) == math.inf


def test_what_no_scale_can_help_is_refused() -> None:
    with pytest.raises(ValueError, match="the cosines do not follow the labels"):
        suggest_scale(torch.tensor([0.9, 0.1]), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="demand no order"):
        suggest_scale(torch.tensor([0.9, 0.1]), torch.tensor([1, 1]))
    with pytest.raises(ValueError, match="demand no order"):
        suggest_scale(torch.tensor([0.9, 0.1]), torch.tensor([]))
    with pytest.raises(ValueError, match="scores must be finite"):
        suggest_scale(torch.tensor([math.nan, 0.1]), torch.tensor([0, 1]))


# --- the reasons -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_bounds_and_shares_against_all_pairs(levels: int) -> None:
    generator = torch.Generator().manual_seed(levels)
    labels = torch.randint(0, levels, (90,), generator=generator) / (levels - 1)
    cosines = (0.5 * labels + 0.3 * torch.randn(90, generator=generator)).double()
    report = scale_report(cosines, labels)
    differences = (cosines[:, None] - cosines[None, :])[labels[:, None] < labels[None, :]]
    assert list(report.log_bounds) == [suggest_scale(cosines, labels), 20.0]
    for scale, bound in report.log_bounds.items():
        terms = (scale * differences).exp()
        assert bound == pytest.approx(log_mean_term(scale, cosines, labels), abs=1e-12)
        share = terms.sum() ** 2 / (terms.square().sum() * terms.numel())
        assert report.effective_shares[scale] == pytest.approx(float(share), rel=1e-9)


def test_labels_are_in_any_order_and_of_any_type() -> None:
    cosines, labels = torch.tensor([0.9, 0.2, 0.4, 0.5, 0.7]), torch.tensor([1, 0, 1, 0, 0])
    rows = torch.tensor([3, 0, 4, 2, 1])
    report = scale_report(cosines, labels)
    assert report.scale == pytest.approx(suggest_scale(cosines[rows], labels[rows].float()), rel=1e-9)
    assert list(report.half_slopes) == [0.5]


def test_half_slope_is_that_of_an_unpenalised_logistic_regression() -> None:
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(0, 6, (400,), generator=generator) / 5
    cosines = 0.2 * labels + 0.1 * torch.randn(400, generator=generator, dtype=torch.float64)
    report = scale_report(cosines, labels)
    assert list(report.half_slopes) == [0.3, 0.5, 0.7]
    for cut, half in report.half_slopes.items():
        sign = 2 * (labels > cut).double().numpy() - 1

        def loss(x, sign=sign):
            return torch.nn.functional.softplus(torch.from_numpy(-sign * (x[0] * cosines.numpy() + x[1]))).mean()

        assert half == pytest.approx(minimize(loss, [1.0, 0.0], tol=1e-12).x[0] / 2, rel=1e-3)


def test_cuts_that_part_the_labels_alike_are_shown_once() -> None:
    cosines = torch.tensor([0.1, 0.5, 0.3, 0.6, 0.4, 0.9])
    report = scale_report(cosines, torch.tensor([0, 0, 0.5, 0.5, 1, 1]))
    assert list(report.half_slopes) == [0.3, 0.5]  # 0.5 and 0.7 part them alike
    assert list(scale_report(cosines, torch.tensor([0, 0, 0.1, 0.1, 1, 1])).half_slopes) == [0.3]


def test_separated_sides_have_an_infinite_slope() -> None:
    cosines, ones = torch.tensor([0.1, 0.2, 0.2, 0.4]).double(), torch.tensor([False, False, True, True])
    assert half_slope(cosines, ones) == math.inf
    assert half_slope(cosines, ~ones) == -math.inf


def test_ordered_pairs_are_reported_at_the_customary_scale_only() -> None:
    report = scale_report(torch.tensor([0.1, 0.2, 0.5]), torch.tensor([0, 0, 1]))
    assert report.scale == math.inf
    mean = (math.exp(-8) + math.exp(-6)) / 2
    assert report.log_bounds == {20.0: pytest.approx(math.log(mean), rel=1e-6)}
    assert report.half_slopes == {0.5: math.inf}


def test_wrong_order_is_an_error_of_the_report_too() -> None:
    with pytest.raises(ValueError, match="the cosines do not follow the labels"):
        scale_report(torch.tensor([0.9, 0.1]), torch.tensor([0, 1]))


# --- the interval ----------------------------------------------------------------------------------------------------


def noisy(size: int, seed: int, levels: int = 2, gap: float = 0.1, noise: float = 0.15) -> tuple[Tensor, Tensor]:
    """Cosines that are normal around each label's mean: with two levels the λ of the population is gap/noise²/2."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, levels, (size,), generator=generator).double() / (levels - 1)
    return 0.3 + gap * labels + noise * torch.randn(size, generator=generator, dtype=torch.float64), labels


@pytest.mark.parametrize(("levels", "factor"), [(2, 1), (5, 0.02), (10_000, 30)])
def test_the_interval_is_that_of_samples_drawn_and_solved_one_by_one(levels: int, factor: float) -> None:
    cosines, labels = noisy(200, seed=levels, levels=levels, gap=0.1 if levels < 10 else 0.3)
    cosines, scales = cosines * factor, []  # λ from 0.1 to 100
    generator = torch.Generator().manual_seed(9)
    for _ in range(200):
        rows = torch.randint(200, (200,), generator=generator)
        scales.append(suggest_scale(cosines[rows], labels[rows]))
    low, high = scale_report(cosines, labels, resamples=1000).interval
    scales.sort()
    assert (low, high) == (pytest.approx(scales[4], rel=0.15), pytest.approx(scales[-5], rel=0.15))


def test_the_interval_holds_the_scale_of_the_population_about_as_often_as_it_says() -> None:
    truth = 0.1 / 0.15**2 / 2
    intervals = [scale_report(*noisy(300, seed)).interval for seed in range(60)]
    assert 51 <= sum(low <= truth <= high for low, high in intervals) <= 60
    assert 1.5 < sorted(high / low for low, high in intervals)[30] < 3  # with 300 pairs a factor of about two


def test_the_interval_narrows_with_pairs_and_is_the_same_for_the_same_seed() -> None:
    few, many = (scale_report(*noisy(size, 1)).interval for size in (200, 5000))
    assert many[1] / many[0] < few[1] / few[0]
    assert few == scale_report(*noisy(200, 1)).interval != scale_report(*noisy(200, 1), seed=1).interval


def test_samples_in_order_or_against_the_labels_are_the_ends_of_an_interval() -> None:
    cosines, labels = torch.tensor([0.1, 0.2, 0.3, 0.25, 0.5, 0.6]).double(), torch.tensor([0, 0, 0, 1, 1, 1])
    assert scale_report(cosines, labels).interval[1] == math.inf  # most samples lack the one pair in wrong order
    low, high = scale_report(*noisy(60, 3, gap=0.02)).interval
    assert low == 0 < high


def test_no_interval_where_there_is_none_to_give() -> None:
    assert scale_report(torch.tensor([0.1, 0.2, 0.5]), torch.tensor([0, 0, 1])).interval is None  # λ is infinite
    assert scale_report(*noisy(50, 1), resamples=0).interval is None
    cosines = torch.linspace(0, 1, 2000).double()
    labels = (cosines > 0.5).long()
    labels[[999, 1000]] = labels[[1000, 999]]  # one pair of neighbours in wrong order: λ of thousands
    report = scale_report(cosines, labels)
    assert 600 < report.scale < math.inf
    assert report.interval is None


@pytest.mark.parametrize("loss", ["cosent", "ranknet"])
def test_equal_cosines_choose_no_scale(loss: str) -> None:
    with pytest.raises(NoScaleHelps, match="cosines of all pairs to be compared are equal"):
        suggest_scale([0.1, 0.1, 0.1], [0, 1, 1], loss)
    assert suggest_scale([0.1, 0.1, 0.2], [0, 1, 1], loss) == math.inf  # a tie and a pair in order


def test_lists_keep_the_digits_of_their_numbers() -> None:
    cosines = [0.9, 0.9 + 2e-9, 0.9 + 1e-9, 0.9 + 3e-9]
    assert suggest_scale(cosines, [0, 0, 1, 1]) == suggest_scale(np.array(cosines), [0, 0, 1, 1]) > 1e6


@pytest.mark.parametrize("customary", [math.nan, math.inf, 0, -1.0, "20"])
def test_a_customary_scale_that_is_none_is_refused(customary: Any) -> None:
    with pytest.raises(ValueError, match="customary must be a positive finite number"):
        scale_report([0.1, 0.3, 0.2], [0, 1, 0], customary)
