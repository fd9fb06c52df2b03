"""Results in files: one ``NAME.jsonl`` a suite, one record a line, in the order of their keys.

A finished record goes at once into a spool file of its own and from there, under a lock, into the suite's file. So a
killed runner loses nothing that was finished, several runners may write one suite, and two branches that recorded
different runs merge as lines of text. Where the same key stands twice (two branches made the same run), the record
with the earlier date counts, and the next one that is added drops the other.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from cosent_lib.files import replacing
from cosent_lib.runs.run import dump
from cosent_lib.runs.schema import DamagedRecord, refuse_constant

RESULTS = Path(__file__).parent / "results"

Line = dict[str, Any]


def file_of(name: str, folder: Path | None = None) -> Path:
    """The file of a suite, or of the measurements."""
    return (RESULTS if folder is None else Path(folder)) / f"{name}.jsonl"


def read(name: str, folder: Path | None = None) -> dict[str, tuple[str, Line]]:
    """All records of a suite: key → where it stands (``FILE:LINE``) and its values; none where nothing is recorded.

    Args:
        name: of the suite.
        folder: of its file; by default the book's own ``results``.

    Raises:
        DamagedRecord: a line that is no JSON object with a key and a date; the message names file and line.
    """
    spooled = list(_lines(*_spool(name, folder)))  # first: what is folded meanwhile then stands in both
    found: dict[str, tuple[str, Line]] = {}
    for place, line in [*_lines(file_of(name, folder)), *spooled]:
        key = line.pop("key")
        if key not in found or _age(line) < _age(found[key][1]):
            found[key] = place, line
    return dict(sorted(found.items()))


def add(name: str, key: str, values: Mapping[str, Any], folder: Path | None = None) -> None:
    """Add a finished record to a suite's file. It is on the disk when this returns, and readable from the first moment.

    Args:
        name: of the suite.
        key: of the record.
        values: plain JSON, with a ``date``.
        folder: as for `read`.
    """
    with replacing(_spool_folder(folder) / f"{name}.{uuid4().hex}.json") as file:
        file.write(_text(key, values))
    fold(name, folder)


def fold(name: str, folder: Path | None = None) -> None:
    """Take what lies in the spool, of whichever runner, into the suite's file; duplicates are dropped.

    Raises:
        DamagedRecord: as from `read`; nothing is changed then.
    """
    from filelock import FileLock

    with FileLock(_spool_folder(folder) / f"{name}.lock"):
        spooled = _spool(name, folder)
        if not spooled:
            return
        records = read(name, folder)
        with replacing(file_of(name, folder)) as file:
            file.writelines(_text(key, values) for key, (_, values) in records.items())
        for path in spooled:
            path.unlink()


@contextmanager
def claimed(name: str, key: str, folder: Path | None = None) -> Iterator[bool]:
    """Whether a run is ours to carry out inside the block. A killed process loses its claim."""
    from filelock import FileLock, Timeout

    lock = FileLock(_spool_folder(folder) / f"{name}.{key}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)  # while it is still held: no other runner can be inside
        lock.release()


def _spool_folder(folder: Path | None) -> Path:
    place = file_of("", folder).parent / ".spool"
    place.mkdir(parents=True, exist_ok=True)
    return place


def _spool(name: str, folder: Path | None) -> list[Path]:
    return sorted((file_of("", folder).parent / ".spool").glob(f"{name}.*.json"))


def _text(key: str, values: Mapping[str, Any]) -> str:
    return dump({"key": key})[:-1] + ", " + dump(dict(values))[1:] + "\n"


def _age(line: Line) -> tuple[str, str]:
    """By which of two records with one key is the earlier; a function of their contents alone."""
    return line["date"], dump(line)


def _lines(*paths: Path) -> Iterator[tuple[str, Line]]:
    for path in paths:
        try:
            texts = path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:  # nothing recorded yet, or folded by another runner since it was listed
            continue
        except ValueError as error:
            raise DamagedRecord(f"{path}: not text ({error})") from error
        for number, text in enumerate(texts, start=1):
            place = f"{path}:{number}"
            try:
                line = json.loads(text, parse_constant=refuse_constant)
            except (ValueError, RecursionError) as error:
                raise DamagedRecord(f"{place}: not a record, its JSON cannot be read ({error})") from error
            if not isinstance(line, dict) or not all(isinstance(line.get(name), str) for name in ("key", "date")):
                raise DamagedRecord(f"{place}: not a record, expected a JSON object with the texts 'key' and 'date'")
            yield place, line
