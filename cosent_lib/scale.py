"""Which λ suits given cosines: a convex problem in one variable."""

import math

import torch
from scipy.optimize import brentq
from torch import Tensor

from cosent_lib.ranking import group_bounds, rank_loss


def suggest_scale(cosines: Tensor, labels: Tensor) -> float:
    r"""Return the λ that minimises log(Σ/P), the logarithm of the mean of e^{λ(c_i − c_j)} over the demanded pairs.

    It is the λ with the smallest bound on the share of pairs in wrong order, for cosines as they are. If the log-odds
    of label 1 are β·cos + const, it tends to β/2 in large samples: noisier labels mean a smaller λ.

    Args:
        cosines: of validation pairs, shape ``[n]``.
        labels: their labels, shape ``[n]``; only the order counts.

    Returns:
        λ > 0; infinite when no pair is in wrong order, for then a larger λ is always better.

    Raises:
        ValueError: when no λ > 0 helps, because the mean cosine difference of the demanded pairs has the wrong sign or
            is 0; and for input that :func:`rank_loss` refuses.

    Source: Chapter 8.
    """
    c = cosines.detach().double()
    if c.numel() < 2 or labels.numel() < 2 or bool((labels == labels[0]).all()):
        raise ValueError(f"the labels of {labels.numel()} pairs demand no order, so no λ is better than another")
    rank_loss(c, labels)  # refuses what is not a score or a label
    if _is_ordered(c, labels):
        return math.inf

    def slope(scale: float) -> float:
        """The derivative of log Σ in λ up to a positive factor: Σ p_ij (c_i − c_j)."""
        s = (scale * c).requires_grad_()
        (gradient,) = torch.autograd.grad(rank_loss(s, labels, validate=False), s)
        return float(gradient @ c)

    if slope(0.0) >= 0:
        raise ValueError("the cosines do not follow the labels: on average the lower label has the larger cosine")
    high = 1.0
    while slope(high) < 0:
        high *= 2
    return float(brentq(slope, 0.0, high, xtol=1e-10, rtol=1e-12))


def _is_ordered(cosines: Tensor, labels: Tensor) -> bool:
    """Whether no pair is in wrong order, ties allowed: no lower label has a larger cosine."""
    order = labels.argsort()
    c, (first, _) = cosines[order], group_bounds(labels[order])
    lower = torch.cat([c.new_full((1,), -math.inf), c.cummax(0).values])[first]  # the largest of all lower levels
    return bool((lower <= c).all())
