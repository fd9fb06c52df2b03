"""Records as a data frame, and as the table that a reader sees: mean and interval over seeds."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from cosent_lib.records import Record, Run


def to_frame(records: Sequence[Record]) -> pd.DataFrame:
    """One row a record: labels, options, seed, ``SPLIT_METRIC`` columns, seconds and steps.

    Columns ``loss`` and ``encoder`` hold the name with its options; ``loss_name``, ``encoder_name`` the bare
    name, and ``loss_OPTION`` each option of the loss (NaN where it was not given).
    """
    rows = []
    for record in records:
        run = record.run
        row: dict[str, Any] = {
            "suite": run.suite, "task": run.task, "source": record.resolved["source"],
            "encoder": run.encoder_label, "encoder_name": run.encoder,
            "loss": run.loss_label, "loss_name": run.loss, "seed": run.seed,
        }  # fmt: skip
        row |= {f"loss_{name}": value for name, value in run.loss_options.items()}
        for split, metrics in record.metrics.items():
            row |= {f"{split}_{n}": math.nan if v is None else v for n, v in (metrics or {}).items()}
        row |= {f"{part}_seconds": seconds for part, seconds in record.wall_time_s.items()}
        row |= {"steps": record.steps, "batches_without_order": record.batches_without_order, "key": run.key}
        rows.append(row)
    return pd.DataFrame(rows)


def table(records: Sequence[Record], form: str = "md") -> str:
    """Mean ± half-width of the 95 % t-interval over seeds: a row for each task, encoder, loss and training.

    The same records in the same order give the same bytes. With one seed there is no interval ("–").

    Args:
        records: Rows come in the order in which their settings first appear.
        form: ``md`` (aligned Markdown) or ``csv`` (mean and half-width in columns of their own).

    Raises:
        ValueError: Another ``form``.
    """
    if form not in ("md", "csv"):
        raise ValueError(f"unknown table format {form!r}, expected md or csv")
    groups: dict[str, list[Record]] = {}
    for record in records:
        settings = asdict(record.run) | {"seed": 0}
        groups.setdefault(Run(**settings).key, []).append(record)
    rows = [_table_row(group, form) for group in groups.values()]
    header = list(rows[0]) if rows else ["task", "encoder", "loss", "training", "seeds"]
    cells = [header, *([str(row[name]) for name in header] for row in rows)]
    if form == "csv":
        return "".join(",".join(_csv_cell(cell) for cell in line) + "\n" for line in cells)
    widths = [max(len(line[i]) for line in cells) for i in range(len(header))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def _table_row(group: Sequence[Record], form: str) -> dict[str, str]:
    from cosent_lib.plotting import mean_interval

    run = group[0].run
    training = " ".join(f"{name}={run.training[name]}" for name in sorted(run.training))
    row = {
        "task": run.task, "encoder": run.encoder_label, "loss": run.loss_label,
        "training": training or "defaults", "seeds": str(len(group)),
    }  # fmt: skip
    for split in ("validation", "test"):
        values = [(record.metrics[split] or {}).get("spearman") for record in group]
        given = [value for value in values if value is not None]
        undefined = len(given) < len(values) or not given
        mean, half = (math.nan, math.nan) if undefined else mean_interval(given)
        if form == "csv":
            row |= {f"{split} spearman": f"{mean:.4f}", f"{split} half width": f"{half:.4f}"}
        else:
            interval = "–" if math.isnan(half) else f"± {half:.4f}"
            row[f"{split} spearman"] = "undefined" if math.isnan(mean) else f"{mean:.4f} {interval}"
    return row


def _csv_cell(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in ',"\n') else cell
