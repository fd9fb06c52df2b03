"""The declared suites: each run once, each can be made, each record is of a declared run."""

import json

import pytest

from cosent_book.suites import plan as suites
from cosent_lib.runs import perform as benchmark
from cosent_lib.runs import run as records


@pytest.mark.parametrize("suite", suites.SUITES)
def test_suites_declare_each_run_once(suite):
    runs = suites.suite_runs(suite)
    assert len({run.key for run in runs}) == len(runs)
    assert {run.suite for run in runs} == {suite}


@pytest.mark.parametrize("suite", suites.SUITES)
def test_suites_declare_runs_that_can_be_made(suite):
    from types import SimpleNamespace

    from cosent_lib.data.tasks import TASKS
    from cosent_lib.losses.make import make_loss

    for run in suites.suite_runs(suite):
        assert "train" in TASKS[run.task].splits
        make_loss(run.loss, SimpleNamespace(dim=8), **benchmark._loss_options(run, lambda: 1.0))
        benchmark._training_config(run, progress=False)


def test_spine_has_all_losses_on_equal_terms():
    from cosent_lib.losses.make import LOSSES

    for task in ("lcqmc", "stsb_en", "stsb_zh"):
        runs = suites.suite_runs("spine", task=task, encoder="static")
        plain = {run.loss for run in runs if not run.loss_options}
        assert plain == set(LOSSES) - {"power_mean"}  # whose exponent is no customary setting: the suite `dial`
        assert len({json.dumps(dict(run.training), sort_keys=True) for run in runs}) == 1
        seeds = {}
        for run in runs:
            seeds.setdefault(run.loss_label, set()).add(run.seed)
        assert len({frozenset(some) for some in seeds.values()}) == 1


@pytest.mark.parametrize("suite", suites.SUITES)
def test_recorded_runs_are_declared_and_their_settings_are_todays(suite):
    """A default that moves makes the records that relied on it those of another run: make them again."""
    from dataclasses import fields

    from cosent_lib.training.setup import TrainingConfig

    declared = {run.key for run in suites.suite_runs(suite)}
    resolved_on_the_spot = {"learning_rate", "loss_learning_rate", "device", "precision"}
    for record in benchmark.load_records(suite):
        assert record.run.key in declared, f"{record.run} is no longer declared: remove its record"
        today = benchmark._training_config(record.run, progress=False)
        for field in fields(TrainingConfig):
            if field.name not in (*records.NOT_TRAINING_SETTINGS, *resolved_on_the_spot):
                # a setting that is younger than the record must by default do what was done before it
                then = record.resolved["training"].get(field.name, field.default)
                assert then == getattr(today, field.name), (record.run, field.name)


def test_suite_runs_says_what_it_does_not_know():
    with pytest.raises(ValueError, match="'spin'"):
        suites.suite_runs("spin")
    with pytest.raises(ValueError, match="'tusk'"):
        suites.suite_runs("spine", tusk="lcqmc")
    with pytest.raises(ValueError, match="no run"):
        suites.suite_runs("spine", task="nothing")
