"""Chapter 4: pairs, labels and what "good" means."""

import math

import numpy as np

from cosent_book.exercises.kinds import Case, function, number
from cosent_book.measurements.pairs import bigram_overlap
from cosent_lib.evaluation.metrics import spearman_ceiling

_PAIRS = [
    ("open an account", "Open an account!", 1),
    ("close my card", "cancel my card", 1),
    ("close my card", "close my account", 0),
    ("pay a bill", "pay a friend", 0),
    ("opening hours", "lost my phone", 0),
    ("where is my order", "has my order been sent", 1),
    ("stop the plan", "stop the next payment", 0),
]


def _own() -> list[Case]:
    made: list[Case] = []
    for pairs in (_PAIRS[:5], _PAIRS, _PAIRS[1:6]):
        labels = [label for _, _, label in pairs]
        shared = {y: [bigram_overlap(a, b) for a, b, label in pairs if label == y] for y in (1, 0)}
        share = float(np.mean(labels))
        medians = [float(np.median(shared[y])) for y in (1, 0)]
        made.append(((pairs,), [max(share, 1 - share), spearman_ceiling(labels), *medians]))
    return made


EXERCISES = {
    "ex-4-issue": number(
        (1 + 0.86 / math.sqrt(0.75)) / 2,
        "Spearman is the ceiling times 2 AUC - 1; with p = 1/2 the ceiling is sqrt(3)/2",
        within=1e-3,
        share=True,
        near=[
            (0.93, "that is 0.5 + 0.86/2: divide by the ceiling first"),
            (0.993, "that is 2 AUC - 1"),
        ],
    ),
    # 0.380 of the test pairs known; overlap's AUC and ATEC's ceiling as the chapter reads them from its records
    "ex-4-leak": number(
        0.489,
        "a demanded pair can be wrong only if neither of its two is known by heart",
        within=0.01,
        share=True,
        near=[(0.506, "pairs with one known member are in order too: not a mixture of two Spearmans")],
    ),
    "ex-4-size": number(
        6978,
        "the half-width goes with one over the root of the number of pairs",
        within=700,
        near=[(3080, "half the width needs four times the pairs, not twice")],
    ),
    "ex-4-own": function(
        "answer(pairs)",
        _own,
        "bigram_overlap, spearman_ceiling, np.median; the majority may be of either label",
        within=1e-3,
    ),
}
