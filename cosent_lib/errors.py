"""The base of this library's errors and its first checks, light enough for a command line to import."""

import os
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

WORLD_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")  # torchrun's and MPI's words
MEETING = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # by which processes find each other


class CosentError(Exception):
    """Something the caller can put right; the message is all there is to say.

    Every error of ``cosent_lib`` that is not a plain ``ValueError`` is one. Each also has the built-in type that fits
    it, so that ``except ValueError`` and the like go on working.
    """


def check_number(name: str, value: object, expected: str, low: float, high: float, *, whole: bool = False) -> None:
    """Refuse what is not a (whole) number from ``low`` to ``high``, with a ``ValueError``; NaN, true, false are none.

    Example:
        >>> check_number("rate", 2, "a number from 0 to 1", 0, 1)
        Traceback (most recent call last):
        ValueError: rate must be a number from 0 to 1, got 2
    """
    kind = Integral if whole else Real
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:  # type: ignore[operator]
        raise ValueError(f"{name} must be {expected}, got {value!r}")


def first_line(error: BaseException) -> str:
    """What an error says first, and its class where that is no class for messages."""
    said = next(iter(str(error).strip().splitlines()), "")
    return said if said and isinstance(error, (CosentError, ValueError, OSError, RuntimeError)) else repr(error)


def choose(what: str, name: str, known: Iterable[str]) -> None:
    """Refuse a ``name`` that is not among the known ones, with a ``ValueError`` that lists them.

    Example:
        >>> choose("loss", "cosnet", ["cosent", "sbert"])
        Traceback (most recent call last):
        ValueError: unknown loss 'cosnet', expected one of: cosent, sbert
    """
    names = list(known)
    if name not in names:
        raise ValueError(f"unknown {what} {name!r}, expected one of: {', '.join(names)}")


def launched_ranks() -> int:
    """How many processes a launcher says that it started; 1 without one. Asked of the environment."""
    counts = [os.environ.get(name, "") for name in WORLD_SIZES]
    return max([1, *(int(count) for count in counts if count.isdecimal())])


def own_rank() -> int:
    """The number of this process among those of a launcher; 0 without one."""
    rank = os.environ.get("RANK", "")
    return int(rank) if rank.isdecimal() and launched_ranks() > 1 else 0


def check_launch() -> None:
    """Refuse to be one of several processes that cannot find each other; the ``ValueError`` says what is missing."""
    missing = [name for name in MEETING if name not in os.environ]
    if launched_ranks() > 1 and missing:
        raise ValueError(f"{_told()}, but {', '.join(missing)} is not set: start it by torchrun or `accelerate launch`")


def check_one_process() -> None:
    """Refuse to be one of several processes that a launcher started: each would do, and write, the same."""
    if launched_ranks() > 1:
        without = "start it without torchrun, `accelerate launch` or mpirun"
        raise ValueError(f"{_told()}: this runs in one process; {without}")


def _told() -> str:
    return next(f"{n}={os.environ[n]}" for n in WORLD_SIZES if os.environ.get(n, "") == str(launched_ranks()))


class NoVectors(CosentError, TypeError):  # noqa: N818 — the name says it
    """A cross-encoder was asked for vectors of texts."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name!r} is a cross-encoder: it scores pairs (predict) and has no vector for a text, so it cannot "
            "encode, search or be trained on a loss over vectors"
        )


def check_gives_vectors(encoder: Any) -> None:
    """Refuse, with `NoVectors`, an encoder that has none."""
    if getattr(type(encoder), "reads_pairs", False):  # of the class: nothing of the encoder is begun
        raise NoVectors(encoder.name)
