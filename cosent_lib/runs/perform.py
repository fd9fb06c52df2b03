"""Runs carried out, recorded, read back and tabulated: the one way by which a number gets into the book.

`recorded_or_live` is the call that chapters use; ``python -m cosent_book benchmark SUITE`` makes the records.
"""

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosent_book.tables import rows_of, table, to_frame
from cosent_lib.data.alterations import LEAKS, altered, leaked
from cosent_lib.runs.outcome import make_record, resolved_settings
from cosent_lib.runs.run import NOT_TRAINING_SETTINGS, Record, Run, load_records, read_record, record_path, save_record
from cosent_lib.runs.schema import DamagedRecord

if TYPE_CHECKING:
    from datasets import Dataset

    from cosent_lib.encoders.base import SentenceEncoder
    from cosent_lib.training.setup import TrainingConfig, Watch

__all__ = [
    "DamagedRecord", "Record", "RecordMissing", "Run", "execute", "load_records", "load_splits", "missing_runs",
    "perform", "read_record", "record_path", "recorded_or_live", "rows_of", "save_record", "table", "to_frame",
]  # fmt: skip


SUGGESTED = "suggested"  # as the option scale of a loss: compute λ before training


class RecordMissing(LookupError):  # noqa: N818
    """A recorded run was asked for that nobody has made yet; the message has the command that makes it."""


def recorded_or_live(
    runs: Sequence[Run], live: bool, folder: Path | None = None, progress: bool = True
) -> list[Record]:
    """The records of ``runs``, in their order: read from file, or made now by the very same code.

    Args:
        runs: Declared runs, usually from `cosent_book.suites.plan.suite_runs`.
        live: False reads each run's file; True executes each run (nothing is written).
        folder: Folder of the record files; by default ``cosent_lib/results/SUITE`` of each run.
        progress: Show progress while executing.

    Raises:
        RecordMissing: Not live, and some runs have no record; all of them are named.
        DamagedRecord: A record that cannot be read or belongs to other settings.
    """
    if live:
        return [execute(run, progress=progress) for run in runs]
    missing = [run for run in runs if not record_path(run, folder).exists()]
    if missing:
        names = "; ".join(str(run) for run in missing[:3]) + ("; …" if len(missing) > 3 else "")
        commands = " and ".join(
            f"python -m cosent_book benchmark {suite}" for suite in sorted({run.suite for run in missing})
        )
        raise RecordMissing(f"{len(missing)} of {len(runs)} runs have no record ({names}): make them with {commands}")
    return [_read_matching(run, folder) for run in runs]


def execute(run: Run, *, progress: bool = True, splits: "dict[str, Dataset] | None" = None) -> Record:
    """Carry out one run: train on train, choose on validation, then evaluate once on test.

    Args:
        run: What to do.
        progress: Show progress bars.
        splits: From `load_splits` of a run on the same data, so that they are not read again.

    Raises:
        DataUnavailable, MalformedRow: From `load_pairs`.
        NonFiniteLoss: From `train`.
        ValueError: A name or an option that does not exist.
    """
    return perform(run, progress=progress, splits=splits)[0]


def perform(
    run: Run,
    *,
    progress: bool = True,
    splits: "dict[str, Dataset] | None" = None,
    output_dir: str | Path | None = None,
    checkpoint_steps: int | None = None,
    resume_from: str | Path | None = None,
) -> "tuple[Record, SentenceEncoder]":
    """As `execute`, and return the trained encoder too.

    ``output_dir`` and ``checkpoint_steps`` are as in `TrainingConfig`, ``resume_from`` as for `train`.
    """
    from cosent_lib.encoders.load import load_encoder
    from cosent_lib.losses.make import make_loss
    from cosent_lib.training.train import train

    config = _training_config(run, progress, {"output_dir": output_dir, "checkpoint_steps": checkpoint_steps})
    make_loss(run.loss, _AnyEncoder(), **_loss_options(run, lambda: 1.0))  # a mistake shows now, not after loading
    splits = load_splits(run) if splits is None else splits
    splits = altered_splits(run, splits)
    pairs, validation = splits["train"], splits.get("validation")
    watch = _watch(run, validation, splits.get("test"))
    if validation is None:
        warnings.warn(f"{run.task} has no validation split: the last step is kept, not the best", stacklevel=2)
    texts = [*pairs["sentence1"][:], *pairs["sentence2"][:]]
    encoder = load_encoder(run.encoder, texts, **{"seed": run.seed, **run.encoder_options})
    loss = make_loss(run.loss, encoder, **_loss_options(run, lambda: _suggested(run, encoder, validation)))
    before = _untrained(run, encoder, splits)
    result = train(encoder, loss, pairs, config, validation, resume_from, watch)
    started = time.perf_counter()
    metrics = {"validation": result.best_metrics or None, "test": None, **before}
    metrics |= _judged_once(run, encoder, loss, splits)
    seconds = {"train": result.seconds, "evaluate": time.perf_counter() - started}
    resolved = resolved_settings(pairs, encoder, loss, config)
    return make_record(run, splits, result, metrics, resolved, seconds), encoder


def _untrained(run: Run, encoder: "SentenceEncoder", splits: "dict[str, Dataset]") -> dict[str, Any]:
    """Test metrics before the first step, a baseline that nothing is chosen by."""
    from cosent_lib.evaluation.evaluate import evaluate_retrieval

    metrics: dict[str, Any] = {"test_untrained": _judged(encoder, splits, "test") if "test" in splits else None}
    if run.judge_retrieval and "test" in splits:
        metrics["test_untrained_retrieval"] = evaluate_retrieval(encoder, splits["test"])
    return metrics


