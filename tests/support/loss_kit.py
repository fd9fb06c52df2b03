"""What tests of losses share: a random batch, and gradients by name."""

import torch
from torch import Tensor


class Encoder:
    dim = 6


def batch(n: int = 12, graded: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    u, v = torch.randn(2, n, 6, generator=generator, dtype=torch.float64)
    levels = 5 if graded else 1
    return u, v, torch.randint(0, levels + 1, (n,), generator=generator) / levels


def gradients(loss: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, inputs)


class Passthrough(torch.nn.Module):
    """Stands for a sentence-transformers model: the features are the embeddings."""

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return features
