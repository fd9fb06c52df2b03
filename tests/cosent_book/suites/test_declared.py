"""The declared suites: each run once, each can be made, each record is of a declared run, each is in a chapter."""

import ast
import json
import re
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest

import cosent_book
from cosent_book.measurements.registry import declared
from cosent_book.records import load_records
from cosent_book.suites.plan import SUITES, plan, rows
from cosent_book.suites.rows import Row
from cosent_lib.data.tasks import TASKS
from cosent_lib.losses.make import make_loss
from cosent_lib.runs import perform
from cosent_lib.runs.run import NOT_TRAINING_SETTINGS, Run
from cosent_lib.training.setup import TrainingConfig

CHAPTERS = Path(cosent_book.__file__).parents[1] / "chapters"
ASKING = {"frame", "rows", "plan", "load_records", "measured"}


def runs_of(row: Row) -> list[Run]:
    """The candidates, and each of them with every seed, as if each were chosen."""
    return [
        *([] if row.dear else row.trials({})),
        *(run for candidate in row.candidates for run in row.of_seeds(candidate)),
    ]


def all_runs(suite: str) -> list[Run]:
    return [run for row in rows(suite) for run in runs_of(row)]


@pytest.mark.parametrize("suite", SUITES)
def test_suites_declare_each_run_once(suite: str) -> None:
    assert {run.suite for run in all_runs(suite)} == {suite}
    declared_once = [run for row in rows(suite) if type(row) is Row for run in runs_of(row)]  # searches may meet
    assert len({run.key for run in declared_once}) == len(declared_once)
    assert all(len(set(row.seeds)) == len(row.seeds) for row in rows(suite))


@pytest.mark.parametrize("suite", SUITES)
def test_suites_declare_runs_that_can_be_made(suite: str) -> None:
    for run in all_runs(suite):
        assert "train" in TASKS[run.task].splits
        make_loss(run.loss, SimpleNamespace(dim=8), **perform._loss_options(run))  # type: ignore[arg-type]
        perform._training_config(run, progress=False)


@pytest.mark.parametrize("suite", SUITES)
def test_recorded_runs_are_declared_and_their_settings_are_todays(suite: str) -> None:
    """A default that moves makes the records that relied on it those of another run: make them again."""
    records = load_records(suite)
    known = {run.key for run in plan(suite, records).runs}
    resolved_on_the_spot = {"learning_rate", "loss_learning_rate", "device", "precision"}
    for key, record in records.items():
        assert key in known, f"{record.run} is no longer declared: remove its record"
        today = perform._training_config(record.run, progress=False)
        for field in fields(TrainingConfig):
            if field.name not in (*NOT_TRAINING_SETTINGS, *resolved_on_the_spot):
                # a setting that is younger than the record must by default do what was done before it
                then = record.resolved["training"].get(field.name, field.default)
                assert then == getattr(today, field.name), (record.run, field.name)


def asked_for() -> set[str]:
    """The names that chapters ask for, such as ``main`` in ``frame("main", LIVE)``."""
    found: set[str] = set()
    for path in CHAPTERS.glob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"]) if cell["cell_type"] == "code" else ""
            tree = ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.MULTILINE))
            for node in ast.walk(tree):
                match node:
                    case ast.Call(func=ast.Name(id=called), args=[ast.Constant(value=str(name)), *_]):
                        found |= {name} if called in ASKING else set()
    return found


BEING_RECORDED = {"e5", "minilm_grid"}
"""Suites whose chapters follow when their records are whole; a chapter that shows one takes it off this list."""


def test_every_suite_and_measurement_is_asked_for_by_a_chapter() -> None:
    """What no chapter shows is not worth its records."""
    known = {*SUITES, *(name for name, _ in declared())}
    assert known - asked_for() == BEING_RECORDED, "show these in a chapter, or drop them with their records"
