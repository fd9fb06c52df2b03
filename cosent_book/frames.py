"""Records as data frames, one line a run: what chapters compare, tabulate and draw."""

import math
from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd

from cosent_book.records import load_records, missing_runs, recorded_or_live
from cosent_book.suites.plan import rows
from cosent_lib.runs.record import Record
from cosent_lib.runs.run import Run


def frame(
    suite: str,
    live: bool,
    *,
    trials: bool = False,
    partial: bool = False,
    seeds: Collection[int] | None = None,
    only: str = "",
    **where: Any,
) -> pd.DataFrame:
    """The runs of a suite as a data frame: `to_frame`, with the ``row`` that a run belongs to and its ``record``.

    Args:
        suite: its name.
        live: False reads the records; True carries the runs out now.
        trials: the candidates that choices were made from (validation only), not the runs that are reported.
        partial: leave out runs without a record. How many there should be is in ``attrs["declared"]``.
        seeds: of the runs that are wanted; all by default.
        only: rows whose name or runs contain this.
        where: fields of `Run` and the values they must have, such as ``task="bq"``.

    Raises:
        ValueError: an unknown suite or field, or no such run.
        RecordMissing: runs without a record, unless ``partial``.
    """
    if unknown := sorted(set(where) - set(Run.__dataclass_fields__)):
        raise ValueError(f"a run has no field {unknown[0]!r}, expected one of: {', '.join(Run.__dataclass_fields__)}")
    recorded = load_records(suite)
    labels: list[str] = []
    runs: list[Run] = []
    for row in rows(suite, only):
        for run in row.trials if trials else row.reported(recorded):
            fits = all(getattr(run, name) == value for name, value in where.items())
            if fits and (seeds is None or run.seed in seeds):
                labels.append(row.label)
                runs.append(run)
    declared = len(runs)
    if partial and not live:
        absent = {run.key for run in missing_runs(runs, recorded)}
        labels = [label for label, run in zip(labels, runs, strict=True) if run.key not in absent]
        runs = [run for run in runs if run.key not in absent]
    if not runs:
        raise ValueError(f"suite {suite!r} has no run with {where or only or 'these seeds'}")
    records = recorded_or_live(runs, live)
    found = to_frame(records).assign(row=labels, record=pd.Series(records, dtype=object))
    found.attrs["declared"] = declared
    return found


def to_frame(records: Sequence[Record]) -> pd.DataFrame:
    """One row a record: labels, options, seed, ``SPLIT_METRIC`` columns, seconds and steps.

    Columns ``loss`` and ``encoder`` hold the name with its options; ``loss_name``, ``encoder_name`` the bare
    name, and ``loss_OPTION`` each option of the loss (NaN where it was not given), ``alter_NAME`` each change of the
    training pairs; ``alter`` holds all of them as text.
    """
    rows = []
    for record in records:
        run = record.run
        row: dict[str, Any] = {
            "suite": run.suite, "task": run.task, "source": record.resolved["source"],
            "encoder": run.encoder_label, "encoder_name": run.encoder,
            "loss": run.loss_label, "loss_name": run.loss, "seed": run.seed, "alter": run.alter_label,
        }  # fmt: skip
        row |= {f"loss_{name}": value for name, value in run.loss_options.items()}
        row |= {f"alter_{name}": value for name, value in run.alter.items()}
        for split, metrics in record.metrics.items():
            row |= {f"{split}_{n}": math.nan if v is None else v for n, v in (metrics or {}).items()}
        row |= {f"{part}_seconds": seconds for part, seconds in record.wall_time_s.items()}
        row |= {"steps": record.steps, "batches_without_order": record.batches_without_order, "key": run.key}
        rows.append(row)
    return pd.DataFrame(rows)
