"""The figures of the table show every run and every effect they were given."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from cosent_book.figures.table import plot_effects, plot_runs

RUNS = pd.DataFrame(
    {
        "task": ["a", "a", "a", "b"],
        "row": ["one", "one", "two", "two"],
        "test_spearman": [0.1, 0.3, 0.5, 0.7],
    }
)


def points(ax):
    """The open points of an axis as (value, line), without the bars of the means."""
    marks = [line for line in ax.lines if line.get_marker() not in ("None", None, "")]
    return sorted((round(x, 3), round(float(y))) for mark in marks for x, y in zip(*mark.get_data(), strict=True))


def test_every_run_is_a_point_on_the_line_of_its_loss() -> None:
    axes = list(Figure().subplots(1, 3))
    plot_runs(RUNS, axes, rows=["one", "two"], panels={"a": "A", "b": "B"}, highlight=["two"])
    assert points(axes[0]) == [(0.1, 0), (0.3, 0), (0.5, 1)]
    assert points(axes[1]) == [(0.7, 1)], "a loss without a run leaves its line empty"
    assert [text.get_text() for text in axes[1].get_yticklabels()] == ["one", "two"]
    assert [ax.get_title() for ax in axes[:2]] == ["A", "B"]
    assert not axes[2].axison
    means = {round(float(line.get_xdata()[0]), 3) for line in axes[0].lines if len(set(line.get_xdata())) == 1}
    assert {0.2, 0.5} <= means


def test_seeds_with_one_result_do_not_hide_each_other() -> None:
    ax = Figure().subplots()
    same = RUNS.assign(row="one", task="a", test_spearman=0.5)
    plot_runs(same, [ax], rows=["one"], panels={"a": "A"})
    heights = [y for line in ax.lines if line.get_marker() == "o" for y in line.get_ydata()]
    assert len(set(np.round(heights, 3))) == 4


def test_fewer_axes_than_panels() -> None:
    with pytest.raises(ValueError, match="2 panels need"):
        plot_runs(RUNS, [Figure().subplots()], rows=["one"], panels={"a": "A", "b": "B"})


def test_effects_stand_below_the_heading_of_their_group() -> None:
    frame = pd.DataFrame(
        {
            "group": ["leak", "leak", "pooling"],
            "label": ["all", "unseen", "CLS"],
            "difference": [0.3, 0.01, -0.05],
            "half_width": [0.02, np.nan, 0.01],
        }
    )
    ax = Figure().subplots()
    plot_effects(frame, ax, xlabel="gain")
    assert [text.get_text() for text in ax.texts] == ["leak", "pooling"]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["all", "unseen", "CLS"]
    drawn = [x for bar in ax.containers for x in bar.lines[0].get_xdata()]
    assert drawn == [0.3, 0.01, -0.05]
    heading, below = ax.texts[1].get_position()[1], ax.get_yticks()[2]
    assert ax.get_yticks()[1] < heading < below
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first group stands on top"


def test_no_effect() -> None:
    with pytest.raises(ValueError, match="no effect"):
        plot_effects(pd.DataFrame(columns=["group"]), Figure().subplots(), xlabel="")
