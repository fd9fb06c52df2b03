"""Every exercise: right answers in every form, wrong ones, broken ones, and forbidden ways."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exercise_cases import TRIALS, Trial

import cosent_book.exercises
import notebooks
from cosent_book.exercises import check, find, of_chapter
from cosent_book.exercises.reading import NotAnAnswer, as_numbers, as_truths, as_word, names_used

Said = Callable[..., str]
WRONG = [(label, answer, words) for label, trial in TRIALS.items() for answer, words in trial.wrong]
FORBIDDEN = [(label, answer, words) for label, trial in TRIALS.items() for answer, words in trial.forbidden]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """What `check` prints."""

    def ask(*arguments: Any, **options: Any) -> str:
        check(*arguments, **options)
        return capsys.readouterr().out.strip()

    return ask


def forms(trial: Trial) -> Iterator[Any]:
    """A right answer in the forms in which readers give it."""
    right = trial.right
    yield right
    yield from trial.also
    if isinstance(right, str):
        yield from (right.upper(), f" '{right}' ", right.capitalize() + ".")
    elif trial.kind != "truths" and not callable(right):
        yield from (np.array(right, np.float32), torch.tensor(right), torch.tensor(right, dtype=torch.float64))
        yield from (str(right), [torch.tensor(part) for part in np.ravel(right)], tuple(np.ravel(right)))
        yield torch.tensor(right, dtype=torch.float64).requires_grad_()
        if np.ndim(right) == 0:
            yield from (np.float64(right), torch.tensor([right]), [right])
    elif callable(right):
        yield lambda *arguments: right(*arguments)


def labels_of_the_book() -> set[str]:
    found = set()
    for path in notebooks.chapter_paths():
        for cell in notebooks.read(path).cells:
            found |= set(re.findall(r"^:label: (ex-\d[\w-]+)", cell.source, flags=re.M))
            found |= set(re.findall(r'check\("((?:ex|ask)-[\w-]+)"', cell.source))
    return found


def labels_of_the_package() -> set[str]:
    folder = Path(cosent_book.exercises.__file__).parent
    return {label for path in folder.glob("chapter_*.py") for label in of_chapter(int(path.stem[-2:]))}


def test_every_exercise_is_tried_here_and_stands_in_the_book() -> None:
    assert labels_of_the_package() == set(TRIALS)
    assert labels_of_the_book() == set(TRIALS)


@pytest.mark.parametrize("label", TRIALS)
def test_right_answers_are_right_in_every_form(label: str, said: Said) -> None:
    for answer in forms(TRIALS[label]):
        assert said(label, answer) == "correct", repr(answer)


@pytest.mark.parametrize("label", TRIALS)
def test_no_answer_is_not_answered_yet(label: str, said: Said) -> None:
    assert said(label, ...) == "not answered yet"


@pytest.mark.parametrize(
    ("label", "answer", "words"), WRONG, ids=[f"{label}-{n}" for n, (label, *_) in enumerate(WRONG)]
)
def test_a_wrong_answer_gets_words(label: str, answer: Any, words: str, said: Said) -> None:
    found = said(label, answer)
    assert found.startswith("not yet: ")
    assert words in found


@pytest.mark.parametrize(("label", "answer", "words"), FORBIDDEN, ids=[label for label, *_ in FORBIDDEN])
def test_a_forbidden_way_is_refused(label: str, answer: Any, words: str, said: Said) -> None:
    assert words in said(label, answer)


class Strange:
    """Nothing that an exercise asks for."""


def raises(*arguments: Any) -> Any:
    raise ZeroDivisionError("by zero")


@pytest.mark.parametrize("label", TRIALS)
@pytest.mark.parametrize(
    "answer", [None, Strange(), {"a": 1}, [], "nonsense", [[1], "x"], torch.tensor([]), raises, len]
)
def test_whatever_comes_gets_words(label: str, answer: Any, said: Said) -> None:
    found = said(label, answer)
    assert found.startswith("not yet: ")
    assert "\n" not in found


@pytest.mark.parametrize("label", [label for label, trial in TRIALS.items() if callable(trial.right)])
def test_a_function_that_raises_is_told_what_it_raised(label: str, said: Said) -> None:
    assert re.search(r"expected a function answer\(.+; this one raises ZeroDivisionError: by zero", said(label, raises))


def test_an_unknown_label_is_an_error() -> None:
    with pytest.raises(ValueError, match="chapter 2 has ask-2-push, ex-2-by-hand"):
        find("ex-2-nothing")
    with pytest.raises(ValueError, match="chapter 99 has none"):
        find("ex-99-nothing")
    with pytest.raises(ValueError, match="is no label"):
        check("ex-two", 1)


# --- how answers are read


@pytest.mark.parametrize("text", ["log 6", "(ln 2, 1/6)", "√2", "exp(-1)"])
def test_a_formula_in_words_is_no_number(text: str) -> None:
    with pytest.raises(NotAnAnswer, match="a value, not a formula"):
        as_numbers(text)


def test_numbers_in_texts() -> None:
    assert as_numbers("about 1,090").tolist() == [1090]
    assert as_numbers("(0.3, −0.5)").tolist() == [0.3, -0.5]
    assert as_numbers("24 % and 6 %").tolist() == [0.24, 0.06]


def test_words_and_truths() -> None:
    assert as_word(" “Inner-product”. ") == "inner product"
    assert as_truths(True) == [True]
    assert as_truths(np.array([1, 0])) == [True, False]


def test_names_are_seen_through_aliases_and_helpers() -> None:
    smooth = torch.logsumexp

    def helper(x: torch.Tensor) -> torch.Tensor:
        return smooth(x, 0)

    assert "logsumexp" in names_used(lambda x: helper(x))
    assert "logsumexp" in names_used(lambda x: [torch.logsumexp(y, 0) for y in x])
    assert "logsumexp" not in names_used(lambda x: x)
