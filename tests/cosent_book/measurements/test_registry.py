"""Measurements: recorded once, read back, taken live by the same function; nothing damaged or missing goes by."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cosent_book.measurements import registry as measurements
from cosent_book.measurements.registry import (
    DECLARED,
    MEASUREMENTS,
    Data,
    measured,
    measurement_path,
    read_measurement,
    take,
)
from cosent_lib.data.load import fingerprint, load_pairs
from cosent_lib.runs.perform import RecordMissing
from cosent_lib.runs.schema import DamagedRecord


def longest(data: Data, *, task: str, split: str, least: int = 0) -> dict[str, object]:
    """A measurement of the tests: the longest first sentence."""
    lengths = [len(text) for text in data.load(task, split)["sentence1"]]
    return {"longest": max(lengths), "above": sum(length > least for length in lengths), "none": float("nan")}


ARGUMENTS = {"task": "builtin", "split": "validation"}


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MEASUREMENTS, "longest", f"{__name__}:longest")
    monkeypatch.setattr(measurements, "DECLARED", (("longest", ARGUMENTS), ("longest", ARGUMENTS | {"least": 60})))


def test_what_is_recorded_is_what_is_read_and_what_is_taken_live(tmp_path: Path) -> None:
    path = take("longest", ARGUMENTS, tmp_path)
    record = read_measurement(path)
    pairs = load_pairs("builtin", "validation")
    assert record["data"]["builtin/validation"]["sha256"] == fingerprint(pairs)
    assert record["data"]["builtin/validation"]["rows"] == len(pairs)
    recorded = measured("longest", False, tmp_path, **ARGUMENTS)
    assert recorded == measured("longest", True, tmp_path, **ARGUMENTS)
    assert recorded["longest"] == max(map(len, pairs["sentence1"][:]))
    assert recorded["none"] is None
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_other_arguments_are_another_record(tmp_path: Path) -> None:
    take("longest", ARGUMENTS, tmp_path)
    with pytest.raises(
        RecordMissing, match=r"longest\(.*least=60\) has no record.*python -m cosent_lib measure longest"
    ):
        measured("longest", False, tmp_path, **ARGUMENTS, least=60)


def test_the_order_of_arguments_makes_no_difference() -> None:
    one = measurement_path("longest", {"task": "builtin", "options": {"b": 1, "a": [{"y": 2, "x": None}]}})
    other = measurement_path("longest", {"options": {"a": [{"x": None, "y": 2}], "b": 1}, "task": "builtin"})
    assert one == other


def test_unknown_names_and_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown measurement 'shortest', expected one of: .*longest"):
        measured("shortest", False)
    with pytest.raises(ValueError, match="measurement 'longest': missing a required argument: 'split'"):
        measured("longest", False, task="builtin")
    with pytest.raises(ValueError, match="unexpected keyword argument 'size'"):
        take("longest", ARGUMENTS | {"size": 1}, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-20], "its JSON cannot be read"),
        (lambda text: text.replace('"split": "validation"', '"split": "test"'), "belong to another file name"),
        (lambda text: text.replace('"dirty"', '"clean"'), "a measurement has the fields"),
        (lambda text: text.replace('"schema_version": 1', '"schema_version": 2'), "schema_version is 2"),
        (lambda text: text.replace('"schema_version": 1', '"schema_version": "1"'), "of another type"),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, change: Callable[[str], str], message: str) -> None:
    path = take("longest", ARGUMENTS, tmp_path)
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(DamagedRecord, match=message) as caught:
        measured("longest", False, tmp_path, **ARGUMENTS)
    assert path.name in str(caught.value)


def test_the_command_makes_what_is_missing_and_nothing_twice(
    tmp_path: Path, call: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, _ = call("measure", "--list", "--folder", tmp_path)
    assert (code, "0 of 2 measurements are recorded" in out, list(tmp_path.iterdir())) == (0, True, [])
    assert call("measure", "--folder", tmp_path)[0] == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(before) == 2
    code, out, _ = call("measure", "longest", "--folder", tmp_path)
    assert out.strip() == "2 of 2 measurements are recorded"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    code, _, err = call("measure", "shortest", "--folder", tmp_path)
    assert (code, err.strip()) == (2, "error: no measurement is called 'shortest', expected one of: longest")


def test_every_declared_measurement_is_recorded_from_a_committed_library() -> None:
    """``DECLARED`` as imported, before the fixture replaced it."""
    files = {path.name for path in measurements.FOLDER.glob("[!.]*.json")}
    wanted = {measurements.measurement_path(*each).name: each for each in DECLARED}
    assert files == set(wanted), "records and declarations differ: python -m cosent_lib measure, or remove the file"
    for name in wanted:
        record = read_measurement(measurements.FOLDER / name)
        assert record["dirty"] is False, f"{name} was taken from files that no commit has"
        text = json.dumps(record["result"])
        assert "NaN" not in text
