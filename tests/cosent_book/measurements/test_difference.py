"""Differences between losses over test pairs."""

import numpy as np
import pytest
from datasets import Dataset

from cosent_book.measurements import difference
from cosent_book.measurements.difference import paired_differences
from cosent_book.measurements.registry import Data
from cosent_book.suites.rows import Row
from cosent_lib.evaluation.intervals import bootstrap_difference
from cosent_lib.evaluation.metrics import spearman
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
    found = paired_differences(Corpus(), suite="main", task="bq", rows=["hardly", "trained", "again"])
    worse, worse_too, same = found["differences"]
    assert found["pairs"] == 300
    assert same == {"row": "trained", "base": "again", "difference": 0.0, "low": 0.0, "high": 0.0}
    assert worse["low"] < worse["difference"] < worse["high"] < 0
    assert worse_too == worse | {"base": "again"}


def test_the_interval_is_that_of_the_library_up_to_the_draws() -> None:
    generator = np.random.default_rng(1)
    labels = np.repeat([0.0, 1.0], 200)
    cosines = labels + generator.normal(size=(2, 400))
    (found,) = difference._differences(["a", "b"], cosines, labels)
    expected = bootstrap_difference(cosines[0], cosines[1], labels, spearman)
    assert found["difference"] == pytest.approx(expected.estimate, abs=1e-12)
    assert (found["low"], found["high"]) == pytest.approx(expected[1:], abs=0.02)


def test_a_row_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="main has no settings for 'RankNet' on bq with seed 0, only for: trained"):
        paired_differences(Corpus(), suite="main", task="bq", rows=["trained", "RankNet"])
