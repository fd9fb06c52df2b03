r"""One dial between losses that rank: the logarithm of a power mean over the demanded pairs.

.. math:: L_\kappa(s, y) = \frac1\kappa \log\Bigl(\frac1P \sum_{y_i < y_j} \bigl(1 + e^{s_i - s_j}\bigr)^\kappa\Bigr)

With κ = 1 it is the logarithm of the sum, CoSENT's :func:`cosent_lib.rank_loss` with Σ/P in the place of Σ; at
κ → 0 it is the mean of the logarithms, RankNet; with κ = −1 it is −log of the mean of σ(s_j − s_i), which is the share
of pairs in right order with the step made smooth. It never falls as κ grows (Hardy, Littlewood & Pólya 1934, theorem
16). A demanded pair with z = s_i − s_j pulls in proportion to (1 + e^z)^κ·σ(z): for z ≪ 0 this fades as e^z whatever
κ is, for z ≫ 0 it grows as e^{κz}. So the scale says how fast pairs in right order are left alone, and κ how much
more a pair counts the more it is wrong. Chapter 10.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from cosent_lib.ranking.rank_loss import check_form, check_values, compute_dtype, demanded_pairs

NEAR_ZERO = 0.01  # for |κ| below this, expm1 where that is the more exact way: log P / κ would cancel


def power_mean_rank_loss(scores: Tensor, labels: Tensor, exponent: float, *, validate: bool = True) -> Tensor:
    """The logarithm of the power mean, with exponent κ, of 1 + e^{s_i − s_j} over the pairs with y_i < y_j.

    Time and memory grow with the number of demanded pairs, at most n²/2. Convex in the scores for κ ≥ 0 only.

    Args:
        scores: floating point, shape ``[n]``; λ·cos(u, v), say.
        labels: real numbers, shape ``[n]``; only their order counts.
        exponent: κ, any finite number; 0 is the limit, the mean of log(1 + e^{s_i − s_j}).
        validate: check values, and warn when no pair is demanded.

    Returns:
        Scalar ≥ 0: float64 for float64 scores, float32 for any narrower type. Exactly 0, with zero gradients, when no
        pair is demanded.

    Raises:
        ValueError: for an exponent that is not finite; with ``validate``, for scores that are not floating point,
            wrong shapes, or non-finite values, as :func:`cosent_lib.rank_loss` does.

    Warns:
        NoDemandedPairsWarning: with ``validate``, when no pair is demanded.

    Example:
        >>> scores, labels = torch.tensor([3.0, 1.0, 2.0]), torch.tensor([0, 1, 1])
        >>> [round(float(power_mean_rank_loss(scores, labels, exponent)), 3) for exponent in (-1, 0, 1)]
        [1.64, 1.72, 1.801]

    Source: Chapter 10.
    """
    if not math.isfinite(exponent):
        raise ValueError(f"exponent (κ) must be a finite number, got {exponent}")
    if validate:
        check_form(scores, labels)
        check_values(scores.detach(), labels, "power_mean_rank_loss")
    low, high = demanded_pairs(labels)
    result = torch.float64 if scores.dtype == torch.float64 else torch.float32
    if low.numel() == 0:
        return scores.sum().to(result) * 0
    s = scores.to(compute_dtype(scores))
    exact_up_to = 700 if result == torch.float64 else 20  # beyond it softplus gives z itself, 2e-9 less above 20
    terms = F.softplus(s[low] - s[high], threshold=exact_up_to)  # log(1 + e^z), never overflowing
    return _log_power_mean(terms, exponent).to(result)


def _log_power_mean(terms: Tensor, exponent: float) -> Tensor:
    """The logarithm of e^terms' power mean, ``terms: [pairs]``: log(mean of e^{κ·terms})/κ; their mean at κ = 0."""
    if abs(exponent) < 1e-100:  # κ·terms would leave the normal numbers; the difference is κ/2 times their variance
        return terms.mean()
    powers = exponent * terms
    if abs(exponent) < NEAR_ZERO and float(powers.detach().abs().max()) < 1:
        return powers.expm1().mean().log1p() / exponent
    return (powers.logsumexp(0) - math.log(terms.numel())) / exponent
