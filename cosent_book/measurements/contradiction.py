"""How hard each loss pulls at training pairs that carry both labels, of which one must be wrong (chapter 8)."""

from collections import defaultdict
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from torch import Tensor

from cosent_book.alterations import altered
from cosent_book.measurements.pairs import normalised
from cosent_book.measurements.registry import Data, measurement
from cosent_book.measurements.training import train_static
from cosent_book.pushes import push
from cosent_lib.evaluation.evaluate import cosine_scores
from cosent_lib.ranking.rank_loss import demanded_pairs, rank_loss

BATCH = 64  # of training, and of the batches that are looked at


@measurement([{"task": "lcqmc", "take": 120_000, "scale": 20.0, "seeds": [0, 1]}])
def contradiction_pull(data: Data, *, task: str, take: int, scale: float, seeds: list[int]) -> dict[str, Any]:
    """Train on pairs of which some occur with both labels, then ask what share of the pull these get.

    A pair is the same as another when, order ignored, both texts agree after `normalised`. The static encoder is
    trained for one epoch with CoSENT and, apart from that, with RankNet; each is then asked for its own pull, the
    absolute gradient on the scores, on every training batch of a further epoch.

    Args:
        data: where pairs come from.
        task: a set with labels 0 and 1.
        take: how many training pairs, drawn without replacement.
        scale: λ of both losses.
        seeds: of drawing, encoder and batches.

    Returns:
        dict: ``rows``, one for each loss and seed: ``loss``, ``seed``, ``share`` of the training pairs that contradict
        another, and ``pull``, their share of the sum of all absolute gradients.
    """
    rows = []
    for seed in seeds:
        pairs = altered(data.load(task, "train"), {"take": take}, seed)
        wrong = contradicting(pairs)
        for loss in ("cosent", "ranknet"):
            settings = {"loss": loss, "scale": scale}
            encoder = train_static(pairs, settings, seed, epochs=1, batch_size=BATCH).encoder
            scores = scale * torch.from_numpy(cosine_scores(encoder, pairs))
            pull = _pull_share(scores, torch.tensor(pairs["score"][:]), torch.from_numpy(wrong), loss, seed)
            rows.append({"loss": loss, "seed": seed, "share": float(wrong.mean()), "pull": pull})
    return {"rows": rows}


def contradicting(pairs: Dataset) -> NDArray[np.bool_]:
    """For each row whether the same two texts, order ignored, occur with another label too; ``[n]``."""
    keys = [
        tuple(sorted(map(normalised, both)))
        for both in zip(pairs["sentence1"][:], pairs["sentence2"][:], strict=True)
    ]  # fmt: skip
    labels = defaultdict(set)
    for key, label in zip(keys, pairs["score"][:], strict=True):
        labels[key].add(label)
    return np.array([len(labels[key]) > 1 for key in keys])


def _pull_share(scores: Tensor, labels: Tensor, wrong: Tensor, loss: str, seed: int) -> float:
    """The share of the absolute gradients that goes to the items marked ``wrong``, over all batches of an epoch."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    on_wrong, total = 0.0, 0.0
    for rows in order.split(BATCH):
        pull = pulls(scores[rows], labels[rows], mean_of_logs=loss == "ranknet")
        on_wrong += float(pull[wrong[rows]].sum())
        total += float(pull.sum())
    return on_wrong / total


def pulls(scores: Tensor, labels: Tensor, mean_of_logs: bool) -> Tensor:
    """Absolute gradient on each score, ``[n]``: of `rank_loss`, or of the mean of log(1 + e^{s_i − s_j})."""

    def mean(s: Tensor, y: Tensor) -> Tensor:
        low, high = demanded_pairs(y)
        return torch.nn.functional.softplus(s[low] - s[high]).mean()

    if bool((labels == labels[0]).all()):
        return torch.zeros_like(scores, dtype=torch.float64)
    return push(mean if mean_of_logs else rank_loss, scores.double(), labels).abs()
