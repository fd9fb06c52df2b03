"""The losses of the field for sentence pairs, each a few lines on :mod:`cosent_lib.ranking` or torch.

Every module is called as ``loss(u, v, labels)`` with the two columns of sentence vectors ``u, v: [batch, dim]`` and
``labels: [batch]`` in [0, 1] (1 = same meaning), and returns a scalar. Cosines are computed in float32 or better, also
under autocast; a zero vector has cosine 0 and receives no gradient.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosent_lib.item_losses import circle_loss, cross_entropy, multilabel_loss
from cosent_lib.pair_loss import PairLoss, SummedLoss, cosine
from cosent_lib.ranking_losses import (
    AnglELoss,
    CoSENTLoss,
    MultipleNegativesRankingLoss,
    PairwiseLogisticLoss,
    PowerMeanLoss,
)
from cosent_lib.scale import suggest_scale

__all__ = [
    "LOSSES", "AnglELoss", "CoSENTLoss", "CosineEmbeddingLoss", "CosineSimilarityLoss", "MultipleNegativesRankingLoss",
    "PairLoss", "PairwiseLogisticLoss", "PowerMeanLoss", "SoftmaxLoss", "SummedLoss", "circle_loss", "cosine",
    "cross_entropy", "make_loss", "multilabel_loss", "suggest_scale",
]  # fmt: skip

FEATURES = ("u", "v", "|u-v|", "u*v")
"""What Sentence-BERT's classifier may look at."""


