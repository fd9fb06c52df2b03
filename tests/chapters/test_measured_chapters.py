"""The stricter rule for chapters of measurements: what breaks it is found, what keeps it is left in peace."""

from collections.abc import Callable

import pytest
import skeleton
from chapter_builder import figure_cell, good_chapter, text_output
from measured_chapters import unmeasured
from nbformat import NotebookNode, v4
from number_sources import Sources, section_at, sections_of, untraced


def code(source: str, printed: str = "", **metadata: object) -> NotebookNode:
    cell = v4.new_code_cell(source, metadata=metadata)
    cell.outputs = [text_output(printed)] if printed else []
    return cell


ELSEWHERE = "8.9 by arithmetic: 100 * (0.7312 - 0.6418); 0.73 from section Who is ahead"


def measured_chapter() -> NotebookNode:
    """A chapter of two sections that keeps the rule, with opening, closing and exercises."""
    return v4.new_notebook(
        cells=[
            v4.new_markdown_cell("# 9. A chapter\n\n> Is 0.731 more than 0.642?"),
            code("import x  # 0.1234", tags=["setup"]),
            code("records = frame('main', LIVE)"),
            v4.new_markdown_cell("## Who is ahead\n\n0.73 and 73.1 %, at κ = 0.3 and 30 % of 64,000 pairs."),
            code("show(records, rates=(0.3, 0.25), take=64_000)", "CoSENT 0.7312\n0.2500"),
            v4.new_markdown_cell("After it, 0.731.\n\n## Who is behind\n\nIt has 0.642."),
            code("show(records)", "RankNet 0.6418 of 1.5 points"),
            figure_cell("fig-9-x"),
            v4.new_markdown_cell(f"Ahead by 8.9 points, as 0.73 was above.\n\n<!-- numbers: {ELSEWHERE} -->"),
            v4.new_markdown_cell("## If you remember three things\n\n1. 0.731\n2. 0.642\n\n## Exercises\n\nIs it 0.5?"),
            code("answer = 0.12345", "0.5"),
            v4.new_markdown_cell("## Further reading\n\nMore."),
        ]
    )  # fmt: skip


def found(change: Callable[[NotebookNode], object] = lambda nb: None) -> list[tuple[int, str]]:
    notebook = measured_chapter()
    change(notebook)
    return list(unmeasured(notebook, 9))


def put(index: int, old: str, new: str) -> Callable[[NotebookNode], object]:
    def change(notebook: NotebookNode) -> None:
        assert old in notebook.cells[index].source
        notebook.cells[index].source = notebook.cells[index].source.replace(old, new)

    return change


def test_a_chapter_that_keeps_the_rule_has_no_problem() -> None:
    assert found() == []
    assert list(untraced(measured_chapter())) == []


def test_sections_begin_at_their_headings_also_inside_a_cell() -> None:
    notebook = measured_chapter()
    text = notebook.cells[5].source
    assert section_at(notebook, 5, 0) == "Who is ahead"
    assert section_at(notebook, 5, text.index("0.642")) == "Who is behind"
    assert [section_at(notebook, index, 0) for index in (0, 2, 4, 6, 10)] == [
        "", "", "Who is ahead", "Who is behind", "Exercises"
    ]  # fmt: skip
    printed = sections_of(notebook)
    assert list(printed) == [
        "", "Who is ahead", "Who is behind", "If you remember three things", "Exercises", "Further reading"
    ]  # fmt: skip
    assert printed["Who is behind"].plain == {0.6418, 1.5}
    assert printed["If you remember three things"] == Sources()
    notebook.cells.insert(1, v4.new_markdown_cell("```\n## no heading\n```"))
    assert section_at(notebook, 3, 0) == ""


