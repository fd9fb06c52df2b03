"""The chapters' form: every chapter keeps the rules of ``skeleton.py``, and the rules catch what breaks them."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
import yaml
from chapter_builder import exercise_cells, finished, good_chapter, spoiled, text_output
from nbformat import NotebookNode, v4
from skeleton import code_cells, find_heading, markdown, problems

import notebooks
import sphinx_api
import sphinx_pages

ROOT = Path(__file__).resolve().parents[2]
NUMBERED = sorted((ROOT / "chapters").glob("[0-9][0-9]_*.ipynb"))


def toc_files() -> list[str]:
    """Return the pages of the table of contents, without endings."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]


# --- the chapters that are there


@pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)
def test_chapter_keeps_the_skeleton(path: Path) -> None:
    found = problems(notebooks.read(path), path.stem)
    assert not found, f"chapters/{path.name}:\n  " + "\n  ".join(found)


@pytest.mark.parametrize("path", notebooks.chapter_paths(), ids=lambda path: path.stem)
def test_chapter_is_stored_in_the_books_form(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    again = nbformat.writes(notebooks.normalise(notebooks.read(path))).rstrip("\n") + "\n"
    assert text == again, f"chapters/{path.name} is not as `make notebooks` writes it"


def test_every_page_stands_in_the_table_of_contents_and_the_other_way_round() -> None:
    found = [path for ending in ("ipynb", "md") for path in (ROOT / "chapters").glob(f"*.{ending}")]
    pages = {path.relative_to(ROOT).with_suffix("").as_posix() for path in found}
    assert pages | {"genindex"} == set(toc_files())  # the index is made by Sphinx


def test_the_table_of_contents_is_in_the_order_of_the_numbers() -> None:
    numbers = [n for page in toc_files() if (n := sphinx_pages.chapter_number(page)) is not None]
    assert numbers == sorted(set(numbers))


def test_no_text_names_a_chapter_that_is_not_there() -> None:
    there = {int(path.name[:2]) for path in NUMBERED}
    texts = {path.name: "\n".join(c.source for c in notebooks.read(path).cells) for path in notebooks.chapter_paths()}
    pages = [ROOT / "README.md", *(ROOT / "chapters").glob("*.md")]
    pages += [path for house in ("cosent_lib", "cosent_book") for path in (ROOT / house).rglob("*.py")]
    texts |= {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in pages}
    linked = re.compile(r"\[((?:Chapters? )?\d+)\]\([\w.]+\)")  # [Chapters 6](06_…) and [7](07_…)
    named = {name: sphinx_api.numbers_in(linked.sub(r"\1", text)) for name, text in texts.items()}
    assert {name: numbers - there for name, numbers in named.items() if numbers - there} == {}


def test_every_citation_stands_in_the_bibliography() -> None:
    known = set(re.findall(r"^@\w+\{([^,]+),", (ROOT / "references.bib").read_text(encoding="utf-8"), flags=re.M))
    texts = {path.name: markdown(notebooks.read(path)) for path in notebooks.chapter_paths()}
    texts |= {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "chapters").glob("*.md")}
    cited = {
        (name, key.strip())
        for name, text in texts.items()
        for keys in re.findall(r"\{cite[:\w]*\}`([^`]+)`", text)
        for key in keys.split(",")
    }
    assert {(name, key) for name, key in cited if key not in known} == set()


def test_citation_file_repeats_address_and_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == notebooks.book_version()
    assert citation["repository-code"] == notebooks.book_address()


# --- the rules themselves


def first_code_cell(notebook: NotebookNode, after: int = 0) -> NotebookNode:
    """Return the first non-empty code cell behind the cell with index ``after``."""
    return next(cell for index, cell in code_cells(notebook) if index > after)


def replace_text(old: str, new: str) -> Callable[[NotebookNode], None]:
    """Return a change that replaces ``old`` in all cells, and insists that it stood there."""

    def change(notebook: NotebookNode) -> None:
        assert any(old in cell.source for cell in notebook.cells), old
        for cell in notebook.cells:
            cell.source = cell.source.replace(old, new)

    return change


