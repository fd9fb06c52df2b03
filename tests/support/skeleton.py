"""What a chapter has to be: every rule that can be read off a notebook, each a function that lists what is wrong.

What it may ask of its reader (visible code, tables, answers out of sight, minutes) stands in ``economy.py``.

A problem is one sentence that names the place and what was expected there. ``problems(notebook, name)`` applies all
rules; ``name`` is the file's name without its ending (``08_cosent``).
"""

import ast
import copy
import importlib
import importlib.util
import re
from collections.abc import Iterator

from economy import economy_problems
from measured_chapters import MEASURED, unmeasured
from nbformat import NotebookNode
from number_sources import untraced

import cosent_lib
import notebooks

WORDS = (1500, 4000)
CODE_CELLS = (10, 25)  # outside the exercises, folded ones too
CELL_LINES = 40
FIGURES = (3, 6)
EXERCISES = (3, 5)
FIRST_PICTURE = 10  # a picture stands among the first so many cells
HOUSES = ("cosent_lib", "cosent_book")
CLOSING = ("If you remember three things", "Exercises", "Further reading")
OPENING = ("What you will be able to do", "You need", "Minutes")
MACHINE_PATH = re.compile(r"(?:/(?:home|root|Users|tmp|work|content|mnt|opt)/[\w.~-]+|[A-Z]:\\\w+)")
FENCE = re.compile(r"^(`{3,}|:{3,})\{([\w:-]+)\}[ \t]*(.*?)\n(.*?)^\1[ \t]*$", re.M | re.S)
OPTION = re.compile(r"^:([\w-]+):[ \t]*(.*)$", re.M)


def label(text: str) -> re.Pattern[str]:
    """Match ``text`` as a heading or as the beginning of a bold label (``**You need:** …``)."""
    return re.compile(rf"^\s*(?:>\s*)?(?:[-*]\s+)?(?:#+\s+|\*\*){re.escape(text)}", re.M | re.I)


def place(index: int, cell: NotebookNode) -> str:
    """Name a cell so that its writer finds it: number, id and first line."""
    first = (cell.source.strip().splitlines() or ["(empty)"])[0]
    return f"cell {index + 1} ({first[:60]!r})"


