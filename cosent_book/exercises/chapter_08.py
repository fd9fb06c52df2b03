"""Chapter 8: CoSENT."""

import math

from cosent_book.exercises.kinds import Case, Exercise, function, number, word


def _batches() -> list[Case]:
    made: list[Case] = []
    for share in (0.5, 1 / 81, 0.18, 0.7):
        n = 1
        while share**n + (1 - share) ** n > 0.01:
            n += 1
        made.append(((share,), n))
    return made


EXERCISES: dict[str, Exercise] = {
    "ask-8-spread": number(
        20,
        "the differences are ten times smaller, and only their product with λ counts",
        within=0.5,
        near=[
            (0.2, "smaller differences need a larger λ, not a smaller one"),
            (2, "the product of λ and cosine counts"),
        ],
    ),
    "ex-8-product": number(
        math.log(2 + math.exp(-2)),
        "the terms are e^(10 * (0.7 - 0.9)) and e^(10 * (0.7 - 0.7))",
        near=[
            (math.log1p(math.exp(-2)), "the tied pair counts too: its term is e^0"),
            (math.log(2 + math.exp(2)), "the sign is turned: the negative's cosine stands first in the difference"),
            (math.log(1 + math.exp(-0.2) + 1), "the cosines are scaled by 10 before they are exponentiated"),
        ],
    ),
    "ex-8-accumulate": number(
        0.5,
        "each half has 16 * 16 demanded pairs; those across the halves are lost",
        within=1e-3,
        share=True,
        near=[(0.25, "that is what one half sees; there are two")],
    ),
    "ex-8-flip": word("cosent", {"ranknet": "which of the two lets a single pair take almost the whole gradient?"}),
    "ex-8-cone": number(
        math.sqrt(20 / 2.3 - 1),
        "the new cosine is (c + k^2) / (1 + k^2): by what factor did it shrink?",
        within=0.04,
        near=[
            (20 / 2.3 - 1, "that is the square of k"),
            (20 / 2.3, "that is 1 + k^2"),
        ],
    ),
    "ex-8-own": function(
        "answer(p)",
        _batches,
        "no order has probability p^n + (1 - p)^n; balanced labels need n = 8",
        within=1e-9,
    ),
}
