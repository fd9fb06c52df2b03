"""What a finished run came to, put into a record."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cosent_lib.data.load import fingerprint, origin
from cosent_lib.runs.provenance import commit_of_library, hardware, versions
from cosent_lib.runs.record import Record
from cosent_lib.runs.run import NOT_TRAINING_SETTINGS, Run, json_value

if TYPE_CHECKING:  # who only reads records does not wait for these
    import pandas as pd
    from datasets import Dataset

    from cosent_lib.encoders.base import SentenceEncoder
    from cosent_lib.losses.base import PairLoss
    from cosent_lib.training.setup import TrainingConfig, TrainingResult

HISTORY_POINTS = 200


def resolved_settings(
    pairs: Dataset, encoder: SentenceEncoder, loss: PairLoss, config: TrainingConfig
) -> dict[str, Any]:
    """What the declared settings came to, in full; ``config`` is that of the `TrainingResult`."""
    training = {name: value for name, value in asdict(config).items() if name not in NOT_TRAINING_SETTINGS}
    options = {"class": type(loss).__name__} | loss.options()
    source = origin(pairs).partition(" ")[0]
    return {"source": source, "encoder": encoder.settings(), "loss": options, "training": training}


def make_record(
    run: Run,
    splits: dict[str, Dataset],
    result: TrainingResult,
    metrics: dict[str, Any],
    resolved: dict[str, Any],
    seconds: dict[str, float],
) -> Record:
    """Put together the record of a finished run; ``resolved`` as from `resolved_settings`."""
    return outcome_record(
        run,
        splits,
        resolved=resolved,
        metrics=metrics,
        history=thinned(result.history),
        evaluations=result.evaluations.to_dict("records"),
        watched=result.watched.to_dict("records"),
        best_step=result.best_step,
        steps=result.steps,
        batches_without_order=result.batches_without_order,
        wall_time_s={name: round(value, 3) for name, value in seconds.items()},
    )


def outcome_record(run: Run, splits: dict[str, Dataset], **outcome: Any) -> Record:
    """Add to the outcome of a run its data, and where and when it was made."""
    commit, dirty = commit_of_library()
    values: dict[str, Any] = outcome | {
        "data": {
            name: {"rows": len(pairs), "sha256": fingerprint(pairs), "origin": origin(pairs)}
            for name, pairs in splits.items()
        },
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    values |= {"hardware": hardware(), "versions": versions(), "commit": commit, "dirty": dirty}
    return Record(run=run, **json_value(values, "record"))


def thinned(history: pd.DataFrame) -> dict[str, list[float]]:
    """At most `HISTORY_POINTS` rows at even distances, first and last among them, to six digits."""
    count = min(len(history), HISTORY_POINTS)
    rows = [round(i * (len(history) - 1) / max(count - 1, 1)) for i in range(count)]
    thin = history.iloc[rows]
    six_digits = {name: [float(f"{value:.6g}") for value in thin[name]] for name in ("loss", "inversion_bound")}
    return {"step": thin["step"].tolist()} | six_digits
