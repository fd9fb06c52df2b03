"""What the JSON of a record must hold, and the error that says where a file does not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1


class DamagedRecord(ValueError):  # noqa: N818
    """A record file that cannot be read or does not hold what a record must; the message names both."""


_NUMBER: tuple[type, ...] = (int, float)
_NUMBER_OR_NULL = (*_NUMBER, type(None))
# field -> types that JSON may give for it; true and false are never taken for numbers
_FIELDS: dict[str, tuple[type, ...]] = {
    "suite": (str,), "task": (str,), "encoder": (str,), "loss": (str,), "source": (str,),
    "encoder_options": (dict,), "loss_options": (dict,), "training": (dict,), "seed": (int,),
    "score_range": (list, type(None)), "also_judge": (list,), "resolved": (dict,), "data": (dict,), "metrics": (dict,),
    "history": (dict,), "evaluations": (list,), "best_step": (int, type(None)), "steps": (int,),
    "batches_without_order": (int,), "wall_time_s": (dict,), "hardware": (dict,), "versions": (dict,),
    "commit": (str, type(None)), "dirty": (bool, type(None)), "date": (str,), "schema_version": (int,),
    "judge_test": (bool,), "failure": (str, type(None)), "alter": (dict,), "watch": (list,), "watched": (list,),
    "judge_retrieval": (bool,),
}  # fmt: skip
_ADDED_LATER = (
    "judge_test",
    "failure",
    "alter",
    "watch",
    "watched",
    "judge_retrieval",
)  # earlier files do not have them: their default holds
_INNER: dict[str, dict[str, tuple[type, ...]]] = {
    "resolved": {"source": (str,), "encoder": (dict,), "loss": (dict,), "training": (dict,)},
    "data": {"train": (dict,)},
    "metrics": {"validation": (dict, type(None)), "test": (dict, type(None))},
    "history": {"step": (list,), "loss": (list,), "inversion_bound": (list,)},
    "wall_time_s": {"train": _NUMBER, "evaluate": _NUMBER},
}
_SPLIT: dict[str, tuple[type, ...]] = {"rows": (int,), "sha256": (str,), "origin": (str,)}


def check_record(values: Any, path: Path) -> None:
    """Check fields and types of a record's JSON.

    Raises:
        DamagedRecord: A field that is missing, unknown or of another type, or a schema of another version; the
            message names the file and the field.
    """
    if not isinstance(values, dict):
        raise DamagedRecord(f"{path}: not a record, expected a JSON object, got {type(values).__name__}")
    version = values.get("schema_version")
    if version != SCHEMA_VERSION:
        raise DamagedRecord(f"{path}: field 'schema_version' is {version!r}, this library reads {SCHEMA_VERSION}")
    _check_fields(values, {n: t for n, t in _FIELDS.items() if n in values or n not in _ADDED_LATER}, path, "")
    for unknown in sorted(set(values) - set(_FIELDS)):
        raise DamagedRecord(f"{path}: unknown field {unknown!r}")
    for name, inner in _INNER.items():
        _check_fields(values[name], inner, path, f"{name}.")
    for split, entry in values["data"].items():
        _check_type(entry, (dict,), path, f"data.{split}")
        _check_fields(entry, _SPLIT, path, f"data.{split}.")
    for split, metrics in values["metrics"].items():
        for metric, value in (metrics or {}).items():
            _check_type(value, _NUMBER_OR_NULL, path, f"metrics.{split}.{metric}")
    _check_history(values["history"], path)


def refuse_constant(name: str) -> None:
    """Refuse the NaN and Infinity that Python's JSON reader would let pass."""
    raise ValueError(f"{name} is not JSON; an undefined number is null")


def _check_history(history: dict[str, list[Any]], path: Path) -> None:
    for name in _INNER["history"]:
        for i, value in enumerate(history[name]):
            _check_type(value, _NUMBER_OR_NULL, path, f"history.{name}[{i}]")
    lengths = {name: len(history[name]) for name in _INNER["history"]}
    if len(set(lengths.values())) > 1:
        raise DamagedRecord(f"{path}: the lists of field 'history' differ in length ({lengths})")


def _check_fields(values: dict[str, Any], types: Mapping[str, tuple[type, ...]], path: Path, at: str) -> None:
    for name, allowed in types.items():
        if name not in values:
            raise DamagedRecord(f"{path}: field '{at}{name}' is missing")
        _check_type(values[name], allowed, path, at + name)


def _check_type(value: Any, allowed: tuple[type, ...], path: Path, where: str) -> None:
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        expected = " or ".join("null" if kind is type(None) else kind.__name__ for kind in allowed)
        raise DamagedRecord(f"{path}: field '{where}' must be {expected}, got {value!r:.60}")
