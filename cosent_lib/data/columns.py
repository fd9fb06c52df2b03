"""Pairs as three checked columns, whatever they came in."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cosent_lib.texts import check_text, fault_of

# a datasets.Dataset, a pandas DataFrame or a mapping, with the columns sentence1, sentence2, score
Pairs: TypeAlias = Any
COLUMNS = ("sentence1", "sentence2", "score")
QUERY = "query"  # a column that pairs may have besides: only pairs of one query are compared
Columns: TypeAlias = dict[str, list[Any]]  # pairs as plain lists, while they are made


class PairColumns(NamedTuple):
    """The three columns of a set of pairs, checked: texts ``[n]``, texts ``[n]``, labels float64 ``[n]``."""

    first: list[str]
    second: list[str]
    labels: NDArray[np.float64]


def pair_columns(pairs: Pairs, what: str = "pairs", unit: bool = True) -> PairColumns:
    """The columns ``sentence1``, ``sentence2``, ``score`` of ``pairs``, checked.

    Args:
        pairs: a ``datasets.Dataset``, a pandas DataFrame or a mapping of columns.
        what: the name used for it in error messages.
        unit: whether labels lie in [0, 1], to which ``load_pairs`` scales; else they are any finite numbers.

    Raises:
        ValueError: a column is missing, there are no rows or columns differ in length, a text is none (`fault_of`), a
            label is no such number.
    """
    names = list(pairs.column_names if hasattr(pairs, "column_names") else pairs.keys())
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise ValueError(f"{what}: column {', '.join(missing)} is missing; expected {', '.join(COLUMNS)}, got {names}")
    for name in COLUMNS:
        if isinstance(pairs[name], str):
            raise ValueError(f"{what}: column {name} is one string ({pairs[name][:40]!r}); expected a list")
    # [:] has datasets hand over a column at once; row by row takes longer than a short training
    first, second, scores = (list(pairs[name][:]) for name in COLUMNS)
    labels = _labels(scores, what, unit)
    if not first:
        raise ValueError(f"{what}: there are no rows")
    if not len(first) == len(second) == labels.size:
        raise ValueError(f"{what}: columns of {len(first)}, {len(second)} and {labels.size} rows")
    for name, texts in (("sentence1", first), ("sentence2", second)):
        for row, text in enumerate(texts):
            if fault_of(name, text):
                check_text(f"{what}: {name} of row {row}", text)
    return PairColumns(first, second, labels)


def query_column(pairs: Pairs, what: str = "pairs") -> NDArray[np.int64] | None:
    """The number of each pair's query, int64 ``[n]``, from the column ``query``; None where there is none.

    Raises:
        ValueError: a query is missing (None, NaN or empty): such a pair belongs to none.
    """
    names = list(pairs.column_names if hasattr(pairs, "column_names") else pairs.keys())
    if QUERY not in names:
        return None
    numbers: dict[Any, int] = {}
    found = []
    for row, query in enumerate(pairs[QUERY][:]):
        if query is None or query != query or query == "":
            raise ValueError(f"{what}: query of row {row} is {query!r}; expected what names its query, for every pair")
        found.append(numbers.setdefault(query, len(numbers)))
    return np.array(found, dtype=np.int64)


def _labels(values: Sequence[Any], what: str, unit: bool) -> NDArray[np.float64]:
    try:
        labels = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what}: score is not a column of numbers ({error})") from error
    outside = np.flatnonzero(~((labels >= 0) & (labels <= 1) if unit else np.isfinite(labels)))  # NaN as well
    if outside.size and not unit:
        raise ValueError(f"{what}: score must be finite, but row {outside[0]} has {labels[outside[0]]}")
    if outside.size:
        raise ValueError(
            f"{what}: score must lie in [0, 1], but row {outside[0]} has {labels[outside[0]]} ({outside.size} such "
            f"rows; {_reach(labels)}): scale them, or load them with load_pairs(…, score_range=(lowest, highest)), on "
            "the command line --score-range"
        )
    return labels


def _reach(labels: NDArray[np.float64]) -> str:
    finite = labels[np.isfinite(labels)]
    return f"labels reach from {finite.min():g} to {finite.max():g}" if finite.size else "none is finite"
