"""A stricter rule for the chapters that report measurements: every number of theirs comes from a record.

- A number in the text, a caption or an alternative text is printed, rounded, by a cell of the same ``##`` section, or a
  comment beside it names its source (see number_sources), which may be another section of the chapter:
  ``<!-- numbers: 0.71 from section One row of a table -->``. The opening, the exercises and sections that print nothing
  (the closing) may use what any section prints. Of what cells have in their source only settings count: whole numbers,
  those with one decimal place (a rate, κ), and whole percentages.
- No result is typed in: before the exercises code holds no decimal number of three or more places (powers of ten
  aside), not in strings either, but for cells that begin with the comment ``# settings``.
- Results come from records only: the chapter calls `frame` or `measured`, and before the exercises no cell reads a file
  by itself.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator

from nbformat import NotebookNode
from number_sources import (
    Sources,
    cited_keys,
    declarations,
    figure_texts,
    neighbours,
    section_at,
    sections_of,
    sentence,
    sources_of,
    typed_in,
    written,
)

MEASURED = (9, 10, 13)
"""The chapters that keep this rule."""

FREE = ("", "If you remember three things", "Exercises", "Further reading")
READERS = {
    "open", "read_csv", "read_json", "read_table", "read_text", "read_bytes", "read_pickle", "loads", "loadtxt",
    "genfromtxt", "urlopen",
}  # fmt: skip
DECIMALS = re.compile(r"(?<![\w.])\d*\.\d{3,}(?![\w.])")
SETTINGS = re.compile(r"\s*# settings\b", re.I)


def unmeasured(notebook: NotebookNode, number: int) -> Iterator[tuple[int, str]]:
    """Yield the index of a cell of chapter ``number`` and what breaks the rule in it."""
    yield from _not_printed(notebook, number)
    yield from _typed_in(notebook)
    yield from _not_from_records(notebook)


def _not_printed(notebook: NotebookNode, own: int) -> Iterator[tuple[int, str]]:
    printed, known, cited = sections_of(notebook), sources_of(notebook), cited_keys(notebook)
    settings, whole = typed_in(notebook), Sources()
    for sources in printed.values():
        whole.add(sources)
    said = {
        index: declarations(cell.source, known, cited, printed).numbers
        for index, cell in enumerate(notebook.cells)
        if cell.cell_type == "markdown"
    }
    for index, cell in enumerate(notebook.cells):
        if index in said and re.search(rf"<!--\s*numbers:[^>]*\bfrom Chapter {own}\b", cell.source):
            yield index, f"comment: name the section of this chapter, not 'Chapter {own}'"
        texts = [("text", cell.source)] if index in said else figure_texts(cell) if cell.cell_type == "code" else []
        places = [index] if index in said else neighbours(notebook, index)
        declared = Sources(plain={other.value for place in places for other in said[place]})
        for kind, text in texts:
            for number in written(text):
                title = section_at(notebook, index, number.start if index in said else 0)
                has_output = bool(printed[title].plain or printed[title].percent)
                sources = whole if title in FREE or not has_output else printed[title]
                is_setting = number.unit >= (1 if number.percent else 0.1) and settings.hold(number)
                if not is_setting and not sources.hold(number) and not declared.hold(number):
                    where = "chapter" if sources is whole else f"section '{title}'"
                    yield (
                        index,
                        f"{kind}: {number.text} is in no output of the {where}, and no comment says where it is from: "
                        + repr(sentence(text, number.start)),
                    )


def _typed_in(notebook: NotebookNode) -> Iterator[tuple[int, str]]:
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or SETTINGS.match(cell.source) or "setup" in cell.metadata.get("tags", []):
            continue
        if section_at(notebook, index, 0) == "Exercises":
            continue
        source = re.sub(r"^(\s*)[%!].*$", r"\1pass", cell.source, flags=re.M)
        for text in _literals(source):
            for match in DECIMALS.finditer(text):
                if not re.fullmatch(r"0*10*", match.group().replace(".", "")):
                    yield (
                        index,
                        f"code: {match.group()} is typed in; print it from a record, or begin with '# settings'",
                    )


def _literals(source: str) -> Iterator[str]:
    """Yield the numbers and the pieces of text of Python code; nothing of code that is none."""
    kinds = {tokenize.NUMBER, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type in kinds:
                yield token.string
    except (tokenize.TokenError, SyntaxError):
        return


def _not_from_records(notebook: NotebookNode) -> Iterator[tuple[int, str]]:
    called: set[str] = set()
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        for name in _calls(cell.source):
            called.add(name)
            if name in READERS and section_at(notebook, index, 0) not in FREE:
                yield index, f"code: {name}() reads by itself; results come by frame() or measured()"
    if not called & {"frame", "measured"}:
        yield 0, "no cell calls frame() or measured(): where are the results from?"


def _calls(source: str) -> Iterator[str]:
    try:
        tree = ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.M))
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
