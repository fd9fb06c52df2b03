"""Sphinx extension: the page *All results*, a table for each suite and one of the measurements, made when it is read.

- ``{results} SUITE`` is the table of a suite; ``{measurements}`` says which of them are recorded.
- Where the page has its mark, each suite gets a section, so that none can be forgotten.
- The script and the style of these tables are loaded by the pages that have some, and by no other.
"""

import html
import re
from itertools import zip_longest
from typing import Any

import pandas as pd
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from cosent_book.all_results import LAST, NUMBERS, Results, cells, measurement_list, notes, results
from cosent_book.measurements import registry
from cosent_book.store import file_of
from cosent_book.suites.plan import SUITES

PAGE = "chapters/results"
MARK = "<!-- the suites -->"
SCRIPT, STYLE = "results.js", "results.css"
TABLE = "results-table"  # the class of the nodes


def html_table(caption: str, texts: pd.DataFrame, name: str) -> str:
    """An HTML table in a box of its own that scrolls.

    Args:
        caption: of the table.
        texts: of its cells, a line a row; columns in `NUMBERS` are set as numbers.
        name: the column that names the lines.
    """
    columns = [str(column) for column in texts]
    kinds = ["name" if column == name else "number" if column in NUMBERS else "" for column in columns]
    classes = [f' class="{kind}"' if kind else "" for kind in kinds]
    head = "".join(
        f'<th scope="col"{at}>{html.escape(column)}</th>' for column, at in zip(columns, classes, strict=True)
    )
    lines = "\n".join(
        "<tr>" + "".join(map(_cell, line, kinds, classes)) + "</tr>"
        for line in texts.itertuples(index=False, name=None)
    )
    title = html.escape(caption)
    return (
        f'<div class="results-box" role="region" aria-label="{title}" tabindex="0">\n<table class="results">\n'
        f"<caption>{title}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>\n</div>\n"
    )


def _cell(text: str, kind: str, at: str) -> str:
    # a mark after a number takes no room, so that the digits stay below each other
    shown = html.escape(text).replace(f" {LAST}", f'<span class="results-mark">{LAST}</span>')
    return f'<th scope="row"{at}>{shown}</th>' if kind == "name" else f"<td{at}>{shown}</td>"


def in_line(text: str) -> list[nodes.Node]:
    """The nodes of a line in which code stands between backquotes, one or two."""
    plain, code = re.split(r"``?[^`]+``?", text), re.findall(r"``?([^`]+)``?", text)
    pairs = zip_longest(map(nodes.Text, plain), (nodes.literal(word, word) for word in code))
    return [node for pair in pairs for node in pair if node is not None]


def state_of(found: Results) -> str:
    """How much of a suite is recorded, as a line with code between backquotes."""
    command = f"`python -m cosent_book benchmark {found.suite}`"
    if not found.recorded:
        return f"Not recorded yet: {found.runs} runs declared. This makes them: {command}."
    if found.recorded == found.runs:
        return f"All {found.runs} runs recorded."
    rows = f"{len(found.frame) or 'none'} of {found.rows} rows with a result"
    return f"{found.recorded} of {found.runs} runs recorded, {rows}. This makes the others: {command}."


class ResultsTable(SphinxDirective):
    """The table of the suite that is the argument, with what it compares and how much of it is recorded."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Make the nodes; an unknown suite is an error of the page."""
        try:
            found = results(self.arguments[0])
        except ValueError as error:
            raise self.error(str(error)) from error
        self.env.note_dependency(str(file_of(found.suite)))
        about = nodes.paragraph("", "", *in_line(f"{found.about} {state_of(found)}"))
        if found.recorded:
            about += [nodes.Text(" Records: "), self._link(found.suite), nodes.Text(".")]
        if found.frame.empty:
            return [about]
        texts = cells(found.frame)
        table = html_table(f"Suite {found.suite}, {len(texts)} rows", texts, "row")
        return [about, _raw(table), *(nodes.paragraph(note, note, classes=["results-note"]) for note in notes(texts))]

    def _link(self, suite: str) -> nodes.Node:
        """A link to the file of the records, where the book has an address."""
        options = self.config.html_theme_options
        name = file_of(suite).name
        code = nodes.literal(name, name)
        if not options.get("repository_url"):
            return code
        place = f"blob/{options.get('repository_branch') or 'main'}/cosent_book/results/{name}"
        return nodes.reference("", "", code, refuri=f"{options['repository_url']}/{place}", internal=False)


class MeasurementsTable(SphinxDirective):
    """The declared measurements, and which of them are recorded."""

    def run(self) -> list[nodes.Node]:
        """Make the node."""
        self.env.note_dependency(str(file_of(registry.SUITE)))
        texts = measurement_list()
        return [_raw(html_table(f"Measurements, {len(texts)} declared", texts, "measurement"))]


def _raw(text: str) -> nodes.Node:
    return nodes.raw("", text, format="html", classes=[TABLE])


def write_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put a section for each suite in the place of the mark, when Sphinx reads the page."""
    if docname == PAGE:
        if MARK not in source[0]:
            raise ExtensionError(f"{PAGE} has no line {MARK}")
        sections = (f"## {suite}\n\n```{{results}} {suite}\n```\n" for suite in SUITES)
        source[0] = source[0].replace(MARK, "\n".join(sections))


def keep_off_other_pages(app: Sphinx, config: Config) -> None:
    """Jupyter Book lists whatever lies in ``_static`` for every page; take script and style off these lists."""
    for name, file in (("html_js_files", SCRIPT), ("html_css_files", STYLE)):
        config[name] = [each for each in config[name] if each != file]


def load_where_needed(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document) -> None:
    """Load script and style on a page with such a table."""
    if doctree and any(TABLE in raw["classes"] for raw in doctree.findall(nodes.raw)):
        app.add_js_file(SCRIPT, loading_method="defer")
        app.add_css_file(STYLE)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Declare the directives, and what happens to the page and to the files of its tables."""
    app.add_directive("results", ResultsTable)
    app.add_directive("measurements", MeasurementsTable)
    app.connect("config-inited", keep_off_other_pages)
    app.connect("source-read", write_page)
    app.connect("html-page-context", load_where_needed)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
