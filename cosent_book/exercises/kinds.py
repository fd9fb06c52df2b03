"""The kinds of answers: a number, several, a word, truth values, a function. Each judges in words.

A judge returns what to think about, or the empty string for a right answer. A hint may depend on a wrong answer that
one expects: ``near`` pairs such an answer with its own hint.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from cosent_book.exercises.reading import NotAnAnswer, as_numbers, as_truths, as_word, calls_within, names_used

WORDS = ("no", "one", "two", "three", "four", "five", "six")
Near = Sequence[tuple[ArrayLike, str]]


@dataclass(frozen=True)
class Exercise:
    """What an exercise asks for.

    Attributes:
        expected: The form of an answer, after "expected".
        judge: Of an answer: a hint, empty if it is right.
        minutes: How long it takes somebody who has read the chapter.
    """

    expected: str
    judge: Callable[[Any], str]
    minutes: int = 5


def number(value: float, hint: str, *, within: float = 2e-3, share: bool = False, near: Near = ()) -> Exercise:
    """One number, up to ``within``; a ``share`` may be given as a percentage."""
    return numbers([value], hint, within=within, share=share, near=near)


def numbers(
    values: ArrayLike, hint: str, *, within: ArrayLike = 2e-3, share: bool = False, near: Near = ()
) -> Exercise:
    """Several numbers in the order asked for, nested or flat."""
    right = np.ravel(np.asarray(values, float))
    room = np.broadcast_to(np.ravel(np.asarray(within, float)), right.shape)
    count = WORDS[len(right)] if len(right) < len(WORDS) else str(len(right))
    form = ("a share or a percentage" if share else "a number") if len(right) == 1 else f"{count} numbers in a list"

    def matches(found: Any, wanted: Any, relative: float = 0.0) -> bool:
        scales = (1, 100) if share else (1,)
        wanted = np.ravel(np.asarray(wanted, float))
        most = np.maximum(room, relative * np.abs(wanted))
        return any(bool(np.all(np.abs(found / scale - wanted) <= most)) for scale in scales)

    def judge(answer: Any) -> str:
        found = as_numbers(answer)
        if found.shape != right.shape:
            raise NotAnAnswer(f"this one holds {len(found)}")
        if matches(found, right):
            return ""
        return next((words for wrong, words in near if matches(found, wrong, 0.005)), hint)

    return Exercise(form, judge)


def word(right: str, others: Mapping[str, str], aliases: Sequence[str] = ()) -> Exercise:
    """One of a few words; ``others`` are the wrong ones, each with its hint."""
    choices = sorted([right, *others])
    form = "one of " + ", ".join(f'"{choice}"' for choice in choices)
    hints = {as_word(other): hint for other, hint in others.items()}

    def judge(answer: Any) -> str:
        found = as_word(answer)
        if found in (as_word(right), *map(as_word, aliases)):
            return ""
        if found not in hints:
            raise NotAnAnswer
        return hints[found]

    return Exercise(form, judge)


def truths(right: Sequence[bool], hint: str, near: Sequence[tuple[Sequence[bool], str]] = ()) -> Exercise:
    """Truth values in the order asked for."""

    def judge(answer: Any) -> str:
        found = as_truths(answer)
        if len(found) != len(right):
            raise NotAnAnswer(f"this one holds {len(found)}")
        if found == list(right):
            return ""
        return next((words for wrong, words in near if found == list(wrong)), hint)

    return Exercise(f"{WORDS[len(right)]} truth values", judge)


Case = tuple[tuple[Any, ...], Any]


def function(
    signature: str,
    cases: Callable[[], Sequence[Case]],
    hint: str,
    *,
    without: Sequence[str] = (),
    one_call_of: Sequence[str] = (),
    within: float = 1e-6,
    near: Sequence[tuple[Callable[..., Any], str]] = (),
) -> Exercise:
    """A function, called on inputs that the reader does not see and compared with what it should return.

    Args:
        signature: As in ``answer(scores, targets)``.
        cases: Makes the inputs, each with what should come out (numbers of any form).
        hint: Where another number comes out.
        without: Names that it must not use, itself or through a helper, such as the function it is to replace.
        one_call_of: Names of which it has to call one, once.
        within: How far off numbers may be, absolutely and relatively.
        near: Wrong functions that one expects, each with its hint.
    """

    def agrees(f: Callable[..., Any], made: Sequence[Case]) -> bool:
        for inputs, wanted in made:
            found, right = as_numbers(f(*_copies(inputs))), as_numbers(wanted)
            if found.shape != right.shape or not np.allclose(found, right, rtol=within, atol=within, equal_nan=True):
                return False
        return True

    def judge(answer: Any) -> str:
        if not callable(answer):
            raise NotAnAnswer
        if used := sorted(names_used(answer) & set(without)):
            return f"do it without {used[0]}, which is what you are to build"
        made = cases()
        right, calls = calls_within(one_call_of, lambda: agrees(answer, made))
        if not right:
            return next((words for wrong, words in near if agrees_with(answer, wrong, made)), hint)
        if one_call_of and calls != len(made):
            return f"the number is right; now let a single call of {' or '.join(one_call_of)} do it"
        return ""

    def agrees_with(f: Callable[..., Any], wrong: Callable[..., Any], made: Sequence[Case]) -> bool:
        return agrees(f, [(inputs, wrong(*_copies(inputs))) for inputs, _ in made])

    return Exercise(f"a function {signature}", judge, minutes=10)


def _copies(inputs: Sequence[Any]) -> tuple[Any, ...]:
    """Inputs that a function may change without harm."""
    return tuple(
        value.clone() if isinstance(value, torch.Tensor) else value.copy() if isinstance(value, np.ndarray) else value
        for value in inputs
    )
