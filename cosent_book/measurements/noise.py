"""Whose gradient moves when labels are wrong: the pull on flipped pairs along training (chapter 9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from cosent_book.measurements.registry import Data, measurement
from cosent_lib.encoders.base import SentenceEncoder

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import nn


LOOKED_AT = 100  # batches of training pairs


FLIPPED: list[dict[str, Any]] = [
    *({"loss": "power_mean", "scale": 20.0, "exponent": exponent} for exponent in (-1.0, 0.0, 1.0)),
    {"loss": "cosent", "scale": 20.0},
]
BUDGETS: dict[str, dict[str, Any]] = {
    "bq": {"epochs": 5}, "atec": {"epochs": 3}, "lcqmc": {"epochs": 1, "take": 64_000}
}  # fmt: skip


@measurement(
    {"task": task, "flip": 0.3, "losses": FLIPPED, "seeds": [0, 1], **BUDGETS[task]} for task in ("bq", "lcqmc")
)
def pull_on_flipped(
    data: Data,
    *,
    task: str,
    flip: float,
    losses: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    epochs: int,
    take: int | None = None,
    batch_size: int = 64,
    points: int = 4,
) -> dict[str, Any]:
    """Flip a share of the training labels, train with each loss, and ask along the way which pairs pull.

    A demanded pair (i, j) of a batch, y_i < y_j with the labels as they were flipped, has a weight in the gradient
    (`pair_weights`); half of it counts for i and half for j.

    Args:
        data: where pairs come from.
        task: a set with training and validation pairs.
        flip: the share of the labels y that become 1 − y.
        losses: each with ``loss`` (``power_mean`` or ``cosent``), ``scale`` and, for the former, ``exponent``.
        seeds: of drawing, flipping, encoder and batches.
        epochs: passes over the training pairs.
        take: how many training pairs, drawn without replacement; None: all.
        batch_size: of training, and of the batches that are looked at.
        points: looks along training, besides the one before it.

    Returns:
        dict: ``rows``, one for each loss, seed and look: its settings, ``seed``, ``step``, ``flipped`` (their
        share of the training pairs looked at), ``pull`` (their share of all weight), ``effective_share`` (of the
        demanded pairs of a batch, (Σw)²/(P·Σw²): 1 where all pull alike), ``spearman`` on validation.
    """
    from cosent_lib.data.alterations import altered

    rows = []
    for seed in seeds:
        clean = altered(data.load(task, "train"), {} if take is None else {"take": take}, seed)
        noisy = altered(clean, {"flip": flip}, seed)
        validation = data.load(task, "validation")
        for settings in losses:
            found = _looks(clean, noisy, validation, settings, seed, epochs, batch_size, points)
            rows += [{**settings, "seed": seed, **row} for row in found]
    return {"rows": rows}


def pair_weights(scores: Tensor, labels: Tensor, exponent: float | None) -> tuple[Tensor, Tensor, Tensor]:
    """The demanded pairs of a batch and their weights in the gradient of the loss.

    Args:
        scores: ``[n]``.
        labels: ``[n]``.
        exponent: κ of `power_mean_rank_loss`; None: `rank_loss`.

    Returns:
        tuple: ``low`` and ``high``, the places ``[P]`` of the lower and the higher label, and ``weights`` ``[P]``: the
        derivative of the loss in s_low − s_high.
    """
    low, high = (labels[:, None] < labels[None, :]).nonzero(as_tuple=True)
    z = (scores[low] - scores[high]).double()
    if exponent is None:
        return low, high, torch.cat([z, z.new_zeros(1)]).softmax(0)[:-1]
    return low, high, (exponent * torch.nn.functional.softplus(z)).softmax(0) * z.sigmoid()


def _looks(
    clean: Dataset, noisy: Dataset, validation: Dataset, settings: Mapping[str, Any], seed: int, epochs: int,
    batch_size: int, points: int,
) -> list[dict[str, Any]]:  # fmt: skip
    from cosent_lib.encoders.load import load_encoder
    from cosent_lib.evaluation.evaluate import cosine_scores, evaluate
    from cosent_lib.losses.make import make_loss
    from cosent_lib.training.setup import TrainingConfig
    from cosent_lib.training.train import train

    order = np.random.default_rng(seed).permutation(len(noisy))[: LOOKED_AT * batch_size]
    seen = noisy.select(order)
    labels = torch.tensor(seen["score"][:])
    flipped = labels != torch.tensor(clean.select(order)["score"][:])
    encoder = load_encoder("static", [*noisy["sentence1"][:], *noisy["sentence2"][:]], seed=seed)

    def watch(encoder: SentenceEncoder, loss: nn.Module) -> dict[str, float | None]:
        scores = settings["scale"] * torch.from_numpy(cosine_scores(encoder, seen))
        found = _looked(scores, labels, flipped, settings.get("exponent"), batch_size)
        return {**found, "spearman": evaluate(encoder, validation)["spearman"]}

    steps = epochs * -(-len(noisy) // batch_size)
    config = TrainingConfig(
        epochs=epochs, batch_size=batch_size, seed=seed, device="cpu", progress=False,
        evaluation_steps=max(1, steps // points),
    )  # fmt: skip
    options = {name: value for name, value in settings.items() if name != "loss"}
    result = train(encoder, make_loss(settings["loss"], encoder, **options), noisy, config, validation, watch=watch)
    return [{str(name): value for name, value in row.items()} for row in result.watched.to_dict("records")]


def _looked(
    scores: Tensor, labels: Tensor, flipped: Tensor, exponent: float | None, batch_size: int
) -> dict[str, float]:
    """Shares over all batches; for ``pull`` a batch counts by the weight it has in the gradient."""
    on_flipped, total, effective = 0.0, 0.0, []
    for rows in torch.arange(len(labels)).split(batch_size):
        low, high, weights = pair_weights(scores[rows], labels[rows], exponent)
        if weights.numel() == 0:
            continue
        wrong = (flipped[rows][low].double() + flipped[rows][high].double()) / 2
        on_flipped += float((weights * wrong).sum())
        total += float(weights.sum())
        effective.append(float(weights.sum() ** 2 / (weights.numel() * (weights**2).sum())))
    return {
        "flipped": float(flipped.double().mean()),
        "pull": on_flipped / total,
        "effective_share": float(np.mean(effective)),
    }
