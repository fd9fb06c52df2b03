"""A declared run carried out: train on train, choose on validation, evaluate once on test, say it all in a record."""

import time
import warnings
from collections.abc import Mapping
from dataclasses import fields
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from cosent_lib.errors import check_launch
from cosent_lib.runs.outcome import make_record, resolved_settings
from cosent_lib.runs.record import Record
from cosent_lib.runs.run import NOT_TRAINING_SETTINGS, Run
from cosent_lib.texts import count_cut, silent_about_cut, warn_of_cut

if TYPE_CHECKING:
    from datasets import Dataset

    from cosent_lib.encoders.base import SentenceEncoder
    from cosent_lib.training.setup import TrainingConfig, Watch


def perform(
    run: Run,
    *,
    progress: bool = True,
    splits: "dict[str, Dataset] | None" = None,
    encoder: "SentenceEncoder | None" = None,
    watch: "Watch | None" = None,
    output_dir: str | Path | None = None,
    checkpoint_steps: int | None = None,
    resume_from: str | Path | None = None,
) -> "tuple[Record, SentenceEncoder]":
    """Carry out one run and return its record and the trained encoder.

    Args:
        run: What to do.
        progress: Show progress bars.
        splits: From `load_splits`, the training pairs changed where the run declares that they are.
        encoder: The run's encoder, where `load_encoder` does not know it by its name; it is trained.
        watch: As for `train`; what a run declares to watch is handed over here.
        output_dir: As in `TrainingConfig`.
        checkpoint_steps: As in `TrainingConfig`.
        resume_from: As for `train`.

    Raises:
        DataUnavailable, MalformedRow: From `load_pairs`.
        NonFiniteLoss: From `train`.
        ValueError: A name or an option that does not exist.
    """
    from cosent_lib.encoders.load import load_encoder
    from cosent_lib.losses.make import make_loss
    from cosent_lib.training.train import train

    check_launch()
    config = _training_config(run, progress, {"output_dir": output_dir, "checkpoint_steps": checkpoint_steps})
    check_settings(run)  # a mistake shows now, not after loading
    if (run.alter and splits is None) or (run.watch and watch is None):
        raise ValueError(f"{run} changes its training pairs or watches something: hand over splits and watch")
    splits = load_splits(run) if splits is None else splits
    pairs, validation = splits["train"], splits.get("validation")
    if validation is None:
        warnings.warn(f"{run.task} has no validation split: the last step is kept, not the best", stacklevel=2)
    if encoder is None:
        texts = [*pairs["sentence1"][:], *pairs["sentence2"][:]]
        encoder = load_encoder(run.encoder, texts, **{"seed": run.seed, **run.encoder_options})
    loss = make_loss(run.loss, encoder, **_loss_options(run))
    _warn_of_cut(encoder, splits)
    with silent_about_cut():
        before = _untrained(run, encoder, splits)
        result = train(encoder, loss, pairs, config, validation, resume_from, watch)
        started = time.perf_counter()
        metrics = {"validation": result.best_metrics or None, "test": None, **before}
        metrics |= _judged_once(run, encoder, loss, splits)
    seconds = {"train": result.seconds, "evaluate": time.perf_counter() - started}
    resolved = resolved_settings(pairs, encoder, loss, result.config)
    return make_record(run, splits, result, metrics, resolved, seconds), encoder


def check_settings(run: Run) -> None:
    """Refuse a mistake in the settings of training or loss before anything is loaded, with a ``ValueError``."""
    from cosent_lib.encoders.load import reads_pairs
    from cosent_lib.losses.make import make_loss

    _training_config(run, progress=False)
    pairs = reads_pairs(run.encoder)
    stand_in = SimpleNamespace(dim=2, name=run.encoder, reads_pairs=pairs)  # only the options are looked at
    make_loss(run.loss, stand_in, **_loss_options(run))
    if pairs and "test:retrieval" in run.judge:
        raise ValueError(f"encoder {run.encoder!r} reads pairs and finds no texts: leave test:retrieval out of judge")


def _warn_of_cut(encoder: "SentenceEncoder", splits: "dict[str, Dataset]") -> None:
    """Say once, for all that is trained or judged on, how many texts the encoder cuts."""
    columns = (pairs[name][:] for pairs in splits.values() for name in ("sentence1", "sentence2"))
    texts = list(dict.fromkeys(text for column in columns for text in column))
    warn_of_cut(encoder, count_cut(encoder, texts), len(texts), f"texts of {', '.join(splits)}", stacklevel=3)


def _untrained(run: Run, encoder: "SentenceEncoder", splits: "dict[str, Dataset]") -> dict[str, Any]:
    """Test metrics before the first step, a baseline that nothing is chosen by."""
    from cosent_lib.evaluation.evaluate import evaluate_retrieval

    metrics: dict[str, Any] = {"test_untrained": _judged(encoder, splits, "test") if "test" in splits else None}
    if "test:retrieval" in run.judge and "test" in splits:
        metrics["test_untrained_retrieval"] = evaluate_retrieval(encoder, splits["test"])
    return metrics


