"""Sphinx extension: ``{claims}``, the claims of the book with what the records say about each, made when it is read."""

import html

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from cosent_book.claims.declared import CLAIMS
from cosent_book.claims.evidence import VERDICTS, Evidence, verdict_of
from cosent_book.claims.page import comparisons, overview
from cosent_book.measurements import registry
from cosent_book.store import file_of
from sphinx_results import TABLE, html_table


class ClaimsTable(SphinxDirective):
    """The table of all claims, what its verdicts mean, and below a folded table of comparisons for each claim."""

    def run(self) -> list[nodes.Node]:
        """Make the nodes."""
        places = [place for claim in CLAIMS for place in (*claim.sets, *claim.encoders, *claim.budgets)]
        for name in {registry.SUITE, *(place.suite for place in places)}:
            self.env.note_dependency(str(file_of(name)))
        evidence = Evidence()
        meanings = nodes.bullet_list()
        for verdict, meaning in VERDICTS.items():
            line = nodes.paragraph("", "", nodes.strong(verdict, verdict), nodes.Text(f": {meaning}"))
            meanings += nodes.list_item("", line)
        table = html_table(f"Claims, {len(CLAIMS)} in all", overview(evidence), "claim")
        return [meanings, _raw(table), *(_details(evidence, number) for number in range(len(CLAIMS)))]


def _details(evidence: Evidence, number: int) -> nodes.Node:
    claim = CLAIMS[number]
    found = evidence.findings(claim)
    title = f"{claim.text} ({verdict_of(found)})"
    table = html_table(f"Comparisons of claim {number + 1}", comparisons(found), "set")
    return _raw(
        f'<details class="claim" id="claim-{claim.name}"><summary>{html.escape(title)}</summary>\n{table}</details>\n'
    )


def _raw(text: str) -> nodes.Node:
    return nodes.raw("", text, format="html", classes=[TABLE])


def setup(app: Sphinx) -> ExtensionMetadata:
    """Declare the directive."""
    app.add_directive("claims", ClaimsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
