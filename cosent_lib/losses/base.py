"""What every loss over sentence pairs shares: a safe cosine, the checks of its inputs, and how losses are summed."""

import inspect
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from cosent_lib.ranking.rank_loss import compute_dtype
from cosent_lib.ranking.reference import any_demand

Maybe: TypeAlias = Tensor | None


def unit(x: Tensor) -> Tensor:
    """Scale the rows of ``x: [..., dim]`` to length 1, in float32 or better; zero rows stay zero with zero gradient."""
    x = x if x.dtype == torch.float64 else x.float()
    if x.dtype == torch.float64 and x.shape[-1]:  # no wider type holds its squares: the largest number goes near 1
        x = x * _inverse_power(x.detach().abs().amax(-1, keepdim=True), 1022)
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=compute_dtype(x))
    # Lengths near 1, by a power of two, which is exact: some have no float32. A zero row is divided by 1 and then
    # replaced by a constant: dividing it by some tiny number instead would give it a gradient of 1/tiny.
    factor, is_zero = _inverse_power(length.detach(), 126), length == 0
    return torch.where(is_zero, 0, x * factor.to(x.dtype) / torch.where(is_zero, 1, length * factor).to(x.dtype))


def _inverse_power(size: Tensor, most: int) -> Tensor:
    """A power of two, at most ``most`` and at least minus that, which brings positive sizes near 1."""
    return torch.exp2(-torch.frexp(size).exponent.clamp(-most, most).to(size))


def cosine(u: Tensor, v: Tensor) -> Tensor:
    """Return the cosines ``[batch]`` of the rows of ``u`` and ``v``, both ``[batch, dim]``; 0 for a zero vector."""
    return (unit(u) * unit(v)).sum(-1)


