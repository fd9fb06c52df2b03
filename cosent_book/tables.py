"""Records as the table that a reader sees: mean and interval over seeds."""

import csv
import io
import math
from collections.abc import Sequence

import pandas as pd

from cosent_book.comparisons import compare, mean_interval
from cosent_book.published import PUBLISHED
from cosent_lib.runs.record import Record

Labelled = tuple[str, Sequence[Record]]
_NO_ROWS = ("task", "encoder", "loss", "chosen", "training", "seeds")


def table(rows: Sequence[Labelled], form: str = "md", baseline: str | None = None) -> str:
    """Mean ± half-width of the 95 % t-interval over seeds: a line for each row.

    The same records in the same order give the same bytes. With one seed there is no interval ("–").

    Args:
        rows: Labels and the records over seeds that belong to each.
        form: ``md`` (aligned Markdown) or ``csv`` (mean and half-width in columns of their own).
        baseline: Label of a row to compare the others of the same task and encoder with: the mean difference on
            test over common seeds, and the p of a paired t-test (`compare`); none for a row with an undefined result.

    Raises:
        ValueError: Another ``form``, or a baseline that is the label of no row, or of two runs with one seed.
    """
    if form not in ("md", "csv"):
        raise ValueError(f"unknown table format {form!r}, expected md or csv")
    filled = [(label, group) for label, group in rows if group]
    lines = [_line(label, group, form) for label, group in filled]
    if baseline is not None:
        for line, cells in zip(lines, _comparisons(filled, baseline, form), strict=True):
            line |= cells
    header = list(lines[0]) if lines else list(_NO_ROWS)
    return laid_out([header, *([line[name] for name in header] for line in lines)], form)


def published_table(tasks: Sequence[str], form: str = "md") -> str:
    """The published Spearman × 100 of ``tasks``, with what was trained on and the source; "–" where there is none."""
    cells = [["published", "trained on", *tasks, "source"]]
    for row in PUBLISHED:
        values = [f"{row.spearman[task]:.2f}" if task in row.spearman else "–" for task in tasks]
        cells.append([row.method, row.trained_on, *values, row.source])
    return laid_out(cells, form)


def laid_out(cells: Sequence[Sequence[str]], form: str) -> str:
    """Rows of cells, the header first, as aligned Markdown (``md``) or as ``csv``."""
    if form == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(cells)
        return text.getvalue()
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def _line(label: str, group: Sequence[Record], form: str) -> dict[str, str]:
    run = group[0].run
    training = " · ".join(text for text in (run.training_label, run.alter_label) if text)
    line = {
        "task": run.task, "encoder": run.encoder_label, "loss": label, "chosen": run.loss_label,
        "training": training or "defaults", "seeds": str(len(group)),
    }  # fmt: skip
    for split in ("validation", "test"):
        values = [_spearman(record, split) for record in group]
        given = [value for value in values if value is not None]
        undefined = len(given) < len(values) or not given
        mean, half = (math.nan, math.nan) if undefined else mean_interval(given)
        if form == "csv":
            line |= {f"{split} spearman": f"{mean:.4f}", f"{split} half width": f"{half:.4f}"}
        else:
            interval = "–" if math.isnan(half) else f"± {half:.4f}"
            line[f"{split} spearman"] = "undefined" if math.isnan(mean) else f"{mean:.4f} {interval}"
    return line


def _spearman(record: Record, split: str) -> float | None:
    return (record.metrics.get(split) or {}).get("spearman")


def _comparisons(rows: Sequence[Labelled], baseline: str, form: str) -> list[dict[str, str]]:
    """For each row the cells that compare it with the baseline of its task and encoder."""
    if baseline not in dict(rows):
        raise ValueError(f"no row is called {baseline!r}, expected one of: {', '.join(dict(rows))}")
    runs = pd.DataFrame(
        {
            "place": f"{record.run.task} · {record.run.encoder_label}", "seed": record.run.seed,
            "row": baseline if label == baseline else number, "test_spearman": _spearman(record, "test"),
        }
        for number, (label, group) in enumerate(rows)
        if all(_spearman(record, "test") is not None for record in group)
        for record in group
    )  # fmt: skip
    found = {}
    if not runs.empty:
        with_base = runs[runs["place"].isin(runs.loc[runs["row"] == baseline, "place"])]
        found = {line["row"]: line for line in compare(with_base, baseline, within="place").to_dict("records")}
    names, empty = (f"test minus {baseline}", "p (paired t, Holm)"), "nan" if form == "csv" else "–"
    cells = []
    for number in range(len(rows)):
        difference, p = (found.get(number, {}).get(name, math.nan) for name in ("difference", "p"))
        shown = (f"{difference:+.4f}", f"{p:.2g}")
        values = (empty if math.isnan(value) else text for value, text in zip((difference, p), shown, strict=True))
        cells.append(dict(zip(names, values, strict=True)))
    return cells
