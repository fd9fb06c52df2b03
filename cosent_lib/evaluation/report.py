"""What in a set of pairs decides how to train and evaluate on it: ties, repetitions, contradictions, overlaps."""

import math
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from cosent_lib.data.columns import PairColumns, Pairs, pair_columns
from cosent_lib.evaluation.metrics import UndefinedMetric, spearman_ceiling

BATCH = 64  # for which the share of batches without order is told


class Summary(NamedTuple):
    """Counts of one split. Texts are compared as they are, the two of a pair in either order.

    Attributes:
        labels: label in [0, 1] -> rows.
        ceiling: largest Spearman that untied scores can reach; None where all labels are equal.
        tied: share of the pairs of rows with equal labels, which demand no order.
        repeated: rows whose two texts stood together in an earlier row.
        contradictory: pairs of texts that carry more than one label.
    """

    labels: Counter[float]
    ceiling: float | None
    tied: float
    repeated: int
    contradictory: int

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.labels.total()


class Overlap(NamedTuple):
    """What two splits share: pairs of texts, and the share of the second's sentences that stand in the first."""

    pairs: int
    sentences: float


def summarise(pairs: Pairs) -> Summary:
    """Counts of what stands in the rows, of which there must be at least one."""
    columns = pair_columns(pairs)
    labels = Counter(columns.labels.tolist())
    by_pair: dict[tuple[str, str], set[float]] = {}
    for pair, score in zip(_texts(columns), columns.labels.tolist(), strict=True):
        by_pair.setdefault(pair, set()).add(score)
    try:
        ceiling = spearman_ceiling(columns.labels)
    except UndefinedMetric:
        ceiling = None
    rows = labels.total()
    tied = sum(math.comb(count, 2) for count in labels.values()) / max(math.comb(rows, 2), 1)
    contradictory = sum(len(scores) > 1 for scores in by_pair.values())
    return Summary(labels, ceiling, tied, rows - len(by_pair), contradictory)


def overlap(first: Pairs, second: Pairs) -> Overlap:
    """What the second set of pairs shares with the first."""
    sides = pair_columns(first), pair_columns(second)
    known, asked = ({*columns.first, *columns.second} for columns in sides)
    before, after = ({*_texts(columns)} for columns in sides)
    return Overlap(len(before & after), len(known & asked) / len(asked))


def share_without_order(labels: Counter[float], batch: int = BATCH) -> float:
    """The probability that a batch drawn without replacement holds one label only; exact."""
    size = min(batch, labels.total())
    return sum(math.comb(count, size) for count in labels.values()) / math.comb(labels.total(), size)


def advice(summary: Summary) -> list[str]:
    """Say what the counts mean for training and evaluating, a sentence each."""
    if summary.ceiling is None:
        return [f"All {summary.rows} labels are equal: they demand no order, and no loss can learn one from them."]
    said = []
    if set(summary.labels) == {0, 1}:
        ones = summary.labels[1] / summary.rows
        said.append(
            f"{100 * ones:.1f} % of the labels are 1: always giving the more frequent label is right in "
            f"{100 * max(ones, 1 - ones):.1f} %, so compare accuracy with that."
        )
    if summary.tied:
        said.append(
            f"Untied scores reach a Spearman of {summary.ceiling:.3f} at most, because labels tie: compare with that, "
            "not with 1."
        )
    without = share_without_order(summary.labels)
    said.append(f"Of random batches of {BATCH}, {100 * without:.1f} % hold one label only and teach no order.")
    if without > 0.01:
        said[-1] += ' Take larger batches, or batches="levels" (--batches levels), which mixes the labels.'
    if summary.contradictory:
        said.append(f"Pairs of texts with more than one label: {summary.contradictory}. No score can satisfy both.")
    if summary.repeated:
        said.append(f"Rows that repeat the texts of an earlier row: {summary.repeated}. They count twice.")
    return said


def distinct_pairs(columns: PairColumns, key: Callable[[str], str]) -> set[tuple[str, str]]:
    """The different pairs of texts, the two of a pair in a fixed order; texts with equal ``key`` count as equal."""
    keys = {text: key(text) for text in dict.fromkeys([*columns.first, *columns.second])}
    first, second = ([keys[text] for text in texts] for texts in columns[:2])
    return {*_texts(columns._replace(first=first, second=second))}


def _texts(columns: PairColumns) -> list[tuple[str, str]]:
    """Each row's two texts in a fixed order."""
    return [(a, b) if a <= b else (b, a) for a, b in zip(columns.first, columns.second, strict=True)]
