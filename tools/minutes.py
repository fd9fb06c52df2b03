"""How long a chapter takes to read, and its exercises: ``python tools/minutes.py`` says it of every chapter.

The main line counts, up to the exercises: 200 words a minute, two minutes for each displayed equation or table, one for
each figure or visible code cell. What is folded does not count: directives with ``:class: dropdown``, cells tagged
``hide-cell`` or ``remove-cell``, the code of those tagged ``hide-input`` or ``remove-input``, the setup cell. Exercises
have the minutes that `cosent_book.exercises` gives them. Both are rounded to five minutes.
"""

import re
from dataclasses import dataclass

from nbformat import NotebookNode

import notebooks
from cosent_book.exercises import find

WORDS_A_MINUTE = 200
FOLDED = {"hide-input", "remove-input", "hide-cell", "remove-cell", "setup"}
GONE = {"hide-cell", "remove-cell", "setup"}
DIRECTIVE = re.compile(r"^(`{3,}|:{3,})\{[\w:-]+\}[^\n]*\n(.*?)^\1[ \t]*$", re.M | re.S)
DROPDOWN = re.compile(r"\A(?::[\w-]+:.*\n)*:class:.*\bdropdown\b", re.M)
EQUATION = re.compile(r"\$\$.*?\$\$(?:\s*\([\w-]+\))?", re.S)
TABLE = re.compile(r"^\|(?:\s*:?-+:?\s*\|)+\s*$", re.M)
EXERCISE = re.compile(r"^`{3,}\{exercise-start\}.*\n(?::[\w-]+:.*\n)*?:label:[ \t]*([\w-]+)", re.M)
STATED = re.compile(r"\*\*Minutes:\*\* (\d+) to read, (\d+) for the exercises")


@dataclass(frozen=True)
class Length:
    """What there is to read before the exercises, and the exercises' minutes."""

    words: int = 0
    equations: int = 0
    tables: int = 0
    figures: int = 0
    cells: int = 0
    lines: int = 0
    exercises: int = 0

    @property
    def reading(self) -> int:
        """Minutes for the main line, to five."""
        exact = self.words / WORDS_A_MINUTE + 2 * (self.equations + self.tables) + self.figures + self.cells
        return 5 * round(exact / 5)

    @property
    def doing(self) -> int:
        """Minutes for the exercises, to five."""
        return 5 * round(self.exercises / 5)


def tags(cell: NotebookNode) -> set[str]:
    """The tags of a cell."""
    return set(cell.metadata.get("tags", []))


def unfolded(text: str) -> str:
    """Markdown without comments and without directives that are folded."""
    text = re.sub(r"<!--.*?-->", " ", text, flags=re.S)
    return DIRECTIVE.sub(lambda match: " " if DROPDOWN.match(match[2]) else match[0], text)


def words_in(text: str) -> int:
    """Words of prose; a formula counts as one."""
    text = re.sub(r"^(`{3,})(?!\{).*?^\1", " ", text, flags=re.M | re.S)
    text = re.sub(r"^(?:`{3,}|:{3,}).*$|^:[\w-]+:.*$|^\([\w-]+\)=$", " ", text, flags=re.M)
    text = re.sub(r"\]\([^)\s]*\)|\{[\w:.-]+\}`[^`]*`", " ", text)
    text = re.sub(r"\$[^$\n]+\$", " x ", EQUATION.sub(" ", text))
    return len(re.findall(r"[^\W\d_][\w'’-]*", text))


def asks(cell: NotebookNode) -> bool:
    """Whether a cell waits for an answer: it is the reader's to write, and not the chapter's code."""
    return cell.cell_type == "code" and re.search(r"^answer = \.\.\.", cell.source, flags=re.M) is not None


def main_line(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells before the exercises."""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown" and (match := re.search(r"^## Exercises\s*$", cell.source, flags=re.M)):
            before = cell.copy()
            before.source = cell.source[: match.start()]
            return [*notebook.cells[:index], before]
    return list(notebook.cells)


def visible_lines(notebook: NotebookNode) -> int:
    """Lines of code, blank ones apart, that the main line shows without being asked; a reader's answers apart."""
    shown = [c for c in main_line(notebook) if c.cell_type == "code" and not tags(c) & FOLDED and not asks(c)]
    return sum(bool(line.strip()) for cell in shown for line in cell.source.splitlines())


def length(notebook: NotebookNode) -> Length:
    """Count a chapter."""
    cells = main_line(notebook)
    text = unfolded("\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown"))
    code = [cell for cell in cells if cell.cell_type == "code" and cell.source.strip() and not tags(cell) & GONE]
    data = [
        " ".join(f"{kind} {value}" for o in cell.outputs for kind, value in o.get("data", {}).items()) for cell in code
    ]
    labels = EXERCISE.findall("\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown"))
    return Length(
        words=words_in(text),
        equations=len(EQUATION.findall(text)),
        tables=len(TABLE.findall(text)) + sum("<table" in shown for shown in data),
        figures=sum("image/" in shown for shown in data) + text.count("{figure}"),
        cells=sum(not tags(cell) & FOLDED for cell in code),
        lines=visible_lines(notebook),
        exercises=sum(find(label).minutes for label in labels),
    )


def main() -> None:
    """Print the counts of every chapter, and what its header says."""
    print("chapter                 words  eq  tab  fig  cells  lines   read    do   header")
    for path in notebooks.chapter_paths():
        notebook = notebooks.read(path)
        found = length(notebook)
        stated = STATED.search("\n".join(cell.source for cell in notebook.cells[:3]))
        print(
            f"{path.stem:<23} {found.words:>5} {found.equations:>3} {found.tables:>4} {found.figures:>4}"
            f" {found.cells:>6} {found.lines:>6} {found.reading:>6} {found.doing:>5}   "
            + (" + ".join(stated.groups()) if stated else "other")
        )


if __name__ == "__main__":
    main()
