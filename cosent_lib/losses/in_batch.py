"""In-batch negatives: the items of a batch are the answers to each other's questions."""

import math
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor

from cosent_lib.losses.base import Maybe, unit
from cosent_lib.losses.order import ScaledLoss
from cosent_lib.ranking.rank_loss import NoDemandedPairsWarning


class MultipleNegativesRankingLoss(ScaledLoss):
    """InfoNCE over the batch: each positive pair's own v against every v of the batch, u by u.

    Pairs labelled ≥ ½ are the positives, and only their u ask; the second sentences of the others serve as candidates
    for them, their first sentences take no part. What is known to be right is no negative: neither a candidate whose
    text is that of the pair's own v, nor the v of another positive pair with the same u. A batch without positives, or
    without negatives, gives 0 with zero gradients, and warns.

    Args:
        scale: λ, a positive number.
        learn_scale: see :class:`ScaledLoss`.
        equal_are_negatives: count such candidates as negatives all the same, as the usual form does. A perfect encoder
            then has a loss above zero wherever an answer stands twice in a batch.

    Source: Henderson et al. 2017 (arXiv 1705.00652); van den Oord et al. 2018 (arXiv 1807.03748); Chapter 13.
    """

    needs_targets = True
    lacking = "held no pair labelled 0.5 or more that has a negative"

    def __init__(self, scale: float = 20.0, learn_scale: bool = False, equal_are_negatives: bool = False) -> None:
        super().__init__(scale, learn_scale)
        self.equal_are_negatives = equal_are_negatives
        self.needs_texts = not equal_are_negatives

    def teaches(self, labels: Tensor, texts: Tensor | None = None, segments: Tensor | None = None) -> bool:
        """See :meth:`PairLoss.teaches`: here, whether there is a positive pair that has a negative."""
        own = (labels >= 0.5).nonzero().flatten()
        known = None if texts is None or not self.needs_texts else _known_right(own, labels, texts)
        return own.numel() * (len(labels) - 1) > (0 if known is None else int(known.sum()))

    def compare(self, u: Tensor, v: Tensor, labels: Tensor, texts: Maybe, segments: Maybe = None) -> Tensor:
        """See the class."""
        own = (labels >= 0.5).nonzero().flatten()
        unit_u, unit_v = unit(u), unit(v)
        if not self.teaches(labels, texts):
            lacking = "no pair labelled 0.5 or more that has a negative, a candidate not known to be right"
            message = f"MultipleNegativesRankingLoss: {lacking}, so the loss is 0 with zero gradients"
            warnings.warn(message, NoDemandedPairsWarning, stacklevel=4)
            return (unit_u.sum() + unit_v.sum()) * 0
        known = None if texts is None else _known_right(own, labels, texts)
        with torch.autocast(u.device.type, enabled=False):  # a bf16 product would round the cosines
            similarities = unit_u[own] @ unit_v.T  # [positives, batch]
        logits = self.scaled(similarities)
        return F.cross_entropy(logits if known is None else logits.masked_fill(known, -math.inf), own)


def _known_right(own: Tensor, labels: Tensor, texts: Tensor) -> Tensor:
    """Which candidates, beside its own, are known to be right for a positive pair's u: bool ``[positives, batch]``."""
    first, second = texts.T
    known = (second[own, None] == second) | ((first[own, None] == first) & (labels >= 0.5))
    known[torch.arange(len(own), device=own.device), own] = False
    return known
