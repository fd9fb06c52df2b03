"""What training says in a warning: levels that become one class, batches that taught nothing."""

import warnings
from collections.abc import Mapping
from typing import Any

import pytest
from training_kit import PAIRS, TinyEncoder, make_pairs, quiet

from cosent_lib.losses.make import make_loss
from cosent_lib.training.train import train


def warned(levels: list[float], loss: str = "sbert", **options: Any) -> list[str]:
    """The warnings of a short run on pairs whose labels have these levels."""
    pairs = dict(PAIRS, score=[levels[row % len(levels)] for row in range(len(PAIRS["score"]))])
    return said(pairs, loss, options, max_steps=1)


def said(pairs: Mapping[str, list], loss: str, options: Mapping[str, Any], **settings: Any) -> list[str]:
    encoder = TinyEncoder()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(encoder, make_loss(loss, encoder, **options), pairs, quiet(**settings))
    assert {each.filename for each in caught} <= {__file__}
    return [str(each.message) for each in caught]


@pytest.mark.parametrize(
    ("levels", "options", "message"),
    [
        ([0, 0.5, 1], {}, "3 levels, SoftmaxLoss has 2 classes: 0.5 and 1 become one. num_labels=3 has a class for"),
        ([0, 1 / 3, 2 / 3, 1], {}, "4 levels, SoftmaxLoss has 2 classes: 0 and 0.3333 become one; 0.6667 and 1 become "
         "one. num_labels=4 has a class for"),
        ([0, 0.1, 1], {"num_labels": 3}, "0 and 0.1 become one. num_labels=6 has a class for"),
        ([number / 200 for number in range(200)], {"num_labels": 4}, "200 levels, SoftmaxLoss has 4 classes: the 34 "
         "from 0 to 0.165 become one; the 66 from 0.17 to 0.495"),
        ([0.6, 0.7], {}, "2 levels, SoftmaxLoss has 2 classes: 0.6 and 0.7 become one. num_labels=5 has a class for"),
    ],
)  # fmt: skip
def test_levels_that_become_one_class_are_named(levels: list[float], options: dict[str, Any], message: str) -> None:
    (found,) = warned(levels, **options)
    assert found.startswith("the training labels have ")
    assert message in found


def test_the_classifier_of_a_sum_is_looked_at_too() -> None:
    (found,) = warned([0, 0.5, 1], "cosine_squared+sbert")
    assert "0.5 and 1 become one" in found
    assert warned([0, 0.5, 1], "cosine_squared+sbert", sbert_num_labels=3) == []


@pytest.mark.parametrize(
    ("levels", "loss", "options"),
    [([0, 1], "sbert", {}), ([0, 0.5, 1], "sbert", {"num_labels": 3}), ([0, 1], "sbert", {"num_labels": 3}),
     ([0, 0.5, 1], "cosine_squared", {})],
)  # fmt: skip
def test_a_class_for_each_level_is_not_spoken_of(levels: list[float], loss: str, options: dict[str, Any]) -> None:
    assert warned(levels, loss, **options) == []


def test_the_advice_keeps_the_levels_apart() -> None:
    (found,) = warned([0, 0.1, 0.5, 1])
    number = int(found.partition("num_labels=")[2].split()[0])
    assert warned([0, 0.1, 0.5, 1], num_labels=number) == []


def test_a_few_batches_without_order_are_counted_but_not_warned_of() -> None:
    """One in 200 is chance; one in 50 is worth a word."""
    pairs = make_pairs(800, seed=3)
    for rows, expected in ((800, 0), (200, 1)):
        labels = [float(row % 2) for row in range(rows)]
        some = {name: column[:rows] for name, column in pairs.items()} | {"score": labels}
        encoder = TinyEncoder()
        loss = make_loss("cosent", encoder)
        taught = iter([False])  # the first batch, and no other
        loss.teaches = lambda labels, taught=taught: next(taught, True)  # type: ignore[method-assign]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = train(encoder, loss, some, quiet(batch_size=4))
        assert result.batches_without_order == 1
        assert [str(each.message)[:14] for each in caught] == ["1 of 50 batche"] * expected