def _watch(run: Run, validation: "Dataset | None", test: "Dataset | None") -> "Watch | None":
    """What the run watches on its validation pairs (the watch ``test``: on its test pairs)."""
    from cosent_lib.training.watches import make_watch

    if not run.watch:
        return None
    if validation is None:
        raise ValueError(f"watch={list(run.watch)} looks at validation pairs, and {run.task} has no validation split")
    return make_watch(run.watch, validation, test)


def _judged_once(run: Run, encoder: "SentenceEncoder", loss: Any, splits: "dict[str, Dataset]") -> dict[str, Any]:
    """Metrics of all that is held back, now that the choice on validation is made."""
    from cosent_lib.evaluation.evaluate import evaluate_classifier, evaluate_retrieval
    from cosent_lib.losses.sentence_bert import SoftmaxLoss

    metrics: dict[str, Any] = {}
    for name in [name for name in splits if name not in ("train", "validation")]:
        metrics[name] = _judged(encoder, splits, name, _threshold_pairs(splits, name))
        if isinstance(loss, SoftmaxLoss):
            metrics[name]["classifier_accuracy"] = evaluate_classifier(encoder, loss, splits[name])["accuracy"]
    if run.judge_retrieval and "test" in splits:
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
    wanted = [name for name in dict.fromkeys(["train", *names]) if run.judge_test or name in ("train", "validation")]
    splits = {name: load_pairs(run.task, name, run.source, score_range=run.score_range) for name in wanted}
    for place in run.also_judge if run.judge_test else ():
        task, slash, name = place.rpartition("/")
        if not slash:
            raise ValueError(f"also_judge holds {place!r}, expected TASK/SPLIT")
        splits[place] = load_pairs(task, name, run.source)
    for name, pairs in splits.items():  # now, not after the training
        if name != "train":
            check_defined(np.asarray(pairs["score"][:]), f"labels of {run.task} {name}")
    return splits


def altered_splits(run: Run, splits: "dict[str, Dataset]") -> "dict[str, Dataset]":
    """The splits as the run sees them: its training pairs changed as it declares, all others as they are."""
    splits = leaked(splits, run.alter, run.seed)
    changes = {name: value for name, value in run.alter.items() if name not in LEAKS}
    return splits | {"train": altered(splits["train"], changes, run.seed)}


def missing_runs(runs: Sequence[Run], folder: Path | None = None, checked: set[str] | None = None) -> list[Run]:
    """Those of ``runs`` without a record, in their order; existing records are checked (`DamagedRecord`).

    ``checked`` holds the keys of records that need not be read again; those read now are added.
    """
    checked = set() if checked is None else checked
    missing = []
    for run in runs:
        if run.key in checked:
            continue
        if record_path(run, folder).exists():
            _read_matching(run, folder)
            checked.add(run.key)
        else:
            missing.append(run)
    return missing


def _read_matching(run: Run, folder: Path | None) -> Record:
    """The record of ``run``; a file whose settings are not the run's is damaged."""
    path = record_path(run, folder)
    record = read_record(path)
    if record.run.key != run.key:
        raise DamagedRecord(f"{path}: holds another run ({record.run}), expected {run}")
    return record


def _threshold_pairs(splits: "dict[str, Dataset]", judged: str) -> "Dataset | None":
    """The validation pairs, where both they and the judged ones are labelled 0 and 1."""
    from cosent_lib.evaluation.thresholds import is_binary

    both = [splits[name] for name in ("validation", judged) if name in splits]
    return both[0] if len(both) == 2 and all(is_binary(np.asarray(pairs["score"][:])) for pairs in both) else None


def _training_config(run: Run, progress: bool, saving: Mapping[str, Any] | None = None) -> "TrainingConfig":
    from cosent_lib.training.setup import TrainingConfig

    known = {f.name for f in fields(TrainingConfig)} - set(NOT_TRAINING_SETTINGS)
    unknown = sorted(set(run.training) - known)
    if unknown:
        raise ValueError(f"unknown training setting {unknown[0]!r}, expected one of: {', '.join(sorted(known))}")
    return TrainingConfig(**run.training, **(saving or {}), seed=run.seed, progress=progress)


class _AnyEncoder:
    """Stands in for an encoder where only the options of a loss are checked."""

    dim = 2


def _loss_options(run: Run, suggested: Callable[[], float]) -> dict[str, Any]:
    """The declared options, the run's seed for a loss that draws parameters, and λ where it is to be suggested."""
    from cosent_lib.losses.make import LOSSES

    parts = run.loss.split("+")
    draws = [part for part in parts if part in LOSSES and "seed" in signature(LOSSES[part][0]).parameters]
    seeds = {"seed" if len(parts) == 1 else f"{part}_seed": run.seed for part in draws}
    options = seeds | dict(run.loss_options)
    return {name: suggested() if value == SUGGESTED else value for name, value in options.items()}


def _suggested(run: Run, encoder: "SentenceEncoder", validation: "Dataset | None") -> float:
    """The λ that `suggest_scale` computes from the encoder's validation cosines before training."""
    import torch

    from cosent_lib.evaluation.evaluate import cosine_scores
    from cosent_lib.ranking.scale import suggest_scale

    if validation is None:
        raise ValueError(f"scale 'suggested' is computed on validation pairs, and {run.task} has no validation split")
    labels = torch.tensor(validation["score"][:], dtype=torch.float64)
    scale = suggest_scale(torch.from_numpy(cosine_scores(encoder, validation)), labels)
    if math.isinf(scale):
        raise ValueError(f"{run.task}: the untrained encoder orders all validation pairs, so no λ is best; give one")
    return scale
