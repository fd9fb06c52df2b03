"""Tables as a reader sees them: of a data frame at the end of a cell (`show`), of records with their intervals."""

import csv
import html
import io
import math
import numbers
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from cosent_book.comparisons import compare, mean_interval
from cosent_book.published import PUBLISHED
from cosent_lib.runs.record import Record

Labelled = tuple[str, Sequence[Record]]
_NO_ROWS = ("task", "encoder", "loss", "chosen", "training", "seeds")
MISSING = "–"
MOST_COLUMNS = 6  # of a table in a chapter; longer ones have a page of their own
_LIKE_A_NUMBER = re.compile(r"[-−+±≤≥<>~]?\s?\d|–$")


@dataclass(frozen=True)
class Shown:
    """A laid-out table: HTML for a page, aligned text for a terminal and for the comparison of outputs."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[bool, ...]
    names: int
    caption: str

    def __repr__(self) -> str:
        widths = [max(len(line[i]) for line in (self.heads, *self.rows)) for i in range(len(self.heads))]
        lines = [self.caption] if self.caption else []
        for line in (self.heads, *self.rows):
            cells = zip(line, widths, self.right, strict=True)
            lines.append("  ".join(cell.rjust(w) if right else cell.ljust(w) for cell, w, right in cells).rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Colours and rules are the page's own: only the side on which a column stands is said here."""
        caption = f"<caption>{html.escape(self.caption)}</caption>" if self.caption else ""
        head = "".join(self._cell(i, text, "th", ' scope="col"') for i, text in enumerate(self.heads))
        lines = []
        for row in self.rows:
            kinds = [("th", ' scope="row"') if i < self.names else ("td", "") for i in range(len(row))]
            cells = (self._cell(i, text, *kind) for i, (text, kind) in enumerate(zip(row, kinds, strict=True)))
            lines.append(f"<tr>{''.join(cells)}</tr>")
        body = "\n".join(lines)
        return f'<table class="shown">{caption}\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>'

    def _cell(self, column: int, text: str, kind: str, scope: str) -> str:
        side = "right" if self.right[column] else "left"
        return f'<{kind}{scope} style="text-align: {side}">{html.escape(text)}</{kind}>'


def show(frame: pd.DataFrame, caption: str = "", digits: int | Mapping[str, int] = 3) -> Shown:
    """A data frame as a table of the book, for the end of a cell.

    Floats have fixed digits, counts thousands separators, negative numbers a true minus sign; "–" stands for a missing
    value. Strings go through as they are, so what needs another form can be formatted beforehand. The index is shown
    unless it only counts the rows, and then its levels are columns like the others.

    Args:
        frame: The table, with plain column names.
        caption: A sentence that says what it shows.
        digits: Decimal places of the floats, for all columns or by column (3 for one that is not named).

    Raises:
        ValueError: More than six columns, the index included, or column names in levels.
    """
    if frame.columns.nlevels > 1:
        raise ValueError("column names in levels, expected plain ones")
    counted = isinstance(frame.index, pd.RangeIndex) and frame.index.name is None
    names = 0 if counted else frame.index.nlevels
    heads = [str(name) if name is not None else "" for name in frame.index.names[:names]]
    heads += [str(name) for name in frame.columns]
    if len(heads) > MOST_COLUMNS:
        raise ValueError(f"{len(heads)} columns, index included, at most {MOST_COLUMNS}: which does the text need?")
    places = [digits if isinstance(digits, int) else digits.get(head, 3) for head in heads]
    values: list[Any] = [frame.index.get_level_values(level) for level in range(names)]
    values += [frame.iloc[:, column] for column in range(frame.shape[1])]
    columns = [[_as_text(value, place) for value in each] for each, place in zip(values, places, strict=True)]
    right = tuple(bool(column) and all(map(_LIKE_A_NUMBER.match, column)) for column in columns)
    return Shown(tuple(heads), tuple(zip(*columns, strict=True)), right, names, caption)


