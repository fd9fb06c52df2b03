"""Suites carried out: recorded runs are skipped, other runners worked beside, failures passed; what is done is kept."""

import multiprocessing
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from runs import make_record, make_run, own_task

from cosent_book import runner, store
from cosent_book.records import load_records, missing_runs, save_record
from cosent_book.runner import RunsFailed, run_missing
from cosent_book.schema import DamagedRecord
from cosent_book.suites.plan import Plan
from cosent_lib.runs.record import Record
from cosent_lib.runs.run import Run
from cosent_lib.training.batches import Batch
from cosent_lib.training.errors import NonFiniteLoss


def fixed(runs: Iterable[Run]) -> Callable[[Mapping[str, Record]], Plan]:
    declared = list(runs)
    return lambda recorded: Plan(declared, 0)


def silent(line: str) -> None:
    """Take a line and say nothing."""


@pytest.fixture
def performed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Instead of training, a made-up record; the seeds in their order."""
    seeds: list[int] = []

    def pretend(run: Run, **_: Any) -> tuple[Record, None]:
        seeds.append(run.seed)
        return make_record(run), None

    monkeypatch.setattr(runner, "carry_out", pretend)
    monkeypatch.setattr(runner, "load_splits", lambda run: {})
    return seeds


def test_what_is_recorded_is_skipped_and_what_is_done_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, made, lines = [make_run(seed=seed) for seed in range(4)], [], list[str]()
    save_record(make_record(runs[0]), tmp_path)

    def pretend(run: Run, **_: Any) -> tuple[Record, None]:
        if run.seed == 3:
            raise KeyboardInterrupt
        made.append(run.seed)
        return make_record(run), None

    monkeypatch.setattr(runner, "carry_out", pretend)
    monkeypatch.setattr(runner, "load_splits", lambda run: {})
    with pytest.raises(KeyboardInterrupt):
        run_missing("trial", fixed(runs), lines.append, tmp_path)
    assert made == [1, 2]
    assert [run.seed for run in missing_runs(runs, load_records("trial", tmp_path))] == [3]
    assert lines[0].startswith("[1, 3 left]")
    assert "seed 1" in lines[0]
    assert not list((tmp_path / ".spool").glob(f"*{runs[3].key}*"))  # the interrupted run is nobody's


def test_a_damaged_record_stops_it_before_the_first_run(tmp_path: Path, performed: list[int]) -> None:
    save_record(make_record(), tmp_path)
    store.file_of("trial", tmp_path).write_text("{", encoding="utf-8")
    with pytest.raises(DamagedRecord, match=r"trial\.jsonl:1: "):
        run_missing("trial", fixed([make_run(seed=1)]), silent, tmp_path)
    assert performed == []


def test_the_plan_is_asked_again_after_each_run(tmp_path: Path, performed: list[int]) -> None:
    runs = [make_run(seed=seed) for seed in range(4)]

    def growing(recorded: Mapping[str, Record]) -> Plan:
        known = runs[: 2 + len(recorded)]
        return Plan(known, len(runs) - len(known))

    lines: list[str] = []
    assert run_missing("trial", growing, lines.append, tmp_path) == 4
    assert performed == [0, 1, 2, 3]
    assert [line.split("]")[0] for line in lines if line.startswith("[")] == [
        "[1, 4 left", "[2, 3 left", "[3, 2 left", "[4, 1 left"
    ]  # fmt: skip


def test_a_run_that_another_runner_finished_meanwhile_is_not_made_again(tmp_path: Path, performed: list[int]) -> None:
    runs = [make_run(seed=seed) for seed in range(2)]

    def plan(recorded: Mapping[str, Record]) -> Plan:
        if not recorded:  # after the suite was read
            save_record(make_record(runs[0]), tmp_path)
        return Plan(runs, 0)

    assert run_missing("trial", plan, silent, tmp_path) == 1
    assert performed == [1]


def test_what_a_killed_runner_left_in_the_spool_is_not_made_again(
    tmp_path: Path, performed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(store, "fold", lambda *_: None)
        save_record(make_record(make_run(seed=0)), tmp_path)
    assert run_missing("trial", fixed([make_run(seed=0)]), silent, tmp_path) == 0
    assert performed == []
    assert store.file_of("trial", tmp_path).read_text(encoding="utf-8").count("\n") == 1


def test_failed_run_is_reported_and_the_others_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pretend(run: Run, **_: Any) -> tuple[Record, None]:
        if run.seed == 1:
            raise RuntimeError("no luck")
        return make_record(run), None

    monkeypatch.setattr(runner, "carry_out", pretend)
    monkeypatch.setattr(runner, "load_splits", lambda run: {})
    runs, lines = [make_run(seed=seed) for seed in range(3)], list[str]()
    with pytest.raises(RunsFailed, match=r"1 runs failed.*seed 1: RuntimeError: no luck"):
        run_missing("trial", fixed(runs), lines.append, tmp_path)
    assert [run.seed for run in missing_runs(runs, load_records("trial", tmp_path))] == [1]
    assert any("FAILED, going on" in line for line in lines)


def test_training_that_diverges_is_recorded_as_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = pd.DataFrame({"step": [1], "epoch": [1], "loss": [2.0], "inversion_bound": [0.5], "learning_rate": [1.0]})

    def pretend(run: Run, **_: Any) -> tuple[Record, None]:
        raise NonFiniteLoss("the loss is inf", Batch(2, 1, [3], [[1]], [[1]], None), "lower the rate", history)

    monkeypatch.setattr(runner, "carry_out", pretend)
    lines: list[str] = []
    assert run_missing("trial", fixed([make_run(alter={"take": 100})]), lines.append, tmp_path) == 1
    (record,) = load_records("trial", tmp_path).values()
    assert "the loss is inf at step 2" in str(record.failure)
    assert record.data["train"]["rows"] == 100  # the pairs as the run altered them
    assert record.metrics["validation"] is None
    assert record.history["loss"] == [2.0]
    assert lines[1].strip().startswith("failed: the loss is inf")


def test_a_run_without_a_spearman_is_recorded_as_undefined(tmp_path: Path) -> None:
    """Words that the encoder never saw: all cosines are equal."""
    task = own_task(tmp_path)
    path = tmp_path / "test.tsv"
    path.write_text(re.sub(r"[A-Za-z ]+\t[A-Za-z ]+(?=\t\d)", "qq\tqq", path.read_text(encoding="utf-8")))
    lines: list[str] = []
    with pytest.warns(UserWarning, match="test: the metric is undefined"):
        assert run_missing("trial", fixed([make_run(task=task)]), lines.append, tmp_path, progress=False) == 1
    (record,) = load_records("trial", tmp_path).values()
    assert record.failure is None
    assert record.metrics["test"]["spearman"] is None
    assert record.metrics["validation"]["spearman"] is not None
    assert "spearman validation 0." in lines[1]


# ------------------------------------------------------------------------------------------- beside one another


def _runner_process(folder: Path, seeds: Iterable[int]) -> None:
    def pretend(run: Run, **_: Any) -> tuple[Record, None]:
        time.sleep(0.05)
        with (folder / "made.txt").open("a") as file:
            file.write(f"{run.key}\n")
        return make_record(run), None

    runner.carry_out, runner.load_splits, runner.WAIT = pretend, lambda run: {}, 0.02  # type: ignore[assignment]
    run_missing("trial", fixed(make_run(seed=seed) for seed in seeds), silent, folder)


def test_two_runners_share_a_suite_without_making_a_run_twice(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_runner_process, args=(tmp_path, range(12))) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    keys = sorted(make_run(seed=seed).key for seed in range(12))
    assert sorted((tmp_path / "made.txt").read_text().split()) == keys
    assert list(load_records("trial", tmp_path)) == keys
    assert not list((tmp_path / ".spool").glob("trial.*.lock"))


def _run_sixty(folder: Path, told: Any) -> None:
    def pretend(run: Run, **_: Any) -> tuple[Record, None]:
        time.sleep(0.01)
        return make_record(run), None

    runner.carry_out, runner.load_splits = pretend, lambda run: {}  # type: ignore[assignment]
    told.send("ready")
    run_missing("trial", fixed(make_run(seed=seed) for seed in range(60)), silent, folder)


def test_kill_at_random_moments_loses_and_doubles_no_record(tmp_path: Path, performed: list[int]) -> None:
    generator, seen = np.random.default_rng(0), dict[str, Record]()
    context = multiprocessing.get_context("fork")
    for _ in range(5):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_run_sixty, args=(tmp_path, theirs))
        process.start()
        ours.recv()
        time.sleep(generator.uniform(0, 0.3))
        process.kill()
        process.join()
        now = load_records("trial", tmp_path)
        assert seen.items() <= now.items()  # nothing recorded was lost or written anew
        seen = now
    runs = [make_run(seed=seed) for seed in range(60)]
    left = missing_runs(runs, seen)
    assert run_missing("trial", fixed(runs), silent, tmp_path) == len(left)
    assert performed == [run.seed for run in left]
    assert store.file_of("trial", tmp_path).read_text(encoding="utf-8").count("\n") == 60
    assert sorted(path.name for path in tmp_path.iterdir()) == [".spool", "trial.jsonl"]