def drop_code(count: int) -> Callable[[NotebookNode], None]:
    """Return a change that removes ``count`` of the plain code cells before the exercises."""

    def change(notebook: NotebookNode) -> None:
        plain = [cell for _, cell in code_cells(notebook) if "assert" in cell.source and "answer" not in cell.source]
        for cell in plain[:count]:
            notebook.cells.remove(cell)
        finished(notebook)

    return change


def edit_cell(**changes: object) -> Callable[[NotebookNode], None]:
    """Return a change that sets attributes of the first code cell behind the setup cell and the figures."""

    def change(notebook: NotebookNode) -> None:
        cell = next(cell for _, cell in code_cells(notebook) if cell.source.startswith("assert"))
        cell.update(changes)

    return change


def add_output(output: NotebookNode) -> Callable[[NotebookNode], None]:
    """Return a change that gives the first plain code cell one more output."""

    def change(notebook: NotebookNode) -> None:
        next(cell for _, cell in code_cells(notebook) if cell.source.startswith("assert")).outputs.append(output)

    return change


def without_alt(notebook: NotebookNode) -> None:
    """Take away the alternative text of the first figure."""
    del next(cell for _, cell in code_cells(notebook) if "mystnb" in cell.metadata).metadata["mystnb"]["image"]


def without_image(notebook: NotebookNode) -> None:
    """Take away the output of the first figure."""
    next(cell for _, cell in code_cells(notebook) if "mystnb" in cell.metadata).outputs.clear()


def twice_the_same_figure(notebook: NotebookNode) -> None:
    """Give the second figure the name of the first."""
    figures = [cell for _, cell in code_cells(notebook) if "mystnb" in cell.metadata]
    figures[1].metadata["mystnb"]["figure"]["name"] = figures[0].metadata["mystnb"]["figure"]["name"]


def move_setup(notebook: NotebookNode) -> None:
    """Put another code cell before the setup cell."""
    notebook.cells.insert(1, v4.new_code_cell("assert True"))
    finished(notebook)


def without_exercise(notebook: NotebookNode) -> None:
    """Leave one exercise of three."""
    start = find_heading(notebook, "Exercises")
    assert start is not None
    del notebook.cells[start + 6 : start + 16]
    finished(notebook)


def exercises_after_reading(notebook: NotebookNode) -> None:
    """Put the further reading before the closing sections."""
    start = find_heading(notebook, "Exercises")
    assert start is not None
    notebook.cells.insert(start, notebook.cells.pop())
    finished(notebook)


def sixth_exercise(notebook: NotebookNode) -> None:
    """Make six exercises of three."""
    for n in (4, 5, 6):
        notebook.cells[-1:-1] = exercise_cells(n)
    finished(notebook)


