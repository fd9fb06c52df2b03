r"""Reading files of sentence pairs, row by row, with every row checked.

Lines end at ``\n`` or ``\r\n`` and at nothing else: texts may hold other characters at which `splitlines` breaks.
A ``.tsv`` knows no quotation, a ``.csv`` follows Python's `csv` module. Both may be gzipped (``.gz``), must be UTF-8
and begin with a header naming at least ``sentence1``, ``sentence2`` and ``score`` (or, without ``score``, ``label``).
"""

import csv
import gzip
import math
import warnings
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

from cosent_lib.data.columns import COLUMNS, QUERY, Columns
from cosent_lib.errors import CosentError
from cosent_lib.texts import fault_of, shown

OnError = Literal["raise", "skip"]
BOM = b"\xef\xbb\xbf"  # byte-order mark that some editors put before UTF-8
SHOWN = 10  # how many skipped rows a warning lists
OUT_OF_RANGE = "score out of range"
RANGE_ADVICE = "; another range is told by score_range=(lowest, highest), on the command line --score-range"

Row = tuple[int, Sequence[str]]  # line where the row begins, its fields


class MalformedFile(CosentError, ValueError):  # noqa: N818 (the name says what is wrong, as MalformedRow's does)
    """A file that cannot be read as sentence pairs at all.

    Attributes:
        path: the file.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


class MalformedRow(MalformedFile):
    """A row that is not two texts and a score in range.

    Attributes:
        path: the file (or the place on the hub).
        line: the line where the row begins, counted from 1 with the header (on the hub: the row, from 1).
        value: the offending value.
        problem: what is wrong with it.
    """

    def __init__(self, path: str, line: int, problem: str, value: object, expected: str) -> None:
        super().__init__(path, f"line {line}: {problem}: got {shown(value)}, expected {expected}")
        self.line, self.value, self.problem = line, value, problem


class SkippedRowsWarning(UserWarning):
    """Rows were left out because ``on_error="skip"`` asked for it; the message says how many and which."""


class _Problem(ValueError):  # noqa: N818
    """What is wrong with a row, before its place is known: the problem, the value, what was expected."""


class Checker:
    """Checks rows that come from one place and collects the good ones.

    Args:
        path: what to call the place in messages.
        score_range: (lowest, highest) raw score; (0, 5) maps 4.0 to 0.8.
        on_error: ``raise`` at the first malformed row, or ``skip`` it and warn when finished.
        advice: what to add, once, where a score is out of range.
    """

    def __init__(self, path: str, score_range: tuple[float, float], on_error: OnError, advice: str = "") -> None:
        self.path, self.score_range, self.on_error, self.advice = path, score_range, on_error, advice
        self.columns: Columns = {name: [] for name in COLUMNS}
        self.bad: list[MalformedRow] = []

    def add(self, line: int, sentence1: object, sentence2: object, score: object, query: str | None = None) -> None:
        """Check one row and keep it, with what names its query where rows have one.

        Raises:
            MalformedRow: the row is malformed and ``on_error`` is ``raise``.
        """
        try:
            for name, text in zip(COLUMNS, (sentence1, sentence2), strict=False):
                if fault := fault_of(name, text):
                    raise _Problem(fault[0], text, fault[1])
            value = _scaled(score, *self.score_range)
            if query is not None and not query.strip():
                raise _Problem("query is empty", query, "what names the row's query")
        except _Problem as problem:
            self.reject(line, *problem.args)
            return
        for name, item in zip(COLUMNS, (sentence1, sentence2, value), strict=True):
            self.columns[name].append(item)
        if query is not None:
            self.columns.setdefault(QUERY, []).append(query)

    def reject(self, line: int, problem: str, value: object, expected: str) -> None:
        """Raise for a malformed row, or remember it."""
        if self.on_error == "raise":
            advice = self.advice if problem == OUT_OF_RANGE else ""
            raise MalformedRow(self.path, line, problem, value, expected + advice) from None
        self.bad.append(MalformedRow(self.path, line, problem, value, expected))

    def finish(self) -> Columns:
        """What was collected; warns of what was skipped.

        Raises:
            MalformedFile: nothing was collected.
        """
        kept, skipped = len(self.columns["score"]), len(self.bad)
        listed = "; ".join(f"line {error.line} ({error.problem})" for error in self.bad[:SHOWN])
        more = f"; and {skipped - SHOWN} more" if skipped > SHOWN else ""
        more += self.advice if any(error.problem == OUT_OF_RANGE for error in self.bad) else ""
        if not kept:
            problem = f"all {skipped} rows are malformed: {listed}{more}" if skipped else "no rows"
            raise MalformedFile(self.path, problem)
        if skipped:
            message = f"{self.path}: skipped {skipped} of {kept + skipped} rows: {listed}{more}"
            warnings.warn(message, SkippedRowsWarning, stacklevel=3)  # who called load_pairs
        return self.columns


@lru_cache(maxsize=4096)
def _scaled(score: object, low: float, high: float) -> float:
    """A score scaled to [0, 1]; cached, since most files hold only a few distinct scores."""
    expected = f"a number from {low:g} to {high:g}"
    try:
        plain = not isinstance(score, str) or (score.isascii() and "_" not in score)  # float() takes "1_0" and "１"
        value = float(score) if plain else None  # type: ignore[arg-type]
    except (TypeError, ValueError):
        value = None
    if value is None:
        raise _Problem("score is not a number", score, expected)
    if not math.isfinite(value):
        raise _Problem("score is NaN" if math.isnan(value) else "score is infinite", score, expected)
    if not low <= value <= high:
        raise _Problem(OUT_OF_RANGE, score, expected)
    return (value - low) / (high - low)


def check_file(
    path: Path, score_range: tuple[float, float], on_error: OnError, *, header: bool = True, advice: str = ""
) -> Checker:
    """Read one file, its good rows into ``columns`` and, unless they are errors, the malformed ones into ``bad``.

    Args:
        path: ``.tsv`` or ``.csv``, or the tab-separated ``.data`` of the original layout (no header); or ``.gz`` of it.
        score_range: (lowest, highest) score the file may hold.
        on_error: what to do with malformed rows. A file that is malformed as a whole is always an error.
        header: whether the first line names the columns; else they are sentence1, sentence2, score.
        advice: as for `Checker`.

    Raises:
        MalformedRow: wrong number of fields, empty text, a score that is no finite number in range, not UTF-8.
        MalformedFile: empty, truncated, another encoding, wrong header, an unclosed quotation.
    """
    rows = rows_of(path)
    names = list(COLUMNS)
    if header:
        _, first = next(rows)
        names = [name.strip() for name in first]
    a, b, c = _positions(path, names)
    query = names.index(QUERY) if QUERY in names else None
    checker = Checker(str(path), score_range, on_error, advice)
    for line, fields in rows:
        if wrong := next(filter(None, map(undecoded, fields)), None):
            checker.reject(line, "bytes that are not UTF-8", wrong, "text encoded as UTF-8")
        elif len(fields) == len(names):
            checker.add(line, fields[a], fields[b], fields[c], None if query is None else fields[query])
        else:
            whole = ("," if kind_of(path) == ".csv" else "\t").join(fields)
            expected = f"{len(names)} ({', '.join(names)})"
            checker.reject(line, f"{len(fields)} field{'s' * (len(fields) != 1)}", whole, expected)
    return checker


def kind_of(path: Path) -> str:
    """The ending of a file's name in small letters, without the ``.gz`` that may follow it."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def lines_of(path: Path, *, strip: bool = True) -> Iterator[tuple[int, str]]:
    r"""Yield number (from 1) and text of each line of a file, unpacked, one by one: it need not fit into memory.

    Lines end at ``\n`` or ``\r\n``; empty ones at the end of the file are left out. Bytes that are not UTF-8 stand as
    lone surrogates (`undecoded`). With ``strip=False`` a ``\r`` at the end of a line stays: a quoted field of a
    ``.csv`` may hold it.

    Raises:
        MalformedFile: empty, a broken gzip file or one without its name, UTF-16.
    """
    begun, held = False, list[tuple[int, str]]()  # held: empty lines that may be the file's last
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                line = _begun(path, raw) if number == 1 else raw
                text = line.decode(errors="surrogateescape").removesuffix("\n")
                held.append((number, text.removesuffix("\r") if strip else text))
                if text.strip("\r"):
                    begun = True
                    yield from held
                    held.clear()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise MalformedFile(str(path), f"not a whole gzip file ({error}); fetch or pack it again") from error
    if not begun:
        raise MalformedFile(str(path), "the file is empty")


