"""What becomes of wrong labels: the measure tells mistakes that were learned from mistakes that were left alone."""

from cosent_lib.fate_measurements import fate_of_flipped
from cosent_lib.measurements import Data


def test_few_pairs_seen_often_are_learned_mistakes_and_all() -> None:
    losses = [{"loss": "power_mean", "scale": 20.0, "exponent": exponent} for exponent in (-1.0, 1.0)]
    settings = {"flip": 0.3, "losses": losses, "seeds": [0], "epochs": 8, "take": 600}
    rows = fate_of_flipped(Data(), task="builtin_random", **settings)["rows"]
    assert [row["exponent"] for row in rows] == [-1.0, 1.0]
    for row in rows:
        assert row["flipped_auc"] < 0.05, "by the true labels, every mistake stands the wrong way round"
        assert row["kept_auc"] > 0.95


def test_without_steps_that_matter_flipped_and_other_pairs_stand_alike() -> None:
    losses = [{"loss": "power_mean", "scale": 1e-3, "exponent": 0.0}]
    settings = {"flip": 0.5, "losses": losses, "seeds": [0], "epochs": 1, "take": 64}
    (row,) = fate_of_flipped(Data(), task="builtin", **settings)["rows"]
    # hard negatives: an encoder that has learned nothing ranks them above the positives
    assert row["flipped_auc"] < 0.5
    assert row["kept_auc"] < 0.5