STDERR = v4.new_output("stream", name="stderr", text="UserWarning: beware")
ERROR = v4.new_output("error", ename="ValueError", evalue="no", traceback=["ValueError: no"])
WIDGET = v4.new_output("display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}})
BAD = {
    "wrong number in the title": (replace_text("# 8. A", "# 9. A"), r"expected the title '# 8\. …'"),
    "two titles": (replace_text("## The story", "# The story"), "2 level-1 headings"),
    "no question": (replace_text("than which?", "than which."), "no question"),
    "no goals": (replace_text("What you will be able to do", "Goals"), "'What you will be able to do'"),
    "no needs": (replace_text("**You need:**", "Needed:"), "'You need'"),
    "no minutes": (replace_text("**Minutes:**", "Time:"), "'Minutes'"),
    "setup not first": (move_setup, "exactly one cell tagged 'setup'"),
    "setup edited": (replace_text("%pip install -q", "%pip install"), "the setup cell is not the book's"),
    "four things": (replace_text("3. Three.", "3. Three.\n4. Four."), "has 4 numbered items"),
    "no things": (replace_text("## If you remember three things", "## Summary"), "no section '## If you remember"),
    "closing out of order": (exercises_after_reading, "stand in another order"),
    "no citation": (replace_text("{cite}", ""), "cites nothing"),
    "one exercise": (without_exercise, "1 exercises, expected 3 to 5"),
    "six exercises": (sixth_exercise, "6 exercises, expected 3 to 5"),
    "ungated exercise": (replace_text("{exercise-start}", "{exercise}"), "use the gated"),
    "exercise without end": (replace_text("```{exercise-end}\n```", ""), "has ended"),
    "solution of nothing": (
        replace_text("{solution-start} ex-8-accumulate", "{solution-start} x"),
        "a solution of 'x'",
    ),
    "open solution": (replace_text(":class: dropdown", ":class: open"), "needs ':class: dropdown'"),
    "no scaffold": (replace_text("answer = ...", "answer = None"), "has no scaffold"),
    "few words": (replace_text("that mean the same should score higher than", ""), "words of text, expected 1500"),
    "few code cells": (drop_code(8), "code cells before the exercises, expected 10"),
    "long cell": (edit_cell(source="assert True\n" * 50), "has 51 lines"),
    "no alternative text": (without_alt, "no alternative text"),
    "figure without image": (without_image, "no image in its output"),
    "same figure name": (twice_the_same_figure, "same name"),
    "never executed": (edit_cell(execution_count=None), "was never executed"),
    "executed out of order": (edit_cell(execution_count=77), "executed as number 77"),
    "failed": (add_output(ERROR), "failed: ValueError: no"),
    "stderr": (add_output(STDERR), "writes to stderr: 'UserWarning: beware'"),
    "widget": (add_output(WIDGET), "shows a widget"),
    "machine path": (add_output(text_output("/" + "home/someone/x")), "a machine's path"),
    "address": (add_output(text_output("<x object at 0x7f01>")), "a memory address"),
    "live without settings": (edit_cell(source="frame('main', LIVE)"), "no settings cell before it"),
    "missing name": (edit_cell(source="from cosent_lib.ranking.rank_loss import rank_lose"), "has no name 'rank_lose'"),
    "missing name of the book": (edit_cell(source="from cosent_book.frames import frames"), "has no name 'frames'"),
    "missing module": (edit_cell(source="import cosent_lib.rankings"), "No module named"),
    "public name from its room": (
        edit_cell(source="from cosent_lib.ranking.rank_loss import rank_loss"),
        "rank_loss is public: from cosent_lib import rank_loss",
    ),
    "not Python": (edit_cell(source="assert True = 1"), "is not Python"),
    "nothing compared": (lambda nb: [c.metadata.pop("tags", None) for c in nb.cells[3:]], "no cell is tagged"),
    "foreign metadata": (lambda nb: nb.metadata.update(colab={}), "not in the book's form"),
}


def test_the_good_chapter_has_no_problem() -> None:
    assert problems(good_chapter(), "08_test") == []


@pytest.mark.parametrize("case", BAD)
def test_a_rule_names_what_is_wrong(case: str) -> None:
    change, message = BAD[case]
    found = problems(spoiled(change), "08_test")
    assert any(re.search(message, problem) for problem in found), found


def test_scaffold_that_answers_itself_is_named() -> None:
    notebook = good_chapter()
    scaffold = next(cell for _, cell in code_cells(notebook) if cell.source.startswith("answer = ..."))
    scaffold.outputs = [text_output("True\n")]
    assert [p for p in problems(notebook, "08_test") if "does not print 'not answered yet'" in p]


def test_a_settings_cell_allows_live_experiments() -> None:
    settings = 'import os\n\nLIVE = os.environ.get("COSENT_LIVE") == "1"\nassert not LIVE'
    assert problems(spoiled(edit_cell(source=settings)), "08_test") == []


# --- the tools that write the notebooks


def test_normalise_is_idempotent_and_ids_follow_the_sections() -> None:
    notebook = good_chapter()
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert ids[0] == "8-a-chapter-for-tests-1"
    assert ids[1] == "8-a-chapter-for-tests-2"
    assert notebooks.normalise(notebook) == notebook
    index = find_heading(notebook, "The derivation")
    assert index is not None
    notebook.cells.insert(index, v4.new_markdown_cell("one more in the story"))
    notebooks.assign_ids(notebook)
    assert [cell.id for cell in notebook.cells[index + 1 :]] == ids[index:]


def test_normalise_drops_what_differs_from_run_to_run() -> None:
    cell = v4.new_code_cell("x", metadata={"execution": {"iopub": "2026"}, "collapsed": True, "tags": ["t"]})
    bar = v4.new_output("stream", name="stderr", text="\r 50%|█████     | 5/10 [00:00<00:01, 9.9it/s]")
    cell.outputs = [bar, WIDGET, STDERR, text_output("kept\n")]
    notebook = v4.new_notebook(
        cells=[cell], metadata={"widgets": {}, "language_info": {"name": "python", "version": "3.12.1"}}
    )
    notebooks.normalise(notebook)
    assert notebook.metadata == notebooks.NOTEBOOK_METADATA
    assert notebook.cells[0].metadata == {"tags": ["t"]}
    assert [output.text for output in notebook.cells[0].outputs] == [STDERR.text, "kept\n"]


def test_headings_in_code_blocks_name_no_section() -> None:
    cells = [v4.new_markdown_cell("## Real\n\n```python\n# not a heading\n```"), v4.new_code_cell("1")]
    notebook = v4.new_notebook(cells=cells)
    notebooks.assign_ids(notebook)
    assert [cell.id for cell in notebook.cells] == ["real-1", "real-2"]


def test_setup_cell_is_python_and_does_nothing_outside_colab() -> None:
    source = notebooks.setup_source()
    assert f'book = "{notebooks.book_address()}"\n    place = "v{notebooks.book_version()}"' in source
    outside = re.sub(r"%pip.*", "raise AssertionError", source)
    ast.parse(outside)
    subprocess.run([sys.executable, "-c", outside], check=True, env=os.environ | {"PATH": "/nowhere"})  # nor asks git


COLAB = """
import sys, types
from IPython.core.interactiveshell import InteractiveShell
sys.modules["google.colab"] = types.ModuleType("google.colab")
result = InteractiveShell.instance().run_cell(sys.stdin.read())
sys.exit(0 if result.success else 1)
"""
PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "cosent_lib"
version = "0"
[project.optional-dependencies]
book = []
"""


@pytest.fixture
def repository(tmp_path: Path) -> Callable[..., None]:
    """A repository of a library that says which state it is: ``commit("one")``, then perhaps ``git("tag", …)``."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)

    def git(*words: str) -> None:
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)

    def commit(state: str) -> None:
        (folder / "cosent_lib.py").write_text(f"STATE = {state!r}\n")
        git("add", "-A")
        git("commit", "-m", state)

    git("init", "-b", "main")
    commit.git = git  # type: ignore[attr-defined]
    return commit


