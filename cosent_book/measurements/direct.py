"""What a direct cosine loss owes to its negatives and to the share of its positives, on real pairs (chapter 6).

Functions of data and arguments, with plain JSON results.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset

from cosent_book.alterations import altered
from cosent_book.measurements.registry import Data, measurement
from cosent_book.measurements.training import train_static
from cosent_lib.data.columns import pair_columns
from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.evaluation.evaluate import cosine_scores
from cosent_lib.evaluation.metrics import spearman

DIRECT = ["cosine_linear", "cosine_squared", "cosine_margin"]


def with_equal_weights(pairs: Dataset) -> Dataset:
    """Return the pairs with the rarer label repeated until both labels have the same number of rows.

    Raises:
        ValueError: labels other than 0 and 1, or only one of the two.
    """
    labels = np.asarray(pairs["score"][:], dtype=np.float64)
    if set(labels.tolist()) != {0.0, 1.0}:
        raise ValueError(f"equal weights need labels 0 and 1, both of them; got {sorted(set(labels.tolist()))[:4]}")
    ones, zeros = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    size = max(len(ones), len(zeros))
    return pairs.select(np.sort(np.concatenate([np.resize(ones, size), np.resize(zeros, size)])))


@measurement([{"task": "atec", "losses": DIRECT, "seeds": [0, 1, 2], "steps": 376}])
def label_weights(data: Data, *, task: str, losses: Sequence[str], seeds: Sequence[int], steps: int) -> dict[str, Any]:
    """Train each loss on labelled and on random negatives, with the labels as they are and with equal weights.

    The encoder is ``static``; every run has the same number of steps of 64 pairs, and keeps the checkpoint that is best
    on validation. Judged once on the labelled test pairs.

    Args:
        data: where the pairs come from.
        task: a task with labels 0 and 1.
        losses: names of losses, with their default options.
        seeds: of encoder, order and random negatives.
        steps: of training.

    Returns:
        dict: ``share``, that of label 1 in train; ``rows``, one a run: ``loss``, ``negatives``, ``equal``, ``seed``,
        test ``spearman``, and mean and standard deviation of the test cosines of label 1 and of label 0.
    """
    train_pairs, validation, test = (data.load(task, split) for split in ("train", "validation", "test"))
    rows = []
    for negatives in ("labelled", "random"):
        for seed in seeds:
            pairs = altered(train_pairs, {} if negatives == "labelled" else {"negatives": "random"}, seed)
            for equal in (False, True):
                chosen = with_equal_weights(pairs) if equal else pairs
                settings = {"epochs": 1 + 64 * steps // len(chosen), "max_steps": steps, "vocabulary": train_pairs}
                for loss in losses:
                    encoder = train_static(chosen, {"loss": loss}, seed, validation=validation, **settings).encoder
                    row = {"loss": loss, "negatives": negatives, "equal": equal, "seed": seed}
                    rows.append(row | _judged(encoder, test))
    return {"share": float(np.mean(train_pairs["score"][:])), "rows": rows}


def _judged(encoder: SentenceEncoder, test: Dataset) -> dict[str, float]:
    """Test Spearman, and where the test cosines of either label stand."""
    cosines, labels = cosine_scores(encoder, test), pair_columns(test).labels
    stands = {
        f"{what}_{label}": float(compute(cosines[labels == label]))
        for label in (0, 1)
        for what, compute in (("mean", np.mean), ("sd", np.std))
    }
    return {"spearman": spearman(cosines, labels), **stands}


@measurement([{"task": "bq", "losses": DIRECT, "seeds": [0, 1, 2], "epochs": 10}])
def long_training(data: Data, *, task: str, losses: Sequence[str], seeds: Sequence[int], epochs: int) -> dict[str, Any]:
    """Train each loss for many epochs and follow validation Spearman, to see whether more training undoes it.

    Args:
        data: where the pairs come from.
        task: a task with training and validation pairs.
        losses: names of losses, with their default options.
        seeds: of encoder and order.
        epochs: passes over the training pairs; the ``static`` encoder, batches of 64.

    Returns:
        dict: ``rows``, one a run: ``loss``, ``seed``, and ``spearman`` after each epoch.
    """
    pairs, validation = (data.load(task, split) for split in ("train", "validation"))
    rows = []
    for loss in losses:
        for seed in seeds:
            followed = train_static(pairs, {"loss": loss}, seed, validation=validation, epochs=epochs).result
            rows.append({"loss": loss, "seed": seed, "spearman": followed.evaluations["spearman"].tolist()})
    return {"rows": rows}
