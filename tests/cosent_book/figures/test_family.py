"""The figures of the family show the numbers they were given; the cheat sheet leaves no loss out."""

import re

import nbformat
import numpy as np
import pandas as pd
import pytest
import skeleton
from matplotlib.figure import Figure

import notebooks
from cosent_book.figures.family import frontier, plot_moves, plot_two_goals
from cosent_lib.losses.make import LOSSES


def test_the_cheat_sheet_names_every_loss() -> None:
    notebook = nbformat.read(notebooks.CHAPTERS / "13_the_family.ipynb", as_version=4)
    sheet = skeleton.section(notebook, "The cheat sheet")
    cards = re.findall(r"^\*\*`(\w+)`\*\*(.*?)(?=^\*\*`|\Z)", sheet, flags=re.M | re.S)
    assert [name for name, _ in cards] == list(LOSSES)
    for name, card in cards:
        for what in ("Labels", "Scale", "Cost", "When"):
            assert f"*{what}:*" in card, f"the card of {name} does not say: {what}"


def test_bars_up_and_down_to_the_scale_of_the_largest() -> None:
    axes = Figure().subplots(2, 1)
    plot_moves({"a": [2.0, -4.0, 1.0], "b": [0.0, 0.0, 0.0]}, [1, 0, 1], axes)
    bars = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in axes[0].patches}
    assert bars == {1: 0.5, 2: -1.0, 3: 0.25}
    hatched = [bar.get_hatch() for bar in axes[0].patches]
    assert hatched.count("////") == 1
    assert [ax.get_title(loc="left") for ax in axes] == ["a", "b"]
    with pytest.raises(ValueError, match="for each of 1 losses, got 2"):
        plot_moves({"a": [1.0]}, [1], axes)
    with pytest.raises(ValueError, match="a: expected 2 moves"):
        plot_moves({"a": [1.0], "b": [1.0]}, [1, 0], axes)


def test_the_frontier_against_brute_force() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 6, size=(2, 30))  # with ties
    for i, on in enumerate(frontier(x, y)):
        beaten = any(x[j] >= x[i] and y[j] >= y[i] and (x[j] > x[i] or y[j] > y[i]) for j in range(30))
        assert on == (not beaten)


def test_a_numbered_mark_for_each_row_and_set() -> None:
    lines = [("A", 0.2, -0.1), ("B", -0.2, 0.2), ("C", -0.3, 0.1)]
    goals = pd.DataFrame(lines, columns=["row", "x", "y"]).assign(task="one", x_half=0.05, y_half=np.nan)
    axes = Figure().subplots(1, 3)
    rows, tasks = {"A": "first", "B": "second", "C": "third"}, {"one": "One", "two": "Two"}
    plot_two_goals(goals, axes, rows=rows, tasks=tasks, base="the base")
    assert [text.get_text() for text in axes[0].texts] == ["1", "2", "3"]
    assert np.allclose([text.xy for text in axes[0].texts], [(0.2, -0.1), (-0.2, 0.2), (-0.3, 0.1)])
    dashed = next(line for line in axes[0].lines if line.get_linestyle() == "--")
    assert np.allclose(dashed.get_xydata(), [(-0.2, 0.2), (0, 0), (0.2, -0.1)]), "the third is beaten in both"
    assert not axes[1].texts
    key = [text.get_text() for text in axes[2].get_legend().get_texts()]
    assert key == ["the base", "first", "second", "third"]
    with pytest.raises(ValueError, match="2 sets in 1 panels"):
        plot_two_goals(goals, axes[:1], rows=rows, tasks=tasks, base="")
