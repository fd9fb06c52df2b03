"""Recorded runs carried out again: what is the same, and what is found where a record or its data were changed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from runs import make_record, make_run

from cosent_book import runner, store, verification
from cosent_book.carry_out import carry_out
from cosent_book.records import save_record
from cosent_lib.runs import provenance
from cosent_lib.runs.record import Record

Call = Callable[..., tuple[int, str, str]]
TINY = {"max_steps": 3, "batch_size": 16, "device": "cpu"}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A task of 24 pairs a split."""
    folder = tmp_path_factory.mktemp("own")
    for split, verb in (("train", "see"), ("validation", "like"), ("test", "buy")):
        rows = [
            (f"I {verb} {a} {b}", f"{b} {a} I {verb}", 1)
            for a in ("one", "two", "six")
            for b in ("cat", "dog", "cow", "pig")
        ]
        rows += [(a, rows[(i + 5) % 12][1], 0) for i, (a, _, _) in enumerate(rows)]
        text = "sentence1\tsentence2\tscore\n" + "".join("\t".join(map(str, row)) + "\n" for row in rows)
        (folder / f"{split}.tsv").write_text(text, encoding="utf-8")
    return f"csv:{folder}"


@pytest.fixture(scope="module")
def made(own: str) -> list[Record]:
    runs = [make_run(task=own, training=TINY, seed=seed) for seed in (0, 1)]
    runs.append(make_run(task=own, training=TINY, loss="sbert", alter={"take": 20}))
    return [carry_out(run, progress=False)[0] for run in runs]


@pytest.fixture
def folder(made: list[Record], tmp_path: Path) -> Path:
    for record in made:
        save_record(record, tmp_path)
    return tmp_path


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.glob("*.jsonl")}


def tamper(record: Record, folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = store.file_of(record.run.suite, folder)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    change(next(values for values in lines if values["key"] == record.run.key))
    path.write_text("".join(json.dumps(values) + "\n" for values in lines), encoding="utf-8")


def test_what_was_recorded_here_comes_out_again_and_nothing_is_written(folder: Path, call_book: Call) -> None:
    before = files(folder)
    code, out, err = call_book("verify", "trial", "--folder", folder)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "trial: 3 records, drawn with seed 0"
    assert [line.split()[0] for line in lines[1:-1]] == ["same"] * 3
    assert lines[-1] == "3 of 3 runs gave what is recorded"
    assert files(folder) == before


def test_a_tampered_record_is_found(folder: Path, made: list[Record], call_book: Call) -> None:
    def improve(values: dict[str, Any]) -> None:
        values["metrics"]["test"]["spearman"] += 1e-9
        values["steps"] = 4

    tamper(made[1], folder, improve)
    before = files(folder)
    code, out, _ = call_book("verify", "trial", "--folder", folder)
    assert code == 1
    lines = out.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("differs"))
    assert lines[place].endswith(str(made[1].run))
    assert lines[place + 1].strip() == "steps: 4 recorded, 3 now"
    assert lines[place + 2].strip().startswith("test.spearman: ")
    assert lines[place + 2].endswith("(-1.0e-09)")
    assert sum(line.startswith("same") for line in lines) == 2
    assert lines[-1] == "2 of 3 runs gave what is recorded"
    assert files(folder) == before


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda v: v["data"]["test"].update(sha256="0" * 64), "data.test: other pairs"),
        (lambda v: v["data"]["train"].update(rows=23), "data.train: 23 rows recorded, 24 now"),
        (lambda v: v["data"].pop("validation"), "data.validation: None rows recorded, 24 now"),
        (lambda v: v["metrics"]["test"].update(extra=0.5), "test.extra: 0.5 recorded, nothing now"),
        (lambda v: v["metrics"].update(test=None), "test: None recorded, nothing now"),
        (lambda v: v["metrics"]["test"].update(spearman=None), "test.spearman: None recorded, "),
        (lambda v: v.update(best_step=1), "best_step: 1 recorded, "),
        (lambda v: v.update(batches_without_order=9), "batches_without_order: 9 recorded, "),
        (lambda v: v.update(failure="the loss is inf"), "failure: the loss is inf recorded, none now"),
    ],
)
def test_each_thing_that_differs_is_named(
    folder: Path, made: list[Record], change: Callable[[dict[str, Any]], None], found: str
) -> None:
    tamper(made[0], folder, change)
    (record,) = (each for each in verification.draw("trial", 5, folder=folder) if each.run == made[0].run)
    assert any(text.startswith(found) for text in verification.differences(record, made[0]))
    assert list(verification.differences(made[0], made[0])) == []


