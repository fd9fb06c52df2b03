"""Chapter 6: optimise the cosine directly."""

from functools import cache
from typing import Any

import numpy as np
import torch

from cosent_book.exercises.kinds import Exercise, numbers
from cosent_book.exercises.kinds import number as one_number
from cosent_book.exercises.reading import NotAnAnswer, as_numbers, names_used
from cosent_lib import cosine_scores, load_encoder, load_pairs, rank_loss


def _equal_weights(answer: Any) -> str:
    if not callable(answer):
        raise NotAnAnswer
    if "rank_loss" in names_used(answer):
        return "do it without rank_loss, which is what you are to match"
    for ones, seed in ((5, 0), (21, 1), (33, 2)):
        c = torch.from_numpy(np.random.default_rng(seed).uniform(0, 1, 40)).requires_grad_()
        y = torch.zeros(40, dtype=torch.long)
        y[:ones] = 1
        value = answer(c, y)
        if not isinstance(value, torch.Tensor) or not value.requires_grad:
            raise NotAnAnswer("whose value has a gradient")
        (found,) = torch.autograd.grad(value, c)
        (limit,) = torch.autograd.grad(rank_loss(1e-6 * c, y), c)
        if not torch.allclose(found / found.norm(), limit / limit.norm(), rtol=1e-4, atol=1e-9):
            return "half the mean of 1 - c over the ones, plus half the mean of … over the zeros"
        if abs(float(found.abs().sum()) - 1) > 1e-6:
            return "the direction is right; each label is to weigh one half in all"
    return ""


@cache
def _trial() -> tuple[Any, Any, float, float]:
    """An untrained encoder, labelled pairs, and the two medians asked for (random ones by another shift)."""
    pairs = load_pairs("builtin", "test")[:]
    pairs = {name: list(column)[-600:] for name, column in pairs.items()}
    encoder = load_encoder("static", [*pairs["sentence1"], *pairs["sentence2"]], dim=16, seed=5)
    cosines, scores = cosine_scores(encoder, pairs), np.array(pairs["score"])
    other = {**pairs, "sentence2": pairs["sentence2"][211:] + pairs["sentence2"][:211]}
    return encoder, pairs, float(np.median(cosines[scores < 0.5])), float(np.median(cosine_scores(encoder, other)))


def _medians(answer: Any) -> str:
    if not callable(answer):
        raise NotAnAnswer
    encoder, pairs, hard, random = _trial()
    found = as_numbers(answer(encoder, pairs))
    if found.shape != (2,):
        raise NotAnAnswer("that returns two numbers")
    if abs(found[0] - random) < 0.1 and abs(found[1] - hard) < 0.01:
        return "the other way round: labelled pairs first"
    if abs(found[0] - hard) > 0.01:
        return "the first is the median over the pairs labelled below one half"
    if abs(found[1] - random) > 0.1:
        return "shift the second column by some rows to get random pairs"
    return ""


EXERCISES: dict[str, Exercise] = {
    "ask-6-four": one_number(
        -1,
        "the sum is linear in c, so it is least at an end: which way does the line fall?",
        near=[
            (0.25, "that is the share of ones; the linear loss of the four is a straight line in c"),
            (1, "three of the four want the other end"),
        ],
    ),
    "ask-6-floor": one_number(
        0.5,
        "three unit vectors as far apart as possible add up to nothing: what is the inner product of two of them?",
        within=4e-3,
        near=[
            (1 / 3, "three vectors cannot all be opposite to one another"),
            (2 / 3, "the actions can do better than being orthogonal"),
            (-0.5, "that is r; the other two parts agree"),
        ],
    ),
    "ex-6-seven": numbers(
        [1, 0.7, 1, -1, 0.3, 0.5],
        "on which side of one half is the share of ones?",
        near=[([1, 0.7, 1, -1, 0.3, 0], "below the margin the third loss pushes no more: where does it stop?")],
    ),
    "ex-6-parts": one_number(
        (5 - 1 / 10) / 6,
        "five parts agree; the sixth adds r, whose mean is at least -1/(n - 1)",
        within=4e-3,
        share=True,
        near=[
            (5 / 6, "the sixth part can be a little below 0: eleven values cannot all be opposite"),
            (4 / 6, "eleven values cannot all be opposite to one another"),
        ],
    ),
    "ex-6-equal": Exercise("a function answer(c, y)", _equal_weights, minutes=10),
    "ex-6-own": Exercise("a function answer(encoder, pairs)", _medians, minutes=10),
}
