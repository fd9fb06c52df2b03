"""Losses on the order of scaled similarities: CoSENT and its relatives, on :mod:`cosent_lib.ranking.rank_loss`."""

import math
from collections.abc import Callable
from typing import Any, Self

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from cosent_lib.losses.base import Maybe, PairLoss, cosine, unit
from cosent_lib.ranking.power_mean import power_mean_rank_loss
from cosent_lib.ranking.rank_loss import check_values, compute_dtype, demanded_pairs, rank_loss
from cosent_lib.ranking.scale import NoScaleHelps, suggest_scale

SCALE_RULES = ("suggested", "followed")  # a λ computed from validation pairs once, or again at each validation


class ScaledLoss(PairLoss):
    """A loss on λ·similarity.

    Args:
        scale: λ, the inverse temperature; positive. Or, where the loss has one, a rule by which
            :func:`cosent_lib.train` computes it from cosines of validation pairs: ``"suggested"``, once before the
            first step; ``"followed"``, again at each validation.
        learn_scale: train λ with the encoder (as its logarithm, so that it stays positive).
        objective: which objective of :func:`cosent_lib.suggest_scale` a rule minimises; None where there is none.

    Raises:
        ValueError: for a scale that is neither a positive finite number nor a rule of this loss.
    """

    needs_targets = False

    def __init__(self, scale: float | str = 20.0, learn_scale: bool = False, objective: str | None = None) -> None:
        super().__init__()
        self.scale_rule = scale if isinstance(scale, str) else None
        self._given_scale, self._objective, self.learn_scale = scale, objective, learn_scale
        if self.scale_rule is not None and (self.scale_rule not in SCALE_RULES or objective is None):
            rules = f", or {' or '.join(SCALE_RULES)}" if objective is not None else ""
            raise ValueError(f"scale (λ) must be a positive finite number{rules}, got {self.scale_rule!r}")
        if self.scale_rule is not None and learn_scale:
            fixed = f"a scale that is {self.scale_rule} is not learned"
            raise ValueError(f"{fixed}: leave learn_scale out, or give a number")
        # On the CPU wherever the vectors are (see _apply): a number of 0 dimensions multiplies on every device.
        self.register_buffer("_scale", torch.tensor(math.nan, dtype=torch.float64))
        self.log_scale: nn.Parameter | None = None
        if not isinstance(scale, str):
            self.scale = scale
        if learn_scale:
            self.log_scale = nn.Parameter(torch.tensor(math.log(self.scale)))

    _scale: Tensor

    @property
    def scale(self) -> float:
        """λ as it is now; NaN where a rule has not computed it yet. Can be set."""
        return float(self._scale) if self.log_scale is None else math.exp(float(self.log_scale.detach()))

    @scale.setter
    def scale(self, value: float) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not (0 < value < math.inf):
            raise ValueError(f"scale (λ) must be a positive finite number, got {value!r}")
        if self.log_scale is not None:
            self.log_scale.data.fill_(math.log(value))
        self._scale.fill_(float(value))

    def fit_scale(self, cosines: Tensor | ArrayLike, labels: Tensor | ArrayLike) -> float:
        """Set λ to what the loss's rule computes from cosines ``[n]`` of pairs with ``labels: [n]``, and return it.

        A loss that has a λ keeps it where the cosines let none be the best: in perfect order, or against the labels.

        Raises:
            ValueError: the same where there is no λ yet; from :func:`cosent_lib.suggest_scale`; no rule.
        """
        if self._objective is None:
            raise ValueError(f"{type(self).__name__} has no rule for its scale; give a number")
        try:
            best = suggest_scale(cosines, labels, self._objective)
        except NoScaleHelps:
            best = math.inf
            if math.isnan(self.scale):
                raise
        if math.isfinite(best):
            self.scale = best
        elif math.isnan(self.scale):
            raise ValueError("no pair is in wrong order, so no finite scale is best; give a number")
        return self.scale

    def scaled(self, similarity: Tensor) -> Tensor:
        """Return λ·similarity, with a gradient to λ where it is learned."""
        if self.log_scale is not None:
            return similarity * self.log_scale.exp().to(similarity.dtype)
        if self.scale_rule is not None and bool(self._scale.isnan()):
            raise ValueError(
                f"the scale of this {type(self).__name__} is to be {self.scale_rule}: train() computes it from "
                "validation pairs; elsewhere call fit_scale(cosines, labels), or set scale to a number"
            )
        return similarity * self._scale.to(similarity.dtype)

    def given(self) -> dict[str, Any]:
        """See :meth:`PairLoss.given`: here with the scale, number or rule, that it began with."""
        return super().given() | {"scale": self._given_scale}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move parameters and sub-modules, not the scale: reading it must not wait for a device."""
        scale = self._buffers.pop("_scale")
        super()._apply(fn, recurse)
        self._buffers["_scale"] = scale
        return self


class CoSENTLoss(ScaledLoss):
    """CoSENT: :func:`cosent_lib.rank_loss` of the scores λ·(cos(u, v) − margin·label).

    Labels may be any real numbers: only their order counts (and, with a margin, their distances).

    Args:
        scale: λ, customarily 20; or ``"suggested"`` or ``"followed"``, see :class:`ScaledLoss`.
        margin: demanded gap of cosines for a label gap of 1; not negative.
        learn_scale: train λ too.
        flat: leave the 1 out, log Σ instead of log(1 + Σ), so that the gradient does not fade however well a batch is
            ordered (the form of FlatNCE, Chen et al. 2021, arXiv 2107.01152). The value may be negative.
        group: a ``torch.distributed`` process group, for a training loop of your own: the loss is that of all ranks'
            batches together, see :func:`cosent_lib.rank_loss`, and DDP, which averages gradients over W ranks, needs it
            multiplied by W. :func:`cosent_lib.train` sees to this by itself. Not with ``flat``.

    Raises:
        ValueError: for a scale or a margin outside its range.

    Source: Su 2022 (Scientific Spaces 8847); Huang et al. 2024 (doi 10.1109/TASLP.2024.3402087); Chapters 8 and 13.
    """

    needs_order = True
    by_segment = True

    def __init__(
        self,
        scale: float | str = 20.0,
        margin: float = 0.0,
        learn_scale: bool = False,
        flat: bool = False,
        *,
        group: ProcessGroup | None = None,
    ) -> None:
        super().__init__(scale, learn_scale, "cosent")
        if flat and group is not None:
            raise ValueError("flat is not computed across a process group: leave one of them out")
        if not (margin >= 0 and math.isfinite(margin)):
            raise ValueError(f"margin must be a finite number >= 0, got {margin}")
        self.margin, self.flat = margin, flat
        self.is_rank_loss = self.exchanges = not flat
        self.group = group

    def compare(self, u: Tensor, v: Tensor, labels: Tensor, texts: Maybe, segments: Maybe = None) -> Tensor:
        """See the class."""
        c = cosine(u, v)
        if self.margin:
            c = c - self.margin * labels.to(c.dtype)
        if self.flat and segments is not None:
            raise ValueError("flat is not computed query by query: leave it out, or the segments")
        if self.flat and self.teaches(labels):
            return self._log_sum(self.scaled(c).to(compute_dtype(c)), labels).to(c.dtype)
        return rank_loss(self.scaled(c), labels, segments=segments, group=self.group)

    def _log_sum(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return log Σ, from log(1 + Σ) as long as float64 has room for a Σ so small, else from the pairs."""
        loss = rank_loss(scores, labels)
        if float(loss.detach()) > 1e-200:
            return loss + (-torch.expm1(-loss)).log()  # log(e^L − 1), never overflowing
        low, high = demanded_pairs(labels)
        return (scores[low] - scores[high]).logsumexp(0)


