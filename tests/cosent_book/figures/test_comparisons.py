"""The figures that compare losses show every run, difference and mean they were given."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from cosent_book.comparisons import mean_interval
from cosent_book.figures.comparisons import plot_intervals, plot_over, plot_runs, plot_runs_by_task

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
    plot_runs_by_task(RUNS, axes, rows=["one", "two"], tasks={"a": "A", "b": "B"}, highlight=["two"])
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
    plot_runs_by_task(same, [ax], rows=["one"], tasks={"a": "A"})
    heights = [y for line in ax.lines if line.get_marker() == "o" for y in line.get_ydata()]
    assert len(set(np.round(heights, 3))) == 4


def test_fewer_axes_than_panels() -> None:
    with pytest.raises(ValueError, match="2 panels need"):
        plot_runs_by_task(RUNS, [Figure().subplots()], rows=["one"], tasks={"a": "A", "b": "B"})


def test_every_run_its_mean_and_its_interval() -> None:
    scores = {"cosent": [0.7, 0.8, 0.9], "sbert": [0.5, 0.6], "left out": [0.1]}
    frame = pd.DataFrame([{"row": row, "test_spearman": s} for row, many in scores.items() for s in many])
    ax = Figure().subplots()
    plot_runs(frame, ax, rows=["sbert", "none yet", "cosent"], names={"sbert": "S-BERT"}, highlight=["cosent"])
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["S-BERT", "none yet", "cosent"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first row stands on top"
    drawn = [line.get_xdata().tolist() for line in ax.lines if line.get_markerfacecolor() == "none"]
    assert drawn == [[0.5, 0.6], [0.7, 0.8, 0.9]]
    first, second = ax.containers
    assert (first.lines[0].get_xdata()[0], second.lines[0].get_xdata()[0]) == pytest.approx((0.55, 0.8))
    assert (first.lines[0].get_ydata()[0], second.lines[0].get_ydata()[0]) == (0, 2)
    assert first.lines[0].get_marker() != second.lines[0].get_marker()  # highlighted by shape too
    ends = second.lines[2][0].get_segments()[0][:, 0]
    assert ends == pytest.approx(0.8 + np.array([-1, 1]) * mean_interval([0.7, 0.8, 0.9])[1])


def test_an_undefined_score_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        plot_runs(pd.DataFrame({"row": ["a", "a"], "test_spearman": [0.7, np.nan]}), Figure().subplots())


def test_a_mark_for_each_row_and_set() -> None:
    compared = pd.DataFrame(
        {
            "task": ["a", "a", "b"],
            "row": ["linear", "squared", "squared"],
            "difference": [-0.1, 0.2, 0.3],
            "half_width": [0.01, 0.02, np.nan],
        }
    )
    ax = Figure().subplots()
    plot_intervals(compared, ax, rows=["squared", "linear"], series="task", names={"a": "A", "b": "B"}, xlabel="ahead")
    marks = [line for line in ax.lines if line.get_marker() not in ("None", None, "")]
    drawn = {(round(x, 3), round(float(y))) for mark in marks for x, y in zip(*mark.get_data(), strict=True)}
    assert drawn == {(-0.1, 1), (0.2, 0), (0.3, 0)}
    assert [text.get_text() for text in ax.get_yticklabels()] == ["squared", "linear"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first row stands on top"
    assert ax.get_legend_handles_labels()[1] == ["A", "B"]


def test_effects_stand_below_the_heading_of_their_group() -> None:
    frame = pd.DataFrame(
        {
            "group": ["leak", "leak", "pooling"],
            "row": ["all", "unseen", "CLS"],
            "difference": [0.3, 0.01, -0.05],
            "half_width": [0.02, np.nan, 0.01],
        }
    )
    ax = Figure().subplots()
    plot_intervals(frame, ax, series="group", headings=True, xlabel="gain")
    assert [text.get_text() for text in ax.texts] == ["leak", "pooling"]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["all", "unseen", "CLS"]
    drawn = [x for bar in ax.containers for x in bar.lines[0].get_xdata()]
    assert drawn == [0.3, 0.01, -0.05]
    heading, below = ax.texts[1].get_position()[1], ax.get_yticks()[2]
    assert ax.get_yticks()[1] < heading < below
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first group stands on top"


def test_an_interval_that_holds_zero_is_open() -> None:
    frame = pd.DataFrame({"row": ["open", "closed"], "difference": [0.1, 0.2], "low": [-0.1, 0.1], "high": [0.5, 0.3]})
    ax = Figure().subplots()
    plot_intervals(frame, ax, hollow=True)
    marks = {round(line.get_xdata()[0], 3): line for line in ax.lines if line.get_marker() == "o"}
    assert {x: mark.get_markerfacecolor() == "none" for x, mark in marks.items()} == {0.1: True, 0.2: False}
    ends = {tuple(bar.get_segments()[0][:, 0].round(3)) for bar in ax.collections}
    assert ends == {(-0.1, 0.5), (0.1, 0.3)}
    assert [text.get_text() for text in ax.get_yticklabels()] == ["open", "closed"]
    filled = Figure().subplots()
    plot_intervals(frame, filled, zero=False)
    assert all(line.get_markerfacecolor() != "none" for line in filled.lines)
    assert not any(list(line.get_xdata()) == [0, 0] for line in filled.lines), "no line at zero"


def test_a_line_of_means_for_each_value() -> None:
    frame = pd.DataFrame({"x": [5, 5, 20, 20, 5], "y": [0.1, 0.3, 0.5, 0.7, 0.9], "kind": ["a"] * 4 + ["b"]})
    ax = Figure().subplots()
    plot_over(frame, ax, x="x", y="y", line="kind", names={"a": "A", "b": "B", "c": "none"}, log=True)
    first = ax.get_lines()[0]
    assert np.allclose(first.get_xdata(), [5, 20])
    assert np.allclose(first.get_ydata(), [0.2, 0.6])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["5", "20"]
    assert ax.get_legend_handles_labels()[1] == ["A", "B"]


def test_more_than_can_be_told_apart_or_nothing() -> None:
    frame = pd.DataFrame({"x": [1], "y": [1.0], "kind": ["a"], "row": ["r"], "difference": [0.1], "half_width": [0.1]})
    many = dict.fromkeys("abcdefg", "")
    with pytest.raises(ValueError, match="at most 6 lines"):
        plot_over(frame, Figure().subplots(), x="x", y="y", line="kind", names=many)
    with pytest.raises(ValueError, match="at most 6 series"):
        plot_intervals(frame, Figure().subplots(), series="kind", names=many)
    with pytest.raises(ValueError, match="no interval to draw"):
        plot_intervals(frame, Figure().subplots(), rows=["another"])
