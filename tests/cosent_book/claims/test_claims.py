"""The claims of the book: each verdict follows from the records, each sentence stands in its chapter."""

import math
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import notebooks
from cosent_book.claims import evidence as module
from cosent_book.claims.declared import CLAIMS
from cosent_book.claims.evidence import EPOCHS, Claim, Evidence, Finding, Outcome, Place, epochs_needed, verdict_of
from cosent_book.claims.page import comparisons, counted, overview
from cosent_book.frames import frame
from cosent_book.records import RecordMissing

CHAPTERS = Path(__file__).resolve().parents[3] / "chapters"
MARK = re.compile(r"<!-- claim: ([\w-]+) -->")
PLACE = Place(suite="table", task="stsb_en", row="CoSENT, λ suggested", base="Sentence-BERT, 2 classes")
CLAIM = Claim(name="one", text="One is ahead.", chapter=9, sets=(PLACE,), verdict="stands")


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return Evidence()


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_the_verdict_in_the_text_is_that_of_the_records(claim: Claim, evidence: Evidence) -> None:
    found = evidence.findings(claim)
    assert len([each for each in found if each.role == "sets"]) == len(claim.sets)
    assert verdict_of(found) == claim.verdict, comparisons(found).to_string()


def test_names_are_unique_and_every_claim_stands_in_its_chapter_and_nowhere_else() -> None:
    marked = sorted(
        (name, int(path.name[:2]))
        for path in CHAPTERS.glob("[0-9][0-9]_*.ipynb")
        for cell in notebooks.read(path).cells
        for name in MARK.findall(cell.source)
    )
    assert marked == sorted((claim.name, claim.chapter) for claim in CLAIMS)


def test_a_difference_is_that_of_the_records_seed_by_seed(evidence: Evidence) -> None:
    runs = frame("table", live=False, partial=True, task="stsb_en")
    scores = {row: list(runs[runs["row"] == row]["test_spearman"]) for row in (PLACE.row, PLACE.base)}
    expected = [100 * (a - b) for a, b in zip(*scores.values(), strict=True)]
    (found,) = evidence.findings(CLAIM)
    assert found.seeds == len(expected) == 5
    assert found.difference == pytest.approx(sum(expected) / 5)


def altered(monkeypatch: pytest.MonkeyPatch, change: float) -> None:
    """Adds a number to the score of the row that `CLAIM` favours in every record."""

    def spoiled(*arguments: object, **options: object) -> pd.DataFrame:
        runs = frame("table", live=False, partial=True)
        runs.loc[runs["row"] == PLACE.row, "test_spearman"] += change
        return runs

    monkeypatch.setattr(module, "frame", spoiled)


def test_a_record_that_contradicts_a_claim_changes_its_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Evidence, "_over_pairs", lambda self, place: None)
    assert verdict_of(Evidence().findings(CLAIM)) == "stands"
    altered(monkeypatch, -0.2)
    assert verdict_of(Evidence().findings(CLAIM)) == "fell"


def test_a_missing_record_is_an_error_on_a_claims_own_set_and_left_out_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    elsewhere = replace(PLACE, suite="main", base="squared cosine")
    whole = frame("table", live=False, partial=True)
    short = whole.drop(whole[(whole["row"] == PLACE.row) & (whole["seed"] == 3)].index)
    monkeypatch.setattr(module, "frame", lambda name, **options: short if name == "table" else whole.iloc[:0])
    with pytest.raises(RecordMissing, match="claim 'one' rests on runs that have no record"):
        Evidence().findings(CLAIM)
    monkeypatch.setattr(module, "frame", lambda name, **options: whole if name == "table" else whole.iloc[:0])
    assert [each.role for each in Evidence().findings(replace(CLAIM, budgets=(elsewhere,)))] == ["sets"]


@pytest.mark.parametrize("change", [{"row": "no such row"}, {"task": "no such task"}, {"encoder": "nobody"}])
def test_a_place_that_no_suite_declares_is_refused(change: dict[str, str]) -> None:
    claim = replace(CLAIM, sets=(replace(PLACE, **change),))
    with pytest.raises(ValueError, match="declares no row"):
        Evidence().findings(claim)


