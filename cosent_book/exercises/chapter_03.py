"""Chapter 3: from labels to order."""

import math

import torch

from cosent_book.exercises.kinds import Case, function, number
from cosent_lib import rank_loss


def _graded() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(3)
    levels = ([0, 1, 1, 2, 3, 2], [2, 0, 1, 0, 2, 1], [3, 3, 0, 1, 0, 2])
    return [(2 * torch.randn(6, generator=generator, dtype=torch.float64), torch.tensor(each)) for each in levels]


def _weighted() -> list[Case]:
    counts = torch.tensor([1, 2, 1, 3, 1, 1])
    made: list[Case] = []
    for scores, grades in _graded():
        repeated = scores.repeat_interleave(counts), grades.repeat_interleave(counts)
        made.append(((scores, grades, counts.double()), rank_loss(*repeated)))
    return made


def _queries() -> list[Case]:
    made: list[Case] = []
    query = torch.tensor([0, 0, 1, 1, 0, 1])
    for scores, grades in _graded():
        sums = torch.stack([torch.expm1(rank_loss(scores[query == q], grades[query == q])) for q in (0, 1)])
        made.append(((scores, grades, query), torch.log1p(sums.sum())))
    return made


EXERCISES = {
    "ask-3-auc": number(
        0.75,
        "there are four couples of a 1 and a 0: how many of them are in right order?",
        within=0.01,
        share=True,
        near=[
            (0.25, "that is the share in wrong order"),
            (1, "0.4 stands below 0.6"),
            (0.5, "count the couples again"),
        ],
    ),
    "ask-3-push": number(
        0.64,
        "their three terms are above 1; the eight others are below it",
        within=0.12,
        share=True,
        near=[
            (3 / 11, "they would get that share if all pairs were pushed alike"),
            (1, "the pairs in right order are still pushed, the less the farther apart they stand"),
        ],
    ),
    "ex-3-by-hand": number(
        math.log(4),
        "one demanded pair; i is the item labelled 0: the term is e^(log 3 - 0)",
        within=0.006,
        near=[
            (math.log(4 / 3), "the sign is turned: the item that should score lower stands first in s_i - s_j"),
            (math.log(3), "the 1 is missing"),
            (4, "the number inside is right; the loss is its logarithm"),
        ],
    ),
    "ex-3-predict": number(
        0.938,
        "inversions are at most e^L - 1; there are 10 times 10 demanded pairs",
        within=4e-3,
        share=True,
        near=[
            (0.0639, "that is the share that may be wrong; the AUC is the share that is right"),
            (0.926, "e^L - 1, not e^L"),
            (0.968, "10 times 10 pairs are demanded, not 200"),
        ],
    ),
    "ex-3-heaps": number(
        0.3 / (2 * 0.13**2),
        "log-odds are the log of the ratio of the densities, plus a constant",
        within=0.25,
        near=[(0.3 / 0.13**2, "that is the slope of the log-odds; the best scale is half of it")],
    ),
    "ex-3-weights": function(
        "answer(scores, labels, weights)",
        _weighted,
        "a weight of 2 must give the loss of a batch with that item twice",
        near=[(lambda s, y, w: rank_loss(s, y), "the weights make no difference to this one")],
    ),
    "ex-3-queries": function(
        "answer(scores, labels, query)",
        _queries,
        "the sums of the two queries add up: e^L - 1 of each is its sum",
        near=[
            (lambda s, y, q: rank_loss(s, y), "this one compares items of different queries"),
            (
                lambda s, y, q: sum(rank_loss(s[q == k], y[q == k]) for k in (0, 1)),
                "one logarithm around the whole sum, not one for each query",
            ),
            (
                lambda s, y, q: sum(rank_loss(s[q == k], y[q == k]) for k in (0, 1)) / 2,
                "one logarithm around the whole sum, not a mean of two",
            ),
        ],
    ),
}
