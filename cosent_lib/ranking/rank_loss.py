r"""The ranking loss on which the whole book stands.

.. math:: L(s, y) = \log\Bigl(1 + \sum_{y_i < y_j} e^{s_i - s_j}\Bigr)

Every demanded order :math:`s_i < s_j` puts one term :math:`e^{s_i - s_j}` inside the logarithm (Chapter 3; Su 2022,
"CoSENT I", Scientific Spaces 8847; Sun et al. 2020, arXiv 2002.10857, eq. 1). The double sum never needs a matrix: in
the order of the labels it is a running sum. Its gradient

.. math:: \partial L/\partial s_i = \sum_j p_{ij} - \sum_k p_{ki}, \qquad p_{ij} = e^{s_i - s_j - L}

comes out of the same sums, so that value and gradient cost one sort, and memory linear in n.
"""

import math
import warnings
from typing import Any

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from cosent_lib.ranking.distributed import across_ranks, ranks_of
from cosent_lib.ranking.fast import DENSE, SAFE_SPREAD, by_dense_sums, by_sums
from cosent_lib.ranking.reference import any_demand, by_log_sums


class NoDemandedPairsWarning(UserWarning):
    """The labels demand no order: all items carry the same label, or there are fewer than two."""


def rank_loss(
    scores: Tensor,
    labels: Tensor,
    *,
    segments: Tensor | None = None,
    group: ProcessGroup | None = None,
    validate: bool = True,
) -> Tensor:
    """The loss log(1 + Σ_{y_i < y_j} exp(s_i − s_j)), which asks scores to follow the order of labels.

    Computed in float64 (float32 on devices that have no float64), with memory linear in n, and on the CPU in the time
    of a few passes over the scores (few levels) or of a sort (many, or segments). Second derivatives are supported.

    Args:
        scores: floating point, shape ``[n]``. Any unit: for CoSENT it is λ·cos(u, v).
        labels: real numbers, shape ``[n]``. Only their order counts; equal labels demand nothing.
        segments: whole numbers, shape ``[n]``. Only items of the same segment are compared (answers to one question,
            say); the loss is the mean of the segments' losses, over those that demand something.
        group: a ``torch.distributed`` process group. The loss is then that of all processes' items together, the same
            on every rank, and each rank's gradient is its part of the single-process gradient; ranks may hold
            different numbers of items, or none. With at most 16 levels ranks exchange 22 numbers, then 2L − 2 log-sums,
            otherwise the items. A trainer that averages gradients over W ranks (as DDP does) must multiply the loss
            by W. All ranks must call it, and what is wrong on one raises on all.
        validate: check values, and warn when no pair is demanded. ``False`` never synchronises with the device
            (but a ``group`` does, to exchange the items).

    Returns:
        Scalar: float64 for float64 scores, float32 for any narrower type. Exactly 0, with zero gradients, when no pair
        is demanded.

    Raises:
        ValueError: with ``validate``, for scores that are not floating point, segments that are not whole numbers,
            wrong shapes, or non-finite values; it says which, where and how many.

    Warns:
        NoDemandedPairsWarning: with ``validate``, when no pair is demanded.

    Example:
        >>> rank_loss(torch.tensor([3.0, 1.0, 2.0]), torch.tensor([0, 1, 1]))  # log(1 + e² + e¹)
        tensor(2.4076)

    Source: Chapters 3 and 8; Su 2022 (8847).
    """
    labels = _savable(labels.detach())
    segments = None if segments is None else _savable(segments)
    if group is not None and ranks_of(group) > 1:
        fault = _fault(scores, labels, segments) if validate else None
        found = across_ranks(scores.detach(), labels, segments, group, fault, _value_and_gradient)
        value, gradient, demanded = found
        if validate and not demanded:
            _warn_of_no_demand("rank_loss", "no labels differ on all ranks together", labels)
    else:
        group = None
        if validate:
            check_form(scores, labels, segments)
            _check_finite(scores.detach(), labels)
        value, gradient = _value_and_gradient(scores, labels, segments)
        if validate and not value:  # it is 0 where no order is demanded, and where e^{s} is
            _check_demand(labels, "rank_loss", segments)
    if scores.requires_grad and torch.is_grad_enabled():
        return _RankLoss.apply(scores, labels, segments, value, gradient, group is None)
    return value.to(_result_dtype(scores))


