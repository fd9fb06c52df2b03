"""Recorded runs carried out once more, and compared with their records: can what the book reports be restored?

Nothing is written: the records stay as they are.
"""

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosent_book.records import load_records
from cosent_book.runner import attempt
from cosent_lib.runs.perform import load_splits
from cosent_lib.runs.provenance import hardware, versions
from cosent_lib.runs.record import Record

ROUNDING = 1e-12
"""What a metric may lose where a later library adds up in another order; other trainings differ by far more."""

COUNTS = ("steps", "best_step", "batches_without_order")


@dataclass(frozen=True)
class Verdict:
    """What came of one record: how the run came out otherwise this time, and how its machine differs from this one.

    Attributes:
        record: The record as it stands.
        differences: One text for each thing that differs; empty where the run gave the recorded numbers, all of them.
        machine: What is otherwise there than here, such as ``cpu AMD EPYC (here Intel Xeon)``; empty for the same.
    """

    record: Record
    differences: tuple[str, ...]
    machine: tuple[str, ...]


def draw(suite: str, count: int, seed: int = 0, only: str = "", folder: Path | None = None) -> list[Record]:
    """At most ``count`` records of a suite, drawn at random without replacement.

    Args:
        suite: Its name.
        count: How many.
        seed: Of the draw: the same records for the same seed, as long as no record is added.
        only: Draw among those whose description contains this text.
        folder: As for `load_records`.

    Raises:
        ValueError: No such record, or a count below 1.
        DamagedRecord: A record that cannot be read.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    records = [record for record in load_records(suite, folder).values() if only in str(record.run)]
    if not records:
        what = f" whose description contains {only!r}" if only else ""
        raise ValueError(f"suite {suite!r} has no record{what}; make some with python -m cosent_book benchmark {suite}")
    return random.Random(seed).sample(records, min(count, len(records)))


def verify(records: list[Record], progress: bool = False) -> Iterator[Verdict]:
    """Carry out the run of each record again and compare; a verdict as soon as its run has ended.

    Raises:
        DataUnavailable, EncoderUnavailable: What a run needs is not here.
    """
    for record in records:
        again = attempt(record.run, load_splits(record.run), progress)
        yield Verdict(record, tuple(differences(record, again)), tuple(other_machine(record)))


def differences(record: Record, again: Record) -> Iterator[str]:
    """Yield what the same run gave otherwise: data, metrics (by more than `ROUNDING`), steps; times may differ.

    A metric that the record does not have, because it is from before the library computed it, is passed over.
    """
    for split in sorted({*record.data, *again.data}):
        was, now = (
            {name: value for name, value in each.data.get(split, {}).items() if name != "origin"}
            for each in (record, again)
        )
        if was != now:
            rows = f"{was.get('rows')} rows recorded, {now.get('rows')} now"
            yield f"data.{split}: {'other pairs' if was.get('rows') == now.get('rows') else rows}"
    if (record.failure is None) != (again.failure is None):
        yield f"failure: {record.failure or 'none'} recorded, {again.failure or 'none'} now"
    was, now = _flat(record.metrics), _flat(again.metrics)
    was |= {name: getattr(record, name) for name in COUNTS}
    now |= {name: getattr(again, name) for name in COUNTS}
    for name in sorted(was):
        if name not in now or not _equal(was[name], now[name]):
            yield f"{name}: {_shown(was, name)} recorded, {_shown(now, name)} now{_apart(was.get(name), now.get(name))}"


def other_machine(record: Record) -> Iterator[str]:
    """Yield what of the record's machine and packages is not what is here."""
    for there, here in ((record.hardware, hardware()), (record.versions, versions())):
        for name, value in there.items():
            if here.get(name) != value:
                yield f"{name} {value} (here {here.get(name)})"


def report(verdict: Verdict, write: Callable[[str], None]) -> None:
    """Write a verdict: a line, and where something differs what it is, and which machine the record is from."""
    write(f"{'differs' if verdict.differences else 'same':9}{verdict.record.run}")
    for text in verdict.differences:
        write(f"         {text}")
    if verdict.machine:
        write(f"         recorded with {', '.join(verdict.machine)}")


def _flat(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """``SPLIT.METRIC`` → value; a split without metrics counts as it stands."""
    found: dict[str, Any] = {}
    for split, values in metrics.items():
        found |= {f"{split}.{name}": value for name, value in values.items()} if values else {split: values}
    return found


def _equal(was: Any, now: Any) -> bool:
    return was == now or (isinstance(was, float) and isinstance(now, float) and abs(was - now) <= ROUNDING)


def _shown(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name, "nothing")
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _apart(was: Any, now: Any) -> str:
    """How far two numbers are from each other, where the six digits shown might not tell."""
    if not isinstance(was, float) or not isinstance(now, float) or not math.isfinite(was - now):
        return ""
    return f" ({now - was:+.1e})"
