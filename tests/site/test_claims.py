"""The page of claims: every claim a line, its verdict that of the records, its comparisons below it."""

import os
from pathlib import Path

import pytest
import site_checks

from cosent_book.claims.declared import CLAIMS
from cosent_book.claims.evidence import VERDICTS
from cosent_book.store import RESULTS

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(os.environ.get("COSENT_SITE") or ROOT / "_build" / "html")
PAGE = SITE / "chapters" / "claims.html"


@pytest.mark.site
def test_the_page_has_each_claim_with_its_verdict_and_its_comparisons() -> None:
    if max(path.stat().st_mtime for path in RESULTS.glob("*.jsonl")) > PAGE.stat().st_mtime:
        pytest.skip("a record is younger than the page")
    page = site_checks.soup(PAGE)
    lines = page.select("article table.results")[0].select("tbody > tr")
    found = [[cell.get_text() for cell in line.select("th, td")][:3] for line in lines]
    assert found == [[claim.text, str(claim.chapter), claim.verdict] for claim in CLAIMS]
    folded = page.select("article details.claim")
    assert [each["id"] for each in folded] == [f"claim-{claim.name}" for claim in CLAIMS]
    for each, claim in zip(folded, CLAIMS, strict=True):
        assert len(each.select("tbody > tr")) >= len(claim.sets)


@pytest.mark.site
def test_the_page_says_what_each_verdict_means() -> None:
    words = [item.get_text() for item in site_checks.soup(PAGE).select("article li strong")]
    assert set(VERDICTS) <= set(words)