def _begun(path: Path, raw: bytes) -> bytes:
    """The first line without a byte-order mark, if it begins a text at all."""
    if raw.startswith(b"\x1f\x8b"):
        raise MalformedFile(str(path), "gzip-compressed but not named .gz; rename it")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise MalformedFile(str(path), "the text is UTF-16; save it as UTF-8")
    return raw.removeprefix(BOM)


def undecoded(text: str) -> bytes | None:
    """The bytes of a text some of which are not UTF-8; None where all are."""
    wrong = any("\udc80" <= letter <= "\udcff" for letter in text)
    return text.encode(errors="surrogateescape") if wrong else None


def rows_of(path: Path) -> Iterator[Row]:
    """Yield the line where each row of a ``.csv`` or tab-separated file begins, and its fields; header included.

    Raises:
        MalformedFile: as `lines_of`; a ``.csv`` with wrong quotation marks.
    """
    if kind_of(path) == ".csv":
        yield from _csv_rows(path)
    else:
        yield from ((number, line.split("\t")) for number, line in lines_of(path))


def _csv_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a CSV file; a quoted field may span lines."""
    reader, line = csv.reader((f"{text}\n" for _, text in lines_of(path, strip=False)), strict=True), 1
    try:
        for fields in reader:
            yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:  # what follows a wrong quotation mark cannot be told apart: no row to skip
        problem = f"the row that begins in line {line} is not CSV ({error}); check its quotation marks"
        raise MalformedFile(str(path), problem) from error


def _positions(path: Path, names: list[str]) -> tuple[int, int, int]:
    """Where sentence1, sentence2 and the score stand; others than these and ``query`` are allowed and ignored."""
    wanted = ["sentence1", "sentence2", "score" if "score" in names else "label"]
    problem = ""
    if "score" in names and "label" in names:
        problem = "columns score and label both exist, so which one to use is ambiguous; keep one"
    elif repeated := sorted({name for name in names if name in (*wanted, QUERY) and names.count(name) > 1}):
        problem = f"column {repeated[0]} occurs more than once"
    elif missing := [name for name in wanted if name not in names]:
        missing = ["score (or label)" if name == "label" else name for name in missing]
        separator = "a comma" if kind_of(path) == ".csv" else "a tab"
        problem = f"the first line must name the columns sentence1, sentence2, score, separated by {separator}; "
        problem += f"no {', no '.join(missing)} in {names!r}"
    if problem:
        raise MalformedFile(str(path), problem)
    return names.index(wanted[0]), names.index(wanted[1]), names.index(wanted[2])
