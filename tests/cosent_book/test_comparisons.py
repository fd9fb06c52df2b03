"""Comparisons of losses: the differences and p-values are those of scipy and of the book's tables."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cosent_book.comparisons import compare
from cosent_book.tables import holm


def runs(**scores: list[float]) -> pd.DataFrame:
    lines = [
        {"task": "t", "row": name, "seed": seed, "test_spearman": value}
        for name, values in scores.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(lines)


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
