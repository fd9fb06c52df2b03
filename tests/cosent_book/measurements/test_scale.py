"""Measurements of λ: the numbers are those of the library's parts, on pairs of the built-in corpus."""

import pytest
import torch

from cosent_book.measurements.registry import Data
from cosent_book.measurements.scale import scale_by_size, untrained_scale
from cosent_lib.data.load import load_pairs
from cosent_lib.encoders.load import load_encoder
from cosent_lib.evaluation.evaluate import cosine_scores
from cosent_lib.ranking.scale import suggest_scale


def test_the_suggestion_is_that_of_the_untrained_validation_cosines() -> None:
    data = Data()
    found = untrained_scale(data, task="builtin_graded", encoder="static", seed=3)
    train, validation = (load_pairs("builtin_graded", split) for split in ("train", "validation"))
    encoder = load_encoder("static", [*train["sentence1"][:], *train["sentence2"][:]], seed=3)
    cosines = torch.from_numpy(cosine_scores(encoder, validation))
    expected = suggest_scale(cosines, torch.tensor(validation["score"][:]))
    assert found["suggested"] == pytest.approx(expected, rel=1e-6)
    assert found["deviation"] == pytest.approx(float(cosines.std()), rel=1e-6)
    assert found["log_bound"] < min(0, found["log_bound_20"])
    assert set(found["half_slopes"]) == {"0.3", "0.5", "0.7"}  # between the grades 0, 1/3, 2/3, 1
    assert set(data.used) == {"builtin_graded/train", "builtin_graded/validation"}


def test_a_cosine_that_runs_against_the_labels_has_no_scale() -> None:
    with pytest.raises(ValueError, match="do not follow the labels"):
        untrained_scale(Data(), task="builtin", encoder="static")


def test_a_row_for_each_size_seed_and_scale() -> None:
    rows = scale_by_size(Data(), task="builtin_graded", sizes=[64, 1024], scales=[2.0, 40.0], seeds=[0, 1])["rows"]
    assert [(row["pairs"], row["seed"], row["scale"]) for row in rows] == [
        (size, seed, scale) for size in (64, 1024) for seed in (0, 1) for scale in (2.0, 40.0)
    ]
    assert all(-1 <= row["spearman"] <= 1 for row in rows)
    same_start = {(row["pairs"], row["seed"]): row["before"] for row in rows}
    assert all(row["before"] == same_start[row["pairs"], row["seed"]] for row in rows)
    at = {(row["pairs"], row["seed"], row["scale"]): row["after"] for row in rows}
    assert at[1024, 0, 40.0] > at[1024, 0, 2.0], "a larger λ draws the cosines together, so it raises the suggestion"


def test_more_pairs_than_there_are() -> None:
    with pytest.raises(ValueError, match="take must be"):
        scale_by_size(Data(), task="builtin_graded", sizes=[10**9], scales=[5.0], seeds=[0])
