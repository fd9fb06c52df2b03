"""Bootstrap intervals against drawing by hand."""

import numpy as np
import pytest

from cosent_lib.evaluation.intervals import bootstrap_difference, bootstrap_interval
from cosent_lib.evaluation.metrics import (
    pearson,
    spearman,
)

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("metric", [pearson, spearman])
def test_bootstrap_is_the_percentile_interval_of_rows_drawn_together(metric) -> None:
    x = RNG.normal(size=60)
    y = x + RNG.normal(size=60)
    found = bootstrap_interval(x, y, metric, resamples=300, confidence=0.9, seed=5)
    generator = np.random.default_rng(5)
    drawn = [generator.integers(0, 60, 60) for _ in range(300)]
    low, high = np.quantile([metric(x[rows], y[rows]) for rows in drawn], [0.05, 0.95])
    assert found == pytest.approx((metric(x, y), low, high), abs=1e-12)


def test_bootstrap_difference_is_paired() -> None:
    labels = (RNG.random(400) < 0.5).astype(float)
    good = labels + RNG.normal(size=400)
    shifted = bootstrap_difference(good, 2 * good + 1, labels, spearman, resamples=50)
    assert shifted == pytest.approx((0, 0, 0), abs=1e-12)  # same order in every resample
    worse = good + 0.7 * RNG.normal(size=400)
    paired = bootstrap_difference(good, worse, labels, spearman, resamples=200)
    alone = bootstrap_interval(good, labels, spearman, resamples=200)
    assert paired.estimate == pytest.approx(spearman(good, labels) - spearman(worse, labels), abs=1e-12)
    assert paired.high - paired.low < alone.high - alone.low


def test_bootstrap_refuses_bad_arguments() -> None:
    with pytest.raises(ValueError, match="at least two rows, got 1"):
        bootstrap_interval([1], [1], pearson)
    with pytest.raises(ValueError, match=r"confidence in \(0, 1\), got 10 and 95"):
        bootstrap_interval([1, 2], [1, 2], pearson, resamples=10, confidence=95)
    with pytest.raises(ValueError, match="columns of one shape"):
        bootstrap_interval([1, 2, 3], [1, 2], pearson)
    with pytest.raises(ValueError, match="undefined: all 2 labels"):
        bootstrap_interval([1, 2], [0, 1], pearson, resamples=50)
