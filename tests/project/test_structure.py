"""The library's shape: which module may import which, how large they are, and what importing it costs."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import cosent_lib

LIBRARY = Path(cosent_lib.__file__).parent
MODULES = {path.stem: path for path in LIBRARY.glob("*.py")}
# An import goes from a row to rows further down only; the modules beside these belong to the row that they serve.
ROWS = (
    "__main__", "suites", "measurements", "benchmark", "records", "training", "evaluation", "plotting", "encoders",
    "data", "corpus", "losses", "ranking",
)  # fmt: skip


def imports_of(path: Path) -> set[str]:
    """Modules of the library that a file imports, inside functions and for type checking too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cosent_lib"):
            inner = node.module.partition(".")[2]
            found |= {inner} if inner else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[2] for alias in node.names if alias.name.startswith("cosent_lib.")}
    return found & MODULES.keys()


GRAPH = {name: imports_of(path) - {name} for name, path in MODULES.items()}


def reachable(name: str) -> set[str]:
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        for target in GRAPH[waiting.pop()] - seen:
            seen.add(target)
            waiting.append(target)
    return seen


def test_no_import_goes_in_a_circle() -> None:
    assert len(list(TopologicalSorter(GRAPH).static_order())) == len(MODULES)


@pytest.mark.parametrize("name", ROWS)
def test_imports_go_down_the_rows_only(name: str) -> None:
    above = set(ROWS[: ROWS.index(name)])
    assert not reachable(name) & above, f"{name} reaches {sorted(reachable(name) & above)}, which stand above it"


def test_the_graph_is_read_right() -> None:
    assert "ranking" in reachable("losses")
    assert "training" in reachable("__main__")
    assert GRAPH["ranking"] == {"distributed"}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_modules_stay_small(name: str) -> None:
    lines = MODULES[name].read_text(encoding="utf-8").count("\n")
    assert lines <= 300, f"cosent_lib/{name}.py has {lines} lines; is it two modules?"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_functions_stay_short(name: str) -> None:
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = node.end_lineno - body[0].lineno + 1 if body else 0
            assert length <= 40, f"{name}.{node.name} has {length} lines of code"


def test_importing_the_library_stays_light() -> None:
    heavy = ("sentence_transformers", "transformers", "datasets", "sklearn", "seaborn", "accelerate", "torch")
    code = f"import sys, cosent_lib; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_module_imports_sentence_transformers_at_the_top() -> None:
    names = sorted(set(MODULES) - {"__init__", "__main__"})
    code = f"import sys, importlib\nfor name in {names}: importlib.import_module('cosent_lib.' + name)\n"
    code += "print('sentence_transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
