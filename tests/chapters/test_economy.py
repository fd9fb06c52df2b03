"""What a chapter may ask of its reader, and how its minutes are counted."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from chapter_builder import good_chapter, spoiled, text_output
from economy import economy_problems
from nbformat import NotebookNode, v4
from skeleton import code_cells, find_heading

import minutes
import notebooks

CHAPTERS = Path(__file__).resolve().parents[2] / "chapters"


def table(columns: int, kind: str = "shown") -> NotebookNode:
    cells = "".join(f"<th>{n}</th>" for n in range(columns))
    return v4.new_output("display_data", {"text/html": f'<table class="{kind}"><tr>{cells}</tr></table>'})


def plain(notebook: NotebookNode) -> NotebookNode:
    return next(cell for _, cell in code_cells(notebook) if cell.source.startswith("assert"))


def scaffold(notebook: NotebookNode) -> NotebookNode:
    return next(cell for _, cell in code_cells(notebook) if minutes.asks(cell))


BAD: dict[str, tuple[Callable[[NotebookNode], object], str]] = {
    "much code": (lambda nb: plain(nb).update(source="assert True\n" * 130), "visible lines of code"),
    "wide table": (lambda nb: plain(nb).outputs.append(table(7)), "has 7 columns"),
    "table of another make": (lambda nb: plain(nb).outputs.append(table(2, "dataframe")), "not from"),
    "table by hand": (lambda nb: plain(nb).update(source="print(frame.to_string())"), "by hand"),
    "judge in the cell": (
        lambda nb: scaffold(nb).update(source="answer = ...\ncheck(answer, lambda a: a == 4, hint='')"),
        "more than the question",
    ),
    "value in the cell": (
        lambda nb: scaffold(nb).update(source='answer = ...\nright = 4\ncheck("ex-8-cone", answer)'),
        "more than the question: 'right = 4'",
    ),
    "other minutes": (lambda nb: nb.cells[0].update(source=nb.cells[0].source.replace(" 25 ", " 35 ")), "expected"),
}


def test_the_good_chapter_asks_for_nothing_more() -> None:
    assert economy_problems(good_chapter()) == []


@pytest.mark.parametrize("case", BAD)
def test_a_rule_of_economy_names_what_is_wrong(case: str) -> None:
    change, words = BAD[case]
    found = economy_problems(spoiled(change))
    assert any(words in problem for problem in found), found


def test_what_is_folded_is_not_counted() -> None:
    notebook = good_chapter()
    before = minutes.length(notebook)
    folded = [
        v4.new_markdown_cell(":::{admonition} Going further: more\n:class: dropdown\nMany words.\n\n$$\nx\n$$\n:::"),
        v4.new_markdown_cell("```{admonition} Going further\n:name: x\n:class: tip dropdown\nMany words.\n```"),
        v4.new_code_cell("assert True", metadata={"tags": ["hide-cell"]}, outputs=[table(3)]),
        v4.new_code_cell("import os", metadata={"tags": ["hide-input"]}, outputs=[text_output("1")]),
        v4.new_code_cell('answer = ...\n\ncheck("ask-1-x", answer)', metadata={"tags": ["hide-input"]}),
    ]
    notebook.cells[4:4] = folded
    assert minutes.length(notebook) == before


def test_what_is_counted() -> None:
    notebook = good_chapter()
    before = minutes.length(notebook)
    end = find_heading(notebook, "Exercises")
    assert end is not None
    notebook.cells[4:4] = [
        v4.new_markdown_cell("Five more words stand here.\n\n$$\na = b\n$$ (eq-x)\n\n| a | b |\n|---|--:|\n"),
        v4.new_code_cell("one = 1\n\ntwo = 2", outputs=[table(3)]),
    ]
    after = minutes.length(notebook)
    assert (after.words, after.equations, after.tables) == (before.words + 7, before.equations + 1, before.tables + 2)
    assert (after.cells, after.lines) == (before.cells + 1, before.lines + 2)
    assert after.exercises == before.exercises == 15


def test_minutes_are_rounded_to_five() -> None:
    assert minutes.Length(words=1000, equations=2, figures=3, exercises=33).reading == 10  # 12
    assert minutes.Length(words=1000, equations=2, figures=4, exercises=33).reading == 15  # 13
    assert minutes.Length(exercises=33).doing == 35


def test_the_command_says_it_of_every_chapter(capsys: pytest.CaptureFixture[str]) -> None:
    minutes.main()
    said = capsys.readouterr().out
    assert all(re.search(rf"^{path.stem} ", said, flags=re.M) for path in notebooks.chapter_paths())