class PairwiseLogisticLoss(ScaledLoss):
    """RankNet on cosines: the mean of log(1 + e^{λ(cos_i − cos_j)}) over the demanded pairs y_i < y_j.

    Where CoSENT takes the logarithm of the sum, this takes the mean of the logarithms. Time and memory grow with the
    number of demanded pairs, at most batch²/2. Without any, it is 0 with zero gradients, and warns.

    Args:
        scale: λ, a number or a rule, see :class:`ScaledLoss`.
        learn_scale: train λ too.

    Raises:
        ValueError: for a scale outside its range.

    Source: Burges et al. 2005 (RankNet); Rendle et al. 2009 (BPR, arXiv 1205.2618); Chapter 8.
    """

    needs_order = True

    def __init__(self, scale: float | str = 20.0, learn_scale: bool = False) -> None:
        super().__init__(scale, learn_scale, "ranknet")

    def compute(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        """See the class."""
        return mean_logistic(self.scaled(cosine(u, v)), labels, "PairwiseLogisticLoss")


def mean_logistic(scores: Tensor, labels: Tensor, loss: str) -> Tensor:
    """The mean of log(1 + e^{s_i − s_j}) over the demanded pairs of ``scores`` ``[n]``; ``loss`` names it in errors."""
    check_values(scores.detach(), labels, loss)
    low, high = demanded_pairs(labels)
    if low.numel() == 0:
        return scores.sum() * 0
    return F.softplus(scores[low] - scores[high]).mean()


class PowerMeanLoss(ScaledLoss):
    """:func:`cosent_lib.power_mean_rank_loss` of λ·cos(u, v): a dial from CoSENT to RankNet and beyond.

    Time and memory grow with the number of demanded pairs, at most batch²/2. Without any, it is 0 with zero gradients,
    and warns.

    Args:
        scale: λ: how fast pairs in right order are left alone. A rule (see :class:`ScaledLoss`) for κ = 0 and 1 only.
        exponent: κ: 1 is the logarithm of the mean (CoSENT's form), 0 the mean of the logarithms (RankNet), −1 the
            logarithm of the smoothed share of pairs in right order.
        learn_scale: train λ too.

    Raises:
        ValueError: for a scale or an exponent outside its range.

    Source: Chapter 10.
    """

    needs_order = True

    def __init__(self, scale: float | str = 20.0, exponent: float = 0.0, learn_scale: bool = False) -> None:
        if not math.isfinite(exponent):
            raise ValueError(f"exponent (κ) must be a finite number, got {exponent}")
        super().__init__(scale, learn_scale, {0.0: "ranknet", 1.0: "cosent"}.get(exponent))
        self.exponent = exponent

    def compute(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        """See the class."""
        return power_mean_rank_loss(self.scaled(cosine(u, v)), labels, self.exponent)


class AnglELoss(ScaledLoss):
    """AnglE's angle term: :func:`rank_loss` of ``λ·|cos(u, v) + sin(u, v)|``.

    The first and second half of a vector are the real and imaginary parts of a complex one; with z = u·conj(v), cos
    and sin are the sums of the real and the imaginary parts of z over ‖u‖‖v‖. This is the form of the authors' code and
    of sentence-transformers, not of the paper's eq. 7 (which lacks a minus): it is a similarity, not symmetric in u and
    v, and the same for v and −v: ``√2·|cos(u, Tv)|``, where T turns every complex coordinate by 45° (Proposition
    13.1).

    Source: Li & Li 2023 (arXiv 2309.12871); Chapter 13.
    """

    needs_order = True
    is_rank_loss = True
    by_segment = exchanges = True
    group: ProcessGroup | None = None

    def compare(self, u: Tensor, v: Tensor, labels: Tensor, texts: Maybe, segments: Maybe = None) -> Tensor:
        """See the class."""
        if u.shape[1] % 2:
            raise ValueError(f"AnglELoss halves the vectors, so their length must be even, got {u.shape[1]}")
        (a, b), (c, d) = unit(u).chunk(2, -1), unit(v).chunk(2, -1)
        score = self.scaled((a * c + b * d + b * c - a * d).sum(-1).abs())
        return rank_loss(score, labels, segments=segments, group=self.group)
