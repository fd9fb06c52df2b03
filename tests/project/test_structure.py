"""The shape of the two houses: what may import what, how large modules may be, what ``import cosent_lib`` costs."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import cosent_lib

ROOT = Path(cosent_lib.__file__).parents[1]
HOUSES = ("cosent_lib", "cosent_book")
# The rooms of cosent_lib from the top down: an import goes to a room further down, or stays in its room.
ROOMS = (
    "__main__", "cli", "sentence_transformers", "runs", "training", "search", "vectors", "evaluation", "data",
    "encoders", "losses", "ranking",
)  # fmt: skip
GROUND = ("errors", "files", "texts", "version")  # under all rooms; of these, none stands above another
FORBIDDEN = {"cosent_book", "matplotlib", "seaborn"}  # cosent_lib does without
HEAVY = ("torch", "transformers", "datasets", "sklearn", "scipy", "pandas", "numpy", "accelerate", "tokenizers",
         "sentence_transformers", "matplotlib", "seaborn", "typer")  # fmt: skip
LIBRARY_LINES = 9_900

FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for house in HOUSES
    for path in sorted((ROOT / house).rglob("*.py"))
}
FOLDERS = sorted(
    f"{path.relative_to(ROOT).as_posix()}/"
    for house in HOUSES
    for path in (ROOT / house).rglob("*")
    if path.is_dir() and not path.name.startswith((".", "__")) and any(child.is_file() for child in path.iterdir())
)


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Every dotted name that a module imports, inside functions, for type checking and by ``import_module`` too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (word.value for word in node.args if isinstance(word, ast.Constant))


@cache
def graph_of(house: str) -> dict[str, set[str]]:
    """Module of a house → the modules of the same house that it imports; a package stands for its ``__init__``."""
    return {
        module: {found for name in imported_names(tree_of(module)) if (found := home_of(name)).split(".")[0] == house}
        for module in FILES
        if module.split(".")[0] == house
    }


def home_of(name: str) -> str:
    """The module that an imported name is, or lies in; empty for those of other packages."""
    while name and name not in FILES:
        name = name.rpartition(".")[0]
    return name


def room_of(module: str) -> str:
    return module.split(".")[1]


LIBRARY = [module for module in FILES if module.startswith("cosent_lib.")]


def test_the_graph_is_read_right() -> None:
    graph = graph_of("cosent_lib")
    assert "cosent_lib.ranking.rank_loss" in graph["cosent_lib.losses.order"]
    assert "cosent_lib.runs.perform" in graph["cosent_lib.cli.train"]  # an import inside a function
    given = ast.parse("import a.b\nfrom c import d\ndef f():\n    import_module('e.f')\n    from g import h as i")
    assert set(imported_names(given)) == {"a.b", "c.d", "e.f", "g.h"}


@pytest.mark.parametrize("module", [module for module in FILES if module.startswith("cosent_lib")])
def test_the_library_knows_neither_the_book_nor_its_plots(module: str) -> None:
    assert {name.split(".")[0] for name in imported_names(tree_of(module))} & FORBIDDEN == set()


def test_every_room_has_its_place() -> None:
    assert {room_of(module) for module in LIBRARY} == {*ROOMS, *GROUND}


@pytest.mark.parametrize("room", [*ROOMS, *GROUND])
def test_rooms_import_rooms_further_down_only(room: str) -> None:
    below = {*ROOMS[ROOMS.index(room) + 1 :], *GROUND} if room in ROOMS else set()
    for module in (module for module in LIBRARY if room_of(module) == room):
        others = {room_of(name) for name in graph_of("cosent_lib")[module]} - {room}
        assert others <= below, f"{module} imports from {sorted(others - below)}, not below {room}"


def test_the_face_of_the_library_stands_outside() -> None:
    """It is for users: it imports nothing but on first use, and no module goes through it."""
    graph = graph_of("cosent_lib")
    assert graph["cosent_lib"] == set()
    assert [module for module, others in graph.items() if "cosent_lib" in others] == []


@pytest.mark.parametrize("house", HOUSES)
def test_no_import_goes_in_a_circle(house: str) -> None:
    graph = graph_of(house)
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"imports in a circle: {' → '.join(error.args[1])}")
    assert set(order) == set(graph)


@pytest.mark.parametrize("module", FILES)
def test_modules_stay_small(module: str) -> None:
    lines = FILES[module].read_text(encoding="utf-8").count("\n")
    assert lines <= 300, f"{module} has {lines} lines; is it two modules?"


@pytest.mark.parametrize("module", FILES)
def test_functions_stay_short(module: str) -> None:
    for node in ast.walk(tree_of(module)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert length <= 40, f"{module}.{node.name} has {length} lines of code"


def test_the_library_stays_small() -> None:
    lines = sum(path.read_text(encoding="utf-8").count("\n") for module, path in FILES.items() if "_lib" in module)
    assert lines <= LIBRARY_LINES, f"cosent_lib has {lines} lines, more than {LIBRARY_LINES:,}"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_map_of_the_rooms_is_the_tree(page: str) -> None:
    """Every folder of both houses is named as ``cosent_lib/ROOM/``, and whatever path is named there exists."""
    named = set(re.findall(r"cosent_(?:lib|book)/[\w./*-]*[\w/*]", (ROOT / page).read_text(encoding="utf-8")))
    gone = sorted(name for name in named if not list(ROOT.glob(name.rstrip("/"))))
    assert gone == [], f"{page} names what is not there"
    assert sorted(set(FOLDERS) - named) == [], f"{page} leaves out folders"


def test_importing_the_library_stays_light() -> None:
    code = f"import sys, cosent_lib; dir(cosent_lib); print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_sentence_transformers_is_imported_in_its_own_room_alone() -> None:
    """It is an extra: what some losses are tested against, and what that room is for."""
    found = [m for m in LIBRARY if any(n.startswith("sentence_transformers") for n in imported_names(tree_of(m)))]
    assert [m for m in found if not m.startswith("cosent_lib.sentence_transformers.")] == []


def public_names() -> dict[str, str]:
    """Name → module that the stub takes it from."""
    stub = ast.parse(Path(cosent_lib.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    found = {}
    for node in stub.body:
        assert isinstance(node, ast.ImportFrom)
        assert node.level == 1
        for alias in node.names:
            assert alias.asname == alias.name, f"{alias.name}: the stub says X as X, so that type checkers re-export it"
            found[alias.name] = f"cosent_lib.{node.module}"
    return found


def test_the_public_face_is_what_its_stub_says() -> None:
    assert set(dir(cosent_lib)) == set(cosent_lib.__all__) == set(public_names())


@pytest.mark.parametrize(("name", "module"), public_names().items())
def test_a_public_name_is_defined_where_the_stub_says(name: str, module: str) -> None:
    assert getattr(cosent_lib, name) is getattr(importlib.import_module(module), name)
    defined = set()
    for node in tree_of(module).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            defined |= {target.id for target in targets if isinstance(target, ast.Name)}
    assert name in defined, f"{module} does not define {name} but has it from elsewhere"
