"""Chapter 1: cross-entropy is a smooth maximum."""

import math

import torch

from cosent_book.exercises.kinds import Case, function, number, numbers, word


def _mean_between(x: torch.Tensor, scale: float) -> torch.Tensor:
    return (torch.logsumexp(scale * x, 0) - math.log(len(x))) / scale


def _dials() -> list[Case]:
    generator = torch.Generator().manual_seed(1)
    made = []
    for scale in (0.7, 3.0, -2.0, 1000.0, -1000.0):
        x = 3 * torch.randn(7, generator=generator, dtype=torch.float64)
        made.append(((x, scale), _mean_between(x, scale)))
    return made


def _gaps() -> list[Case]:
    return [((gap, n), n / (n + math.expm1(gap))) for gap, n in ((4.0, 6), (2.0, 300), (0.5, 2), (7.25, 41))]


EXERCISES = {
    "ask-1-equal": number(
        math.log(6),
        "every term e^(s_i - s_t) is 1, and there are five of them beside the 1",
        within=0.01,
        near=[
            (math.log(5), "five terms, and the 1 before them"),
            (6, "that is the number inside; the loss is its logarithm"),
            (0, "no desk is ahead, but five are level: what is e^0?"),
        ],
    ),
    "ask-1-share": number(
        0.685,
        "the share is its term, 1.649, in the sum of the five, 2.409",
        within=0.1,
        share=True,
        near=[
            (0.2, "the five demands are put alike, but their terms differ"),
            (1, "nearly; the others get something too"),
        ],
    ),
    "ex-1-by-hand": numbers(
        [math.log(2), 1 / 6, 1 / 3, -1 / 2],
        "the terms in the sum are 1/3 and 2/3; the gradient is the softmax, less 1 at the target",
        within=0.006,
        near=[([math.log(2), 1 / 6, 1 / 3, 1 / 2], "the last entry is that of the target: subtract 1 there")],
    ),
    "ex-1-misrouted": number(
        1090,
        "k requests that cost log 2 or more each sum to at least k log 2",
        within=4,
        near=[
            (756, "a sum of 756 is right; each misrouted message takes at least log 2 of it, not 1"),
            (258, "that is the true number; what can be said without counting, from the mean loss alone?"),
        ],
    ),
    "ex-1-negative": function(
        "answer(x, scale)",
        _dials,
        "take out the largest of the numbers scale * x, which at a negative scale is not that of x",
        without=("logsumexp", "exponential_mean"),
        within=1e-4,
    ),
    "ex-1-gap": function(
        "answer(gap, n)",
        _gaps,
        "solve e^gap = 1 + n (1 - eps) / eps for eps",
        near=[(lambda gap, n: n / (n + math.exp(gap)), "nearly: did you lose a 1 on the way?")],
    ),
    "ex-1-scale": word(
        "equal",
        {
            "smaller": "which weights give the scaled router the very scores of the other one?",
            "larger": "halved scores can be had back: by which weights?",
        },
        aliases=("the same", "same"),
    ),
}
