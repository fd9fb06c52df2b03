"""From token vectors to one vector a text, and how a batch is cut so that little of it is padding."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

Pooling = Literal["cls", "mean", "max", "first_last_mean"]
POOLINGS: tuple[str, ...] = get_args(Pooling)


def pool(hidden_states: Sequence[Tensor], mask: Tensor, pooling: str) -> Tensor:
    """One float32 vector a text ``[n, dim]``; padding (mask 0) takes no part in it.

    ``hidden_states``: as Hugging Face gives them, each ``[n, length, dim]``; index 0 is the embedding output,
    1 the output of the first transformer layer, −1 that of the last. ``mask``: ``[n, length]``, 1 for tokens.

    - ``cls``: the first token of ``hidden_states[-1]``, without BERT's pooler layer;
    - ``mean``, ``max``: over the tokens of ``hidden_states[-1]``;
    - ``first_last_mean``: the mean over the tokens of ``(hidden_states[1] + hidden_states[-1]) / 2``, the first
      *transformer layer* and the last. The other convention under the same name averages
      ``hidden_states[0]``, the embedding output, and ``hidden_states[-1]``; it gives other numbers.
    """
    last = hidden_states[-1].float()
    tokens = mask.bool().unsqueeze(-1)  # [n, length, 1]
    if pooling == "cls":
        return last[:, 0]
    if pooling == "max":
        return last.masked_fill(~tokens, -torch.inf).amax(dim=1)
    if pooling == "first_last_mean":
        last = (hidden_states[1].float() + last) / 2
    elif pooling != "mean":
        raise ValueError(f"unknown pooling {pooling!r}; there are {', '.join(POOLINGS)}")
    return last.masked_fill(~tokens, 0.0).sum(dim=1) / tokens.sum(dim=1)


def length_buckets(lengths: Sequence[int], overhead: int) -> list[tuple[int, int]]:
    """Cut texts sorted by length into slices ``(start, end)`` that are padded and run one by one.

    A slice costs its number of texts times its longest length, plus ``overhead``: what one more forward and
    backward pass costs, counted in tokens. The cuts returned are the cheapest of all (dynamic programme over
    the distinct lengths, so a batch of equal lengths stays whole).
    """
    ends = [i + 1 for i in range(len(lengths)) if i + 1 == len(lengths) or lengths[i] < lengths[i + 1]]
    edges = [0, *ends]
    cost, cut = [0.0], [0]
    for k in range(1, len(edges)):
        longest = lengths[edges[k] - 1]
        options = [cost[j] + (edges[k] - edges[j]) * longest + overhead for j in range(k)]
        best = min(range(k), key=options.__getitem__)
        cost.append(options[best])
        cut.append(best)
    slices = []
    k = len(edges) - 1
    while k > 0:
        slices.append((edges[cut[k]], edges[k]))
        k = cut[k]
    return slices[::-1]
