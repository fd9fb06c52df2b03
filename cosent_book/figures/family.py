"""Figures of the family (chapter 13): whom each loss moves, and ranking of pairs against retrieval."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from cosent_book.figures.style import INK, PALETTE


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
        ax.spines[["left", "bottom"]].set_visible(False)
        ax.tick_params(axis="x", labelbottom=ax is axes[-1], length=0)
    axes[-1].set_xlabel("pair")


def frontier(x: ArrayLike, y: ArrayLike) -> NDArray[np.bool_]:
    """Which points are on the frontier: no other is at least as large in both and larger in one, ``[n]``."""
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    no_less = (first[:, None] >= first) & (second[:, None] >= second)  # [other, point]
    larger = (first[:, None] > first) | (second[:, None] > second)
    return np.asarray(~(no_less & larger).any(axis=0))


OFFSETS = ((6, 4), (-13, 4), (6, -13), (-13, -13))
"""Where the number of a mark stands, in points from it: in turn, so that the numbers of neighbours do not meet."""


def plot_two_goals(
    goals: pd.DataFrame, axes: Sequence[Axes], *, rows: Mapping[str, str], tasks: Mapping[str, str], base: str
) -> None:
    """A panel for each set, in it a numbered mark for each row: how far it is ahead of the base in either goal.

    The base stands where the two thin lines cross. The marks are numbered in the order of ``rows``; those on the
    frontier, the base among them, are joined by a dashed line. The axis after those of the sets, if there is one, holds
    the key.

    Args:
        goals: a line for each row and set, with the columns ``row``, ``task``, the differences ``x`` and ``y``, and
            ``x_half`` and ``y_half``, the half widths of their intervals.
        axes: at least as many as there are sets; what is left over after the key is taken off.
        rows: row → what the key calls it, at most seven.
        tasks: task → title of its panel.
        base: what the base is called in the key.

    Raises:
        ValueError: fewer axes than sets, or more than seven rows.
    """
    if len(axes) < len(tasks) or len(rows) > len(COLOURS):
        raise ValueError(f"{len(tasks)} sets in {len(axes)} panels, {len(rows)} rows: at most {len(COLOURS)} rows")
    for ax, (task, title) in zip(axes, tasks.items(), strict=False):
        here = goals[goals["task"] == task].set_index("row")
        columns = ["x", "y", "x_half", "y_half"]
        _draw_goals(ax, {i: here.loc[row, columns].to_numpy(float) for i, row in enumerate(rows) if row in here.index})
        ax.set_title(title, loc="left", pad=3)
        ax.locator_params(axis="x", nbins=3)
        ax.locator_params(axis="y", nbins=4)
    for ax in axes[len(tasks) :]:
        ax.axis("off")
    if len(axes) > len(tasks):
        marks = [(f"${i + 1}$", COLOURS[i], name) for i, name in enumerate(rows.values())]
        handles = [Line2D([], [], linestyle="none", marker=mark, color=colour, ms=8) for mark, colour, _ in marks]
        cross = Line2D([], [], linestyle="none", marker="+", color=INK, ms=12)
        names = [base, *(name for _, _, name in marks)]
        axes[len(tasks)].legend([cross, *handles], names, loc="center left", handletextpad=0.2, borderpad=0)


COLOURS = (*PALETTE, INK)


def _draw_goals(ax: Axes, points: Mapping[int, NDArray[np.float64]]) -> None:
    """``points``: number → x, y and the half widths; NaN half widths are not drawn."""
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.axhline(0, color=INK, linewidth=0.8)
    both = np.array([(0.0, 0.0), *(point[:2] for point in points.values())])
    best = both[frontier(both[:, 0], both[:, 1])]
    best = best[np.argsort(best[:, 0])]
    ax.plot(best[:, 0], best[:, 1], color=INK, linewidth=1, linestyle="--", zorder=0)
    for i, (x, y, x_half, y_half) in points.items():
        bars = {"xerr": np.nan_to_num(x_half), "yerr": np.nan_to_num(y_half)}
        ax.errorbar(x, y, **bars, fmt="o", ms=4, color=COLOURS[i], elinewidth=1)
        look: dict[str, Any] = {"color": COLOURS[i], "fontsize": 11, "weight": "bold"}
        ax.annotate(str(i + 1), (x, y), xytext=OFFSETS[i % 4], textcoords="offset points", **look)
