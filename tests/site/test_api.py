"""The library's page has an entry for every public name, and the chapters and the entries lead to each other."""

import json
import os
from pathlib import Path

import pytest
import site_checks
from bs4 import Tag

import cosent_lib
import sphinx_api

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(os.environ.get("COSENT_SITE") or ROOT / "_build" / "html")
NAMES = sorted(set(cosent_lib.__all__) - {"__version__"})
PAGE = "chapters/api.html"


def entry(name: str) -> tuple[Tag, Tag]:
    """The signature and the text of a name's entry."""
    signature = site_checks.soup(SITE / PAGE).find(id=f"cosent_lib.{name}")
    assert isinstance(signature, Tag), f"{name} has no entry on the library's page"
    text = signature.find_next_sibling("dd")
    assert isinstance(text, Tag)
    return signature, text


def chapters_of(name: str) -> set[str]:
    """The chapters to which an entry leads."""
    links = [str(link["href"]).partition("#")[0] for link in entry(name)[1].select("p a[href]")]
    return {link for link in links if link[:2].isdigit()}


@pytest.mark.site
@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_an_entry_that_explains_it_and_leads_to_a_chapter(name: str) -> None:
    signature, text = entry(name)
    assert name in signature.get_text()
    paragraphs = [p.get_text() for p in text.find_all("p", recursive=False)]
    own = [p for p in paragraphs if not p.startswith(("Bases:", "In the book:"))]
    assert len(" ".join(own).split()) >= 4, f"{name} is not explained"
    assert chapters_of(name), f"{name} leads to no chapter"


@pytest.mark.site
def test_each_chapter_leads_to_the_entries_that_lead_to_it() -> None:
    led = {name: chapters_of(name) for name in NAMES}
    for path in sorted((SITE / "chapters").glob("[0-9][0-9]_*.html")):
        boxes = site_checks.soup(path).select("div.in-the-library")
        found = {str(link["href"]) for box in boxes for link in box.select("a[href]")}
        assert found == {f"api.html#cosent_lib.{name}" for name in NAMES if path.name in led[name]}, path.name
    assert set().union(*led.values()) == {path.name for path in (SITE / "chapters").glob("[0-9][0-9]_*.html")}


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Source: Chapter 3.", {3}),
        ("see chapters 3,\n 8 and 12; equation 4", {3, 8, 12}),
        ("Chapter 9, and 3 more", {9}),
        ("no chapter at all, 7", set()),
    ],
)
def test_the_chapters_that_a_docstring_names(text: str, numbers: set[int]) -> None:
    assert sphinx_api.numbers_in(text) == numbers


def test_what_a_notebook_imports_is_read_from_its_code_alone(tmp_path: Path) -> None:
    code = [
        "from cosent_lib import (\n", "    train,\n", "    rank_loss,\n", ")\n",
        "from cosent_lib.losses.order import CoSENTLoss",
    ]  # fmt: skip
    text = ["from cosent_lib import evaluate"]
    cells = [{"cell_type": "code", "source": code}, {"cell_type": "markdown", "source": text}]
    path = tmp_path / "08_x.ipynb"
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    assert sphinx_api.imported_names(path) == {"train", "rank_loss", "CoSENTLoss"}
