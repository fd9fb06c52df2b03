"""What becomes of wrong labels: the measure tells mistakes that were learned from mistakes that were left alone."""

import pytest

from cosent_book.measurements.fate import fate_of_flipped
from cosent_book.measurements.registry import Data


def test_few_pairs_seen_often_are_learned_mistakes_and_all() -> None:
    losses = [{"loss": "power_mean", "scale": 20.0, "exponent": exponent} for exponent in (-1.0, 1.0)]
    settings = {"flip": 0.3, "losses": losses, "seeds": [0], "epochs": 8, "take": 640, "looks": 1}
    rows = fate_of_flipped(Data(), task="builtin_random", **settings)["rows"]
    assert [(row["exponent"], row["epoch"]) for row in rows] == [(k, e) for k in (-1.0, 1.0) for e in range(9)]
    for first, last in ((rows[0], rows[8]), (rows[9], rows[17])):
        assert first["flipped_auc"] == pytest.approx(first["kept_auc"], abs=0.1), "before training nobody knows"
        assert last["flipped_auc"] < 0.05, "by the true labels, every mistake stands the wrong way round"
        assert last["kept_auc"] > 0.95


def test_without_steps_that_matter_flipped_and_other_pairs_stand_alike() -> None:
    losses = [{"loss": "power_mean", "scale": 1e-3, "exponent": 0.0}]
    settings = {"flip": 0.5, "losses": losses, "seeds": [0], "epochs": 1, "take": 64, "looks": 1}
    rows = fate_of_flipped(Data(), task="builtin", **settings)["rows"]
    # hard negatives: an encoder that has learned nothing ranks them above the positives
    assert all(row["flipped_auc"] < 0.5 and row["kept_auc"] < 0.5 for row in rows)
