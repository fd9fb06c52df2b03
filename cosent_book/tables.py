"""Records as the table that a reader sees: mean and interval over seeds."""

import csv
import io
import math
from collections.abc import Sequence

import numpy as np

from cosent_lib.runs.record import Record

Row = tuple[str, Sequence[Record]]
_NO_ROWS = ("task", "encoder", "loss", "chosen", "training", "seeds")


def table(rows: Sequence[Row], form: str = "md", baseline: str | None = None) -> str:
    """Mean ± half-width of the 95 % t-interval over seeds: a line for each row.

    The same records in the same order give the same bytes. With one seed there is no interval ("–").

    Args:
        rows: Labels and the records over seeds that belong to each.
        form: ``md`` (aligned Markdown) or ``csv`` (mean and half-width in columns of their own).
        baseline: Label of a row to compare the others of the same task and encoder with: the mean difference on
            test over common seeds, and the p of a paired t-test, adjusted by Holm for the rows compared in that task.

    Raises:
        ValueError: Another ``form``, or a baseline that is the label of no row.
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
    from cosent_book.published import PUBLISHED

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
    from cosent_book.figures.common import mean_interval

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


def _comparisons(rows: Sequence[Row], baseline: str, form: str) -> list[dict[str, str]]:
    """For each row the cells that compare it with the baseline of its task and encoder."""
    place = [(group[0].run.task, group[0].run.encoder_label) for _, group in rows]
    bases = {place[i]: group for i, (label, group) in enumerate(rows) if label == baseline}
    if not bases:
        raise ValueError(f"no row is called {baseline!r}, expected one of: {', '.join(dict(rows))}")
    found = [
        (math.nan, math.nan) if label == baseline or place[i] not in bases else paired(group, bases[place[i]])
        for i, (label, group) in enumerate(rows)
    ]
    adjusted = [math.nan] * len(rows)
    for where in bases:
        members = [i for i in range(len(rows)) if place[i] == where and not math.isnan(found[i][1])]
        for i, p in zip(members, holm([found[i][1] for i in members]), strict=True):
            adjusted[i] = p
    names = (f"test minus {baseline}", "p (paired t, Holm)")
    empty = "nan" if form == "csv" else "–"
    return [
        {names[0]: empty if math.isnan(d) else f"{d:+.4f}", names[1]: empty if math.isnan(p) else f"{p:.2g}"}
        for (d, _), p in zip(found, adjusted, strict=True)
    ]


def paired(group: Sequence[Record], base: Sequence[Record]) -> tuple[float, float]:
    """Mean difference of test Spearman over the seeds that both have, and the p of a paired t-test.

    NaN where an undefined result or fewer than two common seeds leave nothing to compare.
    """
    from scipy import stats

    theirs = {record.run.seed: _spearman(record, "test") for record in base}
    pairs = [(_spearman(record, "test"), theirs[record.run.seed]) for record in group if record.run.seed in theirs]
    if len(pairs) < 2 or any(value is None for pair in pairs for value in pair):
        return math.nan, math.nan
    ours, others = np.array(pairs, dtype=np.float64).T
    return float((ours - others).mean()), float(stats.ttest_rel(ours, others).pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """The p-values adjusted for their number by the step-down method of Holm (1979), in the order given."""
    order = np.argsort(values)
    adjusted = np.maximum.accumulate([min(1.0, (len(values) - rank) * values[i]) for rank, i in enumerate(order)])
    return [float(p) for _, p in sorted(zip(order.tolist(), adjusted, strict=True))]
