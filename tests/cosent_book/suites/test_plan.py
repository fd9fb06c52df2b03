"""Suites: settings chosen on validation, and what a suite comes to when its choices are made."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from runs import make_record, make_run

from cosent_book.suites import plan as suites
from cosent_book.suites.plan import plan, reported, rows
from cosent_book.suites.rows import Row
from cosent_lib.runs.record import Record
from cosent_lib.runs.run import Run

Recorded = dict[str, Record]


@pytest.fixture
def tuned() -> Row:
    candidates = tuple(make_run(loss_options={"scale": scale}) for scale in (5.0, 10.0, 20.0))
    return Row(label="CoSENT, λ tuned", candidates=candidates, seeds=(0, 1, 2))


def alone(run: Run, *seeds: int) -> Row:
    return Row(label=run.loss_label, candidates=(run,), seeds=seeds or (0,))


def trials(row: Row, values: Sequence[float | None]) -> Recorded:
    """Records of a row's candidates with these results on validation."""
    made = [
        make_record(run, metrics={"validation": {"spearman": value}, "test": None})
        for run, value in zip(row.trials({}), values, strict=True)
    ]
    return {record.run.key: record for record in made}


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Declare a suite ``trial`` of these rows."""

    def declared(*made: Row) -> None:
        monkeypatch.setitem(suites.SUITES, "trial", lambda: iter(made))

    return declared


# ------------------------------------------------------------------------------------------------------ choices


def test_the_best_on_validation_is_chosen_and_trained_with_every_seed(tuned: Row) -> None:
    assert tuned.waits({})
    assert tuned.chosen({}) is None
    found = tuned.reported(trials(tuned, [0.5, 0.7, 0.6]))
    assert [(run.loss_options["scale"], run.seed) for run in found] == [(10, 0), (10, 1), (10, 2)]
    assert all(run.judge == ("test",) for run in found)


def test_no_choice_before_every_candidate_is_recorded(tuned: Row) -> None:
    recorded = trials(tuned, [0.5, 0.7, 0.6])
    del recorded[tuned.trials({})[0].key]
    assert tuned.waits(recorded)
    assert tuned.reported(recorded) == []


def test_candidates_are_never_judged(tuned: Row) -> None:
    judged = replace(tuned, candidates=tuple(replace(run, judge=("test:retrieval",)) for run in tuned.candidates))
    assert [run.judge for run in judged.trials({})] == [(), (), ()]
    assert {run.seed for run in judged.trials({})} == {0}
    chosen = judged.reported(trials(judged, [0.1, 0.2, 0.3]))
    assert {run.judge for run in chosen} == {("test:retrieval",)}


def test_the_result_on_test_plays_no_part_in_the_choice(tuned: Row) -> None:
    recorded = trials(tuned, [0.5, 0.7, 0.6])
    for key, record in recorded.items():
        turned = {"spearman": -record.metrics["validation"]["spearman"]}
        recorded[key] = replace(record, metrics={**record.metrics, "test": turned})
    chosen = tuned.chosen(recorded)
    assert chosen is not None
    assert chosen.loss_options["scale"] == 10


def test_of_equals_the_first_is_chosen_and_a_failure_never(tuned: Row) -> None:
    chosen = tuned.chosen(trials(tuned, [None, 0.4, 0.4]))
    assert chosen is not None
    assert chosen.loss_options["scale"] == 10
    recorded = trials(tuned, [None, None, None])
    first = next(iter(recorded))
    recorded[first] = replace(recorded[first], metrics={"validation": None, "test": None}, failure="the loss is inf")
    assert tuned.chosen(recorded) is None
    assert not tuned.waits(recorded)
    assert tuned.reported(recorded) == []


def test_one_candidate_is_reported_without_a_trial() -> None:
    row = alone(make_run(), 4, 5)
    assert row.trials({}) == []
    assert not row.waits({})
    assert [run.seed for run in row.reported({})] == [4, 5]


# --------------------------------------------------------------------------------------------------------- plan


def test_plan_grows_when_the_choice_is_made(tuned: Row, declare: Callable[..., None]) -> None:
    declare(tuned, alone(make_run(loss="sbert")))
    runs, undecided = plan("trial", {})
    assert (len(runs), undecided) == (4, 3)
    assert runs[:3] == tuned.trials({})  # candidates before what is chosen from them
    recorded = trials(tuned, [0.5, 0.7, 0.6])
    runs, undecided = plan("trial", recorded)
    assert (len(runs), undecided) == (7, 0)
    assert [row.label for row in rows("trial")] == ["CoSENT, λ tuned", "sbert"]
    assert len(plan("trial", recorded, only="sbert").runs) == 1
    assert len(plan("trial", recorded, only="λ tuned").runs) == 6


def test_only_takes_single_runs_of_a_row_without_a_choice(tuned: Row, declare: Callable[..., None]) -> None:
    declare(tuned, alone(make_run(loss="sbert"), 0, 1, 2))
    only = f"{make_run(loss='sbert', seed=1)}"
    assert [run.seed for run in plan("trial", {}, only=only).runs] == [1]
    (row,) = rows("trial", only="sbert")
    assert [run.seed for run in reported(row, {}, "seed 2")] == [2]
    assert [run.seed for run in reported(row, {}, "sbert")] == [0, 1, 2]
    assert rows("trial", only="nothing") == []


def test_two_rows_that_choose_the_same_settings_share_its_runs(tuned: Row, declare: Callable[..., None]) -> None:
    other = Row(label="λ = 10", candidates=tuned.candidates[1:2], seeds=tuned.seeds)
    declare(tuned, other)
    recorded = trials(tuned, [0.5, 0.7, 0.6])
    assert len(plan("trial", recorded).runs) == 6  # three candidates, three seeds
    first, second = rows("trial")
    assert first.reported(recorded) == second.reported(recorded)


def test_rows_that_differ_in_their_seeds_alone_are_one(tuned: Row, declare: Callable[..., None]) -> None:
    run = make_run(loss="sbert")
    declare(alone(run, 0), tuned, alone(run, 1), replace(alone(run, 2), label="another name"))
    assert [(row.label, row.seeds) for row in rows("trial")] == [
        ("sbert", (0, 1)), ("CoSENT, λ tuned", (0, 1, 2)), ("another name", (2,))
    ]  # fmt: skip


def test_rows_of_two_encoders_that_are_called_the_same_stand_side_by_side(
    tuned: Row, declare: Callable[..., None]
) -> None:
    declare(tuned, Row(label=tuned.label, candidates=(replace(tuned.candidates[0], encoder="small"),), seeds=(0,)))
    found = [(row.label, [run.encoder for run in row.reported({})]) for row in rows("trial")]
    assert found == [(tuned.label, []), (tuned.label, ["small"])]


def test_an_unknown_suite_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown suite 'builtins', expected one of: .*\bbuiltin\b"):
        rows("builtins")
    with pytest.raises(ValueError, match="'builtins'"):
        plan("builtins", {})


# ------------------------------------------------------------------------------------------------ the book's own


def test_main_gives_every_loss_the_same_number_of_tries() -> None:
    everything = rows("main")
    static = [row for row in everything if row.candidates[0].encoder == "static"]
    others = [row for row in everything if row not in static]  # a BERT from scratch, nothing chosen
    assert {(row.candidates[0].encoder, len(row.candidates)) for row in others} == {("small", 1)}
    assert {len(row.candidates) for row in static} == {4}
    assert {row.candidates[0].task for row in static} == {"atec", "bq", "lcqmc", "stsb_zh", "stsb_en"}
    by_task: dict[str, list[str]] = {row.candidates[0].task: [] for row in static}
    for row in static:  # candidates differ in one thing
        settings: list[dict[str, Any]] = [{**run.training, **run.loss_options} for run in row.candidates]
        assert sum(len({repr(one.get(name)) for one in settings}) > 1 for name in settings[0]) == 1
        by_task[row.candidates[0].task].append(row.label)
    assert all(len(set(labels)) == len(labels) for labels in by_task.values())
    assert set(by_task["lcqmc"]) == set(by_task["stsb_en"]) - {"Sentence-BERT, 6 classes"}


def test_dear_candidates_are_judged_at_once_and_further_seeds_come_last(declare: Callable[..., None]) -> None:
    first, second = (
        Row(
            label=loss,
            candidates=tuple(make_run(loss=loss, training={"learning_rate": rate}) for rate in (1e-2, 2e-2)),
            seeds=(0, 1),
            dear=True,
        )
        for loss in ("cosent", "sbert")
    )
    declare(first, second)
    waiting = plan("trial", {})
    assert [(run.loss, run.seed, run.judge) for run in waiting.runs] == [
        (loss, 0, ("test",)) for loss in ("cosent", "cosent", "sbert", "sbert")
    ]
    assert waiting.undecided == 2  # of each row the chosen setting with the other seed
    recorded = trials(first, [0.5, 0.7])
    assert first.chosen(recorded) == first.candidates[1]  # by validation, whatever test says
    more = plan("trial", recorded)
    assert [(run.loss, run.seed, run.training["learning_rate"]) for run in more.runs[4:]] == [("cosent", 1, 2e-2)]
    assert first.reported(recorded)[0].key in recorded  # the chosen one is not made a second time
