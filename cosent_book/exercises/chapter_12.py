"""Chapter 12: cross-encoders, distillation and limits."""

import numpy as np
import torch

from cosent_book.exercises.kinds import Case, Exercise, function, number, numbers, truths


def _differences() -> list[Case]:
    made: list[Case] = []
    generator = torch.Generator().manual_seed(12)
    for n in (2, 9):
        student, teacher = torch.randn(2, n, generator=generator, dtype=torch.float64)
        errors = [
            float((student[i] - student[j]) - (teacher[i] - teacher[j])) ** 2
            for i in range(n)
            for j in range(n)
            if i != j
        ]
        made.append(((student, teacher), float(np.mean(errors))))
    return made


def _pair_by_pair(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Squared error, which feels a number added to the teacher's scores."""
    return ((student - teacher) ** 2).mean()


def _with_itself(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """The mean over all n² pairs, those of an item with itself among them."""
    return 2 * (student - teacher).var(correction=0)


EXERCISES: dict[str, Exercise] = {
    "ex-12-passes": numbers(
        [10_200, 2_000_000],
        "a pass for the vector of each request, and a pass for each pair that is read",
        near=[
            ([10_000, 2_000_000], "the requests need vectors of their own before entries can be chosen"),
            ([20_200, 2_000_000], "the vectors of the entries are there already"),
        ],
    ),
    "ex-12-angle": number(
        0.62,
        "the angles add up at most; what is the cosine of twice the angle whose cosine is 0.9?",
        near=[
            (0.81, "that is the square of the cosine; the cosine of a doubled angle is less"),
            (0.8, "cosines do not add up as distances do; angles do"),
        ],
    ),
    "ex-12-constant": truths(
        [True, True, False, False],
        "which of them look at a score alone, and which at the difference of two?",
        near=[([True, True, True, True], "does the difference of two scores change?")],
    ),
    "ex-12-differences": function(
        "answer(student, teacher)",
        _differences,
        "take the error of each pair, and then the squared difference of any two errors",
        near=[
            (_pair_by_pair, "that is squared error pair by pair: add 1 to the teacher's scores and it changes"),
            (_with_itself, "an item is not compared with itself: n(n − 1) pairs, not n²"),
        ],
    ),
}
