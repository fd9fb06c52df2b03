"""Figures that compare losses: differences from one of them, a score over λ, and a score over anything else."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from cosent_book.figures.common import LINES, MARKERS, mean_interval
from cosent_book.figures.style import INK, PALETTE


def plot_differences(
    compared: pd.DataFrame,
    ax: Axes | None = None,
    *,
    rows: Sequence[str],
    tasks: Mapping[str, str],
    xlabel: str,
) -> Axes:
    """A row for each loss and in it a mark for each set: how far it is ahead of the base, with its interval.

    Args:
        compared: from `compare`, with columns ``task``, ``row``, ``difference``, ``half_width``.
        ax: where to draw; a new figure by default.
        rows: which rows, the first on top.
        tasks: task → what the legend calls it; at most six.
        xlabel: of the horizontal axis.

    Raises:
        ValueError: more than six sets.
    """
    if len(tasks) > len(PALETTE):
        raise ValueError(f"at most {len(PALETTE)} sets can be told apart, got {len(tasks)}")
    ax = plt.gca() if ax is None else ax
    ax.axvline(0, color=INK, linewidth=1)
    for i, (task, name) in enumerate(tasks.items()):
        here = compared[(compared["task"] == task) & compared["row"].isin(rows)]
        heights = [rows.index(row) + (i - (len(tasks) - 1) / 2) * 0.14 for row in here["row"]]
        ax.errorbar(
            here["difference"], heights, xerr=here["half_width"].fillna(0), fmt=MARKERS[i], color=PALETTE[i],
            markersize=6, elinewidth=1.5, label=name,
        )  # fmt: skip
    ax.set_yticks(range(len(rows)), rows)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel(xlabel)
    ax.grid(axis="x")
    ax.locator_params(axis="x", nbins=5)
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