def count_demanded_pairs(labels: Tensor) -> int:
    """The number P of pairs (i, j) with y_i < y_j, for ``labels`` of shape ``[n]``.

    It is (n² − Σ_l n_l²)/2 for n_l items at level l. Reads the labels back from the device.

    Example:
        >>> count_demanded_pairs(torch.tensor([0.0, 0.0, 1.0, 0.5]))
        5
    """
    counts = labels.unique(return_counts=True)[1].tolist()
    return (labels.numel() ** 2 - sum(count**2 for count in counts)) // 2


def demanded_pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """The pairs (i, j) with y_i < y_j one by one: all i, and all j, each ``[P]``, for ``labels`` ``[n]``.

    Time and memory grow with n². Where their number is enough, see :func:`cosent_lib.count_demanded_pairs`.

    Example:
        >>> low, high = demanded_pairs(torch.tensor([0.0, 1.0, 0.5]))
        >>> list(zip(low.tolist(), high.tolist()))
        [(0, 1), (0, 2), (2, 1)]
    """
    low, high = (labels[:, None] < labels[None, :]).nonzero(as_tuple=True)
    return low, high


def inversion_bound(loss: Tensor | float, labels: Tensor) -> float:
    """The upper bound Σ/P = (e^loss − 1)/P of the share of demanded pairs in wrong order (1 − AUC).

    Unlike the loss, it does not grow with the batch, so it can be compared between batches. It holds because every
    pair in wrong order (ties included) contributes at least 1 to Σ.

    Args:
        loss: a value of :func:`cosent_lib.rank_loss` (natural logarithm).
        labels: the labels it was computed from, shape ``[n]``.

    Returns:
        The bound, a number ≥ 0 (above 1 it says nothing); NaN when the labels demand no pair, infinite when e^loss
        overflows.

    Example:
        >>> labels = torch.tensor([0, 1, 1])
        >>> round(inversion_bound(rank_loss(torch.tensor([1.0, 2.0, 3.0]), labels), labels), 4)  # (e⁻¹ + e⁻²)/2
        0.2516

    Source: Chapter 3.
    """
    pairs = count_demanded_pairs(labels)
    if pairs == 0:
        return math.nan
    try:
        return math.expm1(float(loss)) / pairs
    except OverflowError:
        return math.inf


class _RankLoss(torch.autograd.Function):
    """Joins the closed-form gradient to autograd; without ``setup_context``, which costs half of a small batch."""

    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, labels: Tensor, segments: Tensor | None, value: Tensor, gradient: Tensor, whole: bool
    ) -> Tensor:
        ctx.save_for_backward(scores, labels, segments, gradient)
        ctx.is_whole_batch = whole
        return value.to(_result_dtype(scores), copy=True)

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
        scores, labels, segments, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: somebody is going to differentiate the gradient
            if not ctx.is_whole_batch:
                raise NotImplementedError("rank_loss has no second derivatives across a process group")
            gradient = by_log_sums(scores.to(compute_dtype(scores)), labels, segments)[1]
        return (grad_loss * gradient).to(scores.dtype), None, None, None, None, None


def _value_and_gradient(scores: Tensor, labels: Tensor, segments: Tensor | None) -> tuple[Tensor, Tensor]:
    """Choose the way to compute loss (scalar) and gradient ``[n]``, both in the type computed in."""
    s = scores.detach()
    if s.device.type != "cpu" or torch.compiler.is_compiling():  # no branch on values: no synchronisation, no break
        return by_log_sums(s.to(compute_dtype(s)), labels, segments)
    if s.numel() < 2:
        return s.new_zeros((), dtype=torch.float64), torch.zeros_like(s, dtype=torch.float64)
    if s.numel() <= DENSE and segments is None and (found := by_dense_sums(s, labels)) is not None:
        return found
    low, high = map(float, s.aminmax())
    if high - low <= SAFE_SPREAD:
        return by_sums(s, labels, segments, (low + high) / 2)
    return by_log_sums(s.double(), labels, segments)


