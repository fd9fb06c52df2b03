"""Records in files: what is written is what is read, and nothing damaged or missing goes by in silence."""

import json
import math
import multiprocessing
import os
import re
import signal
import time
from dataclasses import asdict

import pytest
from runs import make_record, make_run, own_task

from cosent_lib.runs import perform as benchmark
from cosent_lib.runs import run as records
from cosent_lib.runs.perform import RecordMissing
from cosent_lib.runs.run import Record
from cosent_lib.runs.schema import DamagedRecord


def test_record_comes_back_as_it_was(tmp_path):
    record = make_record(make_run(score_range=(0, 5), loss_options={"scale": 5.0}))
    path = benchmark.save_record(record, tmp_path)
    assert path == tmp_path / f"{record.run.key}.json"
    assert benchmark.read_record(path) == record
    assert benchmark.load_records("trial", tmp_path) == [record]


def test_file_is_sorted_exact_and_ends_with_a_newline(tmp_path):
    text = benchmark.save_record(make_record(), tmp_path).read_text(encoding="utf-8")
    assert text.endswith("}\n")
    values = json.loads(text)
    assert list(values) == sorted(values)
    assert list(values["metrics"]["test"]) == ["auc", "spearman"]
    assert "0.30000000000000004" in text  # repr: nothing rounded
    assert text == benchmark.save_record(make_record(), tmp_path / "again").read_text(encoding="utf-8")


def test_nothing_is_left_beside_the_record_and_no_nan_in_it(tmp_path):
    path = benchmark.save_record(make_record(metrics={"validation": None, "test": {"spearman": math.nan}}), tmp_path)
    assert list(tmp_path.iterdir()) == [path]
    assert "NaN" not in path.read_text()
    assert benchmark.read_record(path).metrics["test"] == {"spearman": None}


def test_failed_write_leaves_the_old_record(tmp_path, monkeypatch):
    path = benchmark.save_record(make_record(), tmp_path)
    before = path.read_bytes()

    def full(_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        benchmark.save_record(make_record(steps=99), tmp_path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def _write_for_ever(folder):
    for steps in range(10**9):
        benchmark.save_record(make_record(steps=steps, versions={"padding": "x" * 100_000}), folder)


def test_kill_while_writing_never_leaves_half_a_record(tmp_path):
    path = tmp_path / f"{make_run().key}.json"
    for delay in (0.01, 0.03, 0.05, 0.07, 0.09):
        writer = multiprocessing.get_context("fork").Process(target=_write_for_ever, args=(tmp_path,))
        writer.start()
        while not path.exists():
            time.sleep(0.01)
        time.sleep(delay)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        assert len(benchmark.load_records("trial", tmp_path)) == 1


def damage(tmp_path, change) -> str:
    """Write a record, change its JSON, and return the message of the error that reading it gives."""
    path = benchmark.save_record(make_record(), tmp_path)
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    with pytest.raises(DamagedRecord) as error:
        benchmark.load_records("trial", tmp_path)
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b'{"a": 1'])
def test_what_is_no_json_object_is_named(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(DamagedRecord, match=r"x\.json: not a record"):
        benchmark.load_records("trial", tmp_path)


def test_half_a_file_is_damaged(tmp_path):
    path = benchmark.save_record(make_record(), tmp_path)
    path.write_text(path.read_text()[:200])
    with pytest.raises(DamagedRecord, match=re.escape(str(path))):
        benchmark.recorded_or_live([make_run()], live=False, folder=tmp_path)


def test_no_records_yet(tmp_path):
    assert benchmark.load_records("trial", tmp_path / "nowhere") == []


def test_recorded_runs_come_in_the_order_asked_for(tmp_path):
    runs = [make_run(seed=seed) for seed in (2, 0, 1)]
    for run in sorted(runs, key=lambda run: run.seed):
        benchmark.save_record(make_record(run), tmp_path)
    found = benchmark.recorded_or_live(runs, live=False, folder=tmp_path)
    assert [record.run for record in found] == runs


def test_missing_records_are_named_with_the_command(tmp_path):
    runs = [make_run(seed=seed) for seed in range(3)]
    benchmark.save_record(make_record(runs[1]), tmp_path)
    with pytest.raises(RecordMissing) as error:
        benchmark.recorded_or_live(runs, live=False, folder=tmp_path)
    message = str(error.value)
    assert "2 of 3 runs" in message
    assert "seed 0" in message
    assert "seed 2" in message
    assert "seed 1" not in message
    assert "python -m cosent_lib benchmark trial" in message


def test_a_record_under_another_runs_name_is_not_taken_for_it(tmp_path):
    path = benchmark.save_record(make_record(make_run(seed=0)), tmp_path)
    path.rename(records.record_path(make_run(seed=1), tmp_path))
    with pytest.raises(DamagedRecord, match="another run"):
        benchmark.recorded_or_live([make_run(seed=1)], live=False, folder=tmp_path)


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> str:
    return own_task(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def executed(own) -> Record:
    run = make_run(task=own, loss_options={"scale": 10.0}, encoder_options={"dim": 16})
    return benchmark.execute(run, progress=False)


def test_live_and_recorded_give_the_same(executed, tmp_path):
    benchmark.save_record(executed, tmp_path)
    (recorded,) = benchmark.recorded_or_live([executed.run], live=False, folder=tmp_path)
    (live,) = benchmark.recorded_or_live([executed.run], live=True, folder=tmp_path, progress=False)
    varying = ("wall_time_s", "date", "hardware", "dirty", "commit")
    live_values, recorded_values = asdict(live), asdict(recorded)
    for name in varying:
        live_values.pop(name), recorded_values.pop(name)
    assert live_values == recorded_values