def code_cells(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    """Yield index and cell of every code cell that is not empty."""
    yield from ((i, c) for i, c in enumerate(notebook.cells) if c.cell_type == "code" and c.source.strip())


def markdown(notebook: NotebookNode) -> str:
    """Return the text of all Markdown cells."""
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def tags(cell: NotebookNode) -> list[str]:
    """Return the tags of a cell."""
    return list(cell.metadata.get("tags", []))


def find_heading(notebook: NotebookNode, title: str) -> int | None:
    """Return the index of the cell with the heading ``## title``."""
    pattern = re.compile(rf"^## {re.escape(title)}\s*$", re.M)
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown" and pattern.search(cell.source):
            return index
    return None


def section(notebook: NotebookNode, title: str) -> str:
    """Return the Markdown below the heading ``## title`` up to the next heading of that level."""
    text = markdown(notebook)
    match = re.search(rf"^## {re.escape(title)}\s*$(.*?)(?=^## |\Z)", text, flags=re.M | re.S)
    return match.group(1) if match else ""


def image_output(cell: NotebookNode) -> bool:
    """Return whether a cell's output holds an image."""
    return any(kind.startswith("image/") for output in cell.outputs for kind in output.get("data", {}))


def output_text(cell: NotebookNode) -> str:
    """Return all text a cell has printed or returned (SVG is text, encoded pixels are not)."""
    shown = [output.get("text", "") + "".join(output.get("traceback", [])) for output in cell.outputs]
    data = [item for output in cell.outputs for item in output.get("data", {}).items()]
    shown += [str(value) for kind, value in data if kind not in ("image/png", "image/jpeg")]
    return "\n".join(shown)


def check_title(notebook: NotebookNode, name: str) -> Iterator[str]:
    """One level-1 heading, first of all, with the chapter's number."""
    number = int(name.split("_")[0])
    lines = notebook.cells[0].source.strip().splitlines() if notebook.cells else []
    first = next((line for line in lines if line and not re.fullmatch(r"\([\w-]+\)=", line)), "")
    if not re.match(rf"# {number}\. \S", first):
        yield f"the first cell begins with {first!r}, expected the title '# {number}. …'"
    titles = re.findall(r"^# .+$", re.sub(r"^(`{3,}).*?^\1", "", markdown(notebook), flags=re.M | re.S), flags=re.M)
    if len(titles) > 1:
        yield f"{len(titles)} level-1 headings, expected one: {titles}"


def check_opening(notebook: NotebookNode) -> Iterator[str]:
    """A question, the labels of the opening before the setup cell, and a picture early."""
    setup = next((i for i, cell in code_cells(notebook) if "setup" in tags(cell)), None)
    if setup is None:
        return  # reported by check_setup
    before = "\n\n".join(cell.source for cell in notebook.cells[:setup] if cell.cell_type == "markdown")
    if not re.search(r"\?[*_”\"]*\s*$", before, flags=re.M):
        yield "no question before the setup cell (a line that ends with '?')"
    for text in OPENING:
        if not label(text).search(before):
            yield f"no heading or bold label '{text}' before the setup cell"
    first = notebook.cells[:FIRST_PICTURE]
    drawn = re.compile(r"!\[[^\]]+\]\(|\{figure\}|<img|<svg")
    pictures = [cell.cell_type == "markdown" and bool(drawn.search(cell.source)) for cell in first]
    pictures += ["figure" in cell.metadata.get("mystnb", {}) for cell in first]
    if not any(pictures):
        yield f"no picture among the first {FIRST_PICTURE} cells"


def check_setup(notebook: NotebookNode) -> Iterator[str]:
    """The first code cell is the book's setup cell."""
    cells = list(code_cells(notebook))
    marked = [i for i, (_, cell) in enumerate(cells) if "setup" in tags(cell)]
    if marked != [0]:
        yield "expected exactly one cell tagged 'setup', and that the first code cell"
    elif cells[0][1].source != notebooks.setup_source():
        yield "the setup cell is not the book's: run `make notebooks`, which writes it"


def check_closing(notebook: NotebookNode) -> Iterator[str]:
    """The three closing sections, in order; three things; a citation to read further."""
    positions = [find_heading(notebook, title) for title in CLOSING]
    for title, position in zip(CLOSING, positions, strict=True):
        if position is None:
            yield f"no section '## {title}'"
    found = [position for position in positions if position is not None]
    if found != sorted(found):
        yield f"the closing sections stand in another order than {CLOSING}"
    things = re.findall(r"^\d+\. ", section(notebook, CLOSING[0]), flags=re.M)
    if positions[0] is not None and len(things) != 3:
        yield f"'## {CLOSING[0]}' has {len(things)} numbered items, expected 3"
    if positions[2] is not None and "{cite" not in section(notebook, CLOSING[2]):
        yield f"'## {CLOSING[2]}' cites nothing ({{cite}}`key`)"


class Exercise:
    """One exercise as it is met on the way through the cells: its cells and those of its solution."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.scaffolds: list[NotebookNode] = []
        self.solution_cells = 0
        self.solved = False


def read_exercises(notebook: NotebookNode) -> tuple[dict[str, Exercise], list[str]]:
    """Walk through the gated directives; return the exercises by label and what is wrong with the gates."""
    exercises: dict[str, Exercise] = {}
    wrong: list[str] = []
    inside: tuple[str, Exercise] | None = None
    for index, cell in enumerate(notebook.cells):
        where = place(index, cell)
        if cell.cell_type == "code":
            if inside and inside[0] == "exercise" and re.search(r"^answer = \.\.\.", cell.source, flags=re.M):
                inside[1].scaffolds.append(cell)
            elif inside and inside[0] == "solution" and cell.source.strip():
                inside[1].solution_cells += 1
            continue
        for gate in FENCE.finditer(cell.source):
            _, directive, argument, body = gate.groups()
            kind, _, edge = directive.partition("-")
            if kind not in ("exercise", "solution"):
                continue
            options = dict(OPTION.findall(body))
            if edge not in ("start", "end"):
                wrong.append(f"{where}: use the gated {{{kind}-start}} … {{{kind}-end}}, not {{{directive}}}")
            elif edge == "end":
                if inside is None or inside[0] != kind:
                    wrong.append(f"{where}: {{{directive}}} without its start")
                inside = None
            elif inside is not None:
                wrong.append(f"{where}: {{{directive}}} before the {inside[0]} '{inside[1].label}' has ended")
            elif kind == "exercise":
                inside = _start_exercise(options, exercises, wrong, where)
            else:
                inside = _start_solution(argument.strip(), options, exercises, wrong, where)
    if inside is not None:
        wrong.append(f"the {inside[0]} '{inside[1].label}' never ends")
    return exercises, wrong


def _start_exercise(
    options: dict[str, str], exercises: dict[str, Exercise], wrong: list[str], where: str
) -> tuple[str, Exercise]:
    name = options.get("label", "").strip()
    if not name:
        wrong.append(f"{where}: {{exercise-start}} without :label:")
    elif name in exercises:
        wrong.append(f"{where}: a second exercise with the label '{name}'")
    exercise = exercises.setdefault(name, Exercise(name))
    return "exercise", exercise


def _start_solution(
    target: str, options: dict[str, str], exercises: dict[str, Exercise], wrong: list[str], where: str
) -> tuple[str, Exercise]:
    if target not in exercises:
        wrong.append(f"{where}: a solution of '{target}', but no exercise before it has that label")
    exercise = exercises.get(target) or Exercise(target)
    if exercise.solved:
        wrong.append(f"{where}: a second solution of '{target}'")
    exercise.solved = True
    if "dropdown" not in options.get("class", ""):
        wrong.append(f"{where}: the solution of '{target}' needs ':class: dropdown'")
    return "solution", exercise


def check_exercises(notebook: NotebookNode) -> Iterator[str]:
    """Three to five exercises, each with a scaffold that says "not answered yet" and an executed solution."""
    exercises, wrong = read_exercises(notebook)
    yield from wrong
    if not EXERCISES[0] <= len(exercises) <= EXERCISES[1]:
        yield f"{len(exercises)} exercises, expected {EXERCISES[0]} to {EXERCISES[1]}"
    for exercise in exercises.values():
        name = f"exercise '{exercise.label}'"
        if not exercise.scaffolds:
            yield f"{name} has no scaffold (a code cell with a line 'answer = ...')"
        for cell in exercise.scaffolds:
            if "not answered yet" not in output_text(cell):
                yield f"the scaffold of {name} does not print 'not answered yet'"
        if not exercise.solved:
            yield f"{name} has no solution"
        elif exercise.solution_cells == 0:
            yield f"the solution of {name} has no code cell"


def check_size(notebook: NotebookNode) -> Iterator[str]:
    """Words, code cells and lines a cell within the limits."""
    prose = re.sub(r"^(`{3,}).*?^\1", " ", markdown(notebook), flags=re.M | re.S)
    prose = re.sub(r"<!--.*?-->", " ", prose, flags=re.S)
    prose = re.sub(r"\$\$.*?\$\$|\$[^$\n]+\$|^:[\w-]+:[^\n]*$", " x ", prose, flags=re.M | re.S)
    words = len(re.findall(r"[^\W\d_][\w'’-]*", prose))
    if not WORDS[0] <= words <= WORDS[1]:
        yield f"{words} words of text, expected {WORDS[0]} to {WORDS[1]}"
    end = find_heading(notebook, "Exercises")
    count = sum(1 for index, _ in code_cells(notebook) if end is None or index < end)
    if not CODE_CELLS[0] <= count <= CODE_CELLS[1]:
        yield f"{count} code cells before the exercises, expected {CODE_CELLS[0]} to {CODE_CELLS[1]}"
    for index, cell in code_cells(notebook):
        if (lines := cell.source.count("\n") + 1) > CELL_LINES:
            yield f"{place(index, cell)} has {lines} lines, at most {CELL_LINES}: the rest belongs in the library"


def check_figures(notebook: NotebookNode) -> Iterator[str]:
    """Three to six figures on the main line; each, folded ones too, with caption, name and alternative text."""
    names: list[str] = []
    folded = 0  # figures of a detour
    for index, cell in code_cells(notebook):
        settings = cell.metadata.get("mystnb", {})
        figure, alt = settings.get("figure", {}), str(settings.get("image", {}).get("alt", "")).strip()
        where = place(index, cell)
        if image_output(cell) and len(alt) < 20:
            yield f"{where}: its image has no alternative text (metadata mystnb: image: alt, a sentence)"
        if figure and not image_output(cell):
            yield f"{where}: figure metadata, but no image in its output"
        if figure:
            names.append(str(figure.get("name", "")))
            folded += "hide-cell" in tags(cell)
            if not str(figure.get("caption", "")).strip() or not names[-1]:
                yield f"{where}: a figure needs caption and name"
    for _, directive, _, body in FENCE.findall(markdown(notebook)):
        if directive == "figure":
            options = dict(OPTION.findall(body))
            names.append(options.get("name", ""))
            if not options.get("alt") or not options.get("name") or not re.sub(OPTION, "", body).strip():
                yield f"figure '{names[-1]}': a figure needs :name:, :alt: and a caption"
    if len(names) != len(set(names)):
        yield f"two figures have the same name: {sorted(names)}"
    if not FIGURES[0] <= len(names) - folded <= FIGURES[1]:
        yield f"{len(names) - folded} figures, expected {FIGURES[0]} to {FIGURES[1]}"


def check_execution(notebook: NotebookNode) -> Iterator[str]:
    """Every code cell executed once, in order, in a fresh kernel, without an error or stray output."""
    for count, (index, cell) in enumerate(code_cells(notebook), 1):
        where = place(index, cell)
        if cell.execution_count is None:
            yield f"{where} was never executed"
        elif cell.execution_count != count:
            yield f"{where} was executed as number {cell.execution_count}, expected {count}: run `make notebooks`"
        for output in cell.outputs:
            if output.output_type == "error" and "raises-exception" not in tags(cell):
                yield f"{where} failed: {output.ename}: {output.evalue}"
            if output.output_type == "stream" and output.name == "stderr":
                yield f"{where} writes to stderr: {output.text.strip()[:100]!r}"
            if "application/vnd.jupyter.widget-view+json" in output.get("data", {}):
                yield f"{where} shows a widget, which a rendered page cannot"


def check_portable(notebook: NotebookNode) -> Iterator[str]:
    """Nothing that belongs to the machine on which the chapter ran."""
    for index, cell in enumerate(notebook.cells):
        text = cell.source + ("\n" + output_text(cell) if cell.cell_type == "code" else "")
        if match := MACHINE_PATH.search(re.sub(r"https?://\S+", "", text)):
            yield f"{place(index, cell)}: a machine's path, {match.group(0)!r}"
        if "object at 0x" in text:
            yield f"{place(index, cell)}: a memory address ('object at 0x…')"


def check_live(notebook: NotebookNode) -> Iterator[str]:
    """An experiment that may run live has a settings cell before it."""
    settings = re.compile(r'^LIVE = os\.environ\.get\("COSENT_LIVE"\) == "1"', re.M)
    known = False
    for index, cell in code_cells(notebook):
        known = known or bool(settings.search(cell.source))
        if re.search(r"\bLIVE\b", cell.source) and not known:
            yield f'{place(index, cell)}: no settings cell before it (LIVE = os.environ.get("COSENT_LIVE") == "1")'


def check_imports(notebook: NotebookNode) -> Iterator[str]:
    """Every name a chapter imports from the library or the book is there; a public one comes from the top."""
    for index, cell in code_cells(notebook):
        source = re.sub(r"^(\s*)[%!].*$", r"\1pass", cell.source, flags=re.M)
        try:
            tree = ast.parse(source)
        except SyntaxError as error:
            yield f"{place(index, cell)} is not Python: {error}"
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in HOUSES:
                yield from _misplaced(node.module or "", [alias.name for alias in node.names], place(index, cell))
            elif isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names if alias.name.split(".")[0] in HOUSES]
                for module in modules:
                    yield from _misplaced(module, [], place(index, cell))


def _misplaced(module: str, names: list[str], where: str) -> Iterator[str]:
    try:
        loaded = importlib.import_module(module)
    except ImportError as error:
        yield f"{where}: {error}"
        return
    for name in names:
        is_module = hasattr(loaded, "__path__") and importlib.util.find_spec(f"{module}.{name}") is not None
        if not hasattr(loaded, name) and not is_module:
            yield f"{where}: {module} has no name {name!r}"
        elif (
            module != "cosent_lib" and name in cosent_lib.__all__ and loaded.__dict__[name] is getattr(cosent_lib, name)
        ):
            yield f"{where}: {name} is public: from cosent_lib import {name}"


def check_form(notebook: NotebookNode) -> Iterator[str]:
    """Ids and metadata are the ones `make notebooks` writes; something is compared when the chapter is tested."""
    ids = [cell.get("id") for cell in notebook.cells]
    after = notebooks.normalise(copy.deepcopy(notebook))
    if [cell.id for cell in after.cells] != ids or after.metadata != notebook.metadata:
        yield "cell ids or metadata are not in the book's form: run `make notebooks`"
    if not any("nbval-check-output" in tags(cell) for _, cell in code_cells(notebook)):
        yield "no cell is tagged 'nbval-check-output': tag those whose output is the same on every machine"


def check_numbers(notebook: NotebookNode) -> Iterator[str]:
    """Every number of the text comes from a cell or from a source that a comment names (see number_sources)."""
    yield from (f"{place(index, notebook.cells[index])}: {problem}" for index, problem in untraced(notebook))


RULES = (
    check_opening,
    check_setup,
    check_closing,
    check_exercises,
    check_size,
    check_figures,
    check_execution,
    check_portable,
    check_live,
    check_imports,
    check_numbers,
    check_form,
)


def problems(notebook: NotebookNode, name: str) -> list[str]:
    """Return all that is wrong with a chapter, an empty list if it is as it has to be."""
    found = [*check_title(notebook, name), *(problem for rule in RULES for problem in rule(notebook))]
    found += economy_problems(notebook)
    number = int(name.split("_")[0])
    if number in MEASURED:
        found += [f"{place(index, notebook.cells[index])}: {text}" for index, text in unmeasured(notebook, number)]
    return found
