"""Differences between losses over test pairs."""

import pytest
from datasets import Dataset

from cosent_book.measurements import difference
from cosent_book.measurements.difference import paired_differences
from cosent_book.measurements.registry import Data
from cosent_book.suites.rows import Row
from cosent_lib.runs.run import Run


class Corpus(Data):
    """The built-in corpus under the name of a real set, a few pairs of it."""

    def load(self, task: str, split: str) -> Dataset:
        pairs = super().load("builtin", split)
        return pairs.select(range(640 if split == "train" else 300))


@pytest.fixture(autouse=True)
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rows: a loss, the same once more under another name, and one that is far worse."""

    def run(rate: float) -> Run:
        return Run(
            suite="main", task="bq", encoder="static", encoder_options={"dim": 16}, loss="cosent",
            training={"max_steps": 30, "learning_rate": rate},
        )  # fmt: skip

    declared = [
        Row(label=label, candidates=(run(rate),), seeds=(0,))
        for label, rate in (("trained", 1e-2), ("again", 1e-2), ("hardly", 1e-6))
    ]
    monkeypatch.setattr(difference, "rows_of", lambda suite, only="": declared)


def test_a_row_does_not_differ_from_itself_and_a_worse_one_does() -> None:
    found = paired_differences(Corpus(), task="bq", base="trained", rows=["again", "hardly"])
    same, worse = found["rows"]
    assert found["pairs"] == 300
    assert same == {"row": "again", "difference": 0.0, "low": 0.0, "high": 0.0}
    assert worse["low"] < worse["difference"] < worse["high"] < 0


def test_a_row_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="'RankNet' on bq with seed 0, only for: trained, again, hardly"):
        paired_differences(Corpus(), task="bq", base="trained", rows=["RankNet"])
