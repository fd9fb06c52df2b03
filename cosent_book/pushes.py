"""Where a loss pushes each item."""

from collections.abc import Callable

import torch
from torch import Tensor


def push(loss: Callable[[Tensor, Tensor], Tensor], scores: Tensor, labels: Tensor) -> Tensor:
    """Where each item is pushed and how hard: minus the gradient of ``loss(scores, labels)`` on the scores.

    Args:
        loss: of scores ``[n]`` and labels ``[n]``; a scalar.
        scores: ``[n]``, floating point; stay as they are.
        labels: ``[n]``.

    Returns:
        Tensor: ``[n]``, of the scores' type.

    Example:
        >>> from cosent_lib import rank_loss
        >>> push(rank_loss, torch.zeros(3), torch.tensor([1, 0, 0]))
        tensor([ 0.6667, -0.3333, -0.3333])
    """
    s = scores.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(s, labels), s)
    return -gradient
