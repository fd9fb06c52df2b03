"""Labels changed in their meaning, not by chance: fewer grades, grades in another order, pairs that have a query.

What is declared here may hold for validation pairs too: who has coarse labels has no finer ones to choose by. Test
pairs are never changed. The changes draw nothing and stand beside those of `cosent_book.alterations`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cosent_lib.data.columns import COLUMNS, QUERY
from cosent_lib.errors import check_number

if TYPE_CHECKING:  # a second of import
    from datasets import Dataset

RELABELS = ("levels", "places", "validation_places", "query")
"""The changes that `relabelled` makes."""


def relabelled(splits: Mapping[str, Dataset], changes: Mapping[str, Any]) -> dict[str, Dataset]:
    """The splits with the labels of train and validation as ``changes`` ask; any of them, others are passed over.

    - ``levels``: so many, equally far apart: each label of train and validation goes to the nearest (halves up, as
      Sentence-BERT's classes do);
    - ``places``: for the labels that occur in train, from the lowest to the highest, a whole number each, which says
      where they stand: ``[1, 0, 2]`` puts the second below the first, ``[0, 0, 1]`` makes one of two;
    - ``validation_places``: the same for validation;
    - ``query``: ``"sentence1"`` or ``"sentence2"``: train has a column ``query`` with this text, so that a loss of
      order compares only pairs that share it.

    Raises:
        ValueError: a value out of its range, or one that the labels do not allow.
    """
    changed = dict(splits)
    if "levels" in changes:
        count = changes["levels"]
        check_number("levels", count, "a whole number of at least 2", 2, math.inf, whole=True)
        for name in ("train", "validation"):
            changed[name] = _with_labels(splits[name], nearest(splits[name]["score"][:], count))
    for key, name in (("places", "train"), ("validation_places", "validation")):
        if key in changes:
            changed[name] = _with_labels(changed[name], _placed(changed[name]["score"][:], changes[key], key))
    if "query" in changes:
        column = changes["query"]
        if column not in COLUMNS[:2]:
            raise ValueError(f"query must be sentence1 or sentence2, got {column!r}")
        changed["train"] = changed["train"].add_column(QUERY, changed["train"][column][:])
    return changed


def nearest(labels: Sequence[float], count: int) -> list[float]:
    """Each label moved to the nearest of ``count`` levels from 0 to 1, halves up.

    Example:
        >>> nearest([0.0, 0.2, 0.4, 0.5, 1.0], 3)
        [0.0, 0.0, 0.5, 0.5, 1.0]
    """
    steps = count - 1
    return [math.floor(label * steps + 0.5) / steps for label in labels]


def _placed(labels: Sequence[float], places: Sequence[int], name: str) -> list[float]:
    known = np.unique(labels)
    if len(places) != known.size or min(places) != 0 or max(places) == 0:
        raise ValueError(f"{name} must hold a place for each of {known.size} labels, the lowest 0, got {places}")
    return [places[at] / max(places) for at in np.searchsorted(known, labels)]


def _with_labels(pairs: Dataset, labels: list[float]) -> Dataset:
    columns = {name: pairs[name][:] for name in pairs.column_names} | {"score": labels}
    return type(pairs).from_dict(columns, features=pairs.features, info=pairs.info)
