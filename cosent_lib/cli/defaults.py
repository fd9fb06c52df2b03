"""What ``cosent train`` chooses where the user does not, and why, in words."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cosent_lib.texts import silent_about_cut

if TYPE_CHECKING:  # torch and datasets
    from datasets import Dataset

    from cosent_lib.runs.run import Run

MOST_EPOCHS, PATIENCE = 20, 3
WITH_RULE = ("cosent", "ranknet")  # losses whose λ is computed


def with_defaults(run: Run, splits: dict[str, Dataset], progress: bool = False) -> tuple[Run, str]:
    """Fill in how long to train and which λ to train with, where ``run`` leaves it open.

    Args:
        run: as the user gave it.
        splits: its pairs; what is chosen is chosen by train and validation.
        progress: show progress bars.

    Returns:
        tuple: the run with what was chosen, and what that is and why, with the options that would have said it;
        empty where nothing was left open.
    """
    said = []
    if run.loss in WITH_RULE and "scale" not in run.loss_options and not run.loss_options.get("learn_scale"):
        options, why = _scale(run, splits, progress)
        run = replace(run, loss_options={**options, **run.loss_options})
        said.append(f"{why} (--scale)")
    if not {"epochs", "max_steps"} & run.training.keys():
        if "validation" in splits:
            run = replace(run, training={"epochs": MOST_EPOCHS, "patience": PATIENCE, **run.training})
            patience = run.training["patience"]
            how = f"at most {MOST_EPOCHS} epochs, until {patience} validations bring no new best"
        else:
            how = "1 epoch, for there are no validation pairs to stop by"
        said.append(f"{how} (--epochs)")
    return run, "; ".join(said)


def _scale(run: Run, splits: dict[str, Dataset], progress: bool) -> tuple[dict[str, Any], str]:
    """The option ``scale`` and why: a rule where the untrained encoder's cosines allow one."""
    from cosent_lib.data.columns import pair_columns
    from cosent_lib.encoders.load import load_encoder
    from cosent_lib.evaluation.evaluate import cosine_scores
    from cosent_lib.ranking.scale import CUSTOMARY, NoScaleHelps, suggest_scale

    customary = {"scale": CUSTOMARY}, f"λ = {CUSTOMARY:g}, the customary one, for "
    if "validation" not in splits:
        return customary[0], customary[1] + "there are no validation pairs to compute one from"
    texts = [text for side in ("sentence1", "sentence2") for text in splits["train"][side][:]]
    encoder = load_encoder(run.encoder, texts, **{"seed": run.seed, **run.encoder_options})
    with silent_about_cut():  # perform says it
        cosines = cosine_scores(encoder.to(_device(run)), splits["validation"], progress=progress)
    try:
        best = suggest_scale(cosines, pair_columns(splits["validation"]).labels, run.loss)
    except NoScaleHelps:
        return customary[0], customary[1] + "the untrained encoder's cosines do not follow the validation labels"
    if math.isinf(best):
        return customary[0], customary[1] + "the untrained encoder has every validation pair in order, so none is best"
    return {"scale": "suggested"}, f"λ = {best:.3g}, computed from untrained cosines of validation pairs"


def _device(run: Run) -> str:
    """The GPU where the training is to be on it; train() itself says when one is not there."""
    import torch

    asked = run.training.get("device", "auto")
    return "cuda" if asked in ("auto", "cuda") and torch.cuda.is_available() else "cpu"
