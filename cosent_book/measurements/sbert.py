"""Whether Sentence-BERT's cosine follows its classifier: what the first weights on |u − v| decide (chapter 7)."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from cosent_book.alterations import altered
from cosent_book.geometry import geometry
from cosent_book.measurements.registry import Data, measurement
from cosent_book.measurements.training import static_encoder, train_static
from cosent_lib.data.columns import Pairs, pair_columns
from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.evaluation.evaluate import evaluate, evaluate_classifier
from cosent_lib.losses.sentence_bert import FEATURES, SoftmaxLoss

DEFAULT = FEATURES[:3]  # u, v, |u-v|


STARTS: list[dict[str, Any]] = [
    {"start": None},
    {"start": -0.5},
    {"start": 0.5},
    {"features": ["|u-v|"], "start": None},
]
TURNED: list[dict[str, Any]] = [{"features": ["|u-v|"], "start": -0.5}]
SIGNED: list[dict[str, Any]] = [{"start": "all negative"}, {"start": "all positive"}]  # in the size that was drawn
STARTED: dict[str, dict[str, Any]] = {
    "atec": {"epochs": 3}, "bq": {"epochs": 5}, "stsb_en": {"epochs": 5}, "lcqmc": {"epochs": 1, "take": 64_000}
}  # fmt: skip


def _columns_of_difference(loss: SoftmaxLoss) -> slice:
    if "|u-v|" not in loss.features:
        raise ValueError(f"the classifier does not look at |u-v|, only at {', '.join(loss.features)}")
    dim = loss.classifier.in_features // len(loss.features)
    place = loss.features.index("|u-v|") * dim
    return slice(place, place + dim)


def difference_weights(loss: SoftmaxLoss) -> Tensor:
    """The weights on |u − v| of the highest class less those of the lowest, ``[dim]``.

    Positive: sentences that differ here speak for the higher label. Negative: for the lower one, as a cosine needs it.

    Raises:
        ValueError: a classifier that does not look at |u − v|.
    """
    weights = loss.classifier.weight.detach()[:, _columns_of_difference(loss)]
    return weights[-1] - weights[0]


@torch.no_grad()
def start_difference_weights(loss: SoftmaxLoss, value: float | Tensor) -> None:
    """Set the weights on |u − v|, in place, so that `difference_weights` are ``value`` (one for all, or ``[dim]``);
    classes between are spaced evenly. They may still go anywhere in training.

    Raises:
        ValueError: a classifier that does not look at |u − v|.
    """
    steps = torch.linspace(-0.5, 0.5, loss.num_labels).to(loss.classifier.weight)
    loss.classifier.weight[:, _columns_of_difference(loss)] = value * steps[:, None]


def watch_collapse(encoder: SentenceEncoder, loss: SoftmaxLoss, pairs: Pairs) -> dict[str, float]:
    """``accuracy`` of the classifier and ``auc`` of the cosine, and how many of `difference_weights` are ``positive``
    (a share).

    Raises:
        ValueError: a classifier that does not look at |u − v|.
    """
    return {
        "accuracy": evaluate_classifier(encoder, loss, pairs)["accuracy"],
        "auc": evaluate(encoder, pairs)["auc"],
        "positive": (difference_weights(loss) > 0).double().mean().item(),
    }


@measurement(
    {"task": task, "settings": settings, "seeds": [0, 1, 2], **STARTED[task]}
    for settings, tasks in ((STARTS, STARTED), (TURNED, ("lcqmc", "stsb_en")), (SIGNED, ("stsb_en",)))
    for task in tasks
)
def classifier_starts(
    data: Data,
    *,
    task: str,
    settings: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    epochs: int,
    num_labels: int = 2,
    take: int | None = None,
) -> dict[str, Any]:
    """Train Sentence-BERT with other starting weights on |u − v|, or other features, and judge classifier and cosine.

    The encoder is ``static``; every run keeps the checkpoint that is best by validation Spearman of the cosine.

    Args:
        data: where the pairs come from.
        task: what is trained on; judged once on its test pairs.
        settings: for each row ``start``, a value for `start_difference_weights` (None: the random weights as they are
            drawn; "all negative" or "all positive": those with their signs changed), and optionally ``features``.
        seeds: of encoder, classifier and order.
        epochs: passes over the training pairs.
        num_labels: number of classes.
        take: train on that many pairs, drawn anew for each seed.

    Returns:
        dict: ``rows``, one a run, see `_judged`, with ``seed``, ``start``, ``features``; ``untrained``, the Spearman
        and AUC of the untrained cosine with the first seed.
    """
    pairs, validation, test = (data.load(task, split) for split in ("train", "validation", "test"))
    rows: list[dict[str, Any]] = []
    untrained: dict[str, float] = {}
    for seed in seeds:
        chosen = altered(pairs, {} if take is None else {"take": take}, seed)
        if not untrained:
            start = evaluate(static_encoder(chosen, seed), test)
            untrained = {name: start[name] for name in ("spearman", "auc")}
        for setting in settings:
            make = partial(_classifier, setting, num_labels, seed)
            encoder, loss, _ = train_static(chosen, make, seed, validation=validation, epochs=epochs)
            row = {"seed": seed, "start": setting.get("start"), "features": list(setting.get("features", DEFAULT))}
            rows.append(row | _judged(encoder, cast("SoftmaxLoss", loss), test))
    return {"rows": rows, "untrained": untrained}


def _classifier(setting: Mapping[str, Any], num_labels: int, seed: int, encoder: SentenceEncoder) -> SoftmaxLoss:
    loss = SoftmaxLoss(encoder.dim, num_labels, tuple(setting.get("features", DEFAULT)), seed)
    start = setting.get("start")
    if isinstance(start, str):
        drawn = difference_weights(loss).abs()
        start = {"all negative": -drawn, "all positive": drawn}[start]
    if start is not None:
        start_difference_weights(loss, start)
    return loss


def _judged(encoder: SentenceEncoder, loss: SoftmaxLoss, test: Dataset) -> dict[str, float | None]:
    """Cosine and classifier of a trained run on ``test``.

    ``spearman`` and ``auc`` of the cosine; ``accuracy`` of the classifier beside the ``majority`` rate;
    ``share_positive`` and ``mean_weight`` of `difference_weights` (None without |u − v|); ``mean_cosine`` of all pairs
    of different sentences; the median length of u − v where the label is at least ½ (``near_1``), and below
    (``near_0``).
    """
    columns = pair_columns(test)
    classifier = evaluate_classifier(encoder, loss, test)
    texts = list(dict.fromkeys([*columns.first, *columns.second]))
    vectors = encoder.encode(texts).numpy()
    u, v = (encoder.encode(side) for side in (columns.first, columns.second))
    lengths, high = (u - v).norm(dim=1).numpy(), columns.labels >= 0.5
    weights = difference_weights(loss) if "|u-v|" in loss.features else None
    return {
        **{name: evaluate(encoder, test)[name] for name in ("spearman", "auc")},
        "accuracy": classifier["accuracy"],
        "majority": classifier["majority"],
        "share_positive": None if weights is None else (weights > 0).double().mean().item(),
        "mean_weight": None if weights is None else weights.mean().item(),
        "mean_cosine": geometry(vectors[np.linalg.norm(vectors, axis=1) > 0])["mean_cosine"],
        "near_1": float(np.median(lengths[high])),
        "near_0": float(np.median(lengths[~high])),
    }