def test_a_metric_younger_than_the_record_and_its_last_bits_may_differ(made: list[Record]) -> None:
    validation = dict(made[0].metrics["validation"])
    validation["spearman"] += 3e-16
    del validation["auc"]
    older = replace(made[0], metrics={**made[0].metrics, "validation": validation})
    assert list(verification.differences(older, made[0])) == []
    assert [text.partition(":")[0] for text in verification.differences(made[0], older)] == ["validation.auc"]


def test_times_places_and_histories_may_differ(made: list[Record]) -> None:
    data = {split: entry | {"origin": "hub somewhere"} for split, entry in made[0].data.items()}
    other = replace(made[0], data=data, date="2020-01-01T00:00:00+00:00", wall_time_s={"train": 9, "evaluate": 9},
                    commit="abc", dirty=True)  # fmt: skip
    assert list(verification.differences(other, made[0])) == []


def test_a_failed_run_that_fails_again_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = make_record(failure="the loss is inf at step 2", metrics={"validation": None, "test": None})
    assert list(verification.differences(failed, replace(failed, failure="the loss is nan at step 2"))) == []
    first = next(verification.differences(failed, make_record()))
    assert first == "failure: the loss is inf at step 2 recorded, none now"


def test_the_machine_of_the_record_is_named_where_it_is_another(
    folder: Path, made: list[Record], call_book: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(values: dict[str, Any]) -> None:
        values["hardware"]["cpu"], values["versions"]["torch"] = "Abacus 3000", "1.0"

    tamper(made[2], folder, elsewhere)
    monkeypatch.setattr(verification, "attempt", lambda run, splits, progress: made[2])
    code, out, _ = call_book("verify", "trial", "--only", "sbert", "--folder", folder)
    assert code == 0
    cpu, torch = provenance.hardware()["cpu"], provenance.versions()["torch"]
    assert out.splitlines()[2].strip() == f"recorded with cpu Abacus 3000 (here {cpu}), torch 1.0 (here {torch})"


def test_the_draw_depends_on_the_seed_and_on_nothing_else(tmp_path: Path) -> None:
    for seed in range(30):
        save_record(make_record(make_run(seed=seed)), tmp_path)

    def seeds(*arguments: Any) -> list[int]:
        return [record.run.seed for record in verification.draw("trial", *arguments, folder=tmp_path)]

    assert seeds(10, 0) == seeds(10, 0) != seeds(10, 1)
    assert len(set(seeds(10, 0))) == 10
    assert sorted(seeds(99)) == list(range(30))
    assert seeds(5, 0, "seed 29") == [29]


def test_nothing_to_draw_is_an_error(tmp_path: Path, call_book: Call) -> None:
    code, _, err = call_book("verify", "trial", "--folder", tmp_path)
    assert (code, err) == (
        2, "error: suite 'trial' has no record; make some with python -m cosent_book benchmark trial\n"
    )  # fmt: skip
    save_record(make_record(), tmp_path)
    assert (
        "no record whose description contains 'sbert'"
        in call_book("verify", "trial", "--only", "sbert", "--folder", tmp_path)[2]
    )
    assert "count must be at least 1, got 0" in call_book("verify", "trial", "--count", 0, "--folder", tmp_path)[2]


def test_a_loss_that_is_not_finite_is_carried_out_to_a_failure(own: str) -> None:
    run = make_run(task=own, loss="cosine_squared", training=TINY | {"learning_rate": 1e38})
    record = runner.attempt(run, runner.load_splits(run), progress=False)
    assert record.failure is not None
    assert record.metrics["test"] is None
