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

import numpy as np
import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from cosent_lib.ranking.distributed import gather_items

SAFE_SPREAD = 300.0
"""Largest max(s) − min(s) for which products of two shifted exponentials stay normal float64 numbers (e^−600)."""


class NoDemandedPairsWarning(UserWarning):
    """The labels demand no order: all items carry the same label, or there are fewer than two."""


def rank_loss(scores: Tensor, labels: Tensor, *, group: ProcessGroup | None = None, validate: bool = True) -> Tensor:
    """The loss log(1 + Σ_{y_i < y_j} exp(s_i − s_j)), which asks scores to follow the order of labels.

    Computed in float64 (float32 on devices that have no float64), in the time of a sort and with memory linear in n.
    Second derivatives are supported.

    Args:
        scores: floating point, shape ``[n]``. Any unit: for CoSENT it is λ·cos(u, v).
        labels: real numbers, shape ``[n]``. Only their order counts; equal labels demand nothing.
        group: a ``torch.distributed`` process group. The loss is then that of all processes' items together, the same
            on every rank, and each rank's gradient is its part of the single-process gradient. A trainer that
            averages gradients over W ranks (as DDP does) must multiply the loss by W. All ranks must call it; bad
            values on one rank raise on all, a wrong shape or type only there.
        validate: check values, and warn when no pair is demanded. ``False`` never synchronises with the device
            (but a ``group`` does, to exchange the items).

    Returns:
        Scalar: float64 for float64 scores, float32 for any narrower type. Exactly 0, with zero gradients, when no pair
        is demanded.

    Raises:
        ValueError: with ``validate``, for scores that are not floating point, wrong shapes, or non-finite values; it
            says which, where and how many.

    Warns:
        NoDemandedPairsWarning: with ``validate``, when no pair is demanded.

    Example:
        >>> rank_loss(torch.tensor([3.0, 1.0, 2.0]), torch.tensor([0, 1, 1]))  # log(1 + e² + e¹)
        tensor(2.4076)

    Source: Chapters 3, 8 and 13; Su 2022 (8847).
    """
    if validate:
        check_form(scores, labels)
    all_scores, all_labels, own = scores, labels.detach(), slice(None)
    if group is not None:
        all_scores, all_labels, own = gather_items(scores, all_labels, group)
    if validate:
        # After the exchange: every rank sees the same values, so all raise together and none is left waiting.
        check_values(all_scores.detach(), all_labels, "rank_loss")
    if scores.requires_grad and torch.is_grad_enabled():
        return _RankLoss.apply(scores, all_scores.detach(), all_labels, own)[0]
    return _value_and_gradient(all_scores, all_labels)[0].to(_result_dtype(scores))


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
    """Joins the closed-form gradient to autograd."""

    @staticmethod
    def forward(scores: Tensor, all_scores: Tensor, labels: Tensor, own: slice) -> tuple[Tensor, Tensor]:
        value, gradient = _value_and_gradient(all_scores, labels)
        return value.to(_result_dtype(scores)), gradient[own]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        scores, _, labels, own = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.is_whole_batch = own == slice(None)
        ctx.save_for_backward(scores, labels, output[1])

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        scores, labels, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: somebody is going to differentiate the gradient
            if not ctx.is_whole_batch:
                raise NotImplementedError("rank_loss has no second derivatives across a process group")
            gradient = _by_log_sums(scores.to(compute_dtype(scores)), labels)[1]
        return (grad_loss * gradient).to(scores.dtype), None, None, None


