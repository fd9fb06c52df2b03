"""Chapter 11: order beyond two labels."""

import numpy as np
import torch

from cosent_book.exercises.kinds import Case, Exercise, function, number, numbers, truths
from cosent_lib import rank_loss


def _three_kinds() -> list[Case]:
    made: list[Case] = []
    generator = torch.Generator().manual_seed(11)
    for n in (3, 8):
        matrix = 5 * torch.randn(n, n, generator=generator, dtype=torch.float64)
        labels = torch.arange(n) % 2
        levels = torch.diag(labels + 1)
        made.append(((matrix, labels), rank_loss(matrix.flatten(), levels.flatten())))
    return made


def _lists() -> list[Case]:
    made: list[Case] = []
    generator = np.random.default_rng(11)
    hand = (np.array([0.9, 0.2, 0.5, 0.4, 0.3]), np.array([0, 1, 2, 1, 0]), np.array(["a", "a", "b", "b", "c"]))
    drawn = (generator.normal(size=40), generator.integers(0, 3, size=40), generator.integers(0, 9, size=40))
    for scores, labels, queries in (hand, drawn):
        shares = []
        for query in np.unique(queries):
            s, y = scores[queries == query], labels[queries == query]
            right = [s[i] < s[j] for i in range(len(s)) for j in range(len(s)) if y[i] < y[j]]
            shares += [np.mean(right)] if right else []
        made.append(((scores, labels, queries), float(np.mean(shares))))
    return made


def _of_all_pairs(scores: np.ndarray, labels: np.ndarray, queries: np.ndarray) -> float:
    """The mean over demanded pairs, not over queries."""
    below = (labels[:, None] < labels) & (queries[:, None] == queries)
    return float((scores[:, None] < scores)[below].mean())


EXERCISES: dict[str, Exercise] = {
    "ask-11-mean": number(
        -1.2,
        "every demanded pair of the list pushes one of its items up and the other down, equally hard",
        near=[(0, "that is where both lists would meet if they were compared; nothing compares them here")],
    ),
    "ex-11-merge": numbers(
        [19, 7, 15],
        "for each two grades, the number of entries of the one times that of the other",
        near=[
            ([19, 15, 7], "the other way round: which merging leaves a single entry on top?"),
            ([28, 7, 15], "entries of the same grade demand nothing of each other"),
        ],
    ),
    "ex-11-distances": truths(
        [False, True, False, True, True, False],
        "what enters: for CoSENT which label is larger, for squared error the label itself, for the head a class",
        near=[
            (
                [False, True, False, True, True, True],
                "the head: give each class the weights that the other had; is any pair's loss another now?",
            ),
            (
                [False, True, True, True, True, False],
                "the head rounds to the nearest of three classes: which class is 0.6?",
            ),
        ],
    ),
    "ex-11-three-kinds": function(
        "answer(matrix, labels)",
        _three_kinds,
        "three levels: where do the entries off the diagonal stand, and where the two kinds on it?",
        one_call_of=["rank_loss"],
    ),
    "ex-11-own": function(
        "answer(scores, labels, queries)",
        _lists,
        "first the share of each query, then the mean over those queries that demand anything",
        near=[(_of_all_pairs, "that is the mean over pairs: a query with many answers counts for more")],
    ),
}
