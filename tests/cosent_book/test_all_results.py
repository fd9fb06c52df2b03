"""The tables of what is recorded: means and intervals, marks, what is left out, suites that are partly recorded."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from runs import make_record, make_run
from scipy import stats

from cosent_book.all_results import cells, measurement_list, notes, results
from cosent_book.measurements import registry
from cosent_book.records import load_records, save_record
from cosent_book.suites.plan import SUITES, plan
from cosent_book.suites.rows import Row
from cosent_book.suites.search import Ladder, Search
from cosent_lib.runs.record import Record
from cosent_lib.runs.run import Run

Declare = Callable[..., None]


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Declare:
    """Makes the suite ``trial`` of the rows that it is called with."""

    def trial(*rows: Row) -> None:
        def suite() -> Iterator[Row]:
            """A suite of the tests, of
            `two` lines.

            And a paragraph more.
            """
            yield from rows

        monkeypatch.setitem(SUITES, "trial", suite)

    return trial


def plain(label: str = "plain", seeds: tuple[int, ...] = (0, 1, 2), **changes: Any) -> Row:
    return Row(label=label, candidates=(make_run(**changes),), seeds=seeds)


def rates(*values: float, seeds: tuple[int, ...] = (0, 1)) -> Row:
    runs = (make_run(training={"max_steps": 4, "learning_rate": value}) for value in values)
    return Row(label="tuned", candidates=tuple(runs), seeds=seeds)


def record(run: Run, test: float | None, validation: float = 0.5, **changes: Any) -> Record:
    """A record with these Spearmans that had its best step before its last."""
    metrics = {"validation": {"spearman": validation}, "test": {"spearman": test}}
    return make_record(run, **({"metrics": metrics, "best_step": 3, "steps": 4} | changes))


def save(folder: Path, *records: Record) -> None:
    for each in records:
        save_record(each, folder)


def line_of(folder: Path) -> dict[str, Any]:
    (line,) = results("trial", folder).frame.to_dict("records")
    return {str(name): value for name, value in line.items()}


# --- means, intervals, and what is counted


def test_a_row_has_the_mean_over_its_seeds_with_the_t_interval(declare: Declare, tmp_path: Path) -> None:
    row = plain(alter={"flip": 0.1}, loss_options={"scale": 5.0})
    declare(row)
    for run, spearman, auc, mrr, step in zip(
        row.reported({}), (0.70, 0.72, 0.77), (0.8, 0.9, 0.7), (0.2, 0.3, 0.4), (2, 2, 3), strict=True
    ):
        metrics = {"validation": {"spearman": 0.5}, "test": {"spearman": spearman, "auc": auc}}
        metrics["test_retrieval"] = {"mrr": mrr}
        evaluations = [{"step": 1, "epoch": 1, "spearman": 0.1}, {"step": 4, "epoch": step, "spearman": 0.3}]
        save(tmp_path, record(run, None, metrics=metrics, best_step=step, evaluations=evaluations))
    line = line_of(tmp_path)
    assert line["spearman"] == pytest.approx(0.73)
    deviation = math.sqrt((0.03**2 + 0.01**2 + 0.04**2) / 2)
    assert line["half_width"] == pytest.approx(stats.t.ppf(0.975, 2) * deviation / math.sqrt(3))
    assert (line["auc"], line["mrr"], line["seeds"]) == (pytest.approx(0.8), pytest.approx(0.3), 3)
    assert math.isnan(line["accuracy"])
    (shown,) = cells(results("trial", tmp_path).frame).to_dict("records")
    assert shown == {
        "task": "builtin", "encoder": "static", "row": "plain", "altered data": "flip=0.1",
        "test Spearman": "0.730 ± 0.090", "AUC": "0.800", "MRR": "0.300", "seeds": "3", "loss": "cosent scale=5.0",
        "training": "batch_size=16 device=cpu max_steps=4", "epochs": "2.3", "best step": "2",
    }  # fmt: skip


def test_one_seed_has_no_interval_and_a_negative_mean_a_true_minus(declare: Declare, tmp_path: Path) -> None:
    row = plain(seeds=(7,))
    declare(row)
    save(tmp_path, record(row.reported({})[0], -0.1234))
    assert cells(results("trial", tmp_path).frame)["test Spearman"].tolist() == ["−0.123"]


def test_a_result_that_is_undefined_for_one_seed_is_no_mean_of_the_others(declare: Declare, tmp_path: Path) -> None:
    row = plain()
    declare(row)
    save(tmp_path, *(record(run, value) for run, value in zip(row.reported({}), (0.7, None, 0.8), strict=True)))
    assert math.isnan(line_of(tmp_path)["spearman"])
    assert cells(results("trial", tmp_path).frame)["test Spearman"].tolist() == ["undefined"]


# --- choices and marks


def judged_trials(row: Row, scores: list[float]) -> list[Record]:
    """Records of all trials with these validation scores."""
    known = row.trials({})
    return [record(run, None, score, metrics={"validation": {"spearman": score}, "test": None})
            for run, score in zip(known, scores, strict=True)]  # fmt: skip


@pytest.mark.parametrize(("scores", "value", "edge"), [([0.1, 0.3, 0.2], "0.02", ""), ([0.1, 0.2, 0.3], "0.04", "‡")])
def test_candidates_are_counted_and_a_choice_at_the_end_is_marked(
    declare: Declare, tmp_path: Path, scores: list[float], value: str, edge: str
) -> None:
    row = rates(0.01, 0.02, 0.04)
    declare(row)
    trials = judged_trials(row, scores)
    save(tmp_path, *trials)
    found = results("trial", tmp_path)
    assert (found.recorded, found.runs, found.rows, len(found.frame)) == (3, 5, 1, 0)  # the choice is made, no result
    chosen = row.reported({each.run.key: each for each in trials})
    save(tmp_path, *(record(run, 0.6) for run in chosen))
    found = results("trial", tmp_path)
    assert (found.recorded, found.runs) == (5, 5)
    (shown,) = cells(found.frame).to_dict("records")
    assert (shown["chosen"], shown["trials"], shown["seeds"]) == (f"learning_rate={value}{edge}", "3", "2")
    assert shown["training"] == "max_steps=4"  # what was chosen is not said twice
    assert [note[0] for note in notes(cells(found.frame))] == ([edge] if edge else [])


def test_a_search_is_at_an_edge_where_its_ladder_ends_not_where_it_began(declare: Declare, tmp_path: Path) -> None:
    ladder = Ladder("scale", (1.0, 2.0, 4.0, 8.0), (2.0, 4.0))
    row = Search(label="searched", candidates=(make_run(),), seeds=(0,), ladders=(ladder,))
    declare(row)
    score = {1.0: 0.1, 2.0: 0.2, 4.0: 0.3, 8.0: 0.25}
    recorded: dict[str, Record] = {}

    def search_on() -> str:
        while missing := [run for run in row.trials(recorded) if run.key not in recorded]:
            value = {"spearman": score[missing[0].loss_options["scale"]]}
            made = record(missing[0], None, metrics={"validation": value, "test": None})
            recorded[made.run.key] = made
        folder = tmp_path / str(score[8.0])
        save(folder, *recorded.values(), *(record(run, 0.6) for run in row.reported(recorded)))
        (shown,) = cells(results("trial", folder).frame).to_dict("records")
        return f"{shown['chosen']}, {shown['trials']} trials"

    assert search_on() == "scale=4.0, 3 trials"
    recorded.clear()
    score[8.0] = 0.4
    assert search_on() == "scale=8.0‡, 3 trials"


def test_a_best_step_that_is_the_last_is_marked_where_one_run_has_it(declare: Declare, tmp_path: Path) -> None:
    one, none = plain("one"), plain("none", loss="sbert")
    declare(one, none)
    save(tmp_path, *(record(run, 0.5, best_step=2 + run.seed) for run in one.reported({})))  # steps: 4
    save(tmp_path, *(record(run, 0.5, best_step=3) for run in none.reported({})))
    found = results("trial", tmp_path).frame
    assert found["at_last"].tolist() == [1, 0]
    assert cells(found)["best step"].tolist() == ["3 †", "3"]
    assert [note[0] for note in notes(cells(found))] == ["†"]
    assert notes(cells(found[1:])) == []


def test_where_every_trial_failed_the_row_says_so(declare: Declare, tmp_path: Path) -> None:
    row = rates(0.01, 0.02)
    declare(row)
    failed = {"metrics": {"validation": None, "test": None}, "failure": "infinite", "best_step": None}
    save(tmp_path, *(record(run, None, **failed) for run in row.trials({})))
    (shown,) = cells(results("trial", tmp_path).frame).to_dict("records")
    assert shown["chosen"] == "none: every trial failed"
    assert (shown["test Spearman"], shown["seeds"]) == ("undefined", "0 of 2")


# --- what is recorded of a suite


def test_a_suite_without_records_has_its_declared_runs_and_no_line(declare: Declare, tmp_path: Path) -> None:
    declare(plain(), rates(0.01, 0.02))
    found = results("trial", tmp_path)
    assert (found.recorded, found.runs, found.rows) == (0, 3 + 2 + 2, 2)
    assert found.about == "A suite of the tests, of `two` lines."
    assert found.frame.empty
    assert cells(found.frame).empty
    assert notes(cells(found.frame)) == []


def test_a_suite_that_is_partly_recorded_lists_the_rows_with_a_result(declare: Declare, tmp_path: Path) -> None:
    rows = [plain("a"), plain("b", loss="sbert"), plain("c", loss="ranknet")]
    declare(*rows)
    save(tmp_path, *(record(run, 0.5) for run in rows[0].reported({})), record(rows[2].reported({})[1], 0.4))
    found = results("trial", tmp_path)
    assert (found.recorded, found.runs, found.rows) == (4, 9, 3)
    assert found.frame["row"].tolist() == ["a", "c"]
    assert cells(found.frame)["seeds"].tolist() == ["3", "1 of 3"]


def test_columns_that_are_empty_or_say_what_the_rows_are_called_are_left_out(declare: Declare, tmp_path: Path) -> None:
    row = plain("cosent")
    declare(row)
    save(tmp_path, *(record(run, 0.5, evaluations=[]) for run in row.reported({})))
    left = {"altered data", "AUC", "accuracy", "MRR", "chosen", "trials", "loss", "epochs"}
    assert left & set(cells(results("trial", tmp_path).frame)) == set()


@pytest.mark.parametrize("suite", SUITES)
def test_runs_are_counted_as_the_command_counts_them(suite: str) -> None:
    found, records = results(suite), load_records(suite)
    known = plan(suite, records)
    assert found.runs == len(known.runs) + known.undecided
    assert found.recorded == sum(run.key in records for run in known.runs)


def test_an_unknown_suite_is_refused() -> None:
    with pytest.raises(ValueError, match="'nothing'"):
        results("nothing")


def test_every_declared_measurement_is_listed_with_whether_it_is_recorded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(registry, "MODULES", ())
    monkeypatch.setattr(registry, "_MEASUREMENTS", {})

    @registry.measurement([{"task": "builtin", "sizes": [1, 2]}, {"task": "other", "sizes": [3]}])
    def sized(data: registry.Data, *, task: str, sizes: list[int]) -> dict[str, Any]:
        return {"sum": sum(sizes)}

    registry.take("sized", {"task": "builtin", "sizes": [1, 2]}, tmp_path)
    assert measurement_list(tmp_path).to_numpy().tolist() == [
        ["sized", "task=builtin sizes=[1, 2]", "yes"],
        ["sized", "task=other sizes=[3]", "no"],
    ]