def _as_text(value: Any, places: int) -> str:
    if isinstance(value, str):
        return value
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, numbers.Real) and math.isnan(value)):
        return MISSING
    if isinstance(value, bool) or type(value).__name__ == "bool":  # numpy's too
        return "yes" if value else "no"
    if isinstance(value, numbers.Integral):
        return decimals(int(value), 0, thousands=True)
    if isinstance(value, numbers.Real):
        return decimals(float(value), places, thousands=True)
    return str(value)


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


def decimals(value: float, digits: int = 3, *, signed: bool = False, thousands: bool = False) -> str:
    """A number with so many decimals and a true minus, never a negative zero; `MISSING` for NaN.

    Example:
        >>> decimals(-0.0004), decimals(1.25, 1, signed=True), decimals(-1234.5, 0, thousands=True)
        ('0.000', '+1.2', '−1,234')
    """
    if math.isnan(value):
        return MISSING
    form = f"{'+' if signed else ''}{',' if thousands else ''}.{digits}f"
    return format(round(value, digits) + 0.0, form).replace("-", "−")


def with_half_width(value: float, half_width: float, digits: int = 1, *, signed: bool = False) -> str:
    """Such as ``72.4 ± 0.8``; the value alone where there is no interval (NaN, for a single run)."""
    shown = decimals(value, digits, signed=signed)
    return shown if math.isnan(half_width) else f"{shown} ± {half_width:.{digits}f}"


def percent(values: ArrayLike) -> str:
    """Mean over runs and half-width of its t-interval, times 100, such as ``72.4 ± 0.8``; missing values are left out.

    Args:
        values: ``[n]``, one a run.

    Example:
        >>> percent([0.5, 0.51, 0.52]), percent([0.5]), percent([])
        ('51.0 ± 2.5', '50.0', '–')
    """
    found = np.asarray(values, dtype=np.float64)
    found = found[np.isfinite(found)]
    if not found.size:
        return MISSING
    mean, half = mean_interval(found)
    return with_half_width(100 * mean, 100 * half)


def difference_table(
    frame: pd.DataFrame,
    base: str,
    rows: Sequence[str],
    tasks: Mapping[str, str],
    pairs: Mapping[str, Mapping[str, Any]] | None = None,
) -> pd.DataFrame:
    """Mean differences from a row, in points of test Spearman with half-widths: texts, a line a row, a column a task.

    A star stands for p < 0.05 over seeds, after Holm's correction for ``rows`` within the task (`compare`); a ring for
    a 95 % bootstrap interval over test pairs that leaves out 0.

    Args:
        frame: as for `compare`.
        base: the row that the others are compared with.
        rows: the others, in the order of the lines.
        tasks: task → its name in the head.
        pairs: for each task the result of the measurement `paired_differences`; without, neither rings nor question
            marks.

    Raises:
        ValueError: a row has two runs with one seed.
    """
    with_base = [task for task in tasks if (frame.loc[frame["task"] == task, "row"] == base).any()]
    wanted = frame[frame["task"].isin(with_base) & frame["row"].isin([base, *rows])]
    found = {(line["row"], line["task"]): line for line in compare(wanted, base).to_dict("records")}
    lines = []
    for row in rows:
        cells = {}
        for task, name in tasks.items():
            line = found.get((row, task))
            cells[name] = MISSING if line is None else _difference_cell(line, pairs and pairs.get(task, {}), base)
        lines.append({f"minus {base}": row, **cells})
    return pd.DataFrame(lines)


def _difference_cell(line: Mapping[Any, Any], pairs: Mapping[str, Any] | None, base: str) -> str:
    if math.isnan(line["difference"]):
        return MISSING
    text = with_half_width(100 * line["difference"], 100 * line["half_width"], signed=True)
    star = "*" if line["p"] < 0.05 else ""
    both = {line["row"], base}
    measured = [each for each in (pairs or {}).get("differences", ()) if {each["row"], each["base"]} == both]
    ring = (
        "" if pairs is None else "?" if not measured else "" if measured[0]["low"] <= 0 <= measured[0]["high"] else "°"
    )
    return text + (f" {star}{ring}" if star or ring else "")
