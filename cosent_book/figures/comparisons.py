"""Figures that compare losses: every run, differences with their intervals, and a score over anything else."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from cosent_book.comparisons import mean_interval
from cosent_book.figures.common import LINES, MARKERS
from cosent_book.figures.style import INK, PALETTE

Values = NDArray[np.float64]


def plot_runs(
    frame: pd.DataFrame,
    ax: Axes | None = None,
    *,
    score: str = "test_spearman",
    rows: Sequence[str] | None = None,
    names: Mapping[str, str] | None = None,
    highlight: Sequence[str] = (),
    xlabel: str = "",
) -> Axes:
    """Every run as an open point, with the mean and its 95 % t-interval: a line for each row.

    Args:
        frame: one line a run, with the columns ``row`` and ``score``.
        ax: where to draw; a new figure by default.
        score: the column of the numbers.
        rows: which rows, the first on top; by default all, in order of appearance. One without a run stays empty.
        names: row → what the axis calls it.
        highlight: rows in the second colour, with squares.
        xlabel: of the horizontal axis.

    Raises:
        ValueError: a score that is not finite.
    """
    ax = plt.gca() if ax is None else ax
    rows = list(dict.fromkeys(frame["row"])) if rows is None else rows
    _draw_rows(ax, frame, rows, score, highlight, _draw_with_interval)
    ax.set_yticks(range(len(rows)), [(names or {}).get(row, row) for row in rows])
    ax.set_ylim(len(rows) - 0.5, -0.6)
    ax.set_xlabel(xlabel)
    ax.locator_params(axis="x", nbins=5)
    ax.grid(axis="x")
    return ax


def plot_runs_by_task(
    frame: pd.DataFrame,
    axes: Sequence[Axes],
    *,
    rows: Sequence[str],
    tasks: Mapping[str, str],
    highlight: Sequence[str] = (),
) -> None:
    """As `plot_runs`, a panel for each task; the runs spread over the height of their line, a bar for the mean.

    Args:
        frame: one line a run, with the columns ``task``, ``row`` and ``test_spearman``.
        axes: at least as many as there are tasks; those left over are switched off.
        rows: as in `plot_runs`.
        tasks: task → title of its panel.
        highlight: as in `plot_runs`.

    Raises:
        ValueError: fewer axes than tasks, or a score that is not finite.
    """
    if len(axes) < len(tasks):
        raise ValueError(f"{len(tasks)} panels need as many axes, got {len(axes)}")
    for ax, (task, title) in zip(axes, tasks.items(), strict=False):
        _draw_rows(ax, frame[frame["task"] == task], rows, "test_spearman", highlight, _draw_with_bar)
        ax.set_yticks(range(len(rows)), rows)
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_title(title)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=2, steps=[1, 2, 4, 5, 10]))
        ax.grid(axis="both")
    for ax in axes[len(tasks) :]:
        ax.set_axis_off()


def plot_intervals(
    frame: pd.DataFrame,
    ax: Axes | None = None,
    *,
    x: str = "difference",
    rows: Sequence[str] | None = None,
    series: str = "",
    names: Mapping[str, str] | None = None,
    headings: bool = False,
    zero: bool = True,
    hollow: bool = False,
    xlabel: str = "",
) -> Axes:
    """A mark with its interval for each line of a frame, on the height of its row.

    Args:
        frame: columns ``row``, ``x``, and ``half_width`` (NaN: no interval) or ``low`` and ``high``.
        ax: where to draw; a new figure by default.
        x: the column of the estimates.
        rows: which rows, the first on top; by default all, in order of appearance.
        series: a column whose values have a colour and a mark each; at most six.
        names: value of ``series`` → what the legend calls it, in the order of drawing; others are left out.
        headings: each series has lines of its own, below its name, instead of a mark in every row.
        zero: whether a line marks 0.
        hollow: whether a mark is open where its interval holds 0.
        xlabel: of the horizontal axis.

    Raises:
        ValueError: nothing to draw, or more than six series.
    """
    rows = list(dict.fromkeys(frame["row"])) if rows is None else rows
    names = names or {value: str(value) for value in dict.fromkeys(frame[series] if series else [""])}
    if len(names) > len(PALETTE):
        raise ValueError(f"at most {len(PALETTE)} series can be told apart, got {len(names)}")
    group = frame[series].map({value: i for i, value in enumerate(names)}) if series else pd.Series(0, frame.index)
    lines = frame.assign(group=group)[group.notna() & frame["row"].isin(rows)].sort_values("group", kind="stable")
    if lines.empty:
        raise ValueError("no interval to draw: the frame has no line with these rows and series")
    ax = plt.gca() if ax is None else ax
    if zero:
        ax.axvline(0, color=INK, linewidth=1)
    if headings:
        lines["height"] = np.arange(len(lines)) + 1 + 1.3 * lines["group"]
        ax.set_yticks(lines["height"], lines["row"])
        ax.set_ylim(lines["height"].iloc[-1] + 0.7, -0.7)
    else:
        lines["height"] = lines["row"].map(rows.index) + 0.14 * (lines["group"] - (len(names) - 1) / 2)
        ax.set_yticks(range(len(rows)), rows)
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.locator_params(axis="x", nbins=5)
    crowded = len(names) > 1 and not headings  # marks that share a row are smaller, and their intervals have no caps
    for i, name in enumerate(names.values()):
        here = lines[lines["group"] == i]
        _draw_intervals(ax, here, x, i, hollow, label=name, markersize=6 if crowded else 7, capsize=0 if crowded else 3)
        if headings and len(here):
            at = here["height"].iloc[0] - 1
            ax.text(0.0, at, name, transform=ax.get_yaxis_transform(), va="center", weight="bold", fontsize=11)
    ax.set_xlabel(xlabel)
    ax.grid(axis="x")
    return ax


def plot_over(
    frame: pd.DataFrame,
    ax: Axes | None = None,
    *,
    x: str,
    y: str,
    line: str,
    names: Mapping[Any, str],
    log: bool = False,
) -> Axes:
    """Means over the runs of ``y`` against ``x``, with 95 % t-intervals, a line for each value of ``line``.

    Args:
        frame: one line a run.
        ax: where to draw; a new figure by default.
        x: the column along the axis; its values become the ticks.
        y: the column of the numbers.
        line: the column whose values make a line each.
        names: value of ``line`` → what the legend calls it, in the order of drawing; at most six.
        log: logarithmic horizontal axis.

    Raises:
        ValueError: more than six lines.
    """
    if len(names) > len(PALETTE):
        raise ValueError(f"at most {len(PALETTE)} lines can be told apart, got {len(names)}")
    ax = plt.gca() if ax is None else ax
    for i, (value, name) in enumerate(names.items()):
        groups = frame[frame[line] == value].groupby(x)[y]
        points = np.array([(at, *mean_interval(values.to_numpy())) for at, values in groups])
        if points.size:
            ax.errorbar(
                points[:, 0], points[:, 1], yerr=np.nan_to_num(points[:, 2]), color=PALETTE[i], linestyle=LINES[i],
                marker=MARKERS[i], elinewidth=1.2, label=name,
            )  # fmt: skip
    ticks = np.sort(frame.loc[frame[line].isin(names), x].unique())
    if log:
        ax.set_xscale("log")
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set(xlabel=x, ylabel=y)
    return ax


def _draw_intervals(ax: Axes, lines: pd.DataFrame, x: str, number: int, hollow: bool, **look: Any) -> None:
    """The marks of one series at their heights; filled ones, and then the open ones."""
    values = lines[x].to_numpy(dtype=np.float64)
    if "half_width" in lines:
        ends = np.tile(lines["half_width"].fillna(0), (2, 1))
    else:
        ends = np.stack([values - lines["low"], lines["high"] - values])
    open_ = hollow & (values - ends[0] <= 0) & (values + ends[1] >= 0)
    bare: dict[str, Any] = {"markerfacecolor": "none", "markeredgewidth": 1.8, "capthick": 1.0}
    for those, face in ((~open_, dict[str, Any]()), (open_, bare)):
        if those.any():
            ax.errorbar(
                values[those], lines["height"][those], xerr=ends[:, those], fmt=MARKERS[number], color=PALETTE[number],
                elinewidth=1.5, **look, **face,
            )  # fmt: skip
            look = {**look, "label": None}  # one entry in the legend


def _draw_rows(
    ax: Axes,
    frame: pd.DataFrame,
    rows: Sequence[str],
    score: str,
    highlight: Sequence[str],
    draw: Callable[[Axes, int, Values, str, str], None],
) -> None:
    for height, row in enumerate(rows):
        values = frame.loc[frame["row"] == row, score].to_numpy(dtype=np.float64)
        if values.size:
            draw(ax, height, values, *((PALETTE[1], "s") if row in highlight else (PALETTE[0], "o")))


def _draw_with_interval(ax: Axes, height: int, values: Values, colour: str, marker: str) -> None:
    """The runs as open points a little above the line of their mean, so that neither hides the other."""
    mean, half = mean_interval(values)
    ax.plot(values, np.full(len(values), height - 0.22), "o", mfc="none", mec=colour, ms=5, mew=1.2)
    ax.errorbar(mean, height, xerr=None if np.isnan(half) else half, fmt=marker, color=colour, capsize=4, ms=8)


def _draw_with_bar(ax: Axes, height: int, values: Values, colour: str, marker: str) -> None:
    """The runs as small open points spread over the height of a line; a thick upright bar at their mean."""
    spread = np.linspace(-0.26, 0.26, values.size) if values.size > 1 else np.zeros(1)
    mean, _ = mean_interval(values)
    ax.plot([mean, mean], [height - 0.38, height + 0.38], color=colour, linewidth=2.2, solid_capstyle="butt")
    ax.plot(values, height + spread, marker, mfc="none", mec=colour, ms=3.6, mew=1.0)
