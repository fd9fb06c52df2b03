"""Losses that push the cosine of each pair towards a target (Chapter 6)."""

import torch.nn.functional as F
from torch import Tensor

from cosent_lib.losses.base import PairLoss, cosine


class CosineEmbeddingLoss(PairLoss):
    """Mean of t·(1 − cos) + (1 − t)·max(0, cos − margin), for labels t.

    ``margin=-1`` is the linear loss t(1 − cos) + (1 − t)(1 + cos), ``margin=0.7`` its patched form, in which negatives
    below the margin are left alone. For t in {0, 1} it equals ``torch.nn.CosineEmbeddingLoss`` with targets 2t − 1;
    a grade between weighs the two parts.

    Args:
        margin: the cosine above which negatives are pushed away, in [−1, 1].

    Raises:
        ValueError: for a margin outside this range.

    Source: Su 2022 (Scientific Spaces 8847), eqs. 1 and 3; Chapter 6.
    """

    def __init__(self, margin: float = 0.7) -> None:
        super().__init__()
        if not -1 <= margin <= 1:
            raise ValueError(f"margin must lie in [-1, 1], the range of a cosine, got {margin}")
        self.margin = margin

    def compute(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        """See the class."""
        c = cosine(u, v)
        t = labels.to(c.dtype)
        return (t * (1 - c) + (1 - t) * (c - self.margin).clamp_min(0)).mean()


class LinearCosineLoss(CosineEmbeddingLoss):
    """Mean of t·(1 − cos) + (1 − t)·(1 + cos), for labels t: :class:`CosineEmbeddingLoss` with margin −1.

    Source: Su 2022 (Scientific Spaces 8847), eq. 1; Chapter 6.
    """

    def __init__(self) -> None:
        super().__init__(margin=-1.0)


class OnlineContrastiveLoss(PairLoss):
    """The contrastive loss on the hard pairs of a batch, with the distance d = 1 − cos; **their sum**, not a mean.

    Hard are the positives farther apart than the closest negatives, d > min d of the negatives, and the negatives
    closer than the farthest positives, d < max d of the positives; with positives or negatives alone, those beyond the
    mean d of their own kind. A hard positive costs d², a hard negative max(0, margin − d)². Labels of ½ and more are
    positives. Equal to sentence-transformers' loss of this name, which its guide advises for labels 0 and 1.

    Args:
        margin: the distance beyond which negatives are left alone, in (0, 2].

    Raises:
        ValueError: for a margin outside this range.

    Source: Hadsell, Chopra & LeCun 2006 for the contrastive loss; Chapter 6.
    """

    def __init__(self, margin: float = 0.5) -> None:
        super().__init__()
        if not 0 < margin <= 2:
            raise ValueError(f"margin must lie in (0, 2], a distance 1 − cos, got {margin}")
        self.margin = margin

    def compute(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        """See the class."""
        distances, is_positive = 1 - cosine(u, v), labels >= 0.5
        positives, negatives = distances[is_positive], distances[~is_positive]
        farthest = positives.max() if positives.numel() else negatives.mean()
        closest = negatives.min() if negatives.numel() else positives.mean()
        # asked the other way round, so that a cosine that is not a number is hard, and the loss is none either
        hard_positives, hard_negatives = positives[~(positives <= closest)], negatives[~(negatives >= farthest)]
        return hard_positives.square().sum() + F.relu(self.margin - hard_negatives).square().sum()


class CosineSimilarityLoss(PairLoss):
    """Mean squared error (cos − t)² between cosine and label.

    For t in {0, 1} this is t(1 − cos)² + (1 − t)·cos², eq. 2 of Su 2022 (Scientific Spaces 8847); for grades that form
    differs from it by t(1 − t) only, which has no gradient. Reimers & Gurevych 2019 (arXiv 1908.10084), "regression
    objective". Chapter 6.
    """

    def compute(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        """See the class."""
        c = cosine(u, v)
        return F.mse_loss(c, labels.to(c.dtype))
