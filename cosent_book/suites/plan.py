"""The suites by name, and what they come to: rows, runs that are known, runs that wait for a choice.

To add an experiment, declare it in a module beside this one, list it in `SUITES`, and call
``python -m cosent_book benchmark SUITE``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from typing import NamedTuple

from cosent_book.suites.central import CENTRAL_SUITES
from cosent_book.suites.cross import CROSS_SUITES
from cosent_book.suites.graded import GRADED_SUITES
from cosent_book.suites.main import MAIN_SUITES
from cosent_book.suites.pairs import SENTENCE_PAIRS
from cosent_book.suites.rows import Row
from cosent_book.suites.table import TABLE_SUITES
from cosent_lib.errors import choose
from cosent_lib.runs.record import Record
from cosent_lib.runs.run import Run

SUITES: dict[str, Callable[..., Iterator[Row]]] = {
    **CENTRAL_SUITES, **CROSS_SUITES, **GRADED_SUITES, **MAIN_SUITES, **SENTENCE_PAIRS, **TABLE_SUITES
}  # fmt: skip


class Plan(NamedTuple):
    """The runs of a suite that are known, and how many more will be once choices on validation are made."""

    runs: Sequence[Run]
    undecided: int


def rows(suite: str, only: str = "", encoder: str | None = None) -> list[Row]:
    """The rows of a suite in their declared order; rows that differ in their seeds alone are one.

    Args:
        suite: Its name.
        only: Leave out rows of which neither name nor runs contain this.
        encoder: A folder or hub id to take the place of the suite's own encoders.

    Raises:
        ValueError: An unknown suite, or an encoder for a suite whose settings belong to its own.
    """
    choose("suite", suite, SUITES)
    declare = SUITES[suite]
    if encoder is not None and "encoders" not in signature(declare).parameters:
        free = ", ".join(name for name, each in SUITES.items() if "encoders" in signature(each).parameters)
        raise ValueError(
            f"the settings of suite {suite!r} belong to its own encoders; the suites for any encoder are: {free}"
        )
    found: dict[tuple[str, ...], Row] = {}
    for row in declare() if encoder is None else declare(encoders=(encoder,)):
        settings = (row.label, *(run.key for run in row.candidates))
        before = found[settings].seeds if settings in found else ()
        found[settings] = replace(row, seeds=(*before, *row.seeds))
    return [row for row in found.values() if row.names(only)]


def plan(suite: str, recorded: Mapping[str, Record], only: str = "", encoder: str | None = None) -> Plan:
    """All runs of a suite that are known now, candidates before what is chosen from them, each once.

    Args:
        suite: Its name.
        recorded: Its records, by which choices are made.
        only: As for `rows`; of rows without a choice only runs that contain it are taken.
        encoder: As for `rows`.
    """
    runs: dict[str, Run] = {}
    later: dict[str, Run] = {}
    undecided = 0
    for row in rows(suite, only, encoder):
        undecided += (len(row.seeds) - row.dear) if row.waits(recorded) else 0
        for run in [*row.trials(recorded), *reported(row, recorded, only)]:
            (later if row.dear and run.seed != row.seeds[0] else runs).setdefault(run.key, run)
    return Plan(list((runs | later).values()), undecided)


def reported(row: Row, recorded: Mapping[str, Record], only: str = "") -> list[Run]:
    """The runs whose test results a row reports; with nothing to choose, those alone that ``only`` names."""
    runs = row.reported(recorded)
    return runs if row.trials(recorded) or only in str(row) else [run for run in runs if only in str(run)]
