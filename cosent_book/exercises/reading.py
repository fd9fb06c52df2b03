"""Reads a reader's answer in whatever form it comes: numbers, words, truth values, and what a function makes use of."""

import re
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

_NUMBER = re.compile(r"[-+−]?(?:\d[\d,_\u2009\u202f]*\.?\d*|\.\d+)(?:e[-+−]?\d+)?", re.I)
_TRUE, _FALSE = {"true", "yes", "1"}, {"false", "no", "0"}


class NotAnAnswer(Exception):  # noqa: N818 - a form, not a fault
    """The answer has another form than the one asked for; ``detail`` may add a word on it."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = f", {detail}" if detail else ""


def as_numbers(answer: Any) -> NDArray[np.float64]:
    """The numbers of an answer, flat: of a number, array, tensor, text, or a list of such, nested or not."""
    if isinstance(answer, torch.Tensor):
        answer = answer.detach().cpu().resolve_conj().numpy()
    if isinstance(answer, np.ndarray):
        answer = answer.tolist()
    if isinstance(answer, (bool, np.bool_, Mapping, set)) or callable(answer) or answer is None:
        raise NotAnAnswer(f"not {_kind(answer)}")
    if isinstance(answer, str):
        return _in_text(answer)
    if isinstance(answer, Iterable):
        parts = [as_numbers(part) for part in answer]
        return np.concatenate(parts) if parts else np.empty(0)
    try:
        return np.array([float(answer)])
    except (TypeError, ValueError):
        raise NotAnAnswer(f"not {_kind(answer)}") from None


def _in_text(text: str) -> NDArray[np.float64]:
    """``"0.94"``, ``"94 %"``, ``"(0.3, 0.5)"``; a percent sign divides by a hundred."""
    if re.search(r"\b(?:log|ln|exp|sqrt|pi)\b|√", text, re.I):  # a formula: its numbers are not the answer
        raise NotAnAnswer("a value, not a formula in words: math.log(2), not 'log 2'")
    found, percent = [], text.count("%")
    for match in _NUMBER.finditer(re.sub(r",\s", " ", text)):
        digits = re.sub(r"[,_\u2009\u202f]", "", match.group()).replace("−", "-")
        found.append(float(digits) / (100 if percent else 1))
    if not found:
        raise NotAnAnswer("not a word")
    return np.array(found)


def as_word(answer: Any) -> str:
    """A word in small letters, without quotes, full stop, or spaces around it; hyphens count as spaces."""
    if isinstance(answer, (int, float, np.integer, np.floating)) and not isinstance(answer, bool):
        answer = f"{answer:g}"
    if not isinstance(answer, str):
        raise NotAnAnswer(f"not {_kind(answer)}")
    return re.sub(r"[\s_-]+", " ", answer).strip(" '\"“”`.!,").casefold()


def as_truths(answer: Any) -> list[bool]:
    """Truth values: of a list, tuple, array or tensor, or written out (``"True, False"``, ``"no"``)."""
    if isinstance(answer, (torch.Tensor, np.ndarray)):
        answer = answer.tolist()
    if isinstance(answer, str):
        answer = re.findall(r"[^\W_]+", answer)
    if isinstance(answer, (bool, np.bool_, int)):
        answer = [answer]
    if not isinstance(answer, (list, tuple)):
        raise NotAnAnswer(f"not {_kind(answer)}")
    found = []
    for part in answer:
        word = str(part).strip(" '\"").casefold().removesuffix(".0")
        if word not in _TRUE | _FALSE:
            raise NotAnAnswer(f"not {part!r}")
        found.append(word in _TRUE)
    return found


def _kind(answer: Any) -> str:
    if isinstance(answer, type) or callable(answer):
        return "a function"
    names = {"bool": "a truth value", "bool_": "a truth value", "dict": "a dictionary", "NoneType": "None"}
    name = type(answer).__name__
    return names.get(name, f"a {name}")


# --- what a function makes use of


def names_used(function: Callable[..., Any]) -> set[str]:
    """Names that a function uses, itself or through functions of the same notebook, aliases by what they stand for."""
    seen: set[int] = set()
    found: set[str] = set()

    def visit(part: Any) -> None:
        if isinstance(part, types.MethodType):
            part = part.__func__
        if not isinstance(part, types.FunctionType) or id(part) in seen:
            return
        seen.add(id(part))
        cells = [cell.cell_contents for cell in part.__closure__ or () if _is_filled(cell)]
        for name in _names_of(part.__code__):
            found.add(name)
            if name in part.__globals__:
                cells.append(part.__globals__[name])
        for value in cells:
            found.add(getattr(value, "__name__", ""))
            if getattr(value, "__module__", None) == part.__module__:
                visit(value)

    visit(function)
    return found - {""}


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - raises where nothing is in it yet
    except ValueError:
        return False
    return True


def _names_of(code: types.CodeType) -> set[str]:
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= _names_of(constant)
    return found


def calls_within(names: Iterable[str], action: Callable[[], Any]) -> tuple[Any, int]:
    """What ``action`` returns, and how often it has called a function of these names (calls inside such a call not)."""
    wanted, depth, count = set(names), 0, 0

    def watch(frame: types.FrameType, event: str, argument: Any) -> None:
        nonlocal depth, count
        if event in ("call", "return") and frame.f_code.co_name in wanted:
            count += event == "call" and depth == 0
            depth += 1 if event == "call" else -1

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        return action(), count
    finally:
        sys.setprofile(before)
