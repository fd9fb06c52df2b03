"""Records as data frames, one line a run: what chapters compare, tabulate and draw."""

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pandas as pd

from cosent_book.records import RecordMissing, how_to_make, load_records, recorded_or_live
from cosent_book.suites.plan import rows
from cosent_lib.runs.record import Record
from cosent_lib.runs.run import Run

LABELS = ("suite", "task", "source", "encoder", "encoder_name", "loss", "loss_name", "seed", "alter")
"""The columns that a frame of no records has too."""


def frame(
    suite: str,
    live: bool,
    *,
    trials: bool = False,
    partial: bool = False,
    seeds: Collection[int] | None = None,
    only: str = "",
    which: Callable[[Run], bool] | None = None,
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
        which: says of a run whether it is wanted; all by default.
        where: fields of `Run` and the values they must have, such as ``task="bq"``.

    Raises:
        ValueError: an unknown suite or field, or no such run.
        RecordMissing: unless ``partial``, runs without a record, or rows whose choice on validation is still to come.
    """
    if unknown := sorted(set(where) - set(Run.__dataclass_fields__)):
        raise ValueError(f"a run has no field {unknown[0]!r}, expected one of: {', '.join(Run.__dataclass_fields__)}")

    def wanted(run: Run) -> bool:
        fits = all(getattr(run, name) == value for name, value in where.items())
        return fits and (seeds is None or run.seed in seeds) and (which is None or which(run))

    recorded = load_records(suite)
    found: list[tuple[str, Run]] = []
    absent: list[Run] = []  # also, for a row that waits, as many runs as it will have
    for row in rows(suite, only):
        waits = not trials and row.waits(recorded)
        runs = row.trials(recorded) if trials else row.of_seeds(row.candidates[0]) if waits else row.reported(recorded)
        for run in filter(wanted, runs):
            if waits or not (live or run.key in recorded):
                absent.append(run)
            else:
                found.append((row.label, run))
    if not found and not absent:
        raise ValueError(f"suite {suite!r} has no run with {where or only or 'what is asked for'}")
    if absent and not partial:
        count = len(found) + len(absent)
        raise RecordMissing(f"{len(absent)} of {count} runs have no record yet {how_to_make(absent)}")
    runs = [run for _, run in found]
    records = recorded_or_live(runs, live=True) if live else [recorded[run.key] for run in runs]
    made = to_frame(records).assign(row=[label for label, _ in found], record=pd.Series(records, dtype=object))
    made.attrs["declared"] = len(found) + len(absent)
    return made


def to_frame(records: Sequence[Record]) -> pd.DataFrame:
    """One row a record: labels (`LABELS`), options, ``SPLIT_METRIC`` columns, seconds and steps.

    Columns ``loss`` and ``encoder`` hold the name with its options; ``loss_name``, ``encoder_name`` the bare
    name, and ``loss_OPTION`` each option of the loss (NaN where it was not given), ``alter_NAME`` each change of the
    training pairs; ``alter`` holds all of them as text.
    """
    lines = []
    for record in records:
        run = record.run
        labels = (run.suite, run.task, record.resolved["source"], run.encoder_label, run.encoder, run.loss_label,
                  run.loss, run.seed, run.alter_label)  # fmt: skip
        row: dict[str, Any] = dict(zip(LABELS, labels, strict=True))
        row |= {f"loss_{name}": value for name, value in run.loss_options.items()}
        row |= {f"alter_{name}": value for name, value in run.alter.items()}
        for split, metrics in record.metrics.items():
            row |= {f"{split}_{n}": math.nan if v is None else v for n, v in (metrics or {}).items()}
        row |= {f"{part}_seconds": seconds for part, seconds in record.wall_time_s.items()}
        row |= {"steps": record.steps, "batches_without_order": record.batches_without_order, "key": run.key}
        lines.append(row)
    return pd.DataFrame(lines, columns=None if lines else list(LABELS))
