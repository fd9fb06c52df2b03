"""Whose gradient moves when labels are wrong, and what becomes of the pairs that carry them (chapter 10).

Both measurements flip a share of the training labels, train, and look along the way: the one at the pull on the
flipped pairs, the other at where they stand.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from cosent_book.alterations import altered
from cosent_book.measurements.registry import Data, measurement
from cosent_book.measurements.training import train_static
from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.evaluation.evaluate import cosine_scores, evaluate
from cosent_lib.evaluation.metrics import concordance
from cosent_lib.ranking.rank_loss import demanded_pairs
from cosent_lib.training.setup import Watch

BATCH = 64  # of training, and of the batches that are looked at
LOOKED_AT = 100  # of those

FLIPPED: list[dict[str, Any]] = [
    *({"loss": "power_mean", "scale": 20.0, "exponent": exponent} for exponent in (-1.0, 0.0, 1.0)),
    {"loss": "cosent", "scale": 20.0},
]
BUDGETS: dict[str, dict[str, Any]] = {
    "bq": {"epochs": 5}, "atec": {"epochs": 3}, "lcqmc": {"epochs": 1, "take": 64_000}
}  # fmt: skip

Look = Callable[[SentenceEncoder, Mapping[str, Any]], Mapping[str, float]]


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
        points: looks along training, besides the one before it.

    Returns:
        dict: ``rows``, one for each loss, seed and look: its settings, ``seed``, ``step``, ``flipped`` (their
        share of the training pairs looked at), ``pull`` (their share of all weight), ``effective_share`` (of the
        demanded pairs of a batch, (Σw)²/(P·Σw²): 1 where all pull alike), ``spearman`` on validation.
    """

    def look(clean: Dataset, noisy: Dataset, seed: int) -> Look:
        order = np.random.default_rng(seed).permutation(len(noisy))[: LOOKED_AT * BATCH]
        seen = noisy.select(order)
        labels = torch.tensor(seen["score"][:])
        wrong = labels != torch.tensor(clean.select(order)["score"][:])

        def pulls(encoder: SentenceEncoder, loss: Mapping[str, Any]) -> Mapping[str, float]:
            scores = loss["scale"] * torch.from_numpy(cosine_scores(encoder, seen))
            return pull_shares(scores, labels, wrong, loss.get("exponent"), BATCH)

        return pulls

    rows = _along_training(data, task, flip, losses, seeds, look, lambda steps: epochs * steps // points, epochs, take)
    return {"rows": [{name: value for name, value in row.items() if name != "epoch"} for row in rows]}


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
        looks: at training pairs and validation in each epoch.

    Returns:
        dict: ``rows``, one for each loss, seed and look: its settings, ``seed``, ``epoch`` (a fraction, 0 before
        training), ``flipped_auc`` and ``kept_auc``, the AUC of the cosines of the flipped and of all other training
        pairs, both with respect to the *true* labels (0: every mistake is learned, 1: none), and ``spearman`` on
        validation.
    """

    def look(clean: Dataset, noisy: Dataset, _: int) -> Look:
        truth = np.array(clean["score"][:])
        wrong = truth != np.array(noisy["score"][:])

        def stand(encoder: SentenceEncoder, _: Mapping[str, Any]) -> Mapping[str, float]:
            cosines = cosine_scores(encoder, noisy)
            return {
                "flipped_auc": concordance(cosines[wrong], truth[wrong]),
                "kept_auc": concordance(cosines[~wrong], truth[~wrong]),
            }

        return stand

    rows = _along_training(data, task, flip, losses, seeds, look, lambda steps: steps // looks, epochs, take)
    return {"rows": [{name: value for name, value in row.items() if name != "step"} for row in rows]}


def _along_training(
    data: Data,
    task: str,
    flip: float,
    losses: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    look: Callable[[Dataset, Dataset, int], Look],
    every: Callable[[int], int],
    epochs: int,
    take: int | None,
) -> Iterator[dict[str, Any]]:
    """Flip, train, look: a row for each seed, loss and look.

    ``look`` makes, from the clean and the flipped pairs and the seed, what is asked of encoder and settings; ``every``
    says from the steps of an epoch how many lie between two looks. Each row has the settings, ``seed``, ``step``,
    ``epoch`` (a fraction), what the look found, and ``spearman`` on validation.
    """
    for seed in seeds:
        clean = altered(data.load(task, "train"), {} if take is None else {"take": take}, seed)
        noisy, validation = altered(clean, {"flip": flip}, seed), data.load(task, "validation")
        found, steps = look(clean, noisy, seed), -(-len(noisy) // BATCH)
        for loss in losses:
            result = train_static(
                noisy, loss, seed, validation=validation, watch=_watch(found, loss, validation), epochs=epochs,
                batch_size=BATCH, evaluation_steps=max(1, every(steps)),
            ).result  # fmt: skip
            for row in result.watched.to_dict("records"):
                yield {**loss, "seed": seed, "epoch": row["step"] / steps, **{str(k): v for k, v in row.items()}}


def _watch(look: Look, settings: Mapping[str, Any], validation: Dataset) -> Watch:
    return lambda encoder, _: {**look(encoder, settings), "spearman": evaluate(encoder, validation)["spearman"]}


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
    low, high = demanded_pairs(labels)
    z = (scores[low] - scores[high]).double()
    if exponent is None:
        return low, high, torch.cat([z, z.new_zeros(1)]).softmax(0)[:-1]
    return low, high, (exponent * torch.nn.functional.softplus(z)).softmax(0) * z.sigmoid()


def pull_shares(
    scores: Tensor, labels: Tensor, wrong: Tensor, exponent: float | None, batch_size: int
) -> dict[str, float]:
    """The share of pairs with a wrong label, ``flipped``, and their share of the weight, ``pull``.

    Args:
        scores: ``[n]``.
        labels: ``[n]``, some of them wrong.
        wrong: which of them, ``[n]``.
        exponent: as in `pair_weights`.
        batch_size: so many items are compared with one another; a batch counts by its weight in the gradient.

    Returns:
        dict: beside the two ``effective_share``, as in `pull_on_flipped`, the mean over batches.
    """
    on_wrong, total, effective = 0.0, 0.0, []
    for rows in torch.arange(len(labels)).split(batch_size):
        low, high, weights = pair_weights(scores[rows], labels[rows], exponent)
        if weights.numel() == 0:
            continue
        carried = (wrong[rows][low].double() + wrong[rows][high].double()) / 2
        on_wrong += float((weights * carried).sum())
        total += float(weights.sum())
        effective.append(float(weights.sum() ** 2 / (weights.numel() * (weights**2).sum())))
    return {
        "flipped": float(wrong.double().mean()),
        "pull": on_wrong / total,
        "effective_share": float(np.mean(effective)),
    }
