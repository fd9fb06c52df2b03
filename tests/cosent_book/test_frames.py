"""Records as data frames: the rows and runs that are asked for, and no number but those of the records."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from runs import make_record, make_run
from scipy import stats

from cosent_book import frames, store
from cosent_book.frames import LABELS, frame, to_frame
from cosent_book.records import RecordMissing, save_record
from cosent_book.suites import plan as suites
from cosent_book.suites.rows import Row
from cosent_lib.runs.record import Record
from cosent_lib.runs.run import Run


@pytest.fixture
def tuned() -> Row:
    candidates = tuple(make_run(loss_options={"scale": scale}) for scale in (5.0, 10.0))
    return Row(label="tuned", candidates=candidates, seeds=(0, 1))


@pytest.fixture(autouse=True)
def trial(tuned: Row, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Row:
    """A suite ``trial`` of a tuned row and of a fixed one, whose records lie in the test's own folder."""
    fixed = Row(label="fixed", candidates=(make_run(loss="sbert", alter={"flip": 0.1}),), seeds=(0, 1, 2))
    monkeypatch.setitem(suites.SUITES, "trial", lambda: iter([tuned, fixed]))
    monkeypatch.setattr(store, "RESULTS", tmp_path)
    return fixed


def record(run: Run, validation: float, test: float | None = None) -> Record:
    """Record a run with these results."""
    metrics = {"validation": {"spearman": validation}, "test": None if test is None else {"spearman": test}}
    made = make_record(run, metrics=metrics)
    save_record(made)
    return made


@pytest.fixture
def recorded(tuned: Row, trial: Row) -> None:
    for run, value in zip(tuned.trials({}), (0.5, 0.7), strict=True):
        record(run, value)
    for seed, value in enumerate((0.61, 0.62)):
        record(replace(tuned.candidates[1], seed=seed), 0.7, value)
    for run, value in zip(trial.reported({}), (0.41, 0.42, 0.43), strict=True):
        record(run, 0.5, value)


# --------------------------------------------------------------------------------------------------- the suite's


@pytest.mark.usefixtures("recorded")
def test_the_reported_runs_with_the_names_of_their_rows() -> None:
    found = frame("trial", False)
    assert found["row"].tolist() == ["tuned"] * 2 + ["fixed"] * 3
    assert found["test_spearman"].tolist() == [0.61, 0.62, 0.41, 0.42, 0.43]
    assert found["seed"].tolist() == [0, 1, 0, 1, 2]
    assert [each.run.key for each in found["record"]] == found["key"].tolist()
    assert found.attrs["declared"] == 5


@pytest.mark.usefixtures("recorded")
def test_the_trials_apart() -> None:
    found = frame("trial", False, trials=True)
    assert found["loss_scale"].tolist() == [5.0, 10.0]
    assert found["validation_spearman"].tolist() == [0.5, 0.7]
    assert "test_spearman" not in found


@pytest.mark.usefixtures("recorded")
def test_each_restriction_takes_its_runs() -> None:
    assert frame("trial", False, seeds=[1])["test_spearman"].tolist() == [0.62, 0.42]
    assert frame("trial", False, loss="sbert")["row"].tolist() == ["fixed"] * 3
    assert frame("trial", False, only="tuned")["row"].tolist() == ["tuned"] * 2
    assert frame("trial", False, alter={"flip": 0.1}, seed=2)["test_spearman"].tolist() == [0.43]
    assert frame("trial", False, which=lambda run: run.seed > 1)["test_spearman"].tolist() == [0.43]
    for nothing in ({"loss": "mnrl"}, {"seeds": [9]}, {"only": "nothing"}):
        with pytest.raises(ValueError, match="suite 'trial' has no run"):
            frame("trial", False, **nothing)
    with pytest.raises(ValueError, match="a run has no field 'los', expected one of: suite, task"):
        frame("trial", False, los="sbert")
    with pytest.raises(ValueError, match="unknown suite 'trail'"):
        frame("trail", False)


def test_runs_without_a_record_are_an_error_or_are_counted(trial: Row) -> None:
    record(trial.reported({})[1], 0.5, 0.42)
    with pytest.raises(RecordMissing, match=r"2 of 3 runs .*sbert.* python -m cosent_book benchmark trial"):
        frame("trial", False, only="fixed")
    found = frame("trial", False, only="fixed", partial=True)
    assert found["test_spearman"].tolist() == [0.42]
    assert found.attrs["declared"] == 3


