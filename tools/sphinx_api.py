"""Sphinx extension: the library's own page, made from the docstrings of its public face, and the ways between it and
the chapters.

- The page gets an entry for every name of ``cosent_lib.__all__`` while it is read, so that none can be forgotten.
- An entry leads to the chapters that its docstring names and to those whose code imports it; where there is neither,
  to the chapter of its room.
- Each chapter ends with a box of the names whose entries lead to it.
"""

import builtins
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from inspect import getdoc, isclass
from itertools import groupby
from pathlib import Path
from typing import Any

from docutils import nodes
from numpy.typing import ArrayLike
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.transforms import SphinxTransform
from sphinx.util.typing import ExtensionMetadata, stringify_annotation

import cosent_lib
from sphinx_pages import chapter_number

PAGE = "chapters/api"
MARK = "<!-- the entries -->"
# The rooms in the order of the page, each with the chapter for those of its names that no chapter speaks of.
ROOMS = {"ranking": 3, "losses": 8, "encoders": 5, "data": 4, "evaluation": 4, "training": 6}
PUBLIC: list[str] = vars(cosent_lib)["__all__"]
ARRAY_LIKE = stringify_annotation(ArrayLike, "smart")
MENTION = re.compile(r"\b[Cc]hapters?\s+\d+(?:(?:,\s*|\s+and\s+)\d+)*")
IMPORT = re.compile(r"from cosent_lib(?:\.[\w.]+)? import (?:\(([^)]*)\)|(.+))")


@dataclass(frozen=True)
class Entry:
    """A name of the public face, the room where it is defined, and its chapters by number."""

    name: str
    room: str
    chapters: tuple[int, ...]


def numbers_in(text: str) -> set[int]:
    """The chapters that a text names: 3, 8 and 12 for "Chapters 3, 8 and 12"."""
    return {int(number) for mention in MENTION.findall(text) for number in re.findall(r"\d+", mention)}


def imported_names(notebook: Path) -> set[str]:
    """What the code cells of a notebook import from the library, from wherever in it."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return {name for block, line in IMPORT.findall(code) for name in re.findall(r"\w+", block or line)}


@cache
def public_face(folder: Path) -> tuple[Entry, ...]:
    """The entries of the page in its order, for the notebooks in ``folder``.

    Raises:
        ExtensionError: a public name of a room that ``ROOMS`` lacks.
    """
    chapters = {number: path for path in folder.glob("*.ipynb") if (number := chapter_number(path.stem))}
    imported = {number: imported_names(path) for number, path in chapters.items()}
    found = []
    for name in PUBLIC:
        if name == "__version__":
            continue
        room = getattr(cosent_lib, name).__module__.split(".")[1]
        if room not in ROOMS:
            raise ExtensionError(f"cosent_lib.{name} is of the room {room!r}, which tools/sphinx_api.py does not list")
        own = numbers_in(getdoc(getattr(cosent_lib, name)) or "") & chapters.keys()
        own |= {number for number, names in imported.items() if name in names}
        found.append(Entry(name, room, tuple(sorted(own or {ROOMS[room]}))))
    return tuple(sorted(found, key=lambda entry: (list(ROOMS).index(entry.room), _order(entry.name))))


def _order(name: str) -> tuple[int, str]:
    """Functions and classes first, then what is raised or warned of, each by the alphabet."""
    value = getattr(cosent_lib, name)
    return int(isclass(value) and issubclass(value, BaseException)), name.lower()


def _entries(app: Sphinx) -> tuple[Entry, ...]:
    return public_face(Path(app.srcdir) / "chapters")


def page_of(entries: tuple[Entry, ...]) -> str:
    """The directives of all entries, a section a room, with the room's own line below its heading."""
    parts = []
    for room, group in groupby(entries, lambda entry: entry.room):
        package = __import__(f"cosent_lib.{room}", fromlist=[room])
        directives = "\n".join(_directive(entry.name) for entry in group)
        parts.append(
            f"## {room.capitalize()}\n\n`cosent_lib.{room}`. {getdoc(package)}\n\n```{{eval-rst}}\n{directives}```\n"
        )
    return "\n".join(parts)


def _directive(name: str) -> str:
    value = getattr(cosent_lib, name)
    if not isclass(value):
        return f".. autofunction:: cosent_lib.{name}\n"
    if issubclass(value, BaseException):
        return f".. autoexception:: cosent_lib.{name}\n   :show-inheritance:\n"
    said = {member for base in value.__mro__[1:] if base.__module__.startswith("cosent_lib") for member in vars(base)}
    options = [":members:", ":member-order: bysource", *([":show-inheritance:"] if _visible(value.__bases__) else [])]
    if again := sorted(said & vars(value).keys()):  # its base's entry explains them
        options.append(f":exclude-members: {', '.join(again)}")
    return "\n   ".join([f".. autoclass:: cosent_lib.{name}", *options]) + "\n"


def write_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the entries in the place of the mark, when Sphinx reads the page."""
    if docname == PAGE:
        if MARK not in source[0]:
            raise ExtensionError(f"{PAGE} has no line {MARK}")
        source[0] = source[0].replace(MARK, page_of(_entries(app)))


def add_chapters(app: Sphinx, what: str, full_name: str, value: Any, options: Any, lines: list[str]) -> None:
    """End an entry's docstring with its chapters; `ChapterLinks` makes links of them."""
    for entry in _entries(app):
        if full_name == f"cosent_lib.{entry.name}":
            chapters = " · ".join(f"Chapter {number}" for number in entry.chapters)
            lines += ["", f"In the book: {chapters}", ""]


