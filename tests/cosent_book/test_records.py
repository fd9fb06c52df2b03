"""Records of runs in their suites' files: what is written is what is read, and nothing damaged or missing goes by."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from runs import make_record, make_run, own_task

from cosent_book import records, store
from cosent_book.carry_out import carry_out
from cosent_book.records import RecordMissing, load_records, missing_runs, recorded_or_live, save_record
from cosent_book.schema import DamagedRecord
from cosent_lib.errors import CosentError
from cosent_lib.runs.record import Record


def test_record_comes_back_as_it_was(tmp_path: Path) -> None:
    record = make_record(make_run(score_range=(0, 5), loss_options={"scale": 5.0}))
    save_record(record, tmp_path)
    assert load_records("trial", tmp_path) == {record.run.key: record}
    assert store.file_of("trial", tmp_path).exists()


def test_no_nan_is_written(tmp_path: Path) -> None:
    save_record(make_record(metrics={"validation": None, "test": {"spearman": math.nan}}), tmp_path)
    assert "NaN" not in store.file_of("trial", tmp_path).read_text(encoding="utf-8")
    (record,) = load_records("trial", tmp_path).values()
    assert record.metrics["test"] == {"spearman": None}


def test_suites_have_files_of_their_own(tmp_path: Path) -> None:
    for suite in ("one", "two"):
        save_record(make_record(make_run(suite=suite)), tmp_path)
    assert [record.run.suite for record in load_records("one", tmp_path).values()] == ["one"]
    assert load_records("trial", tmp_path / "nowhere") == {}


# ------------------------------------------------------------------------------------------------------- damage


def damage(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> str:
    """Write three records, change the second, and return the message of the error that reading them gives."""
    for seed in range(3):
        save_record(make_record(make_run(seed=seed)), tmp_path)
    path = store.file_of("trial", tmp_path)
    texts = path.read_text(encoding="utf-8").splitlines()
    values = json.loads(texts[1])
    change(values)
    texts[1] = json.dumps(values)
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    with pytest.raises(DamagedRecord) as error:
        load_records("trial", tmp_path)
    assert str(error.value).startswith(f"{path}:2: ")
    return str(error.value)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda v: v.pop("metrics"), "field 'metrics' is missing"),
        (lambda v: v.update(note="hi"), "unknown field 'note'"),
        (lambda v: v.update(schema_version=1), "field 'schema_version' is 1, this library reads 2"),
        (lambda v: v.update(suite="another"), "field 'suite' is 'another', expected 'trial'"),
        (lambda v: v.update(seed=5), "the settings in it belong to the key builtin-static-cosent-seed5-"),
        (lambda v: v.update(training={"seed": 1}), "Run.training must not hold seed"),
        (lambda v: v["history"]["loss"].__setitem__(0, True), "field 'history.loss[0]' must be int or float or null"),
        (lambda v: v["metrics"]["test"].update(spearman=math.nan), "NaN is not JSON"),
        (lambda v: v.pop("date"), "expected a JSON object with the texts 'key' and 'date'"),
    ],
)
def test_an_edited_record_is_named_by_file_and_line(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], expected: str
) -> None:
    assert expected in damage(tmp_path, change)


def test_a_record_under_another_runs_key_is_not_taken_for_it(tmp_path: Path) -> None:
    other = make_run(seed=7)
    message = damage(tmp_path, lambda values: values.update(key=other.key))
    assert "it was edited" in message
    with pytest.raises(DamagedRecord, match="it was edited"):
        recorded_or_live([other], live=False, folder=tmp_path)


# ------------------------------------------------------------------------------------------- recorded, and live


def test_recorded_runs_come_in_the_order_asked_for(tmp_path: Path) -> None:
    runs = [make_run(seed=seed, suite=suite) for seed, suite in ((2, "trial"), (0, "other"), (1, "trial"))]
    for run in runs[::-1]:
        save_record(make_record(run), tmp_path)
    assert [record.run for record in recorded_or_live(runs, live=False, folder=tmp_path)] == runs


def test_the_record_of_one_suite_does_not_stand_for_another(tmp_path: Path) -> None:
    save_record(make_record(make_run(suite="other")), tmp_path)
    with pytest.raises(RecordMissing, match="1 of 1 runs"):
        recorded_or_live([make_run()], live=False, folder=tmp_path)


def test_missing_records_are_named_with_the_commands(tmp_path: Path) -> None:
    runs = [make_run(seed=seed) for seed in range(6)] + [make_run(suite="other")]
    save_record(make_record(runs[1]), tmp_path)
    with pytest.raises(RecordMissing) as error:
        recorded_or_live(runs, live=False, folder=tmp_path)
    message = str(error.value)
    assert message.startswith("6 of 7 runs have no record (")
    assert re.findall(r"seed (\d)", message) == ["0", "2", "3"]  # the first three
    assert message.endswith(
        "; …): make them with python -m cosent_book benchmark trial and python -m cosent_book benchmark other"
    )
    assert isinstance(error.value, (CosentError, LookupError))


def test_missing_runs_are_those_without_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [make_run(seed=seed) for seed in range(3)]
    save_record(make_record(runs[1]), tmp_path)
    assert missing_runs(runs, load_records("trial", tmp_path)) == [runs[0], runs[2]]
    monkeypatch.setattr(store, "RESULTS", tmp_path)
    assert missing_runs(runs) == [runs[0], runs[2]]


def test_live_and_recorded_give_the_same(tmp_path: Path) -> None:
    task = own_task(tmp_path)
    run = make_run(task=task, loss_options={"scale": 10.0}, encoder_options={"dim": 16})
    save_record(carry_out(run, progress=False)[0], tmp_path)
    before = store.file_of("trial", tmp_path).read_bytes()
    (recorded,), (live,) = (recorded_or_live([run], live, tmp_path, progress=False) for live in (False, True))

    def lasting(record: Record) -> dict[str, Any]:
        varying = ("wall_time_s", "date", "hardware", "dirty", "commit")
        return {name: value for name, value in asdict(record).items() if name not in varying}

    assert lasting(live) == lasting(recorded)
    assert store.file_of("trial", tmp_path).read_bytes() == before  # live writes nothing


def test_the_books_own_records_can_be_read_and_belong_to_their_keys() -> None:
    names = sorted(path.stem for path in store.RESULTS.glob("*.jsonl"))
    assert len(names) > 10
    count = sum(len(records.load_records(name)) for name in names if name != "measurements")
    assert count + len(store.read("measurements")) == sum(
        len(path.read_text(encoding="utf-8").splitlines()) for path in store.RESULTS.glob("*.jsonl")
    )
