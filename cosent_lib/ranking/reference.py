r"""The ranking loss in its readable form: sort, then running log-sums. Every other form is held to this one.

Safe for every spread of the scores, on every device, without reading a value back, and differentiable once more. With
segments the same sums begin anew in each.
"""

import math

import torch
from torch import Tensor


def by_log_sums(s: Tensor, labels: Tensor, segments: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Value (a scalar) and gradient ``[n]`` of ``rank_loss`` in the type of ``s``; arguments as there, checked."""
    order = labels.argsort()
    if segments is not None:
        order = order[segments[order].argsort(stable=True)]
    part = None if segments is None else segments[order]
    s_sorted, y = s[order], labels[order]
    below = _log_sums_before(s_sorted, y, part)  # log Σ_{y_k < y_i} e^{s_k}
    above = _log_sums_before(-s_sorted.flip(0), y.flip(0), None if part is None else part.flip(0)).flip(0)
    terms = (s_sorted + above).clamp_min(-1000.0)  # e^−1000 is 0 in any type, and −∞ has no second derivative
    if part is None:
        value = own = _log_1_plus(terms.logsumexp(0))
        count = s.new_ones(())
    else:
        values, number = _log_sums_of(terms, part)
        values, own = _log_1_plus(values), _log_1_plus(values)[number]
        demands = torch.zeros_like(s).scatter_add(0, number, (above > -math.inf).to(s.dtype)) > 0
        count = demands.sum().clamp_min(1)
        value = torch.where(demands, values, 0).sum() / count
    gradient = ((s_sorted + above - own).exp() - (below - s_sorted - own).exp()) / count
    return value, torch.zeros_like(s).scatter(0, order, gradient)


def _log_sums_before(x: Tensor, y: Tensor, part: Tensor | None) -> Tensor:
    """For each item the log of Σ e^x over the items of its segment whose level comes before its own, ``[n]``."""
    position = torch.arange(x.numel(), device=x.device)
    new_part = torch.zeros_like(y, dtype=torch.bool) if part is None else _changes(part)
    start = torch.where(new_part, position, 0).cummax(0).values  # the first place of each item's segment
    first = torch.where(new_part | _changes(y), position, 0).cummax(0).values  # and of its level
    sums = x.logcumsumexp(0) if part is None else x
    for power in range(0 if part is None else x.numel().bit_length()):  # within segments, doubling the reach
        reach = 1 << power
        sums = torch.where(position - reach >= start, torch.logaddexp(sums, sums.roll(reach)), sums)
    before = torch.cat([x.new_full((1,), -math.inf), sums])[first]
    return torch.where(first > start, before, -math.inf)


def _log_sums_of(terms: Tensor, part: Tensor) -> tuple[Tensor, Tensor]:
    """The log of Σ e^terms of each segment, ``[n]`` of which as many are used as there are, and each item's segment."""
    number = _changes(part).cumsum(0) - 1
    highest = terms.new_full(terms.shape, -math.inf).scatter_reduce(0, number, terms.detach(), "amax")
    highest = torch.where(highest == -math.inf, 0, highest)
    sums = torch.zeros_like(terms).scatter_add(0, number, (terms - highest[number]).exp())
    return sums.clamp_min(1e-30).log() + highest, number


def _log_1_plus(log_sums: Tensor) -> Tensor:
    """The log of 1 + Σ from the log of Σ: logaddexp does not lose a tiny Σ beside 1."""
    return torch.logaddexp(log_sums, torch.zeros_like(log_sums))


def _changes(values: Tensor) -> Tensor:
    """Where a sorted column ``[n]`` has another value than one place before; True at the first place."""
    change = torch.ones(values.numel(), dtype=torch.bool, device=values.device)
    change[1:] = values[1:] != values[:-1]
    return change


def any_demand(labels: Tensor, segments: Tensor | None = None) -> bool:
    """Whether two items (of one segment) have different labels; both ``[n]``."""
    if segments is None:
        return labels.numel() > 0 and bool((labels != labels[0]).any())
    order = labels.argsort()
    order = order[segments[order].argsort(stable=True)]
    y, part = labels[order], segments[order]
    return bool(((part[1:] == part[:-1]) & (y[1:] != y[:-1])).any())
