"""Chapter 14: linear time."""

import math

import torch

from cosent_book.exercises.kinds import Case, function, number
from cosent_lib import rank_loss


def _streams() -> list[Case]:
    generator = torch.Generator().manual_seed(14)
    made: list[Case] = []
    for sizes in ((5, 7, 3), (1, 1, 20), (0, 12)):
        s = 2 * torch.randn(sum(sizes), generator=generator, dtype=torch.float64)
        y = torch.randint(0, 2, (sum(sizes),), generator=generator)
        y[0], y[-1] = 0, 1
        made.append((([*zip(s.split(sizes), y.split(sizes), strict=True)],), rank_loss(s, y)))
    return made


EXERCISES = {
    "ex-14-by-hand": number(
        math.log(1001),
        "the sum of e^s over the zeros, times the sum of e^-s over the ones",
        within=6e-3,
        near=[
            (1001, "the number inside is right; the loss is its logarithm"),
            (math.log1p(1e9), "e^-s of a one is a thousandth, not a thousand"),
            (math.log1p(1e6), "a million terms, but not each is 1"),
        ],
    ),
    "ex-14-predict": number(
        10,
        "two sums a level, but of the highest and the lowest only one each is ever used",
        within=0.1,
        near=[
            (12, "two a level, but nobody asks for the e^s of the highest level, nor for the e^-s of the lowest"),
            (2, "the levels that count are those of all machines together"),
            (6, "each level has a sum of e^s and one of e^-s"),
        ],
    ),
    "ex-14-stream": function(
        "answer(chunks)",
        _streams,
        "two sums are all that has to be kept: of e^s where the label is 0, of e^-s where it is 1",
        without=["rank_loss"],
        near=[
            (
                lambda chunks: torch.stack([rank_loss(s, y, validate=False).expm1() for s, y in chunks]).sum().log1p(),
                "that is a sum over chunks: pairs of different chunks are compared too",
            ),
            (
                lambda chunks: torch.stack([rank_loss(s, y, validate=False) for s, y in chunks]).mean(),
                "an average of the chunks' losses compares no pair of different chunks",
            ),
        ],
    ),
}
