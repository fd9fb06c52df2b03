"""Measurements: what a chapter shows of real data or of a pretrained encoder beside the recorded runs.

A measurement is a function of pairs and arguments that returns plain JSON values; the arguments it is recorded with are
declared at its head (`measurement`). `measured` is the call that chapters use: it reads the record of a measurement, or
takes it now by the very same function.
"""

import hashlib
import inspect
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from cosent_book import store
from cosent_book.records import RecordMissing
from cosent_book.schema import DamagedRecord
from cosent_lib.errors import choose
from cosent_lib.runs.provenance import commit_of_library, hardware, versions
from cosent_lib.runs.run import dump, json_value

if TYPE_CHECKING:
    from datasets import Dataset

SUITE = "measurements"  # the name of their file among the results
MODULES = (
    "pairs", "direct", "scale", "contradiction", "noise", "difference", "encoder", "sbert", "family", "graded",
    "teaching"
)  # fmt: skip
SCHEMA_VERSION = 1
FIELDS: dict[str, tuple[type, ...]] = {
    "measurement": (str,), "arguments": (dict,), "result": (dict,), "data": (dict,), "wall_time_s": (int, float),
    "hardware": (dict,), "versions": (dict,), "commit": (str, type(None)), "dirty": (bool, type(None)), "date": (str,),
    "schema_version": (int,),
}  # fmt: skip

Arguments = Mapping[str, Any]
Function = TypeVar("Function", bound=Callable[..., Mapping[str, Any]])


class Measurement(NamedTuple):
    """A function ``f(data, **arguments)`` and the arguments that it is recorded with."""

    function: Callable[..., Mapping[str, Any]]
    declared: tuple[dict[str, Any], ...]


_MEASUREMENTS: dict[str, Measurement] = {}  # by name; filled where their modules are imported


def measurement(declared: Iterable[Arguments]) -> Callable[[Function], Function]:
    """Mark a function ``f(data, **arguments)`` as a measurement, recorded with each of the ``declared`` arguments.

    Raises:
        TypeError: arguments that the function does not take, or not all that it needs.
        ValueError: another measurement of this name.
    """
    listed = tuple(dict(each) for each in declared)

    def mark(function: Function) -> Function:
        for arguments in listed:
            inspect.signature(function).bind(None, **arguments)
        before = _MEASUREMENTS.get(function.__name__)
        if before is not None and before.function.__module__ != function.__module__:
            raise ValueError(f"two measurements are called {function.__name__!r}")
        _MEASUREMENTS[function.__name__] = Measurement(function, listed)
        return function

    return mark


def measurements() -> dict[str, Measurement]:
    """All measurements by their names."""
    for module in MODULES:
        import_module(f"cosent_book.measurements.{module}")
    return _MEASUREMENTS


