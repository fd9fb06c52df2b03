"""Figures of sets of pairs, and of how many of them a difference needs (chapter 4); colour is never alone."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from cosent_book.figures.common import LINES
from cosent_book.figures.style import INK, PALETTE

GROUPS = {
    "positives": (PALETTE[0], "o"),
    "negatives": (PALETTE[1], "s"),
    "random": (INK, "^"),
}


def plot_overlaps(
    overlaps: Mapping[str, Mapping[str, Sequence[float]]],
    ax: Axes | None = None,
    *,
    names: Mapping[str, str] | None = None,
) -> Axes:
    """Spread of the overlap in each set's positives, labelled negatives and random pairs: median, quarters, tenths.

    Args:
        overlaps: set → group → percentiles 10, 25, 50, 75, 90, as from `cosent_book.measurements.pairs`.
        ax: where to draw; a new figure by default.
        names: group → what the legend calls it.

    Raises:
        ValueError: a group that is not known, or other than five percentiles.
    """
    ax = plt.gca() if ax is None else ax
    for row, groups in enumerate(overlaps.values()):
        if unknown := [g for g, percentiles in groups.items() if g not in GROUPS or len(percentiles) != 5]:
            raise ValueError(
                f"expected five percentiles of {', '.join(GROUPS)}, got {unknown[0]}: {groups[unknown[0]]}"
            )
        for group in (group for group in GROUPS if group in groups):
            percentiles = groups[group]
            colour, mark = GROUPS[group]
            low, first, median, third, high = percentiles
            y = row + 0.26 * (list(GROUPS).index(group) - 1)
            ax.plot([low, high], [y, y], color=colour, lw=1.2)
            ax.plot([first, third], [y, y], color=colour, lw=4, solid_capstyle="butt")
            label = (names or {}).get(group, group) if row == 0 else None
            ax.plot(median, y, mark, color=colour, ms=8, label=label)
    ax.set_yticks(range(len(overlaps)), list(overlaps))
    ax.set(ylim=(len(overlaps) - 0.5, -0.5), xlim=(-0.02, 1.02))
    ax.tick_params(axis="y", length=0)
    return ax


def plot_smallest_differences(
    pairs: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    at: int,
    points: Mapping[str, float],
    ax: Axes | None = None,
) -> Axes:
    """The smallest difference that means something, against the number of pairs, on logarithmic axes.

    Args:
        pairs: numbers of pairs.
        curves: name → half-width of an interval at each of them; one called "unpaired" is drawn in grey.
        at: number of pairs of the points.
        points: name → half-width that was measured.
        ax: where to draw; a new figure by default.
    """
    ax = plt.gca() if ax is None else ax
    for i, (name, widths) in enumerate(curves.items()):
        colour = INK if name == "unpaired" else PALETTE[i]
        ax.plot(pairs, widths, linestyle=LINES[i], color=colour, label=name)
    for (name, width), mark in zip(points.items(), ("o", "s", "^", "D"), strict=False):
        ax.plot(at, width, mark, color=PALETTE[4], label=name)
    ax.set(xscale="log", yscale="log", xlabel="pairs", ylabel="smallest difference", ylim=(1e-3, 0.2))
    ax.set_xticks([100, 1000, 10_000], ["100", "1,000", "10,000"])
    ax.set_yticks([0.001, 0.01, 0.1], ["0.001", "0.01", "0.1"])
    ax.legend(ncol=2, loc="lower center", bbox_to_anchor=(0.45, 1), columnspacing=1)
    return ax
