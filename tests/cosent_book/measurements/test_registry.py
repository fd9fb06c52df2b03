"""Measurements: recorded once, read back, taken live by the same function; nothing damaged or missing goes by."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cosent_book import store
from cosent_book.measurements import registry
from cosent_book.measurements.registry import Data, declared, key_of, measured, measurement, missing_measurements, take
from cosent_book.records import RecordMissing
from cosent_book.schema import DamagedRecord
from cosent_lib.data.load import fingerprint, load_pairs


def longest(data: Data, *, task: str, split: str, least: int = 0) -> dict[str, object]:
    """A measurement of the tests: the longest first sentence."""
    lengths = [len(text) for text in data.load(task, split)["sentence1"]]
    return {"longest": max(lengths), "above": sum(length > least for length in lengths), "none": float("nan")}


ARGUMENTS = {"task": "builtin", "split": "validation"}


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    """`longest` is the only measurement there is."""
    monkeypatch.setattr(registry, "MODULES", ())
    monkeypatch.setattr(registry, "_MEASUREMENTS", {})
    measurement([ARGUMENTS, ARGUMENTS | {"least": 60}])(longest)


def lines(folder: Path) -> list[str]:
    return store.file_of("measurements", folder).read_text(encoding="utf-8").splitlines()


def test_what_is_recorded_is_what_is_read_and_what_is_taken_live(tmp_path: Path) -> None:
    key = take("longest", ARGUMENTS, tmp_path)
    assert [json.loads(line)["key"] for line in lines(tmp_path)] == [key] == [key_of("longest", ARGUMENTS)]
    record = json.loads(lines(tmp_path)[0])
    pairs = load_pairs("builtin", "validation")
    assert record["data"]["builtin/validation"]["sha256"] == fingerprint(pairs)
    assert record["data"]["builtin/validation"]["rows"] == len(pairs)
    before = lines(tmp_path)
    recorded = measured("longest", False, tmp_path, **ARGUMENTS)
    assert recorded == measured("longest", True, tmp_path, **ARGUMENTS)
    assert recorded["longest"] == max(map(len, pairs["sentence1"][:]))
    assert recorded["none"] is None
    assert lines(tmp_path) == before  # live writes nothing


def test_other_arguments_are_another_record(tmp_path: Path) -> None:
    take("longest", ARGUMENTS, tmp_path)
    with pytest.raises(
        RecordMissing, match=r"longest\(.*least=60\) has no record.*python -m cosent_book measure longest"
    ):
        measured("longest", False, tmp_path, **ARGUMENTS, least=60)


def test_the_order_of_arguments_makes_no_difference() -> None:
    one = key_of("longest", {"task": "builtin", "options": {"b": 1, "a": [{"y": 2, "x": None}]}})
    other = key_of("longest", {"options": {"a": [{"x": None, "y": 2}], "b": 1}, "task": "builtin"})
    assert one == other


def test_unknown_names_and_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown measurement 'shortest', expected one of: .*longest"):
        measured("shortest", False)
    with pytest.raises(ValueError, match="measurement 'longest': missing a required argument: 'split'"):
        measured("longest", False, task="another")
    with pytest.raises(ValueError, match="unexpected keyword argument 'size'"):
        take("longest", ARGUMENTS | {"size": 1}, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-20], "its JSON cannot be read"),
        (lambda text: text.replace('"split": "validation"', '"split": "test"'), "belong to another key; it was edited"),
        (lambda text: text.replace('"dirty"', '"clean"'), "a measurement has the fields"),
        (lambda text: text.replace('"schema_version": 1', '"schema_version": 2'), "schema_version is 2"),
        (lambda text: text.replace('"schema_version": 1', '"schema_version": "1"'), "of another type"),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, change: Callable[[str], str], message: str) -> None:
    take("longest", ARGUMENTS, tmp_path)
    path = store.file_of("measurements", tmp_path)
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(DamagedRecord, match=message) as caught:
        measured("longest", False, tmp_path, **ARGUMENTS)
    assert str(caught.value).startswith(f"{path}:1: ")
    with pytest.raises(DamagedRecord):
        missing_measurements("", tmp_path)


def test_the_command_makes_what_is_missing_and_nothing_twice(
    tmp_path: Path, call_book: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, _ = call_book("measure", "--list", "--folder", tmp_path)
    assert (code, "0 of 2 measurements are recorded" in out, list(tmp_path.iterdir())) == (0, True, [])
    assert call_book("measure", "--folder", tmp_path)[0] == 0
    before = lines(tmp_path)
    assert len(before) == 2
    code, out, _ = call_book("measure", "longest", "--folder", tmp_path)
    assert out.strip() == "2 of 2 measurements are recorded"
    assert lines(tmp_path) == before
    code, _, err = call_book("measure", "shortest", "--folder", tmp_path)
    assert (code, err.strip()) == (2, "error: unknown measurement 'shortest', expected one of: longest")


def test_as_many_arguments_as_tell_one_declaration_from_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take("longest", ARGUMENTS | {"least": 60}, tmp_path)
    assert measured("longest", False, tmp_path, least=60)["above"] >= 0
    with pytest.raises(RecordMissing, match=r"has no record: make it with"):
        measured("longest", False, tmp_path, **ARGUMENTS)  # all that one declaration has, though both hold them
    with pytest.raises(ValueError, match=r"longest\(task='builtin'\) fits 2 declarations; give more"):
        measured("longest", False, tmp_path, task="builtin")


def test_arguments_that_nobody_declared_can_be_measured_live_and_are_said_to_be_undeclared(tmp_path: Path) -> None:
    own = {"task": "builtin", "split": "test"}
    assert measured("longest", True, **own)["longest"] > 0
    with pytest.raises(RecordMissing, match=rf"declare these arguments in {__name__}, then make it with"):
        measured("longest", False, tmp_path, **own)


def test_what_is_declared_is_checked_where_it_is_declared() -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'split'"):
        measurement([{"task": "builtin"}])(longest)

    def another(data: Data) -> dict[str, object]:
        """A measurement elsewhere of the same name."""
        return {}

    another.__name__, another.__module__ = "longest", "elsewhere"
    with pytest.raises(ValueError, match="two measurements are called 'longest'"):
        measurement([{}])(another)
    assert declared() == [("longest", ARGUMENTS), ("longest", ARGUMENTS | {"least": 60})]


def test_every_declared_measurement_is_recorded_from_a_committed_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the book's own
    wanted = {key_of(*each) for each in declared()}
    assert len(wanted) > 50
    assert missing_measurements() == []  # and every record passes its check
    found = store.read("measurements")
    assert found.keys() == wanted, "records and declarations differ: python -m cosent_book measure, or remove the line"
    for key, (_, values) in found.items():
        assert values["dirty"] is False, f"{key} was taken from files that no commit has"