def test_a_row_whose_choice_is_still_to_come_is_not_left_out_in_silence(tuned: Row, trial: Row) -> None:
    for run in trial.reported({}):
        record(run, 0.5, 0.4)
    record(tuned.trials({})[0], 0.5)
    with pytest.raises(RecordMissing, match="2 of 5 runs"):
        frame("trial", False)
    found = frame("trial", False, partial=True)
    assert (found["row"].tolist(), found.attrs["declared"]) == (["fixed"] * 3, 5)
    assert frame("trial", False, partial=True, seeds=[1]).attrs["declared"] == 2


def test_without_any_record_a_partial_frame_is_empty_and_has_its_columns() -> None:
    found = frame("trial", False, partial=True)
    assert len(found) == 0
    assert found.attrs["declared"] == 5
    assert {*LABELS, "row", "record"} <= set(found)


@pytest.mark.usefixtures("recorded")
def test_live_carries_out_what_is_wanted_and_reads_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def perform(runs: list[Run], live: bool) -> list[Record]:
        assert live
        return [make_record(run, metrics={"validation": None, "test": {"spearman": 0.9}}) for run in runs]

    monkeypatch.setattr(frames, "recorded_or_live", perform)
    found = frame("trial", True, seeds=[0])
    assert found["test_spearman"].tolist() == [0.9, 0.9]
    assert found["row"].tolist() == ["tuned", "fixed"]


def test_reading_leaves_no_folder_behind(tmp_path: Path) -> None:
    frame("trial", False, partial=True)
    assert list(tmp_path.iterdir()) == []


# -------------------------------------------------------------------------------------------------- the records'


def test_labels_metrics_and_options_of_a_record() -> None:
    made = [
        make_record(make_run(loss_options={"scale": 5.0}, alter={"flip": 0.1, "take": 10})),
        make_record(make_run(loss="sbert", seed=1, encoder_options={"dim": 8})),
    ]
    found = to_frame(made)
    assert found["loss"].tolist() == ["cosent scale=5.0", "sbert"]
    assert found["loss_name"].tolist() == ["cosent", "sbert"]
    assert found["encoder"].tolist() == ["static", "static dim=8"]
    assert found["encoder_name"].tolist() == ["static", "static"]
    assert found["loss_scale"].tolist()[0] == 5
    assert math.isnan(found["loss_scale"][1])
    assert found["alter"].tolist() == ["flip=0.1 take=10", ""]
    assert found["alter_take"].tolist()[0] == 10
    assert found["test_spearman"].tolist() == [1 / 3, 1 / 3]
    assert found["test_auc"].isna().all()  # null in the file
    assert found["train_seconds"].tolist() == [1.5, 1.5]
    assert list(found)[: len(LABELS)] == list(LABELS)


# ------------------------------------------------------------------------------------------------- the book's own


@pytest.mark.parametrize(
    ("suite", "row"), [("batch", "CoSENT, 128"), ("main", "CoSENT, λ tuned"), ("family", "CoSENT + in-batch")]
)
def test_means_in_the_table_are_those_of_the_records_json(
    suite: str, row: str, monkeypatch: pytest.MonkeyPatch, call_book: Callable[..., tuple[int, str, str]]
) -> None:
    """From the text of the file to the cell of the table, by a way that shares no code with the book's."""
    monkeypatch.setattr(store, "RESULTS", Path(store.__file__).parent / "results")
    task = "stsb_en"
    lines = [json.loads(line) for line in store.file_of(suite).read_text(encoding="utf-8").splitlines()]
    keys = frame(suite, False, only=f"{task} · {row}", task=task, encoder="static").query("row == @row")["key"]
    values = [line["metrics"]["test"]["spearman"] for line in lines if line["key"] in set(keys)]
    assert len(values) == len(keys) >= 3
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    code, out, _ = call_book("table", suite, "--only", f"{task} · {row}")
    assert code == 0
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in out.splitlines()]
    wanted = [line for line in cells if line[:3] == [task, "static", row]]
    assert len(wanted) == 1, out
    assert wanted[0][cells[0].index("test spearman")] == f"{np.mean(values):.4f} ± {half:.4f}"
    assert re.fullmatch(r"\d", wanted[0][cells[0].index("seeds")])