def test_rows_of_one_label_need_a_rate() -> None:
    place = Place(
        suite="minilm", task="stsb_en", encoder="minilm", row="cosent scale=suggested", base="cosine_squared"
    )  # fmt: skip
    with pytest.raises(ValueError, match="give a rate"):
        Evidence().findings(replace(CLAIM, sets=(place,)))


@pytest.mark.parametrize(
    ("rule", "low", "high", "expected"),
    [
        ({}, 0.1, 2.0, "holds"), ({}, -0.1, 2.0, "open"), ({}, -2.0, -0.1, "contradicts"),
        ({}, -2.0, 0.0, "contradicts"), ({}, math.nan, math.nan, "open"),
        ({"by": 5.0}, 5.1, 9.0, "holds"), ({"by": 5.0}, 1.0, 4.0, "contradicts"),
        ({"by": -0.5}, -0.4, 0.1, "holds"), ({"by": -0.5}, -2.0, -0.6, "contradicts"),
        ({"within": 1.0}, -0.9, 1.0, "holds"), ({"within": 1.0}, -1.1, 0.0, "open"),
        ({"within": 1.0}, 1.1, 3.0, "contradicts"), ({"within": 1.0}, -3.0, -1.1, "contradicts"),
        ({"within": 1.0}, -3.0, 3.0, "open"),
    ],
)  # fmt: skip
def test_what_an_interval_says(rule: dict[str, float], low: float, high: float, expected: Outcome) -> None:
    assert replace(CLAIM, **rule).outcome(low, high) == expected


def test_a_claim_is_either_of_a_lead_or_of_a_level() -> None:
    with pytest.raises(ValueError, match="claim 'one'"):
        replace(CLAIM, by=1.0, within=1.0)


def finding(role: str, seeds: Outcome, pairs: Outcome | None = None) -> Finding:
    return Finding(PLACE, role, 1.0, 0.5, 5, 4.0, None, seeds, pairs)


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ([finding("sets", "holds", "holds"), finding("encoders", "open")], "stands"),
        ([finding("sets", "holds", "open")], "open"),
        ([finding("sets", "holds"), finding("sets", "open")], "open"),
        ([finding("sets", "holds"), finding("budgets", "contradicts")], "bounded"),
        ([finding("sets", "open"), finding("budgets", "contradicts")], "doubtful"),
        ([finding("sets", "open"), finding("budgets", "open")], "open"),
        ([finding("sets", "holds", "contradicts")], "fell"),
        ([finding("sets", "open"), finding("sets", "contradicts")], "fell"),
    ],
)
def test_the_verdict_follows_from_the_outcomes(findings: list[Finding], expected: str) -> None:
    assert verdict_of(findings) == expected


def test_the_interval_over_pairs_turns_round_with_the_rows(evidence: Evidence) -> None:
    there = evidence._over_pairs(PLACE)
    back = evidence._over_pairs(replace(PLACE, row=PLACE.base, base=PLACE.row))
    assert there is not None
    assert back == (-there[1], -there[0])
    assert evidence._over_pairs(replace(PLACE, metric=EPOCHS)) is None


def test_the_page_has_a_line_for_each_claim_and_counts_outcomes(evidence: Evidence) -> None:
    texts = overview(evidence)
    assert texts["claim"].tolist() == [claim.text for claim in CLAIMS]
    assert texts["verdict"].tolist() == [claim.verdict for claim in CLAIMS]
    assert counted(["holds", "contradicts", "open"]) == "1 of 3 hold, 1 against"
    (line,) = comparisons([replace(finding("sets", "holds", "open"), pairs=(-0.04, 1.0))]).to_dict("records")
    assert (line["difference"], line["over test pairs"]) == ("+1.0 ± 0.5", "+0.0 to +1.0")


def test_epochs_needed_is_the_first_look_within_half_a_point_of_the_best() -> None:
    scores = [None, 0.60, 0.696, 0.70, 0.699]
    looks = [{"epoch": epoch, "spearman": score} for epoch, score in enumerate(scores)]
    assert epochs_needed(looks) == 2.0
    assert math.isnan(epochs_needed(looks[:1]))
