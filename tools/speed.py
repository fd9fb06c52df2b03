"""The ranking loss against sentence-transformers' and the quadratic form, side by side: ``python tools/speed.py``.

Forward and backward, one thread (or the GPU, where there is one): medians in milliseconds, and the median of the paired
ratios with its middle half. Values are compared before anything is timed.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import cast

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import CoSENTLoss
from torch import Tensor, nn

from cosent_lib import rank_loss

Loss = Callable[[Tensor, Tensor], Tensor]
SIZES = {32: 200, 4096: 10, 2**20: 5}  # items: repetitions
QUADRATIC_UP_TO = 4096


def quadratic(scores: Tensor, labels: Tensor) -> Tensor:
    """The form in which the loss was published: all differences, 1e12 less where no order is demanded."""
    differences = scores[:, None] - scores[None, :] - (labels[:, None] >= labels[None, :]).to(scores) * 1e12
    return torch.cat([scores.new_zeros(1), differences.flatten()]).logsumexp(0)


def losses() -> dict[str, Loss]:
    """The losses by name; ours first."""
    theirs = CoSENTLoss(cast("SentenceTransformer", nn.Identity()), scale=1.0, similarity_fct=lambda a, _: a)
    return {
        "rank_loss": rank_loss,
        "unchecked": partial(rank_loss, validate=False),
        "sentence-transformers": lambda scores, labels: theirs.compute_loss_from_embeddings([scores, scores], labels),
        "quadratic": quadratic,
    }


def labels_of(kind: str, n: int, generator: torch.Generator) -> Tensor:
    """Labels ``[n]``, float32: ``binary``, ``six levels`` or ``continuous``."""
    drawn = torch.rand(n, generator=generator)
    return {"binary": (drawn < 0.4).float(), "six levels": (6 * drawn).floor() / 5, "continuous": drawn}[kind]


def seconds(loss: Loss, scores: Tensor, labels: Tensor) -> tuple[float, float]:
    """Wall time of forward and backward, and the value."""
    scores = scores.detach().requires_grad_()
    if scores.is_cuda:
        torch.cuda.synchronize()
    begun = time.perf_counter()
    value = loss(scores, labels)
    value.backward()
    if scores.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - begun, float(value.detach())


def main() -> None:
    """Time every size and kind of labels."""
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = torch.Generator().manual_seed(0)
    for n, repetitions in SIZES.items():
        for kind in ("binary", "six levels", "continuous"):
            scores = (4 * torch.randn(n, generator=generator)).to(device)
            labels = labels_of(kind, n, generator).to(device)
            rivals = {name: loss for name, loss in losses().items() if n <= QUADRATIC_UP_TO or name != "quadratic"}
            values = [seconds(loss, scores, labels)[1] for loss in rivals.values()]
            assert np.allclose(values, values[0], rtol=1e-4), values
            times = np.array(
                [[seconds(loss, scores, labels)[0] for loss in rivals.values()] for _ in range(repetitions)]
            )
            line = ", ".join(f"{name} {1e3 * np.median(times[:, i]):.3f} ms" for i, name in enumerate(rivals))
            ratios = times[:, 2] / times[:, 1]
            low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
            print(f"n = {n}, {kind}: {line}; theirs/unchecked {middle:.2f} ({low:.2f} to {high:.2f})", flush=True)


if __name__ == "__main__":
    main()
