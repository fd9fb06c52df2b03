"""The few figures that several chapters share: each takes finished numbers, draws them, returns its axes.

Colour is never the only carrier: line styles, markers or positions say the same.
"""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from cosent_book.figures.style import INK, PALETTE

MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1)))


def plot_cosine_distributions(
    cosines: ArrayLike,
    labels: ArrayLike,
    ax: Axes | None = None,
    *,
    names: Mapping[float, str] | None = None,
    bins: int = 40,
) -> Axes:
    """Distribution of the cosines of the pairs of each label level, each of area 1.

    Args:
        cosines: ``[n]``, within [−1, 1].
        labels: ``[n]``, at most six levels.
        ax: Where to draw; a new figure by default.
        names: Level → what the legend calls it.
        bins: Number of bins over [−1, 1].

    Raises:
        ValueError: Lengths that differ, or more than six levels.
    """
    values, levels_of = _paired(cosines, labels, "cosines", "labels")
    levels = _levels(levels_of)
    ax = plt.gca() if ax is None else ax
    edges = np.linspace(-1, 1, bins + 1)
    for i, level in enumerate(levels):
        density, _ = np.histogram(values[levels_of == level], edges, density=True)
        outline = np.repeat(density, 2)
        at = np.repeat(edges, 2)[1:-1]
        ax.plot(at, outline, color=PALETTE[i], linestyle=LINES[i], label=_level_name(level, names))
        if len(levels) <= 3:  # more washes than that make mud
            ax.fill_between(at, outline, color=PALETTE[i], alpha=0.15, linewidth=0)
    shown = edges[:-1][np.histogram(values, edges)[0] > 0]
    left = float(shown.min()) if shown.size else -1.0
    ax.set(xlabel="cosine of the pair", ylabel="density", xlim=(left, 1), ylim=(0, None))
    ax.locator_params(axis="x", nbins=5)
    ax.locator_params(axis="y", nbins=4)
    ax.legend(title="label")
    return ax


def plot_items_on_line(
    scores: ArrayLike,
    labels: ArrayLike,
    ax: Axes | None = None,
    *,
    pushes: ArrayLike | None = None,
    names: Mapping[float, str] | None = None,
    xlabel: str = "score",
) -> Axes:
    """Items as marks on a line at their scores, a row for each label level, with arrows for their pushes.

    Args:
        scores: ``[n]``.
        labels: ``[n]``, at most six levels; higher levels stand higher.
        ax: Where to draw; a new figure by default.
        pushes: ``[n]``, where each item is pushed and how hard: minus the gradient of the loss. The others
            are drawn to the scale of the longest.
        names: Level → what the vertical axis calls it.
        xlabel: Label of the score axis.

    Raises:
        ValueError: Lengths that differ, or more than six levels.
    """
    values, levels_of = _paired(scores, labels, "scores", "labels")
    levels = _levels(levels_of)
    ax = plt.gca() if ax is None else ax
    heights = np.searchsorted(levels, levels_of)
    for i in range(len(levels)):
        at = values[heights == i]
        ax.axhline(i, color=INK, linewidth=0.8, alpha=0.5, zorder=0)
        ax.plot(at, np.full(len(at), i), MARKERS[i], color=PALETTE[i], markersize=10, linestyle="none")
    span = float(np.ptp(values)) or 1.0
    if pushes is not None:
        _draw_pushes(ax, values, heights, _paired(pushes, labels, "pushes", "labels")[0], 0.25 * span)
    ax.set_yticks(range(len(levels)), [_level_name(level, names, "label ") for level in levels])
    ax.set(xlabel=xlabel, xlim=(values.min() - 0.3 * span, values.max() + 0.3 * span), ylim=(-0.5, len(levels) - 0.3))
    ax.locator_params(axis="x", nbins=5)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def _draw_pushes(ax: Axes, at: NDArray[Any], heights: NDArray[Any], pushes: NDArray[Any], longest_arrow: float) -> None:
    """Arrows above the items, neighbours of a row on two levels so that none hides another."""
    longest = float(np.abs(pushes).max()) or 1.0
    for i in np.lexsort((at, heights)):
        length = pushes[i] * longest_arrow / longest
        row = np.sort(at[heights == heights[i]])
        y = heights[i] + (0.22, 0.36)[int(np.searchsorted(row, at[i])) % 2]
        # a head would be longer than the shortest pushes: they get a bare line
        style = "-|>" if abs(pushes[i]) > 0.1 * longest else "-"
        arrow = {"arrowstyle": style, "color": PALETTE[heights[i]], "linewidth": 2, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", (at[i] + length, y), (at[i], y), arrowprops=arrow)


def _paired(a: ArrayLike, b: ArrayLike, name_a: str, name_b: str) -> tuple[NDArray[Any], NDArray[Any]]:
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape or not first.size:
        raise ValueError(
            f"{name_a} and {name_b} must be lists of one length, not empty; got {first.shape}, {second.shape}"
        )
    return first, second


def _levels(labels: NDArray[Any]) -> NDArray[Any]:
    levels = np.unique(labels)
    if len(levels) > len(PALETTE):
        raise ValueError(f"at most {len(PALETTE)} label levels can be told apart, got {len(levels)}; round them")
    return levels


def _level_name(level: float, names: Mapping[float, str] | None, prefix: str = "") -> str:
    return (names or {}).get(float(level), f"{prefix}{level:g}")
