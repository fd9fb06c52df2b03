"""Which rows a batch holds: all of them once an epoch, each level its share."""

import math
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from training_kit import (
    PAIRS,
    TinyEncoder,
)

from cosent_lib.training.batches import Batch, Batches, strata


def test_every_epoch_is_another_order_of_all_rows() -> None:
    batches = Batches(TinyEncoder(), PAIRS, 16, seed=3)
    epochs = [[row for step in range(1, 14) for row in batches.at(13 * epoch + step)[0].rows] for epoch in range(3)]
    assert all(sorted(rows) == list(range(200)) for rows in epochs)
    assert len({tuple(rows) for rows in epochs}) == 3
    assert Batches(TinyEncoder(), PAIRS, 16, seed=3).at(30)[0][:3] == batches.at(30)[0][:3]  # entered without replaying
    assert Batches(TinyEncoder(), PAIRS, 16, seed=4).at(30)[0].rows != batches.at(30)[0].rows
    (batch,) = batches.at(30)
    assert batch.labels.tolist() == [PAIRS["score"][row] for row in batch.rows]


def dealt(labels: Any, batch_size: int, epoch: int = 0, seed: int = 0) -> list[Batch]:
    texts = [f"text {number}" for number in range(len(labels))]
    pairs = {"sentence1": texts, "sentence2": texts, "score": list(labels)}
    batches = Batches(TinyEncoder(), pairs, batch_size, seed, kind="levels")
    return [batches.at(epoch * batches.per_epoch + step)[0] for step in range(1, batches.per_epoch + 1)]


@settings(deadline=None, max_examples=150)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=80), st.integers(2, 20), st.integers(0, 3))
def test_each_batch_has_its_share_of_every_level(grades: list[int], batch_size: int, epoch: int) -> None:
    labels = np.array(grades) / 3
    batches = dealt(labels, batch_size, epoch)
    count = math.ceil(len(labels) / batch_size)
    assert len(batches) == count
    assert sorted(row for batch in batches for row in batch.rows) == list(range(len(labels)))
    for level in np.unique(labels):
        share = (labels == level).sum() / count
        held = [int((labels[batch.rows] == level).sum()) for batch in batches]
        assert {*held} <= {math.floor(share), math.ceil(share)}
    several = sum(len(np.unique(labels[batch.rows])) > 1 for batch in batches)
    large = sum(len(batch.rows) > 1 for batch in batches)
    others = len(labels) - np.unique(labels, return_counts=True)[1].max()
    assert several >= min(large, others)  # no order of the rows could give more than one batch a rare pair


def test_graded_labels_are_spread_by_quantiles() -> None:
    labels = np.random.default_rng(0).random(1000) ** 3
    companions = []
    for epoch in (0, 1):
        batches = dealt(labels, 64, epoch)
        assert {len(batch.rows) for batch in batches} == {62, 63}
        edges = np.quantile(labels, np.linspace(0, 1, 17))
        for batch in batches:
            held, _ = np.histogram(labels[batch.rows], edges)
            assert held.min() >= 2  # of 64 pairs, about 4 in each sixteenth
        companions.append({frozenset(batch.rows) for batch in batches})
    assert not companions[0] & companions[1]  # another epoch, other batches


def test_many_levels_become_quantiles_that_keep_equal_labels_together() -> None:
    labels = np.array([0.0] * 50 + [number / 100 for number in range(1, 51)])
    groups = strata(labels, batch_size=32)
    assert set(groups[:50]) == {0}  # the largest first
    assert len(set(groups)) == 5  # of eight quantiles, the equal labels fill three and a half
    assert (np.diff(groups[50:]) >= 0).all()


def test_dealt_batches_are_a_function_of_seed_and_step() -> None:
    labels = PAIRS["score"]
    assert [b.rows for b in dealt(labels, 16, 1)] == [b.rows for b in dealt(labels, 16, 1)]
    assert [b.rows for b in dealt(labels, 16, 1)] != [b.rows for b in dealt(labels, 16, 2)]
    assert [b.rows for b in dealt(labels, 16, 1)] != [b.rows for b in dealt(labels, 16, 1, seed=1)]