def _value_and_gradient(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Choose the way to compute loss (scalar) and gradient ``[n]``, both in the type computed in."""
    s = scores.detach().to(compute_dtype(scores))
    if s.device.type != "cpu" or torch.compiler.is_compiling():
        return _by_log_sums(s, labels)  # branches on no value: no synchronisation, no graph break
    if s.numel() < 2:
        return s.new_zeros(()), torch.zeros_like(s)
    if float(s.max() - s.min()) <= SAFE_SPREAD:
        return _by_running_sums(s, labels)
    return _by_log_sums(s, labels)


def _by_log_sums(s: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Sort by label, then log-domain running sums: safe for every spread, and differentiable once more."""
    order = labels.argsort()
    s_sorted, (first, end) = s[order], group_bounds(labels[order])
    nothing = s.new_full((1,), -math.inf)
    below = torch.cat([nothing, s_sorted.logcumsumexp(0)])[first]  # log Σ_{y_k < y_i} e^{s_k}
    above = torch.cat([(-s_sorted).flip(0).logcumsumexp(0).flip(0), nothing])[end]  # log Σ_{y_j > y_i} e^{−s_j}
    # logaddexp does not lose a tiny Σ beside 1; e^−1000 is 0 in any type, and −∞ has no second derivative
    value = torch.logaddexp((s_sorted + above).clamp_min(-1000.0).logsumexp(0), s.new_zeros(()))
    gradient = (s_sorted + above - value).exp() - (below - s_sorted - value).exp()
    return value, torch.zeros_like(s).scatter(0, order, gradient)


def _by_running_sums(s: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Sort by label, then plain running sums of shifted exponentials: the fast way while the spread allows it.

    In numpy, whose sort is faster than torch's on the CPU and whose calls cost less on the few numbers of a batch.
    """
    values, y = s.numpy(), (labels.float() if labels.dtype == torch.bfloat16 else labels).numpy()
    order = np.argsort(y)
    y = y[order]
    starts = np.concatenate([[0], np.flatnonzero(y[1:] != y[:-1]) + 1, [len(y)]])  # of each level, and the end
    sizes = starts[1:] - starts[:-1]
    spread = values.max() - values.min()
    up = np.exp(values[order] - values.max())  # e^{s − max}
    down = np.exp(values.min() - values[order])  # e^{min − s}
    below = np.concatenate([[0.0], up.cumsum()])[starts[:-1]].repeat(sizes)
    above = np.concatenate([down[::-1].cumsum()[::-1], [0.0]])[starts[1:]].repeat(sizes)
    pull_down, pull_up = up * above, down * below
    with np.errstate(divide="ignore"):  # log 0 = −∞ where no pair is demanded
        value = np.logaddexp(np.log(pull_down.sum()) + spread, 0.0)
    gradient = np.empty_like(values)
    gradient[order] = (pull_down - pull_up) * np.exp(spread - value)
    return s.new_tensor(value), torch.from_numpy(gradient)


def group_bounds(sorted_labels: Tensor) -> tuple[Tensor, Tensor]:
    """For sorted labels, the first position of each item's level and the first position after it; both ``[n]``."""
    n = sorted_labels.numel()
    position = torch.arange(n, device=sorted_labels.device)
    is_first = torch.ones(n, dtype=torch.bool, device=sorted_labels.device)
    is_first[1:] = sorted_labels[1:] != sorted_labels[:-1]
    first = torch.where(is_first, position, 0).cummax(0).values
    is_last = is_first.roll(-1)  # the item before a first one; the last item inherits position 0's True
    end = torch.where(is_last, position + 1, n).flip(0).cummin(0).values.flip(0)
    return first, end


def compute_dtype(scores: Tensor) -> torch.dtype:
    """The type to compute in: float64 costs little on n numbers; Apple's MPS is the one backend without it."""
    return torch.float32 if scores.device.type == "mps" else torch.float64


def _result_dtype(scores: Tensor) -> torch.dtype:
    return torch.float64 if scores.dtype == torch.float64 else torch.float32


def check_form(scores: Tensor, labels: Tensor) -> None:
    """Refuse scores and labels of the wrong type, shape or place, with a ``ValueError`` that says which."""
    if not scores.is_floating_point():
        raise ValueError(f"scores must be floating point, got {scores.dtype}: convert them with scores.float()")
    if labels.is_complex():
        raise ValueError(f"labels must be real numbers, got {labels.dtype}")
    if scores.dim() != 1:
        raise ValueError(f"scores must have shape [n], got {list(scores.shape)}")
    if labels.shape != scores.shape:
        raise ValueError(f"labels must have the shape of scores, {list(scores.shape)}, got {list(labels.shape)}")
    if labels.device != scores.device:
        raise ValueError(f"labels are on {labels.device}, scores on {scores.device}: move them together")


def check_values(scores: Tensor, labels: Tensor, loss: str) -> None:
    """Refuse values that are not finite; warn the caller of the loss where the labels demand no order."""
    for name, values in (("scores", scores), ("labels", labels)):
        if not bool(values.isfinite().all()):
            wrong = (~values.isfinite()).nonzero().flatten().tolist()
            raise ValueError(
                f"{name} must be finite: {len(wrong)} of {values.numel()} are not, the first at index {wrong[0]} "
                f"({values[wrong[0]].item()})"
            )
    if labels.numel() < 2 or bool((labels == labels[0]).all()):
        what = "there are fewer than two items" if labels.numel() < 2 else "all labels are equal"
        warnings.warn(
            f"{loss}: {what} ({labels.numel()} items), so no pair is demanded: the loss is 0 with zero gradients",
            NoDemandedPairsWarning,
            stacklevel=3,
        )
