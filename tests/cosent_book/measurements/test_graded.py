"""What coarser grades keep and what queries compare, by brute force."""

import itertools

import pytest
from datasets import Dataset
from scipy import stats

from cosent_book.measurements.graded import coarsened, queries
from cosent_book.measurements.registry import Data


class Few(Data):
    """A few pairs of the built-in corpus, which has grades; three pairs in a row share their first sentence."""

    def load(self, task: str, split: str) -> Dataset:
        pairs = super().load("builtin_graded", split).select(range(60))
        first = [text for row, text in enumerate(pairs["sentence1"][:]) if row % 3 == 0 for _ in range(3)]
        return Dataset.from_dict({"sentence1": first, "sentence2": pairs["sentence2"][:], "score": pairs["score"][:]})


def by_hand(labels: list[float]) -> int:
    return sum(a != b for a, b in itertools.combinations(labels, 2))


def test_what_two_grades_keep() -> None:
    fine = Few().load("", "train")["score"][:]
    coarse = [float(label >= 0.5) for label in fine]
    found = coarsened(Few(), task="stsb_en", levels=[4, 2])
    assert found["values"] == 4
    assert found["kept"] == pytest.approx([1, by_hand(coarse) / by_hand(fine)])
    assert found["spearman"] == pytest.approx([1, stats.spearmanr(coarse, fine).statistic])


def test_comparisons_within_queries() -> None:
    found = queries(Few(), task="ocnli")["train"]
    labels = Few().load("", "train")["score"][:]
    within = [by_hand(labels[at : at + 3]) for at in range(0, 60, 3)]
    assert found["queries"] == 20
    assert found["with_several"] == sum(each > 0 for each in within)
    assert (found["within"], found["across"]) == (sum(within), by_hand(labels))
