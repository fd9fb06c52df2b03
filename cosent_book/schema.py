"""Records read back: what their JSON must hold, and the error that says where a file does not."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from cosent_lib.errors import CosentError
from cosent_lib.runs.record import SCHEMA_VERSION, Record
from cosent_lib.runs.run import Run


class DamagedRecord(CosentError, ValueError):  # noqa: N818
    """A record that cannot be read or does not hold what a record must; the message says where and what."""


_NUMBER: tuple[type, ...] = (int, float)
_NUMBER_OR_NULL = (*_NUMBER, type(None))
# field -> types that JSON may give for it; true and false are never taken for numbers
_FIELDS: dict[str, tuple[type, ...]] = {
    "suite": (str,), "task": (str,), "encoder": (str,), "loss": (str,), "source": (str,),
    "encoder_options": (dict,), "loss_options": (dict,), "training": (dict,), "seed": (int,),
    "score_range": (list, type(None)), "judge": (list,), "resolved": (dict,), "data": (dict,), "metrics": (dict,),
    "history": (dict,), "evaluations": (list,), "best_step": (int, type(None)), "steps": (int,),
    "batches_without_order": (int,), "wall_time_s": (dict,), "hardware": (dict,), "versions": (dict,),
    "commit": (str, type(None)), "dirty": (bool, type(None)), "date": (str,), "schema_version": (int,),
    "failure": (str, type(None)), "alter": (dict,), "watch": (list,), "watched": (list,),
    }  # fmt: skip
_INNER: dict[str, dict[str, tuple[type, ...]]] = {
    "resolved": {"source": (str,), "encoder": (dict,), "loss": (dict,), "training": (dict,)},
    "data": {"train": (dict,)},
    "metrics": {"validation": (dict, type(None)), "test": (dict, type(None))},
    "history": {"step": (list,), "loss": (list,), "inversion_bound": (list,)},
    "wall_time_s": {"train": _NUMBER, "evaluate": _NUMBER},
}
_SPLIT: dict[str, tuple[type, ...]] = {"rows": (int,), "sha256": (str,), "origin": (str,)}


def record_of(values: Any, place: str) -> Record:
    """The record that `values_of` made these values from.

    Args:
        values: as read from JSON.
        place: where they were read, for error messages.

    Raises:
        DamagedRecord: a field that is missing, unknown or of the wrong type, a schema of another version, or settings
            that no run can have.
    """
    check_record(values, place)
    settings = {f.name: values[f.name] for f in fields(Run) if f.name in values}
    try:
        run = Run(**settings)
    except (ValueError, TypeError) as error:
        raise DamagedRecord(f"{place}: the settings are not those of a run ({error})") from error
    return Record(run=run, **{key: value for key, value in values.items() if key not in settings})


def check_record(values: Any, place: str) -> None:
    """Check fields and types of a record's JSON.

    Raises:
        DamagedRecord: a field that is missing, unknown or of another type, or a schema of another version; the
            message names the place and the field.
    """
    if not isinstance(values, dict):
        raise DamagedRecord(f"{place}: not a record, expected a JSON object, got {type(values).__name__}")
    version = values.get("schema_version")
    if version != SCHEMA_VERSION:
        raise DamagedRecord(f"{place}: field 'schema_version' is {version!r}, this library reads {SCHEMA_VERSION}")
    _check_fields(values, _FIELDS, place, "")
    for unknown in sorted(set(values) - set(_FIELDS)):
        raise DamagedRecord(f"{place}: unknown field {unknown!r}")
    for name, inner in _INNER.items():
        _check_fields(values[name], inner, place, f"{name}.")
    for split, entry in values["data"].items():
        _check_type(entry, (dict,), place, f"data.{split}")
        _check_fields(entry, _SPLIT, place, f"data.{split}.")
    for split, metrics in values["metrics"].items():
        for metric, value in (metrics or {}).items():
            _check_type(value, _NUMBER_OR_NULL, place, f"metrics.{split}.{metric}")
    _check_history(values["history"], place)


def refuse_constant(name: str) -> None:
    """Refuse the NaN and Infinity that Python's JSON reader would let pass."""
    raise ValueError(f"{name} is not JSON; an undefined number is null")


def _check_history(history: dict[str, list[Any]], place: str) -> None:
    for name in _INNER["history"]:
        if {*map(type, history[name])} <= {int, float, type(None)}:
            continue  # the quick way; the slow one below says which value is wrong
        for i, value in enumerate(history[name]):
            _check_type(value, _NUMBER_OR_NULL, place, f"history.{name}[{i}]")
    lengths = {name: len(history[name]) for name in _INNER["history"]}
    if len(set(lengths.values())) > 1:
        raise DamagedRecord(f"{place}: the lists of field 'history' differ in length ({lengths})")


def _check_fields(values: dict[str, Any], types: Mapping[str, tuple[type, ...]], place: str, at: str) -> None:
    for name, allowed in types.items():
        if name not in values:
            raise DamagedRecord(f"{place}: field '{at}{name}' is missing")
        _check_type(values[name], allowed, place, at + name)


def _check_type(value: Any, allowed: tuple[type, ...], place: str, where: str) -> None:
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        expected = " or ".join("null" if kind is type(None) else kind.__name__ for kind in allowed)
        raise DamagedRecord(f"{place}: field '{where}' must be {expected}, got {value!r:.60}")
