"""Which pairs contradict each other, and how hard a loss pulls at them."""

import pytest
import torch
from datasets import Dataset

from cosent_book.measurements.contradiction import contradicting, contradiction_pull, pulls
from cosent_book.measurements.registry import Data


def test_a_pair_with_both_labels_contradicts_whatever_its_order_case_and_punctuation() -> None:
    rows = [("Refund?", "Money back", 1.0), ("money back!", "refund", 0.0), ("Refund", "Opening hours", 0.0),
            ("refund", "opening hours", 0.0)]  # fmt: skip
    pairs = Dataset.from_dict(dict(zip(("sentence1", "sentence2", "score"), zip(*rows, strict=True), strict=True)))
    assert contradicting(pairs).tolist() == [True, True, False, False]


def test_pulls_by_hand() -> None:
    scores, labels = torch.tensor([0.0, 0.0, 0.0]), torch.tensor([1, 0, 0])
    # two demands with terms 1: each has the share 1/3 of the logarithm of 3
    assert pulls(scores, labels, mean_of_logs=False).tolist() == pytest.approx([2 / 3, 1 / 3, 1 / 3])
    # each logarithm pulls with sigma(0) = 1/2, and the mean halves it
    assert pulls(scores, labels, mean_of_logs=True).tolist() == pytest.approx([1 / 2, 1 / 4, 1 / 4])
    assert pulls(scores, torch.ones(3), mean_of_logs=True).tolist() == [0, 0, 0]


def test_a_mistake_gets_more_of_the_log_of_a_sum() -> None:
    labels = torch.tensor([1.0] * 20 + [0.0] * 20)
    scores = 10 * labels.clone()
    scores[-1] = 10.0  # labelled 0, and as high as the ones
    by_sum, by_mean = (pulls(scores, labels, mean_of_logs=mean) for mean in (False, True))
    assert by_sum[-1] / by_sum[20:].sum() > 0.9
    assert by_mean[-1] < 1 / 20


def test_rows_for_each_loss_and_seed() -> None:
    rows = contradiction_pull(Data(), task="builtin", take=256, scale=10.0, seeds=[0])["rows"]
    assert [(row["loss"], row["seed"]) for row in rows] == [("cosent", 0), ("ranknet", 0)]
    assert all(row["share"] == 0 == row["pull"] for row in rows), "the built-in corpus does not contradict itself"
