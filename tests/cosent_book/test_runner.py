"""Suites carried out: what is recorded is skipped, and what is done is kept."""

import pytest
from runs import make_record, make_run

from cosent_book import runner
from cosent_book.runner import Plan
from cosent_lib.runs import perform as benchmark
from cosent_lib.runs.schema import DamagedRecord


def test_run_missing_skips_what_is_recorded_and_keeps_what_is_done(tmp_path, monkeypatch):
    runs, made, lines = [make_run(seed=seed) for seed in range(4)], [], []
    benchmark.save_record(make_record(runs[0]), tmp_path)

    def pretend(run, **_):
        if run.seed == 3:
            raise KeyboardInterrupt
        made.append(run.seed)
        return make_record(run)

    monkeypatch.setattr(runner, "execute", pretend)
    with pytest.raises(KeyboardInterrupt):
        runner.run_missing(lambda: Plan(runs, 0), lines.append, tmp_path)
    assert made == [1, 2]
    assert [run.seed for run in benchmark.missing_runs(runs, tmp_path)] == [3]
    assert lines[0].startswith("[1, 3 left]")
    assert "seed 1" in lines[0]


def test_run_missing_refuses_to_start_beside_a_damaged_record(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "execute", lambda run, **_: pytest.fail("started"))
    benchmark.save_record(make_record(), tmp_path).write_text("{")
    with pytest.raises(DamagedRecord):
        runner.run_missing(lambda: Plan([make_run(seed=1), make_run()], 0), print, tmp_path)