def skip_member(app: Sphinx, what: str, name: str, value: Any, skip: bool, options: Any) -> bool | None:
    """Leave out members that say nothing of their own."""
    return True if (getdoc(value) or "").startswith(("See the class", "Alias for field number")) else None


def shorten(app: Sphinx, what: str, name: str, value: Any, options: Any, arguments: str | None, result: str) -> Any:
    """Show ``ArrayLike`` by its name, and no arguments where a class leaves its constructor to ``torch.nn.Module``."""
    if what == "exception":  # caught, not made
        return "", None
    if arguments is None:
        return None
    is_left = arguments == "(*args: ~typing.Any, **kwargs: ~typing.Any)"
    return "()" if is_left else arguments.replace(ARRAY_LIKE, "~numpy.typing.ArrayLike"), result


def show_public_bases(app: Sphinx, full_name: str, value: Any, options: Any, bases: list[Any]) -> None:
    """Show the bases that a reader can look up."""
    bases[:] = _visible(bases)


def _visible(bases: Iterable[Any]) -> list[Any]:
    """The nearest bases that are public names or of other packages, but for ``object``."""
    shown: list[Any] = []
    for base in bases:
        is_own = getattr(base, "__module__", "").startswith("cosent_lib") and base.__name__ not in PUBLIC
        shown += _visible(base.__bases__) if is_own else [] if base in (object, Exception) else [base]
    return shown


def leave_foreign_names(app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, text: Any) -> Any:
    """Show as plain text what another package defines, and the types of signatures; all else must have its entry."""
    target = str(node.get("reftarget", ""))
    foreign = hasattr(builtins, target) or ("." in target and not target.startswith("cosent_lib"))
    in_signature = any(isinstance(above, addnodes.desc_signature) for above in _above(node))
    return text if node.get("refdomain") == "py" and (foreign or in_signature) else None


def _above(node: nodes.Node) -> Iterator[nodes.Node]:
    while node.parent is not None:
        node = node.parent
        yield node


class ChapterLinks(SphinxTransform):
    """Make a link of each chapter that the library's page names, where the chapter is there."""

    default_priority = 800

    def apply(self, **kwargs: Any) -> None:
        """Replace the texts."""
        if self.env.docname != PAGE:
            return
        pages = {number: name for name in self.env.found_docs if (number := chapter_number(name))}
        for text in list(self.document.findall(nodes.Text)):
            kept = (nodes.literal, nodes.literal_block, nodes.title, nodes.reference, addnodes.pending_xref)
            if MENTION.search(text) and not any(isinstance(above, kept) for above in _above(text)):
                text.parent.replace(text, list(self._linked(str(text), pages)))

    def _linked(self, text: str, pages: dict[int, str]) -> Iterator[nodes.Node]:
        end = 0
        for mention in MENTION.finditer(text):
            # a lone chapter is linked with its word, of several each number
            for place in re.finditer(r"\b[Cc]hapter\s+\d+|\d+", mention[0]):
                number = int(place[0].split()[-1])
                start = mention.start() + place.start()
                yield nodes.Text(text[end:start])
                end = mention.start() + place.end()
                shown = text[start:end]
                yield self._link(shown, pages[number]) if number in pages else nodes.Text(shown)
        yield nodes.Text(text[end:])

    def _link(self, text: str, page: str) -> nodes.Node:
        options = {"refdomain": "std", "reftype": "doc", "refexplicit": True, "refwarn": True}
        return addnodes.pending_xref(
            "", nodes.inline("", text), reftarget=f"/{page}", refdoc=self.env.docname, **options
        )


class LibraryBox(SphinxTransform):
    """End each chapter with the names of the library whose entries lead to it."""

    default_priority = 800

    def apply(self, **kwargs: Any) -> None:
        """Add the box to the chapter's first section, after all that is in it."""
        number = chapter_number(self.env.docname)
        names = [entry.name for entry in _entries(self.app) if number in entry.chapters]
        if number is None or not names or PAGE not in self.env.found_docs:
            return
        links: list[nodes.Node] = []
        for name in names:
            options = {"refdomain": "py", "reftype": "obj", "refexplicit": True, "refwarn": True}
            link = addnodes.pending_xref(
                "", nodes.literal("", name), reftarget=f"cosent_lib.{name}", refdoc=self.env.docname, **options
            )
            links += [link, nodes.Text(", ")]
        links[-1] = nodes.Text(".")
        box = nodes.admonition("", nodes.title("", "In the library"), classes=["in-the-library"])
        box += nodes.paragraph("", "", *links)
        next(iter(self.document.findall(nodes.section))).append(box)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Bring autodoc and napoleon along; the chapters are added after napoleon has read the docstring (500)."""
    app.setup_extension("sphinx.ext.autodoc")
    app.setup_extension("sphinx.ext.napoleon")
    app.connect("source-read", write_page)
    app.connect("autodoc-process-docstring", add_chapters, priority=900)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("autodoc-process-signature", shorten)
    app.connect("autodoc-process-bases", show_public_bases)
    app.connect("missing-reference", leave_foreign_names, priority=900)
    app.add_transform(ChapterLinks)
    app.add_transform(LibraryBox)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
