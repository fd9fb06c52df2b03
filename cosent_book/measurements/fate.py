"""What becomes of training pairs whose labels are wrong: learned as labelled, or left where they belong (chapter 9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cosent_book.measurements.noise import BUDGETS, FLIPPED
from cosent_book.measurements.registry import Data, measurement
from cosent_lib.encoders.base import SentenceEncoder

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import nn


@measurement(
    {"task": task, "flip": 0.3, "losses": FLIPPED[:3], "seeds": [0, 1, 2], **budget} for task, budget in BUDGETS.items()
)
def fate_of_flipped(
    data: Data,
    *,
    task: str,
    flip: float,
    losses: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    epochs: int,
    take: int | None = None,
    batch_size: int = 64,
    looks: int = 2,
) -> dict[str, Any]:
    """Flip a share of the training labels, train, and ask along the way how the training pairs stand.

    Args:
        data: where pairs come from.
        task: a set with labels 0 and 1 and a validation split.
        flip: the share of the labels y that become 1 − y.
        losses: each with ``loss`` and its options, as for `make_loss`.
        seeds: of drawing, flipping, encoder and batches.
        epochs: passes over the training pairs.
        take: how many training pairs, drawn without replacement; None: all.
        batch_size: of training.
        looks: at training pairs and validation in each epoch.

    Returns:
        dict: ``rows``, one for each loss, seed and look: its settings, ``seed``, ``epoch`` (a fraction, 0 before
        training), ``flipped_auc`` and ``kept_auc``, the AUC of the cosines of the flipped and of all other training
        pairs, both with respect to the *true* labels (0: every mistake is learned, 1: none), and ``spearman`` on
        validation.
    """
    from cosent_lib.data.alterations import altered

    rows = []
    for seed in seeds:
        clean = altered(data.load(task, "train"), {} if take is None else {"take": take}, seed)
        noisy, validation = altered(clean, {"flip": flip}, seed), data.load(task, "validation")
        each_epoch = -(-len(noisy) // batch_size)
        settings = {"epochs": epochs, "batch_size": batch_size, "evaluation_steps": max(1, each_epoch // looks)}
        for loss in losses:
            for row in _looks(clean, noisy, validation, loss, seed, settings):
                epoch = row.pop("step") / each_epoch
                rows.append({**loss, "seed": seed, "epoch": epoch, **row})
    return {"rows": rows}


def _looks(
    clean: Dataset, noisy: Dataset, validation: Dataset, loss: Mapping[str, Any], seed: int, settings: dict[str, int]
) -> list[dict[str, Any]]:
    from cosent_lib.encoders.load import load_encoder
    from cosent_lib.evaluation.evaluate import cosine_scores, evaluate
    from cosent_lib.evaluation.metrics import concordance
    from cosent_lib.losses.make import make_loss
    from cosent_lib.training.setup import TrainingConfig
    from cosent_lib.training.train import train

    truth = np.array(clean["score"][:])
    wrong = truth != np.array(noisy["score"][:])

    def watch(encoder: SentenceEncoder, _: nn.Module) -> dict[str, float | None]:
        cosines = cosine_scores(encoder, noisy)
        return {
            "flipped_auc": concordance(cosines[wrong], truth[wrong]),
            "kept_auc": concordance(cosines[~wrong], truth[~wrong]),
            "spearman": evaluate(encoder, validation)["spearman"],
        }

    encoder = load_encoder("static", [*noisy["sentence1"][:], *noisy["sentence2"][:]], seed=seed)
    options = {name: value for name, value in loss.items() if name != "loss"}
    config = TrainingConfig(seed=seed, device="cpu", progress=False, **settings)  # type: ignore[arg-type]
    result = train(encoder, make_loss(loss["loss"], encoder, **options), noisy, config, validation, watch=watch)
    return [{str(name): value for name, value in row.items()} for row in result.watched.to_dict("records")]
