"""Chapter 10: the log of a sum or the mean of logs."""

import math

import numpy as np

from cosent_book.exercises.kinds import Case, Exercise, function, number, numbers


def _sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x))


_RATIOS = [math.exp(4), 2 * _sigma(4), 4 * _sigma(4) * _sigma(-4)]


def _pulls() -> list[Case]:
    made: list[Case] = []
    generator = np.random.default_rng(10)
    for z, wrong in (
        (np.array([4.0, 0.0]), np.array([True, False])),
        (generator.normal(size=30), generator.random(30) < 0.2),
    ):
        for k in (1, 0, -1, -0.3):
            weight = (1 + np.exp(z)) ** k / (1 + np.exp(-z))
            made.append(((z, wrong, k), weight[wrong].sum() / weight.sum()))
    return made


EXERCISES: dict[str, Exercise] = {
    "ex-10-pull": numbers(
        _RATIOS,
        "at kappa 1 the weight is e^z, at 0 sigma(z), at -1 sigma(z) sigma(-z); divide by that of z = 0",
        within=[1.1, 0.04, 0.0015],
        near=[([math.exp(4), _sigma(4), _sigma(4) * _sigma(-4)], "divide by the push of the tied pair, z = 0")],
    ),
    "ex-10-limit": number(
        0.064,
        "0.873 - 0.5 = factor(eps) * (1 - 0.5): try some values of eps",
        within=0.005,
        share=True,
        near=[(0.127, "that would hold for balanced labels; with few ones a flip costs more")],
    ),
    "ex-10-own": function(
        "answer(z, wrong, k)", _pulls, "the weights of the wrong pairs, divided by the weights of all", within=0.01
    ),
}
