"""Chapter 2: from one target to many."""

import math

import torch

from cosent_book.exercises.kinds import Case, function, number, word


def _tickets() -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(2)
    made = []
    for right in ([0, 2], [1], [0, 1, 2, 5]):
        scores = torch.randn(8, generator=generator, dtype=torch.float64)
        weights = torch.rand(8, generator=generator, dtype=torch.float64) * 4 + 0.3
        targets = torch.zeros(8, dtype=torch.float64)
        targets[right] = 1
        made.append((scores, targets, weights))
    return made


def _weighted() -> list[Case]:
    made: list[Case] = []
    for scores, targets, weights in _tickets():
        wrong, right = targets == 0, targets == 1
        a, b = (weights * scores.exp())[wrong].sum(), (weights * (-scores).exp())[right].sum()
        made.append(((scores, targets, weights), torch.log1p(a) + torch.log1p(b)))
    return made


def _thresholds() -> list[Case]:
    made: list[Case] = []
    for scores, targets, _ in _tickets():
        high, low = torch.logsumexp(scores[targets == 0], 0), -torch.logsumexp(-scores[targets == 1], 0)
        made.append(((scores, targets), (high + low) / 2))
    return made


EXERCISES = {
    "ex-2-by-hand": number(
        math.log(3.75),
        "A has two terms, 1 and 1/2; B has one; multiply (1 + A) and (1 + B)",
        near=[
            (math.log(1.75), "that is log(1 + AB): the wrong tags have demands of their own, and so has the right one"),
            (math.log(3), "that is log(1 + A + B): the product AB is missing"),
            (3.75, "the product is right; the loss is its logarithm"),
        ],
    ),
    "ex-2-predict": word(
        "shrink",
        {
            "grow": "where do the pushes stand at the end, whatever the start?",
            "stay": "the loss is convex: what can a good start win that time cannot?",
        },
        aliases=("shrinks", "it shrinks"),
    ),
    "ex-2-weights": function(
        "answer(scores, targets, weights)",
        _weighted,
        "w e^s = e^(s + log w): raise a wrong tag's score, lower a right one's",
        one_call_of=("multilabel_loss", "rank_loss"),
    ),
    "ex-2-threshold": function(
        "answer(scores, targets)",
        _thresholds,
        "the push on the threshold is 0 where A = B; take logarithms of both",
        within=1e-3,
    ),
}
