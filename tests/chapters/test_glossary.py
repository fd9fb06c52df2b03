"""The glossary: in alphabetical order, each term explained and said to come from a chapter that introduces it."""

import re
from pathlib import Path

import pytest
from skeleton import markdown

import notebooks

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "chapters" / "glossary.md").read_text(encoding="utf-8")
TERMS = dict(re.findall(r"^(\S.*)\n  (.+)$", PAGE.partition("```{glossary}\n")[2], flags=re.M))


def test_terms_are_in_alphabetical_order() -> None:
    assert len(TERMS) > 20
    assert list(TERMS) == sorted(TERMS, key=lambda term: term.lower().lstrip("["))
    assert all(meaning.endswith(".") for meaning in TERMS.values())


@pytest.mark.parametrize("term", TERMS)
def test_the_first_chapter_that_a_term_names_sets_it_in_bold(term: str) -> None:
    sentence = re.search(r"Chapters? ([\d, and]+)\.$", TERMS[term])
    assert sentence is not None, f"'{term}' names no chapter at its end"
    (path,) = notebooks.chapter_paths(f"{int(sentence[1].split()[0].strip(',')):02d}_")
    bold = {text.strip(" .:,;").lower() for text in re.findall(r"\*\*(.+?)\*\*", markdown(notebooks.read(path)), re.S)}
    assert any(len(text) > 2 and (text.removesuffix("s") in term.lower() or term.lower() in text) for text in bold), (
        f"{path.name} does not set '{term}' in bold"
    )
