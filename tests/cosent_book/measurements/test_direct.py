"""The measurements of chapter 6: equal weights by repetition, and what a run reports."""

import pytest
from datasets import Dataset

from cosent_book.measurements.direct import label_weights, long_training, with_equal_weights
from cosent_lib.data.load import load_pairs


def pairs_with(labels: list[float]) -> Dataset:
    """Pairs whose first sentence is their number."""
    numbers = [str(k) for k in range(len(labels))]
    return Dataset.from_dict({"sentence1": numbers, "sentence2": numbers, "score": labels})


def test_the_rarer_label_is_repeated_as_evenly_as_can_be() -> None:
    found = with_equal_weights(pairs_with([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]))
    assert found["score"][:].count(1.0) == found["score"][:].count(0.0) == 5
    assert [found["sentence1"][:].count(str(k)) for k in range(7)] == [3, 1, 1, 1, 2, 1, 1]


def test_balanced_pairs_stay_as_they_are() -> None:
    pairs = pairs_with([1.0, 0.0, 0.0, 1.0])
    assert with_equal_weights(pairs)[:] == pairs[:]


@pytest.mark.parametrize("labels", [[0.0, 0.5, 1.0], [1.0, 1.0]])
def test_labels_must_be_both_0_and_1(labels: list[float]) -> None:
    with pytest.raises(ValueError, match="labels 0 and 1"):
        with_equal_weights(pairs_with(labels))


class Built:
    """The built-in corpus with one positive in ten kept, and little of it."""

    def load(self, task: str, split: str) -> Dataset:
        pairs = load_pairs(task, split)
        labels = pairs["score"][:]
        ones = [row for row, label in enumerate(labels) if label == 1]
        zeros = [row for row, label in enumerate(labels) if label == 0]
        return pairs.select(ones[:200] + zeros[:2000]) if split == "train" else pairs.select(range(200))


def test_a_run_reports_every_combination_and_equal_weights_lift_the_positives() -> None:
    found = label_weights(Built(), task="builtin", losses=["cosine_linear"], seeds=[0], steps=100)
    assert found["share"] == pytest.approx(200 / 2200)
    rows = {(row["negatives"], row["equal"]): row for row in found["rows"]}
    assert set(rows) == {("labelled", False), ("labelled", True), ("random", False), ("random", True)}
    assert rows["labelled", True]["mean_1"] > rows["labelled", False]["mean_1"] + 0.1
    assert all(-1 <= row["spearman"] <= 1 and row["sd_0"] > 0 for row in found["rows"])


def test_long_training_is_followed_epoch_by_epoch() -> None:
    (row,) = long_training(Built(), task="builtin", losses=["cosine_squared"], seeds=[1], epochs=3)["rows"]
    assert (row["loss"], row["seed"], len(row["spearman"])) == ("cosine_squared", 1, 3)
    assert row["spearman"][-1] > row["spearman"][0]
