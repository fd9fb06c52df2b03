"""The check under each exercise of the book."""

from collections.abc import Callable
from typing import Any


def check(answer: Any, is_right: Callable[[Any], bool], hint: str) -> None:
    """Say whether an exercise is answered, and what to think about if it is answered wrongly.

    Args:
        answer: the reader's answer; ``...`` stands for none yet.
        is_right: returns whether an answer is right.
        hint: said for a wrong answer.
    """
    if answer is ...:
        print("not answered yet")
    elif is_right(answer):
        print("correct")
    else:
        print(f"not yet: {hint}")
