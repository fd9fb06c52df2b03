"""Means over seeds and differences between losses, with intervals, and a p that knows how many were made."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats


def mean_interval(values: ArrayLike) -> tuple[float, float]:
    """Mean of independent runs and the half-width of its 95 % t-interval (NaN for a single run).

    Args:
        values: ``[n]``, one a run.

    Raises:
        ValueError: no value, or one that is not finite.

    Example:
        >>> mean, half = mean_interval([0.5, 0.75, 1.0])
        >>> print(f"{mean:.2f} ± {half:.2f}")
        0.75 ± 0.62
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0 or not np.isfinite(sample).all():
        raise ValueError(f"expected a list of finite numbers, at least one; got {values!r}")
    if sample.size == 1:
        return float(sample[0]), math.nan
    spread = sample.std(ddof=1) / math.sqrt(sample.size)
    return float(sample.mean()), float(stats.t.ppf(0.975, sample.size - 1) * spread)


def holm(values: Sequence[float]) -> list[float]:
    """The p-values adjusted for their number by the step-down method of Holm (1979), in the order given.

    Example:
        >>> holm([0.03, 0.5, 0.01])
        [0.06, 0.5, 0.03]
    """
    order = np.argsort(values)
    adjusted = np.maximum.accumulate([min(1.0, (len(values) - rank) * values[i]) for rank, i in enumerate(order)])
    return [float(p) for _, p in sorted(zip(order.tolist(), adjusted, strict=True))]


def compare(frame: pd.DataFrame, base: str, *, within: str = "task", score: str = "test_spearman") -> pd.DataFrame:
    """Each row's differences from the row ``base``, within each task, over the seeds that both have.

    Args:
        frame: one line a run, as from `cosent_book.frames.frame`, with the columns ``row``, ``within``, ``seed`` and
            ``score``.
        base: the row that the others are compared with.
        within: the column that says where: nothing is compared across its values.
        score: the column of the numbers.

    Returns:
        pd.DataFrame: columns ``within``, ``row``, ``difference`` (mean over seeds), ``half_width`` of its 95 %
        t-interval, ``p`` of a paired t-test adjusted by Holm (1979) for the rows compared in the same place, and
        ``seeds``. With one common seed half width and p are NaN. Rows keep their order.

    Raises:
        ValueError: ``base`` has no run in one of the places, or a row has two runs with one seed.
    """
    found = []
    for place, runs in frame.groupby(within, sort=False):
        scores = {name: _by_seed(group, score) for name, group in runs.groupby("row", sort=False)}
        if base not in scores:
            raise ValueError(f"{place} has no run of {base!r}, only of: {', '.join(map(str, scores))}")
        lines = [_difference(values, scores[base]) for name, values in scores.items() if name != base]
        names = [name for name in scores if name != base]
        tested = [i for i, line in enumerate(lines) if not math.isnan(line["p"])]
        for i, p in zip(tested, holm([lines[i]["p"] for i in tested]), strict=True):
            lines[i]["p"] = p
        found += [{within: place, "row": name, **line} for name, line in zip(names, lines, strict=True)]
    return pd.DataFrame(found)


def _by_seed(runs: pd.DataFrame, score: str) -> pd.Series:
    if runs["seed"].duplicated().any():
        raise ValueError(f"two runs of one row have the same seed: {sorted(runs['seed'])}")
    return runs.set_index("seed")[score]


def _difference(values: pd.Series, base: pd.Series) -> dict[str, float]:
    both = (values - base).dropna().to_numpy()
    if both.size == 0:
        return {"difference": math.nan, "half_width": math.nan, "p": math.nan, "seeds": 0}
    mean, half = mean_interval(both)
    constant = both.size < 2 or np.ptp(both) == 0
    p = math.nan if constant else float(stats.ttest_1samp(both, 0).pvalue)
    return {"difference": mean, "half_width": half, "p": p, "seeds": int(both.size)}
