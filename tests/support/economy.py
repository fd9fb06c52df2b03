"""What a chapter may ask of a reader: visible code, width of tables, minutes, and answers out of sight.

Visible are cells without `hide-input`, `hide-cell`, `remove-input` or `remove-cell`, the setup cell and those that
wait for an answer apart, up to the section of exercises. A cell that waits for an answer holds ``answer = ...``, the
call ``check("ex-2-predict", answer)``, and nothing that could give the answer away: at most imports, and the head of a
function to fill in.
"""

import ast
import re
from collections.abc import Callable, Iterator

from nbformat import NotebookNode

import minutes

VISIBLE_LINES = 120
COLUMNS = 6


def check_visible_code(notebook: NotebookNode) -> Iterator[str]:
    """At most 120 lines of code that a reader sees without opening anything."""
    lines = minutes.visible_lines(notebook)
    if lines > VISIBLE_LINES:
        yield f"{lines} visible lines of code before the exercises, at most {VISIBLE_LINES}: fold what only draws"


def check_tables(notebook: NotebookNode) -> Iterator[str]:
    """Tables come from `show`, and have at most six columns."""
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        first = (cell.source.strip().splitlines() or ["(empty)"])[0]
        if ".to_string(" in cell.source or ".to_markdown(" in cell.source:
            yield f"the cell {first!r} lays a table out by hand: cosent_book.tables.show"
        for output in cell.outputs:
            page = str(output.get("data", {}).get("text/html", ""))
            for table in re.findall(r"<table.*?</table>", page, flags=re.S):
                if 'class="shown"' not in table:
                    yield f"the cell {first!r} shows a table that is not from cosent_book.tables.show"
                head = re.search(r"<tr.*?</tr>", table, flags=re.S)
                columns = len(re.findall(r"<t[hd]\b", head[0])) if head else 0
                if columns > COLUMNS:
                    yield f"the table of {first!r} has {columns} columns, at most {COLUMNS}"


def check_answers(notebook: NotebookNode) -> Iterator[str]:
    """No cell that waits for an answer shows it, or says how it is judged."""
    for cell in (cell for cell in notebook.cells if minutes.asks(cell)):
        for statement in ast.parse(cell.source).body:
            if not _is_harmless(statement):
                yield f"the cell of an exercise holds more than the question: {ast.unparse(statement)[:60]!r}"


def _is_harmless(statement: ast.stmt) -> bool:
    match statement:
        case ast.Import() | ast.ImportFrom():
            return True
        case ast.Assign(targets=[ast.Name(id="answer")], value=ast.Constant(value=value)):
            return value is ...
        case ast.FunctionDef(name="answer", body=[*_, ast.Expr(value=ast.Constant(value=value))]):
            return value is ... and len(statement.body) <= 2
        case ast.Expr(
            value=ast.Call(
                func=ast.Name(id="check"), args=[ast.Constant(value=str()), ast.Name(id="answer")], keywords=[]
            )
        ):
            return True
    return False


def check_minutes(notebook: NotebookNode) -> Iterator[str]:
    """The header states the minutes that `tools/minutes.py` counts, and they are those of one honest hour at most."""
    found = minutes.length(notebook)
    stated = minutes.STATED.search("\n\n".join(cell.source for cell in notebook.cells[:3]))
    wanted = f"**Minutes:** {found.reading} to read, {found.doing} for the exercises"
    if stated is None or stated[0] != wanted:
        yield f"the header says {stated[0] if stated else 'something else'!r}, expected {wanted!r} (tools/minutes.py)"
    if found.reading > 60:
        yield f"{found.reading} minutes to read: more than an hour is two chapters, or has something to fold"


RULES: tuple[Callable[[NotebookNode], Iterator[str]], ...] = (
    check_visible_code,
    check_tables,
    check_answers,
    check_minutes,
)


def economy_problems(notebook: NotebookNode) -> list[str]:
    """What a chapter asks of its reader beyond these rules."""
    return [problem for check in RULES for problem in check(notebook)]