def installed_in_colab(folder: Path, address: str, version: str) -> str | None:
    """What the setup cell of a chapter of ``version`` installs: a STATE; None where nothing is."""
    cell = notebooks.SETUP_CELL.format(address=address, version=version)
    target = folder / f"installed {version}"
    offline = {"PIP_TARGET": str(target), "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_CACHE_DIR": "1",
               "IPYTHONDIR": str(folder / "ipython"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}  # fmt: skip
    subprocess.run([sys.executable, "-c", COLAB], input=cell, text=True, env=os.environ | offline, check=False)
    module = target / "cosent_lib.py"
    return ast.literal_eval(module.read_text().partition("= ")[2]) if module.exists() else None


def test_in_colab_a_chapter_installs_what_it_was_written_for(repository: Callable[..., None], tmp_path: Path) -> None:
    address = f"file://localhost{(tmp_path / 'repository').as_posix()}"
    repository("first draft")
    assert installed_in_colab(tmp_path, address, "0.1.0") == "first draft"  # before any release: main as it is
    repository("release")
    repository.git("tag", "v0.1.0")  # type: ignore[attr-defined]
    repository("draft of the next")
    assert installed_in_colab(tmp_path / "b", address, "0.1.0") == "release"  # opened from the tag, or an old copy
    assert installed_in_colab(tmp_path / "b", address, "0.1") == "draft of the next"  # no tag begins as another
    assert installed_in_colab(tmp_path / "b", address, "0.2.0") == "draft of the next"  # opened from main in between


def test_in_colab_a_repository_that_cannot_be_reached_is_no_leave_for_another_state(tmp_path: Path) -> None:
    assert installed_in_colab(tmp_path, f"file://localhost{tmp_path}/nowhere", "0.1.0") is None


def test_main_is_on_its_way_to_a_version_that_is_not_released() -> None:
    """Once ``vX.Y.Z`` is tagged, what changes belongs to the next version, or main's chapters would install the old."""
    tag, root = f"v{notebooks.book_version()}", notebooks.ROOT
    if subprocess.run(["git", "rev-parse", "-q", "--verify", tag], cwd=root, capture_output=True).returncode:
        return
    changed = ["git", "diff", "--quiet", tag, "--", "cosent_lib", "cosent_book", "chapters"]
    assert subprocess.run(changed, cwd=root).returncode == 0, f"{tag} is released: begin the next in version.py"


def test_offline_environment_has_neither_data_nor_network() -> None:
    base = {"COSENT_DATA_DIR": "x", "COSENT_LIVE": "1", "PATH": "p"}
    environment = notebooks.offline_environment(base)
    assert environment["PATH"] == "p"
    assert environment["HF_HUB_OFFLINE"] == environment["TRANSFORMERS_OFFLINE"] == "1"
    assert not {"COSENT_DATA_DIR", "COSENT_LIVE"} & set(environment)
    assert base["COSENT_DATA_DIR"] == "x"
    live = notebooks.live_environment(base | {"COSENT_LIVE": "0"})
    assert live == {"COSENT_DATA_DIR": "x", "COSENT_LIVE": "1", "PATH": "p"}


def run(notebook: NotebookNode, folder: Path, timeout: int = 60) -> float:
    """Execute a notebook as `make notebooks` does."""
    return notebooks.execute(notebook, "chapters/x.ipynb", folder, notebooks.offline_environment(), timeout)


def test_executing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    source = "import os, sys\nprint('a', os.environ.get('COSENT_LIVE'))\nprint('b')\n1 + 1"
    texts = []
    for _ in range(2):
        notebook = notebooks.normalise(v4.new_notebook(cells=[v4.new_code_cell(source)]))
        run(notebook, tmp_path)
        texts.append(nbformat.writes(notebooks.normalise(notebook)))
    assert texts[0] == texts[1]
    assert '"a None\\n",' in texts[0]
    assert "execution_count" in texts[0]
    assert "iopub" not in texts[0]


def test_a_failing_cell_is_named_with_its_chapter(tmp_path: Path) -> None:
    cells = [v4.new_markdown_cell("text"), v4.new_code_cell("x = 1"), v4.new_code_cell("x / 0"), v4.new_code_cell("x")]
    with pytest.raises(notebooks.ChapterFailedError, match=r"chapters/x\.ipynb: cell 3 \('x / 0'\) failed") as failure:
        run(v4.new_notebook(cells=cells), tmp_path)
    assert "ZeroDivisionError" in str(failure.value)


def test_a_cell_that_hangs_is_named(tmp_path: Path) -> None:
    cells = [v4.new_code_cell("import time"), v4.new_code_cell("time.sleep(60)")]
    with pytest.raises(notebooks.ChapterFailedError, match=r"cell 2 \('time.sleep\(60\)'\) took more than 2 s"):
        run(v4.new_notebook(cells=cells), tmp_path, timeout=2)


def test_a_killed_kernel_is_reported(tmp_path: Path) -> None:
    cells = [v4.new_code_cell("import os\nos._exit(9)")]
    with pytest.raises(notebooks.ChapterFailedError, match=r"cell 1 .* killed the kernel"):
        run(v4.new_notebook(cells=cells), tmp_path)


def test_stray_output_is_named_with_its_cell() -> None:
    notebook = good_chapter()
    assert notebooks.stray_output(notebook) is None
    add_output(STDERR)(notebook)
    assert "writes to stderr: UserWarning: beware" in str(notebooks.stray_output(notebook))