def _judged_once(run: Run, encoder: "SentenceEncoder", loss: Any, splits: "dict[str, Dataset]") -> dict[str, Any]:
    """Metrics of all that is held back, now that the choice on validation is made."""
    from cosent_lib.evaluation.evaluate import evaluate_classifier, evaluate_retrieval
    from cosent_lib.losses.sentence_bert import SoftmaxLoss

    metrics: dict[str, Any] = {}
    for name in [name for name in splits if name not in ("train", "validation")]:
        metrics[name] = _judged(encoder, splits, name, _threshold_pairs(splits, name))
        if isinstance(loss, SoftmaxLoss):
            classified = evaluate_classifier(encoder, loss, splits[name])
            metrics[name] |= {f"classifier_{value}": classified[value] for value in ("accuracy", "majority")}
    if "test:retrieval" in run.judge and "test" in splits:
        metrics["test_retrieval"] = evaluate_retrieval(encoder, splits["test"])
    return metrics


def _judged(
    encoder: "SentenceEncoder", splits: "dict[str, Dataset]", name: str, threshold_pairs: "Dataset | None" = None
) -> dict[str, float | None]:
    """Metrics of a split; where cosines are all equal, a warning and None, so that a finished training is kept."""
    from cosent_lib.evaluation.evaluate import evaluate
    from cosent_lib.evaluation.metrics import UndefinedMetric

    try:
        return dict(evaluate(encoder, splits[name], threshold_pairs))
    except UndefinedMetric as error:
        warnings.warn(f"{name}: {error}", stacklevel=3)
        return {"spearman": None}


def load_splits(run: Run) -> "dict[str, Dataset]":
    """The splits that the run's task has, ``train`` always, others where they exist; and those it names besides.

    Raises:
        DataUnavailable, MalformedRow: From `load_pairs`; a split that exists but cannot be had is an error.
        ValueError: The task has no training split, or one to judge on has no order in its labels.
    """
    from cosent_lib.data.load import load_pairs, split_names
    from cosent_lib.evaluation.metrics import check_defined

    names = split_names(run.task)
    if "train" not in names and not run.task.startswith("csv:"):
        raise ValueError(f"task {run.task!r} has no training split, only {', '.join(names)}")
    wanted = [name for name in dict.fromkeys(["train", *names]) if run.judge or name in ("train", "validation")]
    splits = {name: load_pairs(run.task, name, run.source, score_range=run.score_range) for name in wanted}
    for place in (place for place in run.judge if "/" in place):
        task, _, name = place.rpartition("/")
        splits[place] = load_pairs(task, name, run.source)
    for name, pairs in splits.items():  # now, not after the training
        if name != "train":
            check_defined(np.asarray(pairs["score"][:]), f"labels of {run.task} {name}")
    return splits


def _threshold_pairs(splits: "dict[str, Dataset]", judged: str) -> "Dataset | None":
    """The validation pairs, where both they and the judged ones are labelled 0 and 1, and are others."""
    from cosent_lib.evaluation.evaluate import SamePairs, check_other_pairs
    from cosent_lib.evaluation.thresholds import is_binary

    both = [splits[name] for name in ("validation", judged) if name in splits]
    if len(both) < 2:
        return None
    try:
        check_other_pairs(both[1], both[0], "validation")
    except SamePairs as error:
        warnings.warn(f"{judged}: {error}; what {judged} says is no evidence", stacklevel=4)
        return None
    return both[0] if all(is_binary(np.asarray(pairs["score"][:])) for pairs in both) else None


def _training_config(run: Run, progress: bool, saving: Mapping[str, Any] | None = None) -> "TrainingConfig":
    from cosent_lib.training.setup import TrainingConfig

    known = {f.name for f in fields(TrainingConfig)} - set(NOT_TRAINING_SETTINGS)
    unknown = sorted(set(run.training) - known)
    if unknown:
        raise ValueError(f"unknown training setting {unknown[0]!r}, expected one of: {', '.join(sorted(known))}")
    return TrainingConfig(**run.training, **(saving or {}), seed=run.seed, progress=progress)


def _loss_options(run: Run) -> dict[str, Any]:
    """The declared options, and the run's seed for a loss that draws parameters."""
    from cosent_lib.losses.make import LOSSES

    parts = run.loss.split("+")
    draws = [part for part in parts if part in LOSSES and "seed" in signature(LOSSES[part].__init__).parameters]
    return {"seed" if len(parts) == 1 else f"{part}_seed": run.seed for part in draws} | dict(run.loss_options)