def _savable(values: Tensor) -> Tensor:
    """``values`` as plain memory that a backward pass may keep: not of inference mode, no lazily negated view."""
    if torch.compiler.is_compiling():
        return values
    values = values.resolve_neg()
    return values.clone() if values.is_inference() and not torch.is_inference_mode_enabled() else values


def compute_dtype(scores: Tensor) -> torch.dtype:
    """The type to compute in: float64 costs little on n numbers; Apple's MPS is the one backend without it."""
    return torch.float32 if scores.device.type == "mps" else torch.float64


def _result_dtype(scores: Tensor) -> torch.dtype:
    return torch.float64 if scores.dtype == torch.float64 else torch.float32


def check_form(scores: Tensor, labels: Tensor, segments: Tensor | None = None) -> None:
    """Refuse scores, labels and segments of the wrong type, shape or place, with a ``ValueError`` that says which."""
    if not scores.is_floating_point():
        raise ValueError(f"scores must be floating point, got {scores.dtype}: convert them with scores.float()")
    if labels.is_complex():
        raise ValueError(f"labels must be real numbers, got {labels.dtype}")
    if scores.dim() != 1:
        raise ValueError(f"scores must have shape [n], got {list(scores.shape)}")
    if segments is not None and (segments.is_floating_point() or segments.is_complex()):
        raise ValueError(f"segments must be whole numbers, got {segments.dtype}")
    for name, other in (("labels", labels), ("segments", segments)):
        if other is None:
            continue
        if other.shape != scores.shape:
            raise ValueError(f"{name} must have the shape of scores, {list(scores.shape)}, got {list(other.shape)}")
        if other.device != scores.device:
            raise ValueError(f"{name} are on {other.device}, scores on {scores.device}: move them together")


def check_values(scores: Tensor, labels: Tensor, loss: str) -> None:
    """Refuse values that are not finite; warn the caller of the loss where the labels demand no order."""
    _check_finite(scores, labels.detach())
    _check_demand(labels, loss, None, stacklevel=5)


def _check_demand(labels: Tensor, loss: str, segments: Tensor | None, stacklevel: int = 4) -> None:
    """Warn the caller of the loss where the labels demand no order."""
    if any_demand(labels, segments):
        return
    what = "all labels are equal" if segments is None else "all labels are equal within each segment"
    _warn_of_no_demand(loss, "there are fewer than two items" if labels.numel() < 2 else what, labels, stacklevel)


def _check_finite(scores: Tensor, labels: Tensor) -> None:
    if labels.dtype == scores.dtype and math.isfinite(scores.dot(labels)):
        return  # a sum of products is finite only where all numbers are; it may overflow though they are
    for name, values in (("scores", scores), ("labels", labels)):
        if not math.isfinite(values.sum()) and not bool(values.isfinite().all()):
            wrong = (~values.isfinite()).nonzero().flatten().tolist()
            raise ValueError(
                f"{name} must be finite: {len(wrong)} of {values.numel()} are not, the first at index {wrong[0]} "
                f"({values[wrong[0]].item()})"
            )


def _fault(scores: Tensor, labels: Tensor, segments: Tensor | None) -> str | None:
    """What is wrong with one rank's items, said rather than raised: the other ranks are to hear of it."""
    try:
        check_form(scores, labels, segments)
        _check_finite(scores.detach(), labels)
        if labels.dtype == torch.int64 and bool((labels.abs() > 2**53).any()):
            raise ValueError("labels above 2**53 cannot be exchanged exactly: number the levels instead")
    except ValueError as error:
        return str(error)
    return None


def _warn_of_no_demand(loss: str, what: str, labels: Tensor, stacklevel: int = 3) -> None:
    warnings.warn(
        f"{loss}: {what} ({labels.numel()} items), so no pair is demanded: the loss is 0 with zero gradients",
        NoDemandedPairsWarning,
        stacklevel=stacklevel,
    )
