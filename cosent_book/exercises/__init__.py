"""The check under each exercise: answers and hints live here, a module a chapter, never in the cell to be edited.

``check("ex-2-predict", answer)`` looks the label up in ``EXERCISES`` of ``cosent_book.exercises.chapter_02``. How
answers are read is in `reading`, what kinds of answers there are in `kinds`.
"""

import importlib
import re
from collections.abc import Mapping
from typing import Any

from cosent_book.exercises.kinds import Exercise
from cosent_book.exercises.reading import NotAnAnswer

LABEL = re.compile(r"(?:ex|ask)-(\d+)-[\w-]+")  # at the end of a chapter; within its text


def check(label: str, answer: Any = ...) -> None:
    """Say whether an exercise is answered, and what to think about if it is answered wrongly.

    Numbers may come as lists, tuples, arrays, tensors or text, words in any case, shares as percentages. The answer is
    never printed.

    Args:
        label: The exercise, as in ``"ex-2-predict"``.
        answer: The reader's answer; ``...`` stands for none yet.

    Raises:
        ValueError: No exercise has this label.
    """
    exercise = find(label)
    if answer is ...:
        print("not answered yet")
        return
    try:
        said = exercise.judge(answer)
    except NotAnAnswer as problem:
        said = f"expected {exercise.expected}{problem.detail}"
    except Exception as error:  # whatever a reader's function raises is an answer that needs words
        words = " ".join(str(error).split())[:160]
        said = f"expected {exercise.expected}; this one raises {type(error).__name__}" + (f": {words}" if words else "")
    print(f"not yet: {said}" if said else "correct")


def find(label: str) -> Exercise:
    """The exercise with a label.

    Raises:
        ValueError: There is none; names those of the chapter.
    """
    match = LABEL.fullmatch(label) if isinstance(label, str) else None
    if match is None:
        raise ValueError(f"{label!r} is no label of an exercise, expected one such as 'ex-2-predict'")
    known = of_chapter(int(match[1]))
    if label not in known:
        raise ValueError(f"no exercise has the label {label!r}; chapter {match[1]} has {', '.join(known) or 'none'}")
    return known[label]


def of_chapter(number: int) -> Mapping[str, Exercise]:
    """The exercises of a chapter by label; empty if there are none."""
    name = f"{__name__}.chapter_{number:02d}"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return {}
    exercises: Mapping[str, Exercise] = module.EXERCISES
    return exercises
