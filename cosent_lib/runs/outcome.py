"""What a finished run came to, put into a record."""

from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cosent_lib.runs.provenance import commit_of_library, hardware, versions
from cosent_lib.runs.record import Record
from cosent_lib.runs.run import NOT_TRAINING_SETTINGS, Run, json_value

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

    from cosent_lib.encoders.base import SentenceEncoder
    from cosent_lib.losses.base import PairLoss
    from cosent_lib.training.errors import NonFiniteLoss
    from cosent_lib.training.setup import TrainingConfig, TrainingResult

HISTORY_POINTS = 200


def resolved_settings(pairs: "Dataset", encoder: "SentenceEncoder", loss: "PairLoss", config: "TrainingConfig") -> dict:
    """What the declared settings came to, in full; asked of the code that uses them, not worked out again."""
    from cosent_lib.data.load import origin
    from cosent_lib.training.setup import PRECISIONS, Objective, make_accelerator, make_optimizers

    accelerator = make_accelerator(config)
    own = {id(parameter) for parameter in loss.parameters()}
    groups = [
        group for optimizer in make_optimizers(Objective(encoder, loss), config) for group in optimizer.param_groups
    ]
    loss_rates = [group["peak_lr"] for group in groups if any(id(p) in own for p in group["params"])]
    training = asdict(config) | {
        "learning_rate": groups[0]["peak_lr"],
        "loss_learning_rate": loss_rates[0] if loss_rates else None,
        "device": accelerator.device.type,
        "precision": {theirs: ours for ours, theirs in PRECISIONS.items()}[accelerator.mixed_precision],
    }
    return {
        "source": origin(pairs).partition(" ")[0],
        "encoder": encoder.settings(),
        "loss": {"class": type(loss).__name__} | loss.options(),
        "training": {name: value for name, value in training.items() if name not in NOT_TRAINING_SETTINGS},
    }


def make_record(
    run: Run,
    splits: "dict[str, Dataset]",
    result: "TrainingResult",
    metrics: dict[str, Any],
    resolved: dict[str, Any],
    seconds: dict[str, float],
) -> Record:
    """Put together the record of a finished run; ``resolved`` as from `resolved_settings`."""
    from cosent_lib.data.load import fingerprint, origin

    commit, dirty = commit_of_library()
    values: dict[str, Any] = {
        "resolved": resolved,
        "data": {
            name: {"rows": len(pairs), "sha256": fingerprint(pairs), "origin": origin(pairs)}
            for name, pairs in splits.items()
        },
        "metrics": metrics,
        "history": _thinned(result.history),
        "evaluations": result.evaluations.to_dict("records"),
        "watched": result.watched.to_dict("records"),
        "best_step": result.best_step,
        "steps": result.steps,
        "batches_without_order": result.batches_without_order,
        "wall_time_s": {name: round(value, 3) for name, value in seconds.items()},
        "hardware": hardware(),
        "versions": versions(),
        "commit": commit,
        "dirty": dirty,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return Record(run=run, **json_value(values, "record"))


def failure_record(run: Run, splits: "dict[str, Dataset]", error: "NonFiniteLoss") -> Record:
    """Put together the record of a run whose training came to no result; its metrics are None."""
    import pandas as pd

    from cosent_lib.data.load import origin
    from cosent_lib.training.setup import TrainingResult

    result = TrainingResult(error.history, pd.DataFrame(), 0, {}, len(error.history), 0.0, 0, pd.DataFrame())
    nothing = {"source": origin(splits["train"]).partition(" ")[0], "encoder": {}, "loss": {}, "training": {}}
    seconds = {"train": 0.0, "evaluate": 0.0}
    record = make_record(run, splits, result, {"validation": None, "test": None}, nothing, seconds)
    return replace(record, failure=str(error))


def _thinned(history: "pd.DataFrame") -> dict[str, list[float]]:
    """At most `HISTORY_POINTS` rows at even distances, first and last among them, to six digits."""
    count = min(len(history), HISTORY_POINTS)
    rows = [round(i * (len(history) - 1) / max(count - 1, 1)) for i in range(count)]
    thin = history.iloc[rows]
    six_digits = {name: [float(f"{value:.6g}") for value in thin[name]] for name in ("loss", "inversion_bound")}
    return {"step": thin["step"].tolist()} | six_digits