def declared(name: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Names and arguments of what the chapters ask for: of all measurements, or of the one called ``name``.

    Raises:
        ValueError: no measurement is called ``name``.
    """
    known = {name: _measurement(name)} if name else measurements()
    return [(each, arguments) for each, (_, listed) in known.items() for arguments in listed]


class Data:
    """Where a measurement gets its pairs from, so that its record can say which they were."""

    def __init__(self) -> None:
        self.used: dict[str, dict[str, Any]] = {}

    def load(self, task: str, split: str) -> "Dataset":
        """As `cosent_lib.load_pairs`; rows, fingerprint and origin are noted."""
        from cosent_lib.data.load import fingerprint, load_pairs, origin

        pairs = load_pairs(task, split)
        self.used[f"{task}/{split}"] = {
            "rows": len(pairs), "sha256": fingerprint(pairs), "origin": origin(pairs)
        }  # fmt: skip
        return pairs


def measured(name: str, live: bool, folder: Path | None = None, **arguments: Any) -> dict[str, Any]:
    """The result of a measurement: from its record, or taken now.

    Args:
        name: of the measurement.
        live: False reads the record; True calls the function (nothing is written).
        folder: of the records; by default the book's own ``results``.
        arguments: plain JSON values; as many as tell one declaration from the others, or all that the function needs.

    Raises:
        ValueError: an unknown name, or arguments that fit several declarations, or that the function does not take.
        RecordMissing: not live, and there is no record; the message has the command that makes it.
        DamagedRecord: a record that cannot be read or belongs to other arguments.
        DataUnavailable, MalformedRow: live, from `load_pairs`.
    """
    function, listed = _measurement(name)
    whole = _completed(name, arguments)
    if live:
        return json_value(function(Data(), **whole), name)
    key = key_of(name, whole)
    found = store.read(SUITE, folder)
    if key not in found:
        first = "" if whole in listed else f"declare these arguments in {function.__module__}, then "
        raise RecordMissing(
            f"measurement {_label(name, whole)} has no record: {first}make it with python -m cosent_book measure {name}"
        )
    place, values = found[key]
    _check(values, key, place)
    return values["result"]


def take(name: str, arguments: Arguments, folder: Path | None = None) -> str:
    """Take a measurement now, record it and return its key. Errors as `measured`."""
    function = _measurement(name).function
    whole = _completed(name, arguments)
    data, begun = Data(), time.perf_counter()
    result = function(data, **whole)
    commit, dirty = commit_of_library()
    record = {
        "measurement": name, "arguments": whole, "result": result, "data": data.used,
        "wall_time_s": round(time.perf_counter() - begun, 3), "hardware": hardware(), "versions": versions(),
        "commit": commit, "dirty": dirty, "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "schema_version": SCHEMA_VERSION,
    }  # fmt: skip
    key = key_of(name, whole)
    store.add(SUITE, key, json_value(record, name), folder)
    return key


def key_of(name: str, arguments: Arguments) -> str:
    """Name and arguments of a measurement, readable, and ten digits of their SHA-256.

    The order in which arguments, or the keys of a mapping among them, are given makes no difference.
    """
    plain = json.loads(dump(dict(arguments)))  # keys sorted at every depth
    digest = hashlib.sha256(dump([name, plain]).encode()).hexdigest()[:10]
    words = "-".join([name, *map(str, plain.values())])
    return f"{re.sub(r'[^A-Za-z0-9_.]+', '_', words)[:80].strip('_.')}-{digest}"


def missing_measurements(name: str = "", folder: Path | None = None) -> list[tuple[str, dict[str, Any]]]:
    """The declared measurements, or those called ``name``, that have no record; existing records are checked.

    Raises:
        ValueError: no measurement is called ``name``.
        DamagedRecord: a record that cannot be read.
    """
    wanted = declared(name)
    found = store.read(SUITE, folder)
    for key, (place, values) in found.items():
        _check(values, key, place)
    return [each for each in wanted if key_of(*each) not in found]


def _check(values: dict[str, Any], key: str, place: str) -> None:
    """Refuse what is no record of a measurement, or not the one that its key says."""
    if set(values) != set(FIELDS):
        raise DamagedRecord(
            f"{place}: a measurement has the fields {', '.join(sorted(FIELDS))}; this has {sorted(values)}"
        )
    for name, kinds in FIELDS.items():
        if not isinstance(values[name], kinds) or (isinstance(values[name], bool) and bool not in kinds):
            raise DamagedRecord(f"{place}: field {name!r} is {values[name]!r:.60}, of another type than it must have")
    if values["schema_version"] != SCHEMA_VERSION:
        raise DamagedRecord(
            f"{place}: schema_version is {values['schema_version']}, this library reads {SCHEMA_VERSION}"
        )
    if key_of(values["measurement"], values["arguments"]) != key:
        raise DamagedRecord(f"{place}: the arguments in it belong to another key; it was edited")


def _measurement(name: str) -> Measurement:
    known = measurements()
    choose("measurement", name, known)
    return known[name]


def _completed(name: str, arguments: Arguments) -> dict[str, Any]:
    """The one declaration that holds these arguments; or the arguments as they are, where none does."""
    function, listed = _measurement(name)
    given = dict(arguments)
    fitting = [each for each in listed if given.items() <= each.items()] if given not in listed else [given]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise ValueError(f"{_label(name, arguments)} fits {len(fitting)} declarations; give more of its arguments")
    try:
        inspect.signature(function).bind(None, **arguments)
    except TypeError as error:
        raise ValueError(f"measurement {name!r}: {error}; it is {name}{inspect.signature(function)}") from None
    return given


def _label(name: str, arguments: Arguments) -> str:
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
