"""What every loss over sentence pairs shares: a safe cosine, and the checks of its inputs."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from cosent_lib.ranking import compute_dtype


def unit(x: Tensor) -> Tensor:
    """Scale the rows of ``x: [..., dim]`` to length 1, in float32 or better; zero rows stay zero with zero gradient."""
    x = x if x.dtype == torch.float64 else x.float()
    # In float64 the squares neither overflow nor vanish. A zero row is divided by 1 and then replaced by a constant:
    # dividing it by some tiny number instead would give it a gradient of 1/tiny.
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=compute_dtype(x))
    is_zero = length == 0
    return torch.where(is_zero, 0, x / torch.where(is_zero, 1, length).to(x.dtype))


def cosine(u: Tensor, v: Tensor) -> Tensor:
    """Return the cosines ``[batch]`` of the rows of ``u`` and ``v``, both ``[batch, dim]``; 0 for a zero vector."""
    return (unit(u) * unit(v)).sum(-1)


class PairLoss(nn.Module):
    """A loss over labelled pairs of sentence vectors."""

    needs_order: ClassVar[bool] = False
    """Whether a batch whose labels are all equal carries no signal."""
    is_rank_loss: ClassVar[bool] = False
    """Whether the value is a :func:`rank_loss`, so that :func:`inversion_bound` applies to it."""
    needs_targets: ClassVar[bool] = True
    """Whether labels are targets, which must lie in [0, 1], and not merely an order."""

    def forward(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, a scalar.

        Args:
            u: vectors of the first sentences, ``[batch, dim]``.
            v: vectors of the second sentences, ``[batch, dim]``.
            labels: similarity labels, ``[batch]``, in [0, 1] where the loss needs targets.

        Raises:
            ValueError: for shapes that do not fit, or labels outside [0, 1] where targets are needed.
        """
        if u.dim() != 2 or u.shape != v.shape:
            raise ValueError(f"u and v must both have shape [batch, dim], got {list(u.shape)} and {list(v.shape)}")
        if labels.shape != u.shape[:1]:
            raise ValueError(f"labels must have shape [{u.shape[0]}], one a pair, got {list(labels.shape)}")
        if self.needs_targets:
            _check_targets(labels)
        return self.compute(u, v, labels)

    def teaches(self, labels: Tensor) -> bool:
        """Return whether a batch with ``labels: [batch]`` carries any signal."""
        return not self.needs_order or bool((labels != labels[0]).any())

    def compute(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of checked inputs; what a subclass defines."""
        raise NotImplementedError


def _check_targets(labels: Tensor) -> None:
    wrong = (~((labels >= 0) & (labels <= 1))).nonzero().flatten().tolist()  # NaN is neither
    if wrong:
        raise ValueError(
            f"labels must lie in [0, 1]: {len(wrong)} of {labels.numel()} do not, the first at index {wrong[0]} "
            f"({labels[wrong[0]].item()}); scale them by their range, as load_pairs does"
        )
