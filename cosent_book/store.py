"""Results in files: one ``NAME.jsonl`` a suite, one record a line, in the order of their keys.

A finished record goes at once into a spool file of its own and from there, under a lock, into the suite's file. So a
killed runner loses nothing that was finished, several runners may write one suite, and two branches that recorded
different runs merge as lines of text. Where the same key stands twice (two branches made the same run), the record
with the earlier date counts, and the next one that is added drops the other. Reading writes nothing.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from cosent_book.schema import DamagedRecord, refuse_constant
from cosent_lib import files
from cosent_lib.files import replacing
from cosent_lib.runs.run import dump

RESULTS = Path(__file__).parent / "results"

Line = dict[str, Any]


class _Stored(NamedTuple):
    place: str  # FILE:LINE
    text: str
    values: Line

    @property
    def age(self) -> tuple[str, str]:
        """By which of two records with one key is the earlier; a function of their contents alone."""
        return self.values["date"], self.text


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
    return {key: (stored.place, stored.values) for key, stored in _all(name, folder).items()}


def holds(name: str, key: str, folder: Path | None = None) -> bool:
    """Whether a suite has a record with this key; a look that costs milliseconds. Arguments and errors as of `read`."""
    quoted = json.dumps(key)
    return any(
        _parsed(place, text)["key"] == key for place, text in _texts(*_places(name, folder)) if quoted in text
    )  # fmt: skip


def add(name: str, key: str, values: Mapping[str, Any], folder: Path | None = None) -> None:
    """Add a finished record to a suite's file. It is on the disk when this returns, and readable from the first moment.

    Args:
        name: of the suite.
        key: of the record.
        values: plain JSON, with a ``date``.
        folder: as for `read`.

    Raises:
        DamagedRecord: as from `read`. The record is in the spool then, from where it is read as well.
    """
    with replacing(_spool_folder(folder) / f"{name}.{uuid4().hex}.json") as file:
        file.write(dump({"key": key})[:-1] + ", " + dump(dict(values))[1:] + "\n")  # the key first: lines can be found
    fold(name, folder)


def fold(name: str, folder: Path | None = None) -> None:
    """Take what lies in the spool, of whichever runner, into the suite's file; duplicates are dropped.

    Lines that are kept stay as they are, to the byte. Where the spool is empty nothing is touched.

    Raises:
        DamagedRecord: as from `read`; nothing is changed then.
    """
    from filelock import FileLock

    if not _spooled(name, folder):
        return
    with FileLock(_spool_folder(folder) / f"{name}.lock"):
        spooled = _spooled(name, folder)  # again: another runner may have been faster
        if not spooled:
            return
        path = file_of(name, folder)
        stored = _all(name, folder)
        for left in path.parent.glob(f".{path.name}.*.tmp"):  # of a fold that was killed: only this lock's holder folds
            left.unlink(missing_ok=True)
        with replacing(path) as file:
            file.writelines(f"{each.text}\n" for each in stored.values())
        for done in spooled:
            done.unlink()


def claimed(name: str, key: str, folder: Path | None = None) -> AbstractContextManager[bool]:
    """Whether a run is ours to carry out inside the block. A killed process loses its claim."""
    return files.claimed(_spool_folder(folder) / f"{name}.{key}.lock")


def _all(name: str, folder: Path | None) -> dict[str, _Stored]:
    """Key → the record that counts, in the order of the keys."""
    found: dict[str, _Stored] = {}
    for place, text in _texts(*_places(name, folder)):
        values = _parsed(place, text)
        key, stored = values.pop("key"), _Stored(place, text, values)
        if key not in found or stored.age < found[key].age:
            found[key] = stored
    return dict(sorted(found.items()))


def _places(name: str, folder: Path | None) -> list[Path]:
    """Where records stand; the spool first, because what is folded while one reads then stands in both."""
    return [*_spooled(name, folder), file_of(name, folder)]


def _spool_folder(folder: Path | None) -> Path:
    place = file_of("", folder).parent / ".spool"
    place.mkdir(parents=True, exist_ok=True)
    return place


def _spooled(name: str, folder: Path | None) -> list[Path]:
    return sorted((file_of("", folder).parent / ".spool").glob(f"{name}.*.json"))


def _texts(*paths: Path) -> Iterator[tuple[str, str]]:
    """Lines with their places."""
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:  # nothing recorded yet, or folded by another runner since it was listed
            continue
        except ValueError as error:
            raise DamagedRecord(f"{path}: not text ({error})") from error
        # not splitlines(), which ends a line at separators that may stand within a sentence
        for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), start=1):
            yield f"{path}:{number}", line


def _parsed(place: str, text: str) -> Line:
    try:
        line = json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise DamagedRecord(f"{place}: not a record, its JSON cannot be read ({error})") from error
    if not isinstance(line, dict) or not all(isinstance(line.get(name), str) for name in ("key", "date")):
        raise DamagedRecord(f"{place}: not a record, expected a JSON object with the texts 'key' and 'date'")
    return line
