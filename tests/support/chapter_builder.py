"""A small chapter that keeps every rule, made in memory, for tests of the rules and of the rendering."""

from collections.abc import Callable

from nbformat import NotebookNode, v4

import notebooks

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="800" height="60" viewBox="0 0 800 60">'
    '<line x1="0" y1="30" x2="800" y2="30" stroke="#767f88"/></svg>'
)
PROSE = "A pair of sentences that mean the same should score higher than a pair of sentences that do not. " * 6
OPENING = """\
# {number}. A chapter for tests

> Which pairs should score higher than which?

**What you will be able to do:** read this.

**You need:** nothing.

**Minutes:** 25 to read, 15 for the exercises, 1 to run.
"""
EXERCISE = """\
```{{exercise-start}} Number {n}
:label: ex-{label}
```

What is {n} + {n}?
"""
SOLUTION = """\
```{{exercise-end}}
```

```{{solution-start}} ex-{label}
:label: sol-{label}
:class: dropdown
```
"""
SOLUTION_END = """\
```{solution-end}
```
"""
CLOSING = """\
## If you remember three things

1. One.
2. Two.
3. Three.

## Exercises

Each has a solution.
"""
SCAFFOLD = 'answer = ...\n\ncheck("ex-{label}", answer)'
LABELS = ("8-product", "8-accumulate", "8-flip", "8-cone", "1-scale", "2-predict")  # of exercises that there are
FURTHER = "## Further reading\n\nThe posts {cite}`su2022cosent1` and the paper {cite}`huang2024cosent`.\n"


def text_output(text: str) -> NotebookNode:
    """Return what ``print(text)`` leaves."""
    return v4.new_output("stream", name="stdout", text=text)


def figure_cell(name: str) -> NotebookNode:
    """Return an unexecuted cell that shows a figure with caption, name and alternative text."""
    source = f"from IPython.display import SVG\n\nSVG('''{SVG}''')"
    settings = {
        "figure": {"caption": "A line.", "name": name},
        "image": {"alt": "A grey horizontal line across the whole picture."},
    }
    cell = v4.new_code_cell(source, metadata={"mystnb": settings})
    cell.outputs = [v4.new_output("execute_result", {"image/svg+xml": SVG, "text/plain": "<SVG>"}, execution_count=1)]
    return cell


def exercise_cells(n: int) -> list[NotebookNode]:
    """Return one exercise with scaffold and solution."""
    label = LABELS[n - 1]
    scaffold = v4.new_code_cell(SCAFFOLD.format(label=label))
    scaffold.outputs = [text_output("not answered yet\n")]
    solution = v4.new_code_cell(f"answer = {2 * n}\nassert answer == {n} + {n}")
    return [
        v4.new_markdown_cell(EXERCISE.format(n=n, label=label)),
        scaffold,
        v4.new_markdown_cell(SOLUTION.format(label=label)),
        solution,
        v4.new_markdown_cell(SOLUTION_END),
    ]


def body_cells(name: str) -> list[NotebookNode]:
    """Return the sections between setup and closing."""
    cells = [v4.new_markdown_cell(f"## The story\n\n{PROSE}"), figure_cell(f"{name}-fig-1")]
    equation = f"$$\nL = \\log(1 + e^{{s}})\n$$ ({name}-eq)\n\nEquation {{eq}}`{name}-eq` and {{numref}}`{name}-fig-1`."
    cells.append(v4.new_markdown_cell(f"## The derivation\n\n{equation}\n\n{PROSE}"))
    for n in range(2, 13):
        cells.append(v4.new_markdown_cell(f"Step {n}. {PROSE}"))
        cells.append(figure_cell(f"{name}-fig-{n}") if n < 4 else v4.new_code_cell(f"assert {n} + {n} == {2 * n}"))
    checked = v4.new_code_cell("print(1 + 1)", metadata={"tags": ["nbval-check-output"]})
    checked.outputs = [text_output("2\n")]
    return [*cells, checked]


def good_chapter(name: str = "08_test") -> NotebookNode:
    """Return a chapter without a fault, with the outputs it would have after execution."""
    slug = name.replace("_", "-")
    setup = v4.new_code_cell("", metadata={"tags": ["setup"]})
    cells = [
        v4.new_markdown_cell(OPENING.format(number=int(name.split("_")[0]))),
        setup,
        *body_cells(slug),
        v4.new_markdown_cell(CLOSING),
        *(cell for n in (1, 2, 3) for cell in exercise_cells(n)),
        v4.new_markdown_cell(FURTHER),
    ]
    return finished(v4.new_notebook(cells=cells))


def finished(notebook: NotebookNode) -> NotebookNode:
    """Number the code cells as an execution would and bring the notebook into the book's form."""
    notebooks.normalise(notebook)
    code = (cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip())
    for count, cell in enumerate(code, 1):
        cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
    return notebook


def spoiled(change: Callable[[NotebookNode], None]) -> NotebookNode:
    """Return the good chapter after ``change``."""
    notebook = good_chapter()
    change(notebook)
    return notebook
