"""Means, intervals and comparisons: the numbers are those of scipy."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cosent_book.comparisons import compare, holm, mean_interval


def runs(**scores: list[float]) -> pd.DataFrame:
    lines = [
        {"task": "t", "row": name, "seed": seed, "test_spearman": value}
        for name, values in scores.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(lines)


def test_mean_interval_is_students() -> None:
    values = [0.70, 0.72, 0.69, 0.75, 0.71]
    mean, half = mean_interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mean - half, mean + half) == pytest.approx(tuple(expected))


def test_mean_interval_of_one_run_is_unknown() -> None:
    mean, half = mean_interval([0.5])
    assert mean == 0.5
    assert np.isnan(half)


@pytest.mark.parametrize("values", [[], [0.1, np.nan], [[0.1]]])
def test_mean_interval_refuses(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite numbers"):
        mean_interval(values)


def test_holm_by_hand() -> None:
    # sorted: 0.01·4, max(0.04, 0.02·3), 0.03·2 -> kept at 0.06, 0.5·1
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_differences_over_common_seeds_by_hand() -> None:
    frame = runs(base=[0.1, 0.2, 0.3], other=[0.2, 0.4, 0.6, 0.9])
    (line,) = compare(frame, "base").to_dict("records")
    assert (line["row"], line["seeds"]) == ("other", 3)
    assert line["difference"] == pytest.approx(0.2)
    assert line["half_width"] == pytest.approx(stats.t.ppf(0.975, 2) * 0.1 / math.sqrt(3))


def test_p_is_that_of_a_paired_test_adjusted_within_the_task() -> None:
    generator = np.random.default_rng(0)
    base, a, b = generator.normal(size=(3, 5)) + np.array([[0], [0.5], [2]])
    compared = compare(runs(base=list(base), a=list(a), b=list(b)), "base").set_index("row")
    raw = [stats.ttest_rel(a, base).pvalue, stats.ttest_rel(b, base).pvalue]
    assert compared.loc[["a", "b"], "p"].tolist() == pytest.approx(holm(raw))
    alone = compare(runs(base=list(base), a=list(a)), "base")
    assert alone["p"].item() == pytest.approx(raw[0])


def test_tasks_are_compared_apart() -> None:
    first, second = runs(base=[0.0, 0.1], a=[1.0, 1.2]), runs(base=[0.0, 0.1], a=[2.0, 2.2])
    frame = pd.concat([first, second.assign(task="u")])
    assert compare(frame, "base").set_index("task")["difference"].to_dict() == pytest.approx({"t": 1.05, "u": 2.05})


def test_one_seed_has_a_difference_and_no_interval() -> None:
    (line,) = compare(runs(base=[0.5], a=[0.75]), "base").to_dict("records")
    assert line["difference"] == 0.25
    assert math.isnan(line["half_width"])
    assert math.isnan(line["p"])


def test_without_the_base_or_with_a_seed_twice() -> None:
    with pytest.raises(ValueError, match="has no run of 'x', only of: base"):
        compare(runs(base=[0.5]), "x")
    with pytest.raises(ValueError, match="same seed"):
        compare(pd.concat([runs(base=[0.5], a=[0.1]), runs(a=[0.2])]), "base")
