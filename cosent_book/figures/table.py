"""The figures of the table (chapter 9): every run of every set as a point, and what single changes are worth."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from cosent_book.figures.common import mean_interval
from cosent_book.figures.style import INK, PALETTE


def plot_runs(
    frame: pd.DataFrame,
    axes: Sequence[Axes],
    *,
    rows: Sequence[str],
    panels: Mapping[str, str],
    panel: str = "task",
    score: str = "test_spearman",
    highlight: Sequence[str] = (),
) -> None:
    """A panel for each set, in it a line for each loss, on it every run as a point and a bar for their mean.

    A loss without a run in a set keeps its line, empty. Seeds of one loss are drawn one below the other.

    Args:
        frame: one line a run, with the columns ``row``, ``panel`` and ``score``.
        axes: at least as many as there are panels; those left over are switched off.
        rows: the losses, the first on top.
        panels: value of the column ``panel`` → title.
        panel: the column that says in which panel a run stands.
        score: the column of the numbers.
        highlight: rows in the second colour, with squares.

    Raises:
        ValueError: fewer axes than panels.
    """
    if len(axes) < len(panels):
        raise ValueError(f"{len(panels)} panels need as many axes, got {len(axes)}")
    for ax, (value, title) in zip(axes, panels.items(), strict=False):
        here = frame[frame[panel] == value]
        for height, row in enumerate(rows):
            values = here.loc[here["row"] == row, score].to_numpy(dtype=np.float64)
            if values.size:
                _draw_runs(ax, height, values, row in highlight)
        ax.set_yticks(range(len(rows)), rows)
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_title(title)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=2, steps=[1, 2, 4, 5, 10]))
        ax.grid(axis="both")
    for ax in axes[len(panels) :]:
        ax.set_axis_off()


def plot_effects(frame: pd.DataFrame, ax: Axes, *, xlabel: str) -> Axes:
    """What single changes are worth: a line for each, a heading for each group, a mark with its interval.

    Args:
        frame: columns ``group``, ``label``, ``difference`` and ``half_width`` (NaN: no interval), in the order of
            drawing; lines of one group stand together.
        ax: where to draw.
        xlabel: of the horizontal axis.

    Raises:
        ValueError: no line.
    """
    if frame.empty:
        raise ValueError("no effect to draw: the frame has no line")
    ax.axvline(0, color=INK, linewidth=1)
    ticks: list[tuple[float, str]] = []
    height = 0.0
    for number, (group, lines) in enumerate(frame.groupby("group", sort=False)):
        ax.text(0.0, height, str(group), transform=ax.get_yaxis_transform(), va="center", weight="bold", fontsize=11)
        at = height + 1 + np.arange(len(lines))
        ax.errorbar(
            lines["difference"], at, xerr=lines["half_width"].fillna(0), fmt="os^DvP"[number % 6],
            color=PALETTE[number % len(PALETTE)], elinewidth=1.5, capsize=3,
        )  # fmt: skip
        ticks += zip(at, lines["label"], strict=True)
        height = float(at[-1]) + 1.3
    ax.set_yticks([at for at, _ in ticks], [label for _, label in ticks])
    ax.set_ylim(height - 0.6, -0.7)
    ax.set_xlabel(xlabel)
    ax.grid(axis="x")
    return ax


def _draw_runs(ax: Axes, height: int, values: np.ndarray, marked: bool) -> None:
    """Runs as small open points spread over the height of a line; a thick upright bar at their mean."""
    colour, marker = (PALETTE[1], "s") if marked else (PALETTE[0], "o")
    spread = np.linspace(-0.26, 0.26, values.size) if values.size > 1 else np.zeros(1)
    mean, _ = mean_interval(values)
    ax.plot([mean, mean], [height - 0.38, height + 0.38], color=colour, linewidth=2.2, solid_capstyle="butt")
    ax.plot(values, height + spread, marker, mfc="none", mec=colour, ms=3.6, mew=1.0)
