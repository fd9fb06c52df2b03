"""The base of this library's errors, in a module that is imported at no cost: a command line can catch it."""

from collections.abc import Iterable


class CosentError(Exception):
    """Something the caller can put right; the message is all there is to say.

    Every error of ``cosent_lib`` that is not a plain ``ValueError`` is one. Each also has the built-in type that fits
    it, so that ``except ValueError`` and the like go on working.
    """


def choose(what: str, name: str, known: Iterable[str]) -> None:
    """Refuse a name that is not among the known ones.

    Args:
        what: kind of thing that is named, such as ``suite``; for the message.
        name: as it was given.
        known: all names that there are.

    Raises:
        ValueError: ``name`` is not one of them; the message lists them.
    """
    names = list(known)
    if name not in names:
        raise ValueError(f"unknown {what} {name!r}, expected one of: {', '.join(names)}")