class CosineEmbeddingLoss(PairLoss):
    """Mean of t·(1 − cos) + (1 − t)·max(0, cos − margin), for labels t.

    ``margin=-1`` is the linear loss t(1 − cos) + (1 − t)(1 + cos), ``margin=0.7`` its patched form, in which negatives
    below the margin are left alone. For t in {0, 1} it equals ``torch.nn.CosineEmbeddingLoss`` with targets 2t − 1;
    a grade between weighs the two parts.

    Args:
        margin: the cosine above which negatives are pushed away, in [−1, 1].

    Raises:
        ValueError: for a margin outside this range.

    Source: Su 2022 (Scientific Spaces 8847), eqs. 1 and 3; Chapter 6.
    """

    def __init__(self, margin: float = 0.7) -> None:
        super().__init__()
        if not -1 <= margin <= 1:
            raise ValueError(f"margin must lie in [-1, 1], the range of a cosine, got {margin}")
        self.margin = margin

    def compute(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        """See the class."""
        c = cosine(u, v)
        t = labels.to(c.dtype)
        return (t * (1 - c) + (1 - t) * (c - self.margin).clamp_min(0)).mean()


class CosineSimilarityLoss(PairLoss):
    """Mean squared error (cos − t)² between cosine and label.

    For t in {0, 1} this is t(1 − cos)² + (1 − t)·cos², eq. 2 of Su 2022 (Scientific Spaces 8847); for grades that form
    differs from it by t(1 − t) only, which has no gradient. Reimers & Gurevych 2019 (arXiv 1908.10084), "regression
    objective". Chapter 6.
    """

    def compute(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        """See the class."""
        c = cosine(u, v)
        return F.mse_loss(c, labels.to(c.dtype))


class SoftmaxLoss(PairLoss):
    """Sentence-BERT: cross-entropy of a linear classifier on features of u and v.

    Classes are labels·(num_labels − 1) rounded, halves up: with two classes, 1 means label ≥ ½.

    Args:
        dim: length of a sentence vector.
        num_labels: number of classes, at least 2.
        features: any of ``"u"``, ``"v"``, ``"|u-v|"``, ``"u*v"``, concatenated in this order.
        seed: of the classifier's initial weights; torch's global random state is left alone.

    Raises:
        ValueError: for fewer than two classes, or unknown features.

    Source: Reimers & Gurevych 2019 (arXiv 1908.10084), "classification objective"; Chapter 7.
    """

    def __init__(
        self, dim: int, num_labels: int = 2, features: Sequence[str] = ("u", "v", "|u-v|"), seed: int = 0
    ) -> None:
        super().__init__()
        if num_labels < 2:
            raise ValueError(f"num_labels must be at least 2, got {num_labels}")
        unknown = [feature for feature in features if feature not in FEATURES]
        if unknown or not features:
            raise ValueError(f"features must be some of {', '.join(FEATURES)}, got {list(features)}")
        self.num_labels, self.features = num_labels, tuple(features)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.classifier = nn.Linear(dim * len(self.features), num_labels)

    def logits(self, u: Tensor, v: Tensor) -> Tensor:
        """Return the classifier's scores, ``[batch, num_labels]``."""
        parts = {"u": u, "v": v, "|u-v|": (u - v).abs(), "u*v": u * v}
        return self.classifier(torch.cat([parts[feature] for feature in self.features], dim=-1))

    def classes(self, labels: Tensor) -> Tensor:
        """Return the class of each label in [0, 1], ``[batch]`` of int64."""
        return (labels.float() * (self.num_labels - 1) + 0.5).floor().long()

    @torch.no_grad()
    def predict(self, u: Tensor, v: Tensor) -> Tensor:
        """Return the likeliest class of each pair, ``[batch]`` of int64."""
        return self.logits(u, v).argmax(-1)

    def compute(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        """See the class."""
        return F.cross_entropy(self.logits(u, v).float(), self.classes(labels))


LOSSES: dict[str, tuple[type[PairLoss], dict[str, float]]] = {
    "cosine_linear": (CosineEmbeddingLoss, {"margin": -1.0}),
    "cosine_squared": (CosineSimilarityLoss, {}),
    "cosine_margin": (CosineEmbeddingLoss, {"margin": 0.7}),
    "sbert": (SoftmaxLoss, {}),
    "cosent": (CoSENTLoss, {}),
    "ranknet": (PairwiseLogisticLoss, {}),
    "power_mean": (PowerMeanLoss, {}),
    "angle": (AnglELoss, {}),
    "mnrl": (MultipleNegativesRankingLoss, {}),
}
"""The losses by name: class and preset options."""


def make_loss(name: str, encoder: Any, **options: float | bool | int | str | Sequence[str]) -> PairLoss:
    """Make a loss by its name.

    Args:
        name: a key of ``LOSSES``, or several joined by ``+``: their sum (:class:`SummedLoss`).
        encoder: gives ``dim``, the length of its vectors, to losses with weights of their own (``sbert``).
        options: of the loss's constructor, e.g. ``scale=5`` for ``cosent``; of a sum with the part's name before
            them, and its weight (1): ``cosent_scale=5, mnrl_weight=0.5``.

    Raises:
        ValueError: for an unknown name or option, listing what there is, or an option of the wrong type or range.
    """
    if "+" in name:
        return _make_sum(name, encoder, options)
    if name not in LOSSES:
        raise ValueError(
            f"unknown loss {name!r}: choose one of {', '.join(LOSSES)}, or a sum of them, as in cosent+mnrl"
        )
    kind, preset = LOSSES[name]
    annotations = {option: known.annotation for option, known in inspect.signature(kind).parameters.items()}
    # cosine_linear is cosine_margin at -1: a margin given to it would make it another loss under its name
    known = [option for option in annotations if option != "dim" and name != "cosine_linear"]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"loss {name!r} has no option {', '.join(unknown)}: it has {', '.join(known) or 'none'}")
    for option, value in options.items():
        _check_option(name, option, value, annotations[option])
    arguments = {**preset, **options}
    if kind is SoftmaxLoss:
        arguments["dim"] = encoder.dim
    return kind(**arguments)


def _make_sum(name: str, encoder: Any, options: Mapping[str, Any]) -> SummedLoss:
    """The sum called, say, ``cosent+mnrl``."""
    names = name.split("+")
    if len(set(names)) < len(names):
        raise ValueError(f"loss {name!r} names a part twice; give it a weight instead")
    own: dict[str, dict[str, Any]] = {part: {} for part in names}
    for option, value in options.items():
        owners = [part for part in names if option.startswith(f"{part}_")]
        if not owners:
            raise ValueError(f"option {option} of loss {name!r} must begin with a part's name, as in {names[0]}_scale")
        part = max(owners, key=len)
        own[part][option.removeprefix(f"{part}_")] = value
    weights = {part: given.pop("weight") for part, given in own.items() if "weight" in given}
    for part, weight in weights.items():
        _check_option(name, f"{part}_weight", weight, float)
    return SummedLoss({part: make_loss(part, encoder, **given) for part, given in own.items()}, weights)


def _check_option(loss: str, option: str, value: object, wanted: object) -> None:
    """Refuse an option whose type is not that of the constructor; true and false are no numbers."""
    fits = {
        bool: isinstance(value, bool),
        int: isinstance(value, int) and not isinstance(value, bool),
        float: isinstance(value, (int, float)) and not isinstance(value, bool),
    }.get(wanted, isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value))  # type: ignore[call-overload]
    if not fits:
        expected = getattr(wanted, "__name__", "list of names") if wanted in (bool, int, float) else "list of names"
        raise ValueError(f"option {option} of loss {loss!r} must be a {expected}, got {value!r}")
