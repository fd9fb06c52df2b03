"""What a text is, and what is said of texts that an encoder cuts: one rule for files, tables, encoders and queries."""

import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

# Invisible, though Unicode counts them as letters, marks or a symbol: fillers, joiners, variation selectors, a blank
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2065\u2800\u3164\uffa0").union(
    "\U00016fe4\U0001d159\ufffe\uffff",
    *(map(chr, range(*ends)) for ends in ((0xFE00, 0xFE10), (0xFFF0, 0xFFF9), (0xE0000, 0xE1000))),
)


class TextsCutWarning(UserWarning):
    """Texts are longer than an encoder reads; the message says how many. What was cut has no part in their vectors."""


def fault_of(name: str, text: object) -> tuple[str, str] | None:
    r"""What is wrong with a text, in words.

    A text is a string that can be written as UTF-8 and in which at least one character shows: neither white space nor
    a control character, a zero-width sign or another one without a picture.

    Args:
        name: what to call it.
        text: anything.

    Returns:
        The problem and what was expected; None for a text.

    Example:
        >>> fault_of("sentence1", "\u200b")
        ('sentence1 is empty', 'a text that is not only white space or invisible characters')
    """
    if not isinstance(text, str):
        return f"{name} is not a text", "a text"
    if not any(map(_shows, text)):
        return f"{name} is empty", "a text that is not only white space or invisible characters"
    try:
        text.encode()
    except UnicodeEncodeError:
        return f"{name} holds half a character", "whole ones: no surrogate without its other half"
    return None


def check_text(name: str, text: object) -> None:
    """Refuse what is no text (`fault_of`).

    Raises:
        ValueError: says ``name``, the problem, ``text`` and what was expected.
    """
    if fault := fault_of(name, text):
        raise ValueError(f"{fault[0]}: got {shown(text)}, expected {fault[1]}")


def folded(text: str) -> str:
    """A text without what most encoders do not see: capital letters, runs of spaces, characters that do not show."""
    visible = "".join(c for c in unicodedata.normalize("NFKC", text) if _shows(c) or c.isspace())
    return " ".join(visible.casefold().split())


def shown(value: object) -> str:
    """A value as a message shows it, cut to 80 characters."""
    whole = repr(value)
    return whole if len(whole) <= 80 else whole[:77] + "..."


def _shows(character: str) -> bool:
    return not (character.isspace() or unicodedata.category(character) in ("Cc", "Cf") or character in _BLANK)


def count_cut(encoder: Any, texts: Sequence[str], token_ids: Sequence[Sequence[int]] | None = None) -> int:
    """How many of the texts an encoder cuts; 0 for one that has no ``count_cut``."""
    return encoder.count_cut(texts, token_ids) if hasattr(encoder, "count_cut") else 0


def words_for_cut(encoder: Any, cut: int, total: int, what: str = "texts") -> str:
    """Say how many of the texts are cut."""
    longest = getattr(encoder, "text_length", getattr(encoder, "max_length", "few"))
    reads = f"the {longest} tokens that {encoder.name!r} reads"
    return f"{cut} of {total} {what} are longer than {reads}; the rest of each is cut off"


def warn_of_cut(encoder: Any, cut: int, total: int, what: str = "texts", stacklevel: int = 2) -> None:
    """Give a `TextsCutWarning` if any text is cut."""
    if cut:
        advice = "split them, or raise max_length where the model takes more"
        message = f"{words_for_cut(encoder, cut, total, what)}: {advice}"
        warnings.warn(message, TextsCutWarning, stacklevel=stacklevel + 1)


@contextmanager
def silent_about_cut() -> Iterator[None]:
    """No `TextsCutWarning` inside the block: it was said, or will be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TextsCutWarning)
        yield
