"""Figures of the family (chapter 12): whom each loss moves, and ranking of pairs against retrieval."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from cosent_lib.plotting import mean_interval
from cosent_lib.style import INK, PALETTE


def plot_moves(moves: Mapping[str, ArrayLike], labels: ArrayLike, axes: Sequence[Axes]) -> None:
    """Bars, a panel for each loss: how far it moves each pair's cosine, positives solid, negatives hatched.

    Args:
        moves: loss → ``[n]``, drawn to the scale of its largest absolute value.
        labels: ``[n]``; ½ and more is a positive.
        axes: as many as there are losses, the first on top.

    Raises:
        ValueError: another number of axes, or lengths that differ.
    """
    positive = np.asarray(labels, dtype=np.float64) >= 0.5
    if len(axes) != len(moves):
        raise ValueError(f"expected an axis for each of {len(moves)} losses, got {len(axes)}")
    for ax, (name, values) in zip(axes, moves.items(), strict=True):
        heights = np.asarray(values, dtype=np.float64)
        if heights.shape != positive.shape:
            raise ValueError(f"{name}: expected {positive.size} moves, one a pair, got {heights.shape}")
        at = np.arange(1, heights.size + 1)
        scaled = heights / (np.abs(heights).max() or 1)
        ax.bar(at[positive], scaled[positive], color=PALETTE[0], width=0.7)
        ax.bar(
            at[~positive], scaled[~positive], color="none", edgecolor=PALETTE[1], hatch="////", width=0.7, linewidth=1.2
        )  # fmt: skip
        ax.axhline(0, color=INK, linewidth=1)
        ax.set(ylim=(-1.15, 1.15), yticks=[], xticks=at)
        ax.set_title(name, loc="left", pad=3)
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="x", labelbottom=ax is axes[-1], length=0)
    axes[-1].set_xlabel("pair")


def frontier(x: ArrayLike, y: ArrayLike) -> NDArray[np.bool_]:
    """Which points are on the frontier: no other is at least as large in both and larger in one, ``[n]``."""
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    no_less = (first[:, None] >= first) & (second[:, None] >= second)  # [other, point]
    larger = (first[:, None] > first) | (second[:, None] > second)
    return ~(no_less & larger).any(axis=0)


def plot_two_goals(
    frame: pd.DataFrame,
    axes: Sequence[Axes],
    *,
    rows: Mapping[str, str],
    tasks: Mapping[str, str],
    x: str = "test_spearman",
    y: str = "test_retrieval_mrr",
) -> None:
    """A panel for each set, in it a numbered mark for each row: mean over seeds with 95 % t-intervals both ways.

    The marks are numbered in the order of ``rows``; those on the frontier of the means are joined by a line. The axis
    after those of the sets, if there is one, holds the key.

    Args:
        frame: one line a run, with the columns ``row``, ``task``, ``x`` and ``y``.
        axes: at least as many as there are sets; what is left over after the key is taken off.
        rows: row → what the key calls it, at most nine.
        tasks: task → title of its panel.
        x: the column along the horizontal axis.
        y: the column along the vertical axis.

    Raises:
        ValueError: fewer axes than sets, or more than nine rows.
    """
    if len(axes) < len(tasks) or len(rows) > 9:
        raise ValueError(f"{len(tasks)} sets in {len(axes)} panels, {len(rows)} rows: at most 9, a panel for each set")
    for ax, (task, title) in zip(axes, tasks.items(), strict=False):
        here = frame[frame["task"] == task]
        points = [
            (i, *mean_interval(runs[x].to_numpy()), *mean_interval(runs[y].to_numpy()))
            for i, row in enumerate(rows)
            if len(runs := here[here["row"] == row])
        ]
        _draw_goals(ax, np.array(points))
        ax.set_title(title, loc="left", pad=3)
        ax.locator_params(nbins=4)
    for ax in axes[len(tasks) :]:
        ax.axis("off")
    if len(axes) > len(tasks):
        handles = [
            Line2D([], [], linestyle="none", marker=f"${i + 1}$", color=_colour(i), ms=8) for i in range(len(rows))
        ]
        axes[len(tasks)].legend(handles, rows.values(), loc="center left", handletextpad=0.2, borderpad=0)


def _colour(i: int) -> str:
    return PALETTE[i % len(PALETTE)]


def _draw_goals(ax: Axes, points: NDArray[np.float64]) -> None:
    """``points: [rows, 5]``: number, and mean and half width of x and of y; NaN half widths are not drawn."""
    if not points.size:
        return
    best = points[frontier(points[:, 1], points[:, 3])]
    best = best[np.argsort(best[:, 1])]
    ax.plot(best[:, 1], best[:, 3], color=INK, linewidth=1, linestyle="--", zorder=0)
    for number, at, half, height, half_y in points:
        colour = _colour(int(number))
        ax.errorbar(at, height, xerr=np.nan_to_num(half), yerr=np.nan_to_num(half_y), color=colour, elinewidth=1)
        name = str(int(number) + 1)
        offset = {"textcoords": "offset points", "xytext": (5, 4)}
        ax.annotate(name, (at, height), color=colour, fontsize=11, weight="bold", **offset)
        ax.plot(at, height, "o", ms=4, color=colour)
