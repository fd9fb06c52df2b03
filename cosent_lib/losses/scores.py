"""Losses over the scores of a cross-encoder, which reads both texts of a pair and gives one number.

The same ideas as over cosines, without a cosine: what bounds it there (λ) is free here, since a head can learn any
scale.
"""

import torch.nn.functional as F
from torch import Tensor

from cosent_lib.losses.base import Maybe, PairLoss, check_targets
from cosent_lib.losses.order import ScaledLoss, mean_logistic
from cosent_lib.ranking.rank_loss import rank_loss


class ScoreLoss(PairLoss):
    """A loss over scores of labelled pairs; what those below share."""

    takes_scores = True

    def forward(  # type: ignore[override]
        self, scores: Tensor, labels: Tensor, texts: Maybe = None, segments: Maybe = None
    ) -> Tensor:
        """Return the loss, a scalar.

        Args:
            scores: logits of pairs, ``[batch]``.
            labels: ``[batch]``, in [0, 1] where the loss needs targets.
            texts: passed over.
            segments: as for :meth:`PairLoss.forward`.

        Raises:
            ValueError: as for :meth:`PairLoss.forward`.
        """
        if not scores.is_floating_point():
            raise ValueError(f"scores must be floating point, got {scores.dtype}: convert them with scores.float()")
        if scores.dim() != 1 or labels.shape != scores.shape:
            raise ValueError(f"scores and labels must have shape [batch], got {[*scores.shape]} and {[*labels.shape]}")
        if self.needs_targets:
            check_targets(labels)
        if segments is not None:
            self.check_segments()
        return self.of_scores(scores.float() if scores.dtype.itemsize < 4 else scores, labels, segments)

    def of_scores(self, scores: Tensor, labels: Tensor, segments: Maybe) -> Tensor:
        """Return the loss of checked scores; what a subclass defines."""
        raise NotImplementedError


class BinaryCrossEntropyLoss(ScoreLoss):
    """Mean of −y·log σ(s) − (1 − y)·log(1 − σ(s)): each pair for itself, the label as a probability.

    Source: Su 2022 (Scientific Spaces 9341), as the rival; Chapter 12.
    """

    def of_scores(self, scores: Tensor, labels: Tensor, segments: Maybe) -> Tensor:
        """See the class."""
        return F.binary_cross_entropy_with_logits(scores, labels.to(scores))


class MeanSquaredErrorLoss(ScoreLoss):
    """Mean of (s − y)²: regression, as STS-B is customarily trained in GLUE (Devlin et al. 2019). Chapter 12."""

    def of_scores(self, scores: Tensor, labels: Tensor, segments: Maybe) -> Tensor:
        """See the class."""
        return F.mse_loss(scores, labels.to(scores))


class ScoreRankingLoss(ScoreLoss, ScaledLoss):
    """CoSENT for cross-encoders: :func:`cosent_lib.rank_loss` of λ·s, with λ = 1 unless given.

    Labels may be any real numbers: only their order counts. Adding a constant to all scores changes nothing, so that
    no threshold comes with them: it is fitted afterwards.

    Args:
        scale: λ.
        learn_scale: train λ too.

    Source: Su 2022 (Scientific Spaces 9341); Chapter 12.
    """

    needs_order = True
    needs_targets = False
    is_rank_loss = True
    by_segment = True

    def __init__(self, scale: float = 1.0, learn_scale: bool = False) -> None:
        super().__init__(scale, learn_scale)

    def of_scores(self, scores: Tensor, labels: Tensor, segments: Maybe) -> Tensor:
        """See the class."""
        return rank_loss(self.scaled(scores), labels, segments=segments)


class ScoreLogisticLoss(ScoreLoss, ScaledLoss):
    """RankNet for cross-encoders: the mean of log(1 + e^{λ(s_i − s_j)}) over the demanded pairs.

    Args:
        scale: λ.
        learn_scale: train λ too.

    Source: Burges et al. 2005; Chapter 12.
    """

    needs_order = True
    needs_targets = False

    def __init__(self, scale: float = 1.0, learn_scale: bool = False) -> None:
        super().__init__(scale, learn_scale)

    def of_scores(self, scores: Tensor, labels: Tensor, segments: Maybe) -> Tensor:
        """See the class."""
        return mean_logistic(self.scaled(scores), labels, "ScoreLogisticLoss")
