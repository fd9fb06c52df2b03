"""Adam for sparse gradients, row by row: the update of ``torch.optim.SparseAdam`` in about half its time."""

from __future__ import annotations

from typing import Any

import torch


class RowAdam(torch.optim.SparseAdam):
    """``torch.optim.SparseAdam`` (Kingma & Ba 2015, only for the rows of the gradient) that reads each row once.

    The original builds sparse copies of its moments at every step; with an embedding bag that takes longer than the
    rest of the step together. Same state, same arithmetic up to the order of rounding.

    Args:
        params: parameter groups whose gradients are sparse in their first dimension.
        lr: the step size.
        betas: decay of the first and of the second moment.
        eps: added to the root of the second moment.
    """

    def __init__(
        self, params: Any, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update from the gradients at hand; ``closure`` is not supported."""
        if closure is not None:
            raise ValueError("RowAdam takes no closure")
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        first, second = group["betas"]
        state = self.state[parameter]
        if not state:
            state |= {"step": 0, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
        state["step"] += 1
        gradient = parameter.grad.coalesce()  # type: ignore[union-attr]  # asked by step
        rows, values = gradient.indices()[0], gradient.values()
        mean = state["exp_avg"].index_select(0, rows).lerp_(values, 1 - first)
        square = state["exp_avg_sq"].index_select(0, rows).mul_(second).addcmul_(values, values, value=1 - second)
        state["exp_avg"].index_copy_(0, rows, mean)
        state["exp_avg_sq"].index_copy_(0, rows, square)
        size = group["lr"] * (1 - second ** state["step"]) ** 0.5 / (1 - first ** state["step"])
        parameter.index_add_(0, rows, mean.div_(square.sqrt_().add_(group["eps"])), alpha=-size)