@pytest.mark.parametrize(
    ("change", "index", "message"),
    [
        (put(5, "0.642", "0.731"), 5, "text: 0.731 is in no output of the section 'Who is behind'"),
        (put(3, "0.73 and", "0.64 and"), 3, "text: 0.64 is in no output of the section 'Who is ahead'"),
        (put(3, "73.1 %", "64.2 %"), 3, "text: 64.2 % is in no output of the section 'Who is ahead'"),
        (put(3, "κ = 0.3", "κ = 0.25, 0.24"), 3, "text: 0.24 is in no output"),
        (put(4, "rates=(0.3, 0.25)", "rates=(0.3, 0.55)"), None, ""),
        (put(3, "κ = 0.3", "κ = 0.4"), 3, "text: 0.4 is in no output of the section 'Who is ahead'"),
        (put(3, "30 %", "31 %"), 3, "text: 31 % is in no output"),
        (put(3, "64,000", "65,000"), 3, "text: 65,000 is in no output"),
        (put(0, "0.642", "0.643"), 0, "text: 0.643 is in no output of the chapter"),
        (put(9, "1. 0.731", "1. 0.732"), 9, "text: 0.732 is in no output of the chapter"),
        (put(8, "0.73 was", "0.74 was"), 8, "text: 0.74 is in no output of the section 'Who is behind'"),
        (put(8, "0.73 from section Who is ahead", "0.73 from Chapter 9"), 8, "name the section of this chapter"),
    ],
)
def test_a_number_of_another_section_or_of_nowhere_is_named(
    change: Callable[[NotebookNode], object], index: int | None, message: str
) -> None:
    problems = found(change)
    if index is None:
        assert problems == []
    else:
        assert any(where == index and message in text for where, text in problems), problems


def test_a_number_in_the_source_of_a_cell_is_no_result() -> None:
    notebook = measured_chapter()
    notebook.cells[6].source += "\nlimit = 0.55"
    notebook.cells[5].source += " And 0.55."
    assert list(untraced(notebook)) == []  # enough for the other chapters
    assert [text.partition(" is in")[0] for _, text in unmeasured(notebook, 9)] == ["text: 0.55"]


def test_captions_and_alternative_texts_keep_it_too() -> None:
    def change(notebook: NotebookNode) -> None:
        settings = notebook.cells[7].metadata["mystnb"]
        settings["figure"]["caption"] = "It rises from 0.642 to 0.731."
        settings["image"]["alt"] = "A line that ends at 0.99."

    problems = [(index, text.partition(" is in")[0]) for index, text in found(change)]
    assert problems == [(7, "caption: 0.731"), (7, "alternative text: 0.99")]


@pytest.mark.parametrize(
    "source",
    ["best = 0.7312", "print('CoSENT 0.7312')", "print(f'{name} 0.7312 {x}')", "x = [1, .6418]", 'y = """\n0.7312"""'],
)
def test_a_result_that_is_typed_in_is_named(source: str) -> None:
    (problem,) = found(put(4, "show(", f"{source}\nshow("))
    assert problem[0] == 4
    assert "is typed in; print it from a record" in problem[1]
    assert found(put(4, "show(", f"# settings of the figure\n{source}\nshow(")) == []


@pytest.mark.parametrize(
    "source",
    ["rate = 0.001", "x = 1e-12", "print(f'{x:.4f}')", "y = 0.25", "# 0.7312", "%pip install x==1.2345", "z = 1.5"],
)
def test_settings_and_comments_are_no_results(source: str) -> None:
    assert found(put(4, "show(", f"{source}\nshow(")) == []


def test_results_come_from_records_only() -> None:
    assert found(put(2, "frame", "made_up")) == [
        (0, "no cell calls frame() or measured(): where are the results from?")
    ]
    assert found(put(2, "frame('main', LIVE)", "measured('x', LIVE)")) == []
    for call in ("open('x.csv')", "pd.read_csv('x.csv')", "Path('x').read_text()", "json.loads(text)"):
        ((index, text),) = found(put(6, "show(", f"x = {call}\nshow("))
        assert index == 6
        assert "reads by itself" in text
        assert found(put(10, "answer", f"x = {call}\nanswer")) == []  # a reader's own data


def test_a_section_that_a_comment_names_is_looked_up() -> None:
    for comment, message in {
        "0.73 from section Who was ahead": "there is no section 'Who was ahead'",
        "0.73 from section Who is behind": "section 'Who is behind' does not print 0.73",
    }.items():
        notebook = measured_chapter()
        put(8, "0.73 from section Who is ahead", comment)(notebook)
        assert (8, f"comment: {message}") in list(untraced(notebook))


def test_the_rule_holds_for_the_chapters_of_measurements_and_no_others() -> None:
    notebook = good_chapter()
    for name, holds in {"08_test": False, "09_test": True, "10_test": True, "12_test": False, "13_test": True}.items():
        problems = skeleton.problems(notebook, name)
        assert any("where are the results from?" in text for text in problems) == holds
