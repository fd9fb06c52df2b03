"""suggest_scale against a scalar minimiser on the brute-force objective, and against what theory says."""

import math

import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from cosent_lib.losses import suggest_scale


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
