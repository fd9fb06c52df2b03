"""Sphinx extension: what the book's pages need and no other extension does.

- Figures, equations, exercises and proofs carry their chapter's number.
- No page holds the scripts of "live code", which the book does not use (they name another host, and stand there twice).
- A term of the glossary that a page sets in bold is in the index, so that chapters need no markup that Colab shows raw.
- Ids that other extensions give to every exercise alike are taken off, so that an id names one place.
"""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.environment.collectors.toctree import TocTreeCollector
from sphinx.transforms import SphinxTransform
from sphinx.util.typing import ExtensionMetadata

SHARED_IDS = {"exercise-content", "solution-content", "proof-content"}


def chapter_number(docname: str) -> int | None:
    """Return 8 for ``chapters/08_cosent`` and None for a page without a number."""
    match = re.match(r"(\d+)_", docname.rsplit("/", 1)[-1])
    return int(match.group(1)) if match else None


def number_by_chapter(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Number all figures again, each under its chapter's own number; return the documents to rewrite.

    A chapter's number is the one its file name begins with (``08_cosent`` is chapter 8), so that the title,
    "Figure 8.2" and "Exercise 8.1" agree, and stay what they are when a chapter is added before it. Sphinx can only
    count the chapters that are there; so its section numbers are replaced while it numbers the figures, and taken
    away again, because the titles show theirs already.
    """
    numbers = {docname: chapter_number(docname) for docname in env.found_docs}
    env.toc_secnumbers = {docname: {"": (number,)} for docname, number in numbers.items() if number is not None}
    rewrite = TocTreeCollector().assign_figure_numbers(env)
    env.toc_secnumbers = {}
    return rewrite


def glossary_terms(text: str) -> dict[str, str]:
    """Return the terms of a page's ``{glossary}`` blocks, each under its form in lower case."""
    blocks = re.findall(r"^```\{glossary\}\n(.*?)^```", text, flags=re.M | re.S)
    lines = [line.strip() for block in blocks for line in block.splitlines() if line[:1].strip() and line[0] != ":"]
    return {line.lower(): line for line in lines}


class IndexBoldTerms(SphinxTransform):
    """Put the places where a page sets a term of the glossary in bold into the index."""

    default_priority = 800  # before the domains read the document (850)

    def apply(self, **kwargs: Any) -> None:
        """Add a target and an index entry before each such place, the first of each term on a page."""
        terms = dict(getattr(self.app, "glossary_terms", {}))
        for strong in list(self.document.findall(nodes.strong)):
            text = strong.astext().strip(" .:,;").lower()
            term = terms.pop(text, None) or terms.pop(text.removesuffix("s"), None)
            if term is None or not isinstance(strong.parent, (nodes.paragraph, nodes.TextElement)):
                continue
            name = "term-in-text-" + nodes.make_id(term)
            entry = addnodes.index(entries=[("single", term, name, "", None)])
            place = strong.parent.index(strong)
            strong.parent.insert(place, [entry, nodes.target("", "", ids=[name])])


def read_glossary(app: Sphinx) -> None:
    """Remember the terms of the book's glossary."""
    page = Path(app.srcdir) / "chapters" / "glossary.md"
    app.glossary_terms = glossary_terms(page.read_text(encoding="utf-8")) if page.is_file() else {}  # type: ignore[attr-defined]


def drop_shared_ids(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Take the ids off that stand in every exercise."""
    for section in doctree.findall(nodes.section):
        section["ids"] = [name for name in section["ids"] if name not in SHARED_IDS]


def drop_live_code(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document) -> None:
    """Take the scripts of sphinx-thebe off the page."""

    def is_thebe(script: Any) -> bool:
        attributes = getattr(script, "attributes", {})
        return "THEBE_JS_URL" in str(attributes.get("body")) or "sphinx-thebe" in str(script)

    context["script_files"] = [script for script in context["script_files"] if not is_thebe(script)]


def setup(app: Sphinx) -> ExtensionMetadata:
    """Run after Sphinx's own collector and after other extensions (500)."""
    app.connect("builder-inited", read_glossary)
    app.add_transform(IndexBoldTerms)
    app.connect("env-get-updated", number_by_chapter, priority=900)
    app.connect("doctree-resolved", drop_shared_ids, priority=900)
    app.connect("html-page-context", drop_live_code, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
