r"""One dial between losses that rank: the logarithm of a power mean over the demanded pairs.

.. math:: L_\kappa(s, y) = \frac1\kappa \log\Bigl(\frac1P \sum_{y_i < y_j} \bigl(1 + e^{s_i - s_j}\bigr)^\kappa\Bigr)

With κ = 1 it is the logarithm of the sum, CoSENT's :func:`cosent_lib.ranking.rank_loss` with Σ/P in the place of Σ; at
κ → 0 it is the mean of the logarithms, RankNet; with κ = −1 it is −log of the mean of σ(s_j − s_i), which is the share
of pairs in right order with the step made smooth. It never falls as κ grows (Hardy, Littlewood & Pólya 1934, theorem
16). A demanded pair with z = s_i − s_j pulls in proportion to (1 + e^z)^κ·σ(z): for z ≪ 0 this fades as e^z whatever
κ is, for z ≫ 0 it grows as e^{κz}. So the scale says how fast pairs in right order are left alone, and κ how much
more a pair counts the more it is wrong. Chapter 9.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from cosent_lib.ranking import compute_dtype


def power_mean_rank_loss(scores: Tensor, labels: Tensor, exponent: float) -> Tensor:
    """Return log of the power mean, with exponent κ, of 1 + e^{s_i − s_j} over the pairs with y_i < y_j.

    Time and memory grow with the number of demanded pairs, at most n²/2. Convex in the scores for κ ≥ 0 only.

    Args:
        scores: floating point, shape ``[n]``; λ·cos(u, v), say.
        labels: real numbers, shape ``[n]``; only their order counts.
        exponent: κ, any finite number; 0 is the limit, the mean of log(1 + e^{s_i − s_j}).

    Returns:
        Scalar ≥ 0: float64 for float64 scores, float32 for any narrower type. Exactly 0, with zero gradients, when no
        pair is demanded.

    Raises:
        ValueError: for an exponent that is not finite.

    Source: Chapter 9.
    """
    if not math.isfinite(exponent):
        raise ValueError(f"exponent (κ) must be a finite number, got {exponent}")
    low, high = (labels[:, None] < labels[None, :]).nonzero(as_tuple=True)
    result = torch.float64 if scores.dtype == torch.float64 else torch.float32
    if low.numel() == 0:
        return scores.sum().to(result) * 0
    s = scores.to(compute_dtype(scores))
    terms = F.softplus(s[low] - s[high])  # log(1 + e^z), never overflowing
    if exponent == 0:
        return terms.mean().to(result)
    return (((exponent * terms).logsumexp(0) - math.log(low.numel())) / exponent).to(result)
