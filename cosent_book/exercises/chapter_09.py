"""Chapter 9: the table."""

import math

import numpy as np

from cosent_book.comparisons import mean_interval
from cosent_book.exercises.kinds import Case, Exercise, function, number, numbers


def _seeds() -> list[Case]:
    generator = np.random.default_rng(9)
    pairs = [([0.50, 0.52, 0.51], [0.53, 0.54, 0.55])]
    pairs += [tuple(np.round(generator.normal(0.6, 0.01, (2, n)), 4).tolist()) for n in (4, 5)]
    return [((a, b), [*mean_interval(np.subtract(b, a)), 16 * len(a)]) for a, b in pairs]


_ONE, _FIVE = (math.erfc(1 / deviation / math.sqrt(2)) / 2 for deviation in (math.sqrt(2), math.sqrt(2 / 5)))

EXERCISES: dict[str, Exercise] = {
    "ex-9-single": numbers(
        [_ONE, _FIVE],
        "the difference of two runs scatters by sqrt(2) points: how far off is 0?",
        within=0.02,
        share=True,
        near=[([0.159, 0.013], "both runs scatter, so their difference scatters by sqrt(2) times as much")],
    ),
    "ex-9-four": number(
        0.5147,
        "simulate: the mean of the largest of four normal numbers",
        within=0.03,
        near=[
            (1.0294, "the standard deviation is half a point: halve it"),
            (0, "nothing is better, and yet the largest is shown"),
        ],
    ),
    "ex-9-own": function(
        "answer(a, b)",
        _seeds,
        "mean_interval of the differences b - a; a quarter of the standard error takes sixteen times as many seeds",
        within=0.01,
    ),
}
