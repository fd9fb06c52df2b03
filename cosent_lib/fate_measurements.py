"""What becomes of training pairs whose labels are wrong: learned as labelled, or left where they belong (chapter 9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from cosent_lib.measurements import Data


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
) -> dict[str, Any]:
    """Flip a share of the training labels, train, and ask how the training pairs stand in the end.

    The static encoder is trained to the last step, nothing is chosen.

    Args:
        data: where pairs come from.
        task: a set with labels 0 and 1 and a test split.
        flip: the share of the labels y that become 1 − y.
        losses: each with ``loss`` and its options, as for `make_loss`.
        seeds: of drawing, flipping, encoder and batches.
        epochs: passes over the training pairs.
        take: how many training pairs, drawn without replacement; None: all.
        batch_size: of training.

    Returns:
        dict: ``rows``, one for each loss and seed: its settings, ``seed``, ``flipped_auc`` and ``kept_auc``, the AUC of
        the cosines of the flipped and of all other training pairs, both with respect to the *true* labels (0: every
        mistake is learned, 1: none), and ``test_spearman``.
    """
    from cosent_lib.alterations import altered
    from cosent_lib.encoders import load_encoder
    from cosent_lib.evaluation import concordance, cosine_scores, evaluate
    from cosent_lib.losses import make_loss
    from cosent_lib.training import TrainingConfig, train

    rows = []
    for seed in seeds:
        clean = altered(data.load(task, "train"), {} if take is None else {"take": take}, seed)
        noisy, test = altered(clean, {"flip": flip}, seed), data.load(task, "test")
        truth, given = np.array(clean["score"][:]), np.array(noisy["score"][:])
        wrong = truth != given
        for settings in losses:
            encoder = load_encoder("static", [*noisy["sentence1"][:], *noisy["sentence2"][:]], seed=seed)
            options = {name: value for name, value in settings.items() if name != "loss"}
            config = TrainingConfig(epochs=epochs, batch_size=batch_size, seed=seed, device="cpu", progress=False)
            train(encoder, make_loss(settings["loss"], encoder, **options), noisy, config)
            cosines = cosine_scores(encoder, noisy)
            rows.append({
                **settings, "seed": seed, "flipped_auc": concordance(cosines[wrong], truth[wrong]),
                "kept_auc": concordance(cosines[~wrong], truth[~wrong]),
                "test_spearman": evaluate(encoder, test)["spearman"],
            })  # fmt: skip
    return {"rows": rows}
