"""Numbers of the text: the rule finds those without a source, reads what comments declare, and the pages keep it."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from chapter_builder import figure_cell, good_chapter, text_output
from nbformat import NotebookNode, v4
from number_sources import (
    Sources,
    chapter_sources,
    declarations,
    numbers_in,
    prose,
    sources_of,
    untraced,
    written,
)
from skeleton import problems

import notebooks

ROOT = Path(__file__).resolve().parents[2]


def chapter(text: str, printed: str = "", source: str = "pass") -> NotebookNode:
    """Return a notebook of one Markdown cell and one code cell."""
    cell = v4.new_code_cell(source)
    cell.outputs = [text_output(printed)] if printed else []
    return v4.new_notebook(cells=[v4.new_markdown_cell(text), cell])


def found(text: str, printed: str = "", source: str = "pass") -> list[str]:
    return [message for _, message in untraced(chapter(text, printed, source))]


def texts(text: str) -> list[str]:
    return [number.text for number in written(text)]


# --- which numbers are looked at


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.786 − 0.778 and 0.5 - 0.25", ["0.786", "0.778", "0.5", "0.25"]),
        ("It reaches 0.786 after 300 steps.", ["0.786", "300"]),
        ("It falls by −0.18, or -0.2, and 5 % or 5% of 1,361 pairs.", ["−0.18", "-0.2", "5 %", "5%", "1,361"]),
        ("Between 0.71–0.73 and 0.71-0.75.", ["0.71", "0.73", "0.71", "0.75"]),
        ("A rate of 2.5 × 10⁻³, or 3.5e−4.", ["2.5 × 10⁻³", "3.5e−4"]),
        ("32 pairs, 5 epochs, λ = 20, ½ of 64, a batch of 8.", []),
        ("one in 1,000, a hundred of 100, even 100,000 sentences", []),
        ("all of them, 100 %", ["100 %"]),
        ("vectors of 768 dimensions, a 384-dimensional one, 250 pairs", ["250"]),
        ("Chapter 3, Chapters 1, 2 and 3.1, Figure 8.2, Propositions 3.1 and 3.2, equation 4.5", []),
        ("In 2019 and (2020) and SemEval-2017 task 1, but 2019 pairs", ["2019"]),
        ("Python 3.11, version 2.3, v0.1.0 and 4.44.2; post 8847, Scientific Spaces 9341", []),
        ("## 3.2 The loss\n\n1. First 0.5\n2. Second", ["0.5"]),
        ("[0.75 of it](03_x.ipynb#part-123), https://x.org/2022/0.99, <b id='x123'>0.5</b>", ["0.75", "0.5"]),
        ("`scale=0.05`, ``a `0.1` b`` and {cite}`su2022cosent1`, {numref}`fig-3-100`, {eq}`eq-1-333`", []),
        ("$x = 0.5$ and $$\ny = 1.25\n$$ (eq-1-333)\nbut $0.75$ is a number", ["0.75"]),
        ("The price of $n$ is 0.5 and that of $m$ 0.6.", ["0.5", "0.6"]),
        ("all-MiniLM-L6-v2, SHA-256, bf16, float32, L-12_H-768_A-12, utf-8", []),
        ("a 95 % interval, a 95 % bootstrap interval, a 95 % t-interval, 95 % of pairs", ["95 %"]),
        ("| set | ρ |\n|---|---|\n| LCQMC | 0.701 |", ["0.701"]),
        ("triangles (1,1,0) and (0,100)", []),
        ("<!-- 0.5 --> and <!-- numbers: 0.25 from Chapter 3 -->", []),
    ],
)
def test_numbers_that_have_to_be_traced(text: str, expected: list[str]) -> None:
    assert texts(text) == expected


def test_directives_are_prose_but_not_their_options_and_code() -> None:
    text = (
        "```{exercise-start} Half of 0.5\n:label: ex-3-123\n```\n\nWhat is 0.25?\n\n"
        "```{note}\n:class: x-456\n\nIt is 0.75.\n```\n\n```python\nx = 0.1\n```\n\n```\n0.2\n```\n\nAfter 0.9.\n\n"
        "```{math}\n:label: eq-1\n0.3\n```\nand 0.4\n"
    )
    assert texts(text) == ["0.5", "0.25", "0.75", "0.9", "0.4"]
    assert len(prose(text)) == len(text)


# --- what counts as the same number


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("It is 0.79.", "rho 0.786"),
        ("It is 0.786.", "rho = 0.7856"),
        ("It is 79 %.", "rho 0.786"),
        ("It is 78.6 %.", "share 0.7861"),
        ("It is 0.786.", "share 78.6 %"),
        ("It leads by 1.2 points.", "difference +0.0118"),
        ("It falls by 0.18.", "difference -0.18"),
        ("It is −0.18.", "rho -0.179"),
        ("There are 1,361 pairs.", "1361 pairs"),
        ("There are 1361 pairs.", "1,361 pairs"),
        ("There are about 1,400 pairs.", "1361"),
        ("More than 15,000 of them.", "15285"),
        ("A learning rate of 2.5 × 10⁻³.", "lr 0.0025"),
        ("It is 0.50.", "0.5"),
        ("It is 1.5.", "array([1.5, 2.])"),
        ("It is 0.912.", "<td>0.912</td>"),
    ],
)
def test_a_number_that_a_cell_has_printed_is_traced(text: str, printed: str) -> None:
    assert found(text, printed) == []


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("It is 0.79.", "rho 0.784"),
        ("It is 0.786.", "rho 0.79"),
        ("It is −0.18.", "rho 0.18"),
        ("It is 0.786.", "rho 78.6"),
        ("There are 1,400 pairs.", "1361"),
        ("There are about 1,400 pairs.", "1461"),
        ("It is 78 %.", "rho 0.79"),
        ("It is 10.79.", "0.79"),
    ],
)
def test_a_number_that_no_cell_has_printed_is_named(text: str, printed: str) -> None:
    (message,) = found(text, printed)
    assert "is in no cell" in message
    assert text in message


def test_numbers_of_a_cells_source_count_and_those_of_the_setup_cell_do_not() -> None:
    assert (
        found("With 2,400 steps, 65,536 items, a rate of 0.003 and 1.2 %.", "", "f(2_400, 2**16, 3e-3)  # 1.2 %") == []
    )
    notebook = chapter("It is 0.25.", "0.25")
    notebook.cells[1].metadata["tags"] = ["setup"]
    assert len(list(untraced(notebook))) == 1


def test_text_of_tables_counts_and_that_of_pictures_does_not() -> None:
    notebook = chapter("It is 0.25.")
    for kind, expected in (("text/html", 0), ("text/plain", 0), ("image/svg+xml", 1)):
        notebook.cells[1].outputs = [v4.new_output("display_data", {kind: "<td>0.25</td>"})]
        assert len(list(untraced(notebook))) == expected, kind


def test_the_sentence_of_the_number_is_named() -> None:
    (message,) = found("First. Here stands 0.25, in the second.\nThird.", "0.3")
    assert message.endswith("'Here stands 0.25, in the second.'")
    (message,) = found("| a | b |\n|---|---|\n| x | 0.25 |\n| y | 3 |\n", "")
    assert message.endswith("'| x | 0.25 |'")


def test_captions_and_alternative_texts_are_looked_at() -> None:
    notebook = v4.new_notebook(
        cells=[v4.new_markdown_cell("Before."), figure_cell("fig-8-x"), v4.new_markdown_cell("x")]
    )
    settings = notebook.cells[1].metadata["mystnb"]
    settings["figure"]["caption"], settings["image"]["alt"] = "It rises to 0.75.", "A line from 0.25 to 0.75."
    wrong = [(index, message.split(" is in")[0]) for index, message in untraced(notebook)]
    assert wrong == [(1, "caption: 0.75"), (1, "alternative text: 0.25"), (1, "alternative text: 0.75")]
    notebook.cells[0].source = "Before.\n\n<!-- numbers: 0.25 from Chapter 3 -->"
    notebook.cells[2].source = "<!-- numbers: 0.75 from Chapter 3 -->"
    assert list(untraced(notebook)) == []


# --- declarations


def declared(comment: str, printed: str = "", cited: Iterable[str] = ("su2022cosent1",)) -> list[str]:
    return declarations(f"<!-- numbers: {comment} -->", numbers_in(printed), cited).wrong


def test_a_declared_number_is_traced_and_only_in_its_own_cell() -> None:
    text = "It is 78.69 {cite}`su2022cosent1`.\n\n<!-- numbers: 78.69 from su2022cosent1 -->"
    assert found(text) == []
    notebook = chapter(text)
    notebook.cells.append(v4.new_markdown_cell("Again 78.69."))
    assert [index for index, _ in untraced(notebook)] == [2]


@pytest.mark.parametrize(
    ("comment", "printed"),
    [
        ("78.69 78.72 from su2022cosent1", ""),
        ("0.008 by arithmetic: 0.786 - 0.778", "0.786 0.778"),
        ("1.2 % by arithmetic: (51 - 42) / 750", "750"),
        ("0.35 by arithmetic: sqrt(2) * 0.25", "0.25"),
        ("0.05 by arithmetic: 0.031 < 0.05", "0.031"),
        ("78.69 from su2022cosent1; 0.787 by arithmetic: 78.69 / 100", ""),
        ("0.787 by arithmetic: 78.69 / 100;\n 78.69 from su2022cosent1", ""),
        ("250,000 as an example", ""),
    ],
)
def test_a_right_declaration_has_no_problem(comment: str, printed: str) -> None:
    assert declared(comment, printed) == []


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("78.69 from nobody2022", "no key of references.bib"),
        ("78.69 from su2022cosent2", "does not cite it"),
        ("78.69 from Chapter 99", "there is no Chapter 99"),
        ("0.123454321 from Chapter 3", "Chapter 3 has no cell with 0.123454321"),
        ("78.69", "is not 'NUMBERS from SOURCE'"),
        ("from su2022cosent1", "is not 'NUMBERS from SOURCE'"),
        ("0.009 by arithmetic: 0.786 - 0.778", "is 0.008, not 0.009"),
        ("0.05 by arithmetic: 0.778 < 0.05", "is not true"),
        ("0.06 by arithmetic: 0.778 < 0.786", "is not true of 0.06"),
        ("0.5 by arithmetic: 0.786 - 0.286", "uses 0.286, which no cell"),
        ("0.5 by arithmetic: open('x')", "cannot calculate"),
        ("0.5 by arithmetic: (1).real", "cannot calculate"),
        ("0.5 by arithmetic: 9**9**9**9", "cannot calculate"),
        ("0.5 by arithmetic: 1 / 0", "cannot calculate"),
        ("0.5 by arithmetic: 1 +", "cannot calculate"),
    ],
)
def test_a_wrong_declaration_is_named(comment: str, message: str) -> None:
    (problem,) = declared(comment, "0.786 0.778")
    assert message in problem


def test_a_declaration_of_a_number_that_the_text_does_not_use_is_named() -> None:
    assert found("Nothing.\n\n<!-- numbers: 0.25 as an example -->") == [
        "comment: it names 0.25, which the text does not use"
    ]


def test_comments_are_kept_in_notebooks_and_are_no_words_of_the_text() -> None:
    comment = "<!-- numbers: 0.25 as an example -->"
    notebook = good_chapter()
    notebook.cells[2].source += f" Say 0.25.\n\n{comment}"
    assert notebooks.normalise(notebook).cells[2].source.endswith(comment)
    notebook.cells[2].source += "<!-- " + "word " * 5000 + "-->"
    assert problems(notebook, "08_test") == []


def test_the_rule_is_one_of_the_chapters_rules() -> None:
    notebook = good_chapter()
    notebook.cells[2].source += " It is 0.123."
    assert [p for p in problems(notebook, "08_test") if "0.123 is in no cell" in p and p.startswith("cell 3 (")]


# --- the pages that are no notebooks


@pytest.mark.parametrize("page", sorted((ROOT / "chapters").glob("*.md")), ids=lambda path: path.stem)
def test_numbers_of_a_page_stand_in_some_chapter(page: Path) -> None:
    known = Sources()
    for path in notebooks.chapter_paths():
        known.add(sources_of(notebooks.read(path)))
    assert [number.text for number in written(page.read_text(encoding="utf-8")) if not known.hold(number)] == []


def test_the_introduction_keeps_the_rule() -> None:
    notebook = notebooks.read(notebooks.CHAPTERS / "intro.ipynb")
    assert list(untraced(notebook)) == []
    assert chapter_sources(0) == sources_of(notebook)
