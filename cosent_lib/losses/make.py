"""A loss by its name, with its options checked: what the command line and declared runs use."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from cosent_lib.losses.base import PairLoss, SummedLoss
from cosent_lib.losses.direct import CosineEmbeddingLoss, CosineSimilarityLoss, LinearCosineLoss, OnlineContrastiveLoss
from cosent_lib.losses.in_batch import MultipleNegativesRankingLoss
from cosent_lib.losses.order import AnglELoss, CoSENTLoss, PairwiseLogisticLoss, PowerMeanLoss
from cosent_lib.losses.scores import (
    BinaryCrossEntropyLoss,
    MeanSquaredErrorLoss,
    ScoreLogisticLoss,
    ScoreRankingLoss,
)
from cosent_lib.losses.sentence_bert import SoftmaxLoss

LOSSES: dict[str, type[PairLoss]] = {
    "cosine_linear": LinearCosineLoss,
    "cosine_squared": CosineSimilarityLoss,
    "cosine_margin": CosineEmbeddingLoss,
    "contrastive": OnlineContrastiveLoss,
    "sbert": SoftmaxLoss,
    "cosent": CoSENTLoss,
    "ranknet": PairwiseLogisticLoss,
    "power_mean": PowerMeanLoss,
    "angle": AnglELoss,
    "mnrl": MultipleNegativesRankingLoss,
}
SCORE_LOSSES: dict[str, type[PairLoss]] = {  # of cross-encoders
    "bce": BinaryCrossEntropyLoss,
    "mse": MeanSquaredErrorLoss,
    "score_cosent": ScoreRankingLoss,
    "score_ranknet": ScoreLogisticLoss,
}


def make_loss(name: str, encoder: Any, **options: float | bool | int | str | Sequence[str]) -> PairLoss:
    """Make a loss by its name.

    Args:
        name: a key of ``LOSSES``, or several joined by ``+``: their sum (:class:`SummedLoss`); for a cross-encoder, one
            of ``SCORE_LOSSES``.
        encoder: gives ``dim``, the length of its vectors, to losses with weights of their own (``sbert``); a
            cross-encoder takes the losses over scores, and these take no other: bce, mse, score_cosent, score_ranknet.
        options: of the loss's constructor, e.g. ``scale=5`` for ``cosent``; of a sum with the part's name before
            them, and its weight (1): ``cosent_scale=5, mnrl_weight=0.5``.

    Raises:
        ValueError: for an unknown name or option, listing what there is, or an option of the wrong type or range.
    """
    if "+" in name:
        return _make_sum(name, encoder, options)
    kinds = LOSSES | SCORE_LOSSES
    if name not in kinds:
        names = ", ".join(kinds if getattr(encoder, "reads_pairs", False) else LOSSES)
        raise ValueError(f"unknown loss {name!r}: choose one of {names}, or a sum of them, as in cosent+mnrl")
    kind = kinds[name]
    if kind.takes_scores != getattr(encoder, "reads_pairs", kind.takes_scores):
        fitting = ", ".join(LOSSES if kind.takes_scores else SCORE_LOSSES)
        gives = "vectors of texts" if kind.takes_scores else "scores of pairs"
        raise ValueError(f"encoder {encoder.name!r} gives {gives}, which loss {name!r} does not take: choose {fitting}")
    own = inspect.signature(kind.__init__).parameters  # nn.Module's own, (*args, **kwargs), where it has none
    known = {
        option: parameter.annotation
        for option, parameter in own.items()
        if option not in ("self", "dim") and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    }
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"loss {name!r} has no option {', '.join(unknown)}: it has {', '.join(known) or 'none'}")
    for option, value in options.items():
        _check_option(name, option, value, known[option])
    return kind(**options, **({"dim": encoder.dim} if "dim" in own else {}))


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
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    fits = {
        bool: isinstance(value, bool),
        int: is_number and isinstance(value, int),
        float: is_number,
        float | str: is_number or isinstance(value, str),
    }.get(wanted, isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value))  # type: ignore[call-overload]
    if not fits:
        names = {bool: "bool", int: "int", float: "float", float | str: "number, or the name of a rule"}
        expected = names.get(wanted, "list of names")  # type: ignore[call-overload]
        raise ValueError(f"option {option} of loss {loss!r} must be a {expected}, got {value!r}")
