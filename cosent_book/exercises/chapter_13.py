"""Chapter 13: the family today."""

import math
from collections import Counter

from cosent_book.exercises.kinds import Case, Exercise, function, number, numbers


def _keys() -> list[Case]:
    made: list[Case] = []
    for keys, n in ((["a", "a", "b", "c"], 2), (["a"] * 3 + ["b"], 4), ([i % 7 for i in range(30)], 5)):
        total = len(keys)
        alone = [k * math.comb(total - k, n - 1) / math.comb(total - 1, n - 1) for k in Counter(keys).values()]
        made.append(((keys, n), 1 - sum(alone) / total))
    return made


EXERCISES: dict[str, Exercise] = {
    "ex-13-turn": numbers(
        [0, math.sqrt(2)],
        "v is u turned by 45 degrees; is u then v turned by 45, or by -45?",
        within=1e-2,
        near=[
            ([math.sqrt(2), 0], "the other way round: which of the two is turned in a(u, v)?"),
            ([1 / math.sqrt(2), 1 / math.sqrt(2)], "those are the cosines; the score adds the turned one to it"),
        ],
    ),
    "ex-13-floor": number(
        4 * math.log(4) / 32,
        "what is the loss of a row with four candidates of equal score?",
        within=5e-3,
        near=[
            (math.log(4), "that is one of the four rows; take the mean over 32"),
            (math.log(4) / 32, "four rows are like that, not one"),
        ],
    ),
    "ex-13-one": number(
        math.log(256) / 20,
        "half of the push is left where 1 - e^(-L) = 1/2: what is the sum there?",
        near=[(math.log(256), "that is the gap of the scaled scores; the cosines' is 20 times smaller")],
    ),
    "ex-13-own": function("answer(keys, n)", _keys, "of N - 1 other pairs, k - 1 have the row's key; n - 1 are drawn"),
}