class PairLoss(nn.Module):
    """A loss over labelled pairs of sentence vectors."""

    needs_order: bool = False
    """Whether a batch whose labels are all equal carries no signal."""
    is_rank_loss: bool = False
    """Whether the value is a :func:`rank_loss`, so that :func:`inversion_bound` applies to it."""
    needs_targets: bool = True
    """Whether labels are targets, which must lie in [0, 1], and not merely an order."""
    needs_texts: bool = False
    """Whether it matters which texts of a batch are equal."""
    by_segment: bool = False
    """Whether it can compare within segments only."""
    takes_scores: bool = False
    """Whether it is over the scores of a cross-encoder, and not over vectors of texts."""
    exchanges: bool = False
    """Whether its ``group`` makes it the loss of all ranks' batches; :func:`cosent_lib.train` joins those of others."""

    def forward(self, u: Tensor, v: Tensor, labels: Tensor, texts: Maybe = None, segments: Maybe = None) -> Tensor:
        """Return the loss, a scalar.

        Args:
            u: vectors of the first sentences, ``[batch, dim]``.
            v: vectors of the second sentences, ``[batch, dim]``.
            labels: similarity labels, ``[batch]``, in [0, 1] where the loss needs targets.
            texts: integers ``[batch, 2]``, equal where the texts are equal, for a loss that needs to know (others pass
                them over). Without them texts count as equal where their vectors are, to the last bit; dropout hides
                that, so :func:`cosent_lib.train` hands them over.
            segments: whole numbers ``[batch]``, equal for the pairs that are to be compared with each other, those of
                one query, say; for a loss whose ``by_segment`` is true. A loss that compares no pairs passes them over.

        Raises:
            ValueError: for shapes that do not fit, labels outside [0, 1] where targets are needed, segments where all
                pairs would be compared nonetheless.
        """
        if u.dim() != 2 or u.shape != v.shape:
            raise ValueError(f"u and v must both have shape [batch, dim], got {list(u.shape)} and {list(v.shape)}")
        if labels.shape != u.shape[:1]:
            raise ValueError(f"labels must have shape [{u.shape[0]}], one a pair, got {list(labels.shape)}")
        if self.needs_targets:
            check_targets(labels)
        if segments is not None:
            self.check_segments()
        if not self.needs_texts:
            return self.compare(u, v, labels, None, segments)
        if texts is None:
            texts = torch.cat([u, v]).detach().unique(dim=0, return_inverse=True)[1].view(2, -1).T
        elif texts.shape != (len(u), 2) or texts.is_floating_point():
            kind = f"{str(texts.dtype).removeprefix('torch.')} {list(texts.shape)}"
            raise ValueError(f"texts must be integers of shape [{len(u)}, 2], two a pair, got {kind}")
        return self.compare(u, v, labels, texts.to(u.device), segments)

    lacking: str = "held only one label"
    """What a batch did that teaches nothing."""

    def check_segments(self) -> None:
        """Refuse segments where this loss would compare across them, with a ``ValueError``."""
        if self.needs_order and not self.by_segment:
            compares = f"{type(self).__name__} compares all pairs of a batch"
            can = "score_cosent" if self.takes_scores else "cosent and angle"
            raise ValueError(f"{compares}, not those of one query alone: {can} can")

    def teaches(self, labels: Tensor, texts: Tensor | None = None, segments: Tensor | None = None) -> bool:
        """Return whether a batch carries any signal; arguments as for :meth:`forward`."""
        return not self.needs_order or any_demand(labels, segments)

    def compute(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of checked inputs; what a subclass defines, unless it needs texts."""
        raise NotImplementedError

    def compare(self, u: Tensor, v: Tensor, labels: Tensor, texts: Maybe, segments: Maybe = None) -> Tensor:
        """Return the loss of checked inputs; what a subclass that needs texts or segments defines."""
        return self.compute(u, v, labels)

    def options(self) -> dict[str, Any]:
        """The arguments of the constructor as they stand now (a learned scale as it came out)."""
        names = [name for name in inspect.signature(type(self)).parameters if name != "group"]
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    def given(self) -> dict[str, Any]:
        """The arguments of the constructor as they were given (a learned scale as it began)."""
        return self.options()


class SummedLoss(PairLoss):
    """A weighted sum of losses on the same vectors, as AnglE's training sums three (Li & Li 2023). Chapter 13.

    A part that a batch teaches nothing (no positives, or no order) adds nothing there.

    Args:
        parts: the losses by name.
        weights: a number for each name, 1 where it is missing.

    Raises:
        ValueError: for fewer than two parts, a part that is no :class:`PairLoss`, a weight of no part, or one that is
            not a positive finite number.
    """

    def __init__(self, parts: Mapping[str, "PairLoss"], weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        if len(parts) < 2:
            raise ValueError(f"a sum needs at least two losses, got {len(parts)}: {', '.join(parts) or 'none'}")
        for name, part in parts.items():
            if not isinstance(part, PairLoss):
                raise ValueError(f"part {name} of a sum must be a PairLoss, got {type(part).__name__}")
            if part.takes_scores:
                raise ValueError(f"part {name} of a sum is over scores of pairs; losses over vectors can be summed")
        if unknown := sorted(set(weights or {}) - set(parts)):
            raise ValueError(f"a weight is given for {unknown[0]}, which is no part: there are {', '.join(parts)}")
        self.weights = {name: float((weights or {}).get(name, 1.0)) for name in parts}
        for name, weight in self.weights.items():
            if not (weight > 0 and math.isfinite(weight)):
                raise ValueError(f"the weight of {name} must be a positive finite number, got {weight}")
        self.parts = nn.ModuleDict(dict(parts))
        self.needs_order = all(part.needs_order for part in parts.values())
        self.needs_targets = any(part.needs_targets for part in parts.values())
        self.needs_texts = any(part.needs_texts for part in parts.values())
        self.by_segment = any(part.by_segment for part in parts.values())

    def check_segments(self) -> None:
        """See :meth:`PairLoss.check_segments`; asked of every part."""
        for part in self._parts().values():
            part.check_segments()

    def teaches(self, labels: Tensor, texts: Tensor | None = None, segments: Tensor | None = None) -> bool:
        """See :meth:`PairLoss.teaches`: whether any part is taught something."""
        return any(part.teaches(labels, texts, segments) for part in self._parts().values())

    def compare(self, u: Tensor, v: Tensor, labels: Tensor, texts: Maybe, segments: Maybe = None) -> Tensor:
        """See the class."""
        values = [
            self.weights[name] * part.compare(u, v, labels, texts if part.needs_texts else None, segments)
            for name, part in self._parts().items()
            if part.teaches(labels, texts, segments)
        ]
        return torch.stack(values).sum() if values else (u.sum() + v.sum()) * 0

    def options(self) -> dict[str, Any]:
        """``NAME_OPTION`` of every part, and ``NAME_weight``."""
        found: dict[str, Any] = {}
        for name, part in self._parts().items():
            found |= {f"{name}_{option}": value for option, value in part.options().items()}
            found[f"{name}_weight"] = self.weights[name]
        return found

    def given(self) -> dict[str, Any]:
        """``NAME_OPTION`` of every part as it was given, and ``NAME_weight``."""
        found = {f"{name}_{option}": v for name, part in self._parts().items() for option, v in part.given().items()}
        return found | {f"{name}_weight": weight for name, weight in self.weights.items()}

    def _parts(self) -> dict[str, PairLoss]:
        return {name: part for name, part in self.parts.items() if isinstance(part, PairLoss)}


def check_targets(labels: Tensor) -> None:
    """Refuse labels ``[n]`` outside [0, 1], with a ``ValueError``."""
    wrong = (~((labels >= 0) & (labels <= 1))).nonzero().flatten().tolist()  # NaN is neither
    if wrong:
        raise ValueError(
            f"labels must lie in [0, 1]: {len(wrong)} of {labels.numel()} do not, the first at index {wrong[0]} "
            f"({labels[wrong[0]].item()}); scale them by their range, as load_pairs does"
        )
