"""The figures of sets of pairs show the numbers they were given."""

import pytest
from matplotlib.figure import Figure

from cosent_book.figures.pairs import plot_overlaps, plot_smallest_differences


def test_overlaps_are_drawn_one_row_a_set() -> None:
    spread = {"positives": [0.1, 0.2, 0.5, 0.6, 0.9], "random": [0, 0, 0, 0, 0.1]}
    ax = Figure().subplots()
    plot_overlaps({"one": spread, "two": spread}, ax, names={"random": "by chance"})
    assert [label.get_text() for label in ax.get_yticklabels()] == ["one", "two"]
    assert ax.get_legend_handles_labels()[1] == ["positives", "by chance"]
    with pytest.raises(ValueError, match="five percentiles"):
        plot_overlaps({"one": {"other": [0, 0, 0, 0, 0]}}, ax)


def test_smallest_differences_have_a_line_a_curve_and_a_mark_a_point() -> None:
    ax = Figure().subplots()
    plot_smallest_differences([100, 1000], {"r = 0.9": [0.1, 0.03], "unpaired": [0.2, 0.06]}, 500, {"A": 0.05}, ax)
    assert ax.get_legend_handles_labels()[1] == ["r = 0.9", "unpaired", "A"]
    assert ax.lines[2].get_xydata().tolist() == [[500, 0.05]]
