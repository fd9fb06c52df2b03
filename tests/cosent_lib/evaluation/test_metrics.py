"""Metrics against scipy, scikit-learn, brute force and cases worked out by hand."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from cosent_lib.evaluation.metrics import (
    average_precision,
    concordance,
    pearson,
    score_metrics,
    spearman,
    spearman_ceiling,
)

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("levels", [2, 3, 6, 1000])
@pytest.mark.parametrize("rounding", [1, 15])
def test_metrics_agree_with_scipy_and_sklearn(levels: int, rounding: int) -> None:
    labels = RNG.integers(0, levels, 500) / (levels - 1)
    scores = (labels + RNG.normal(size=500)).round(rounding)  # one digit: many ties
    found = score_metrics(scores, labels)
    assert found["spearman"] == pytest.approx(stats.spearmanr(scores, labels).statistic, abs=1e-12)
    assert found["pearson"] == pytest.approx(stats.pearsonr(scores, labels).statistic, abs=1e-12)
    if levels == 2:
        assert found["auc"] == pytest.approx(sk.roc_auc_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_concordance_is_the_brute_force_count(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 40))
    labels, scores = rng.integers(0, 4, size), rng.integers(-3, 3, size) / 7
    labels[:2] = 0, 1
    pairs = [(i, j) for i in range(size) for j in range(size) if labels[i] < labels[j]]
    right = sum((scores[i] < scores[j]) + 0.5 * (scores[i] == scores[j]) for i, j in pairs)
    assert concordance(scores, labels) == pytest.approx(right / len(pairs), abs=1e-15)


def test_concordance_of_constant_scores_is_a_half() -> None:
    assert concordance([3.0] * 10, [0, 1] * 5) == 0.5


def test_concordance_stays_exact_for_many_rows() -> None:
    labels = (RNG.random(200_000) < 0.3).astype(float)
    scores = (labels + 2 * RNG.normal(size=labels.size)).round(3)
    assert concordance(scores, labels) == pytest.approx(sk.roc_auc_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize("counts", [(1, 1), (3, 5), (82, 18), (1, 99), (4, 4, 4), (7, 1, 2, 30), (1,) * 9])
def test_ceiling_is_the_spearman_of_the_best_untied_order(counts: tuple[int, ...]) -> None:
    labels = np.repeat(np.linspace(0, 1, len(counts)), counts)
    best = np.arange(labels.size, dtype=float)  # rises with the label, never ties
    assert spearman_ceiling(labels) == pytest.approx(stats.spearmanr(best, labels).statistic, abs=1e-12)


def test_no_untied_order_beats_the_ceiling() -> None:
    labels = [0, 0, 0.5, 1, 1, 1]
    reached = max(stats.spearmanr(order, labels).statistic for order in itertools.permutations(range(6)))
    assert spearman_ceiling(labels) == pytest.approx(reached, abs=1e-12)


def test_ceiling_of_two_labels_has_the_closed_form() -> None:
    n, ones = 1000, 180
    p = ones / n
    expected = math.sqrt(3 * p * (1 - p)) * n / math.sqrt(n**2 - 1)
    assert spearman_ceiling([1] * ones + [0] * (n - ones)) == pytest.approx(expected, abs=1e-14)


def test_spearman_of_two_labels_is_a_rescaled_auc() -> None:
    labels = (RNG.random(300) < 0.3).astype(float)
    scores = labels + RNG.normal(size=300)
    expected = spearman_ceiling(labels) * (2 * concordance(scores, labels) - 1)
    assert spearman(scores, labels) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", [spearman, pearson, concordance])
def test_undefined_metrics_are_errors(metric) -> None:
    with pytest.raises(ValueError, match="undefined: all 3 labels equal 1"):
        metric([1, 2, 3], [1, 1, 1])
    with pytest.raises(ValueError, match=r"labels must be finite.*labels\[1\] = nan"):
        metric([1, 2, 3], [1, np.nan, 1])
    with pytest.raises(ValueError, match=r"scores must be finite.*scores\[2\] = inf"):
        metric([1, 2, np.inf], [1, 0, 1])
    with pytest.raises(ValueError, match=r"one shape \[n\], got \(2,\) and \(3,\)"):
        metric([1, 2], [1, 0, 1])


@pytest.mark.parametrize("metric", [spearman, pearson])
def test_correlations_with_constant_scores_are_errors(metric) -> None:
    with pytest.raises(ValueError, match="undefined: all 3 scores equal 2"):
        metric([2, 2, 2], [1, 0, 1])


def test_concordance_of_two_rows() -> None:
    assert [concordance(scores, [0, 1]) for scores in ([1, 2], [2, 1], [3, 3])] == [1, 0, 0.5]


def test_average_precision_by_hand_ties_called_together() -> None:
    # 0.9 | 0.7 0.7 0.7 | 0.2: recall rises at 0.9 (1 of 3, precision 1) and at 0.7 (3 of 3, precision 3/4)
    assert average_precision([0.9, 0.7, 0.7, 0.7, 0.2], [1, 1, 0, 1, 0]) == pytest.approx(1 / 3 + 2 / 3 * 3 / 4)
    assert average_precision([1, 1, 1, 1], [1, 0, 0, 0]) == 0.25  # all tied: the share of ones


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_the_sum_over_cuts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, scores = np.array([0, 1, *rng.integers(0, 2, 60)]), rng.integers(-9, 9, 62) / 7
    area, reached = 0.0, 0.0
    for cut in sorted(set(scores), reverse=True):
        called = scores >= cut
        recall = labels[called].sum() / labels.sum()
        area, reached = area + (recall - reached) * labels[called].mean(), recall
    assert average_precision(scores, labels) == pytest.approx(area, abs=1e-14)
    assert score_metrics(scores, labels)["average_precision"] == average_precision(scores, labels)


def test_average_precision_is_for_two_labels() -> None:
    assert "average_precision" not in score_metrics([1, 2, 3], [0, 0.5, 1])
    with pytest.raises(ValueError, match="average precision needs labels 0 and 1"):
        average_precision([1, 2, 3], [0, 0.5, 1])
    with pytest.raises(ValueError, match="undefined: all 2 labels equal 0"):
        average_precision([1, 2], [0, 0])


@pytest.mark.parametrize("size", [1.7e308, 1e200, 1e-200, 5e-324])
def test_pearson_of_numbers_at_the_ends_of_float64(size: float) -> None:
    assert pearson([size, -size, 0.0], [0, 1, 2]) == pytest.approx(-0.5)
    assert pearson([0, 1, 2], [size, -size, 0.0]) == pytest.approx(-0.5)
