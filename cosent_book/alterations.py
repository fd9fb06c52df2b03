"""Training pairs changed on purpose: fewer, with random negatives, a third level, two levels only, or wrong labels.

For experiments that ask what a loss owes to its data. Validation and test pairs are never changed, but `leaked` lets
some of them into the training pairs, which is a mistake made to be seen, and `judged_on_fewer` leaves some of them out.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cosent_lib.data.columns import COLUMNS, Columns
from cosent_lib.errors import check_number

if TYPE_CHECKING:  # a second of import
    from datasets import Dataset


def altered(pairs: Dataset, changes: Mapping[str, Any], seed: int) -> Dataset:
    """The pairs with the changes made, always in the order of this list; without changes ``pairs`` itself.

    - ``take``: that many rows, drawn without replacement;
    - ``binarise``: labels above this number become 1, all others 0;
    - ``negatives``: ``"random"``: each negative's second sentence becomes one drawn from all second sentences (labels
      must be 0 and 1), so that its words need not resemble the first one's;
    - ``random``: for each pair so many random ones are added, which makes a third level below the two: random pairs
      are labelled 0, and a label y becomes (1 + y)/2;
    - ``flip``: each label y becomes 1 − y with this probability.

    Args:
        pairs: columns ``sentence1``, ``sentence2``, ``score`` in [0, 1].
        changes: some of the names above.
        seed: of the draws; each change has a stream of its own, so that adding one leaves the others' draws alone.

    Raises:
        ValueError: an unknown change, a value out of its range, or pairs that it does not apply to.

    Example:
        >>> from datasets import Dataset
        >>> pairs = Dataset.from_dict({"sentence1": ["a"], "sentence2": ["b"], "score": [1.0]})
        >>> altered(pairs, {"flip": 1}, seed=0)["score"][:]
        [0.0]
    """
    unknown = sorted(set(changes) - set(CHANGES))
    if unknown:
        raise ValueError(f"unknown change of the training pairs {unknown[0]!r}, expected some of: {', '.join(CHANGES)}")
    if not changes:
        return pairs
    columns: Columns = {name: list(pairs[name][:]) for name in COLUMNS}
    for number, (name, change) in enumerate(CHANGES.items()):
        if name in changes:
            columns = change(columns, changes[name], np.random.default_rng([seed, number]))
    return type(pairs).from_dict(columns, features=pairs.features, info=pairs.info)


LEAKS = {"leak_validation": "validation", "leak_test": "test"}
"""Changes that copy so many pairs of a held-back split into the training pairs: name → split."""


def leaked(splits: Mapping[str, Dataset], changes: Mapping[str, Any], seed: int) -> dict[str, Dataset]:
    """The splits, with pairs of validation and test copied into train as ``changes`` ask (`LEAKS`).

    The pairs are drawn without replacement. With ``leak_test`` there is a further split ``test_unseen``: the test pairs
    that were not drawn. Without such a change the splits stay as they are.

    Raises:
        ValueError: a count out of range, or a split that is not there.
    """
    from datasets import concatenate_datasets

    mixed = dict(splits)
    for number, (name, split) in enumerate(LEAKS.items()):
        if name not in changes:
            continue
        if split not in splits:
            raise ValueError(f"{name} needs the {split} split, and the run does not load it")
        pairs, count = splits[split], changes[name]
        most = len(pairs) - 1
        check_number(name, count, f"a whole number from 1 to {most}", 1, most, whole=True)
        order = np.random.default_rng([seed, len(CHANGES) + number]).permutation(len(pairs))
        together = concatenate_datasets([mixed["train"], pairs.select(order[:count])])
        mixed["train"] = type(pairs).from_dict(together[:], features=pairs.features, info=mixed["train"].info)
        if split == "test":
            rest = pairs.select(np.sort(order[count:]))
            mixed["test_unseen"] = type(pairs).from_dict(rest[:], features=pairs.features, info=pairs.info)
    return mixed


FEWER = {"take_validation": "validation", "take_test": "test"}
"""Changes that judge on so many pairs of a held-back split alone, where the encoder is slow: name → split."""


def judged_on_fewer(splits: Mapping[str, Dataset], changes: Mapping[str, Any]) -> dict[str, Dataset]:
    """The splits, with validation and test cut down as ``changes`` ask (`FEWER`): the same pairs for every seed.

    The pairs are drawn without replacement and keep their order; a split that is not loaded is not missed.

    Raises:
        ValueError: a count out of range.
    """
    fewer = dict(splits)
    for number, (name, split) in enumerate(FEWER.items()):
        if name not in changes or split not in splits:
            continue
        pairs, count = splits[split], changes[name]
        check_number(name, count, f"a whole number from 2 to {len(pairs)}", 2, len(pairs), whole=True)
        kept = np.sort(np.random.default_rng([0, len(CHANGES) + len(LEAKS) + number]).permutation(len(pairs))[:count])
        fewer[split] = type(pairs).from_dict(pairs.select(kept)[:], features=pairs.features, info=pairs.info)
    return fewer


def _take(columns: Columns, count: Any, rng: np.random.Generator) -> Columns:
    rows = len(columns["score"])
    expected = f"a whole number from 1 to {rows}, the number of training pairs"
    check_number("take", count, expected, 1, rows, whole=True)
    kept = rng.permutation(rows)[:count]
    return {name: [values[row] for row in kept] for name, values in columns.items()}


def _binarise(columns: Columns, cut: Any, rng: np.random.Generator) -> Columns:
    check_number("binarise", cut, "a number from 0 to 1", 0, 1)
    ones = [float(label > cut) for label in columns["score"]]
    if len(set(ones)) == 1:
        raise ValueError(f"binarise={cut} leaves one level: all {len(ones)} labels fall on one side")
    return columns | {"score": ones}


def _random_negatives(columns: Columns, kind: Any, rng: np.random.Generator) -> Columns:
    if kind != "random":
        raise ValueError(f"negatives must be 'random', got {kind!r}")
    odd = sorted(set(columns["score"]) - {0.0, 1.0})
    if odd:
        raise ValueError(f"negatives='random' needs labels 0 and 1, and there is {odd[0]:g}; binarise them first")
    rows = [row for row, label in enumerate(columns["score"]) if label == 0]
    second = list(columns["sentence2"])
    for row, text in zip(rows, _partners(columns, rows, rng), strict=True):
        second[row] = text
    return columns | {"sentence2": second}


def _random_level(columns: Columns, per_pair: Any, rng: np.random.Generator) -> Columns:
    count = len(columns["score"])
    expected = "a positive number of random pairs for each pair"
    check_number("random", per_pair, expected, math.ulp(0), sys.float_info.max)
    rows = rng.integers(count, size=round(per_pair * count)).tolist()
    return {
        "sentence1": columns["sentence1"] + [columns["sentence1"][row] for row in rows],
        "sentence2": columns["sentence2"] + _partners(columns, rows, rng),
        "score": [(1 + label) / 2 for label in columns["score"]] + [0.0] * len(rows),
    }


def _flip(columns: Columns, rate: Any, rng: np.random.Generator) -> Columns:
    check_number("flip", rate, "a number from 0 to 1", 0, 1)
    wrong = rng.random(len(columns["score"])) < rate
    return columns | {"score": [1 - y if turn else y for y, turn in zip(columns["score"], wrong, strict=True)]}


CHANGES: dict[str, Callable[[Columns, Any, np.random.Generator], Columns]] = {
    "take": _take, "binarise": _binarise, "negatives": _random_negatives, "random": _random_level, "flip": _flip
}  # fmt: skip


def _partners(columns: Columns, rows: list[int], rng: np.random.Generator) -> list[str]:
    """For each row a second sentence of any other pair that is neither its own two texts."""
    first, second = columns["sentence1"], columns["sentence2"]
    partners = []
    for row in rows:
        own = (first[row], second[row])
        for _ in range(1000):
            text = second[int(rng.integers(len(second)))]
            if text not in own:
                break
        else:
            raise ValueError(f"no second sentence but {own[1]!r} was found among {len(second)} pairs to draw from")
        partners.append(text)
    return partners
