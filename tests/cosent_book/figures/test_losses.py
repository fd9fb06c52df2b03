"""The figures that compare losses show the numbers they were given."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from cosent_book.figures.losses import plot_differences, plot_over


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
    plot_differences(compared, ax, rows=["squared", "linear"], tasks={"a": "A", "b": "B"}, xlabel="ahead")
    marks = [line for line in ax.lines if line.get_marker() not in ("None", None, "")]
    drawn = {(round(x, 3), round(float(y))) for mark in marks for x, y in zip(*mark.get_data(), strict=True)}
    assert drawn == {(-0.1, 1), (0.2, 0), (0.3, 0)}
    assert [text.get_text() for text in ax.get_yticklabels()] == ["squared", "linear"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first row stands on top"
    assert ax.get_legend_handles_labels()[1] == ["A", "B"]


def test_a_line_of_means_for_each_value() -> None:
    frame = pd.DataFrame({"x": [5, 5, 20, 20, 5], "y": [0.1, 0.3, 0.5, 0.7, 0.9], "kind": ["a"] * 4 + ["b"]})
    ax = Figure().subplots()
    plot_over(frame, ax, x="x", y="y", line="kind", names={"a": "A", "b": "B", "c": "none"}, log=True)
    first = ax.get_lines()[0]
    assert np.allclose(first.get_xdata(), [5, 20])
    assert np.allclose(first.get_ydata(), [0.2, 0.6])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["5", "20"]
    assert ax.get_legend_handles_labels()[1] == ["A", "B"]


def test_more_than_can_be_told_apart() -> None:
    frame = pd.DataFrame({"x": [1], "y": [1.0], "kind": ["a"]})
    with pytest.raises(ValueError, match="at most 6 lines"):
        plot_over(frame, Figure().subplots(), x="x", y="y", line="kind", names=dict.fromkeys("abcdefg", ""))
    with pytest.raises(ValueError, match="at most 6 sets"):
        plot_differences(frame, Figure().subplots(), rows=[], tasks=dict.fromkeys("abcdefg", ""), xlabel="")
