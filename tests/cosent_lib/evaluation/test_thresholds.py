"""Thresholds against all rules there are."""

import numpy as np
import pytest
from sklearn import metrics as sk

from cosent_lib.evaluation.thresholds import best_threshold, threshold_metrics

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
@pytest.mark.parametrize("seed", range(15))
def test_threshold_is_the_best_of_all_rules(metric: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 30))
    labels, scores = rng.integers(0, 2, size), rng.integers(-4, 4, size) / 3
    labels[0] = 1
    judge = {"accuracy": sk.accuracy_score, "f1": sk.f1_score}[metric]
    rules = [scores >= cut for cut in (-np.inf, *scores, np.inf)]
    best = max(judge(labels, rule) for rule in rules)
    found = best_threshold(scores, labels, metric)
    assert found.value == pytest.approx(best, abs=1e-15)
    assert judge(labels, scores >= found.threshold) == pytest.approx(best, abs=1e-15)
    assert threshold_metrics(scores, labels, found.threshold)[metric] == pytest.approx(best, abs=1e-15)


def test_threshold_lies_half_way_and_never_tears_ties() -> None:
    assert best_threshold([0.1, 0.2, 0.6, 0.9], [0, 0, 1, 1]) == (pytest.approx(0.4), 1.0)
    tied = best_threshold([0.2, 0.5, 0.5, 0.5, 0.9], [0, 1, 1, 0, 1])
    assert tied == (pytest.approx(0.35), 0.8)  # the tied zero goes with its tied ones


def test_threshold_at_the_ends_is_finite() -> None:
    ones, zeros = best_threshold([0.3, 0.1], [1, 1]), best_threshold([0.3, 0.1], [0, 0])
    assert ones == (0.1, 1.0)
    assert zeros == (np.nextafter(0.3, 1), 1.0)


def test_threshold_between_neighbouring_floats_separates_them() -> None:
    low = 0.5
    high = float(np.nextafter(low, 1))
    found = best_threshold([low, high], [0, 1])
    assert found.value == 1
    assert low < found.threshold <= high


def test_threshold_refuses_what_it_cannot_judge() -> None:
    with pytest.raises(ValueError, match=r"labels 0 and 1, but labels\[1\] is 0.5"):
        best_threshold([1, 2], [0, 0.5])
    with pytest.raises(ValueError, match=r"scores\[0\] is nan"):
        best_threshold([np.nan, 2], [0, 1])
    with pytest.raises(ValueError, match="F1 is undefined"):
        best_threshold([1, 2], [0, 0], "f1")
    with pytest.raises(ValueError, match="metric must be one of accuracy, f1, got 'mcc'"):
        best_threshold([1, 2], [0, 1], "mcc")
    with pytest.raises(ValueError, match="one shape"):
        best_threshold([], [])
