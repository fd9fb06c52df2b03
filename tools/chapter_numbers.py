"""Sphinx extension: figures, equations, exercises and proofs carry their chapter's number.

A chapter's number is the one its file name begins with (``08_cosent`` is chapter 8), so that the number in the
title, in "Figure 8.2" and in "Exercise 8.1" agree, and stay what they are when a chapter is added before it.
Sphinx can only count the chapters that are there; therefore its section numbers are replaced for a moment while it
numbers the figures, and removed again because the titles already show theirs.
"""

import re

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.environment.collectors.toctree import TocTreeCollector
from sphinx.util.typing import ExtensionMetadata


def chapter_number(docname: str) -> int | None:
    """Return 8 for ``chapters/08_cosent`` and None for a page without a number."""
    match = re.match(r"(\d+)_", docname.rsplit("/", 1)[-1])
    return int(match.group(1)) if match else None


def number_by_chapter(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Number all figures again, each under its chapter's own number; return the documents to rewrite."""
    numbers = {docname: chapter_number(docname) for docname in env.found_docs}
    env.toc_secnumbers = {docname: {"": (number,)} for docname, number in numbers.items() if number is not None}
    rewrite = TocTreeCollector().assign_figure_numbers(env)
    env.toc_secnumbers = {}
    return rewrite


def setup(app: Sphinx) -> ExtensionMetadata:
    """Run after Sphinx's own collector (500)."""
    app.connect("env-get-updated", number_by_chapter, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
