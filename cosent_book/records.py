"""Recorded runs, read back: the one way by which a number gets from a run into the book.

`recorded_or_live` is the call that chapters use; ``python -m cosent_book benchmark SUITE`` makes the records.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cosent_book import store
from cosent_book.carry_out import carry_out
from cosent_book.schema import DamagedRecord, record_of
from cosent_lib.errors import CosentError
from cosent_lib.runs.record import Record, values_of
from cosent_lib.runs.run import Run


class RecordMissing(CosentError, LookupError):  # noqa: N818
    """A recorded run was asked for that nobody has made yet; the message has the command that makes it."""


def load_records(suite: str, folder: Path | None = None) -> dict[str, Record]:
    """All records of a suite by the keys of their runs, in the order of the keys; none where nothing is recorded yet.

    Args:
        suite: its name.
        folder: of its file; by default the book's own ``results``.

    Raises:
        DamagedRecord: a line that is no record, or not one of this suite; none is passed over.
    """
    records = {}
    for key, (place, values) in store.read(suite, folder).items():
        record = record_of(values, place)
        if record.run.suite != suite:
            raise DamagedRecord(f"{place}: field 'suite' is {record.run.suite!r}, expected {suite!r}")
        if key != record.run.key:
            raise DamagedRecord(f"{place}: the settings in it belong to the key {record.run.key}; it was edited")
        records[key] = record
    return records


def save_record(record: Record, folder: Path | None = None) -> None:
    """Add a record to the file of its suite; see `cosent_book.store.add`."""
    store.add(record.run.suite, record.run.key, values_of(record), folder)


def missing_runs(runs: Sequence[Run], recorded: Mapping[str, Record] | None = None) -> list[Run]:
    """Those of ``runs`` without a record, in their order.

    Args:
        runs: declared runs.
        recorded: the records of their suite, from `load_records`; read for each suite of the runs unless given.
    """
    known = _by_suite(runs) if recorded is None else {run.suite: recorded for run in runs}
    return [run for run in runs if run.key not in known[run.suite]]


def recorded_or_live(
    runs: Sequence[Run], live: bool, folder: Path | None = None, progress: bool = True
) -> list[Record]:
    """The records of ``runs``, in their order: read from file, or made now by the very same code.

    Args:
        runs: declared runs, usually from `cosent_book.suites.plan.plan`.
        live: False reads the records; True carries out each run (nothing is written).
        folder: of the suites' files; by default the book's own ``results``.
        progress: show progress while carrying out.

    Raises:
        RecordMissing: not live, and some runs have no record; says which and how to make them.
        DamagedRecord: a record that cannot be read or belongs to other settings.
    """
    if live:
        return [carry_out(run, progress=progress)[0] for run in runs]
    known = _by_suite(runs, folder)
    missing = [run for run in runs if run.key not in known[run.suite]]
    if missing:
        raise RecordMissing(f"{len(missing)} of {len(runs)} runs have no record {how_to_make(missing)}")
    return [known[run.suite][run.key] for run in runs]


def how_to_make(missing: Sequence[Run]) -> str:
    """Which runs are missing, and the commands that make them: the end of an error message."""
    names = "; ".join(map(str, missing[:3])) + ("; …" if len(missing) > 3 else "")
    suites = dict.fromkeys(run.suite for run in missing)
    commands = " and ".join(f"python -m cosent_book benchmark {suite}" for suite in suites)
    return f"({names}): make them with {commands}"


def _by_suite(runs: Sequence[Run], folder: Path | None = None) -> dict[str, Mapping[str, Record]]:
    return {suite: load_records(suite, folder) for suite in dict.fromkeys(run.suite for run in runs)}
