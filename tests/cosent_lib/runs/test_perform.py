"""Records, runs and tables: what is written is what is read, and nothing damaged or missing goes by in silence."""

import json
import math
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict

import numpy as np
import pytest
import torch

from cosent_book import runner
from cosent_book.figures.common import mean_interval
from cosent_book.runner import Plan
from cosent_book.suites import plan as suites
from cosent_lib.runs import outcome, provenance
from cosent_lib.runs import perform as benchmark
from cosent_lib.runs import run as records
from cosent_lib.runs.perform import RecordMissing
from cosent_lib.runs.run import Record, Run
from cosent_lib.runs.schema import DamagedRecord

SMALL = {"max_steps": 4, "batch_size": 16, "device": "cpu"}


def make_run(**changes) -> Run:
    settings = {"suite": "trial", "task": "builtin", "encoder": "static", "loss": "cosent", "training": SMALL}
    return Run(**(settings | changes))


def make_record(run: Run | None = None, **changes) -> Record:
    values = {
        "run": run or make_run(),
        "resolved": {"source": "builtin", "encoder": {"dim": 4}, "loss": {"scale": 20.0}, "training": {}},
        "data": {split: {"rows": 10, "sha256": "ab", "origin": "dir x"} for split in ("train", "test")},
        "metrics": {"validation": {"spearman": 0.1 + 0.2, "auc": 0.5}, "test": {"spearman": 1 / 3, "auc": None}},
        "history": {"step": [1, 2], "loss": [1.5, 1e-300], "inversion_bound": [None, 0.25]},
        "evaluations": [{"step": 2, "spearman": 0.3}],
        "best_step": 2, "steps": 2, "batches_without_order": 0,
        "wall_time_s": {"train": 1.5, "evaluate": 0}, "hardware": {"cpu": "x"}, "versions": {"python": "3.11"},
        "commit": None, "dirty": None, "date": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    return Record(**(values | changes))


# ------------------------------------------------------------------------------------------------ runs and keys


def test_key_is_readable_and_the_same_in_every_process():
    run = make_run(loss_options={"scale": 5.0}, seed=3)
    assert re.fullmatch(r"builtin-static-cosent_scale_5\.0-seed3-[0-9a-f]{10}", run.key)
    code = (
        "from cosent_lib.runs.run import Run; print(Run(suite='other', task='builtin', encoder='static', loss='cosent',"
        "training={'device': 'cpu', 'batch_size': 16, 'max_steps': 4}, loss_options={'scale': 5.0}, seed=3).key)"
    )
    env = os.environ | {"PYTHONHASHSEED": "77"}
    assert subprocess.check_output([sys.executable, "-c", code], text=True, env=env).strip() == run.key


@pytest.mark.parametrize(
    "change",
    [
        {"task": "lcqmc"}, {"encoder": "minilm"}, {"encoder_options": {"dim": 8}}, {"loss": "sbert"},
        {"loss_options": {"scale": 5.0}}, {"training": {}}, {"training": SMALL | {"batch_size": 8}}, {"seed": 1},
        {"source": "hub"}, {"score_range": (0, 5)},
    ],
)  # fmt: skip
def test_every_setting_changes_the_key(change):
    assert make_run(**change).key != make_run().key


def test_key_of_a_path_is_a_file_name():
    key = make_run(task="csv:/some where/../数据/{split}.tsv", encoder="owner/name").key
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", key)
    assert not key.startswith(".")


def test_run_refuses_what_is_not_a_setting():
    with pytest.raises(ValueError, match="seed"):
        make_run(training={"seed": 1})
    with pytest.raises(ValueError, match=r"Run\.loss_options\.scale"):
        make_run(loss_options={"scale": object()})


def test_run_is_not_changed_by_its_makers_dictionary():
    options = {"scale": 5.0}
    run = make_run(loss_options=options)
    key = run.key
    options["scale"] = 7.0
    assert run.key == key


# ------------------------------------------------------------------------------------- writing and reading back


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


def test_values_become_plain_json():
    given = {"a": np.float32(0.5), "b": torch.tensor(2), "c": (1, math.nan, math.inf), "d": np.bool_(True), "e": None}
    assert records.json_value(given) == {"a": 0.5, "b": 2, "c": [1, None, None], "d": True, "e": None}


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


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda v: v.pop("metrics"), "field 'metrics' is missing"),
        (lambda v: v.update(note="hi"), "unknown field 'note'"),
        (lambda v: v.update(seed="0"), "field 'seed' must be int, got '0'"),
        (lambda v: v.update(steps=True), "field 'steps' must be int, got True"),
        (lambda v: v.update(best_step="2"), "field 'best_step' must be int or null"),
        (lambda v: v.update(schema_version=99), "field 'schema_version' is 99, this library reads 1"),
        (lambda v: v.update(suite="another"), "field 'suite' is 'another', expected 'trial'"),
        (lambda v: v.update(seed=5), "edited or renamed"),
        (lambda v: v.update(training={"seed": 1}), "Run.training must not hold seed"),
        (lambda v: v["metrics"].pop("test"), "field 'metrics.test' is missing"),
        (lambda v: v["metrics"]["test"].update(spearman="0.9"), "field 'metrics.test.spearman' must be"),
        (lambda v: v["wall_time_s"].update(train=None), "field 'wall_time_s.train' must be"),
        (lambda v: v["data"]["train"].pop("sha256"), "field 'data.train.sha256' is missing"),
        (lambda v: v["data"].update(test=5), "field 'data.test' must be dict"),
        (lambda v: v["history"]["loss"].append(1.0), "differ in length"),
        (lambda v: v["history"]["loss"].__setitem__(0, "x"), "field 'history.loss[0]' must be"),
        (lambda v: v.update(metrics={"validation": None, "test": {"spearman": math.nan}}), "NaN is not JSON"),
    ],
)
def test_damage_is_named(tmp_path, change, expected):
    assert expected in damage(tmp_path, change)


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


# ------------------------------------------------------------------------------------------- recorded, and live


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


# ------------------------------------------------------------------------------------------------------- tables


def test_frame_has_labels_metrics_and_options():
    made = [make_record(make_run(loss_options={"scale": 5.0})), make_record(make_run(loss="sbert", seed=1))]
    frame = benchmark.to_frame(made)
    assert frame["loss"].tolist() == ["cosent scale=5.0", "sbert"]
    assert frame["loss_name"].tolist() == ["cosent", "sbert"]
    assert frame["loss_scale"].tolist()[0] == 5
    assert math.isnan(frame["loss_scale"][1])
    assert frame["test_spearman"].tolist() == [1 / 3, 1 / 3]
    assert frame["test_auc"].isna().all()  # null in the file
    assert frame["train_seconds"].tolist() == [1.5, 1.5]


def spearman(run, validation, test):
    return make_record(run, metrics={"validation": {"spearman": validation}, "test": test and {"spearman": test}})


def test_table_shows_mean_and_t_interval_over_seeds():
    made = [spearman(make_run(seed=seed), 0.9, value) for seed, value in enumerate((0.70, 0.72, 0.77))]
    made.append(spearman(make_run(loss="sbert"), 0.5, None))
    lines = benchmark.table(benchmark.rows_of(made)).splitlines()
    assert len(lines) == 4
    mean, half = mean_interval([0.70, 0.72, 0.77])
    assert f"{mean:.4f} ± {half:.4f}" in lines[2]
    assert "0.9000 ± 0.0000" in lines[2]
    assert "| 3 " in lines[2]
    assert "0.5000 –" in lines[3]
    assert "undefined" in lines[3]
    assert len({len(line) for line in lines}) == 1  # aligned
    assert benchmark.table(benchmark.rows_of(made)) == benchmark.table(benchmark.rows_of(made))


def test_table_keeps_runs_apart_that_differ_in_anything_but_the_seed():
    made = [spearman(make_run(), 0.1, 0.2), spearman(make_run(training={"max_steps": 9}), 0.3, 0.4)]
    body = benchmark.table(benchmark.rows_of(made)).splitlines()[2:]
    assert [("0.2000" in line, "0.4000" in line) for line in body] == [(True, False), (False, True)]
    assert "max_steps=9" in body[1]


def test_csv_table_can_be_read_back():
    import csv
    import io

    made = [spearman(make_run(task="csv:a,b", seed=seed), 0.5, 0.5 + seed / 10) for seed in range(2)]
    (row,) = csv.DictReader(io.StringIO(benchmark.table(benchmark.rows_of(made), "csv")))
    assert row["task"] == "csv:a,b"
    assert float(row["test spearman"]) == 0.55
    assert float(row["test half width"]) == pytest.approx(mean_interval([0.5, 0.6])[1], abs=1e-4)


def test_table_refuses_another_format():
    with pytest.raises(ValueError, match="'html'"):
        benchmark.table([], "html")


# ------------------------------------------------------------------------------------------------------- suites


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


# --------------------------------------------------------------------------------------------------- provenance


def test_commit_is_this_checkouts_or_none():
    commit, dirty = provenance.commit_of_library()
    inside = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=os.path.dirname(__file__))
    if inside.returncode:
        assert (commit, dirty) == (None, None)
    else:
        assert commit == inside.stdout.strip()
        assert isinstance(dirty, bool)


def test_a_copy_inside_somebody_elses_checkout_has_no_commit(tmp_path, monkeypatch):
    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", tmp_path, *identity, *words], check=True, capture_output=True)

    git("init")
    (tmp_path / "theirs.txt").write_text("x")
    git("add", "theirs.txt")
    git("commit", "-m", "theirs")
    copy = tmp_path / "site-packages" / "provenance.py"
    copy.parent.mkdir()
    copy.write_text("x")
    monkeypatch.setattr(provenance, "__file__", str(copy))
    assert provenance.commit_of_library() == (None, None)
    git("add", "site-packages")
    git("commit", "-m", "ours")
    commit, dirty = provenance.commit_of_library()
    assert re.fullmatch("[0-9a-f]{40}", commit)
    assert dirty is False
    (tmp_path / "theirs.txt").write_text("changed, but not the library")
    assert provenance.commit_of_library()[1] is False
    copy.write_text("changed")
    assert provenance.commit_of_library()[1] is True


# ------------------------------------------------------------------------------------------------- real small runs


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> str:
    """A task of 40 pairs a split."""
    folder = tmp_path_factory.mktemp("own")
    colours, things = ("red", "green", "blue", "black"), ("cat", "dog", "house", "tree", "car")
    for split, verb in (("train", "see"), ("validation", "like"), ("test", "buy")):
        rows = [(f"I {verb} a {c} {t}", f"a {c} {t} I {verb}", 1) for c in colours for t in things]
        rows += [(a, rows[(i + 7) % 20][1], 0) for i, (a, _, _) in enumerate(rows)]
        text = "sentence1\tsentence2\tscore\n" + "".join("\t".join(map(str, row)) + "\n" for row in rows)
        (folder / f"{split}.tsv").write_text(text, encoding="utf-8")
    return f"csv:{folder}"


@pytest.fixture(scope="module")
def executed(own) -> Record:
    run = make_run(task=own, loss_options={"scale": 10.0}, encoder_options={"dim": 16})
    return benchmark.execute(run, progress=False)


def test_executed_record_says_what_was_used(executed, own, tmp_path):
    from cosent_lib.data.load import fingerprint, load_pairs, origin

    training = executed.resolved["training"]
    assert training["learning_rate"] > 0
    assert (training["device"], training["precision"], training["max_steps"]) == ("cpu", "fp32", 4)
    assert executed.resolved["loss"] == {
        "class": "CoSENTLoss", "scale": pytest.approx(10), "margin": 0.0, **_without_scale(executed.resolved["loss"]),
    }  # fmt: skip
    assert executed.resolved["source"] == "csv"
    for split, entry in executed.data.items():
        pairs = load_pairs(own, split)
        assert entry == {"rows": len(pairs), "sha256": fingerprint(pairs), "origin": origin(pairs)}
    assert executed.steps == 4
    assert executed.history["step"] == [1, 2, 3, 4]
    assert executed.versions["torch"] == torch.__version__.split("+")[0] or executed.versions["torch"]
    assert executed.hardware["cores"] == os.cpu_count()
    assert benchmark.read_record(benchmark.save_record(executed, tmp_path)) == executed


def _without_scale(loss):
    return {name: value for name, value in loss.items() if name not in ("class", "scale", "margin")}


def test_test_metrics_are_those_of_the_trained_encoder(executed, own):
    from cosent_lib.data.load import load_pairs
    from cosent_lib.evaluation.evaluate import evaluate

    record, encoder = benchmark.perform(executed.run, progress=False)
    validation = load_pairs(own, "validation")
    assert dict(record.metrics["validation"]) == evaluate(encoder, validation)
    assert dict(record.metrics["test"]) == evaluate(encoder, load_pairs(own, "test"), validation)
    assert record.metrics == executed.metrics


def test_live_and_recorded_give_the_same(executed, tmp_path):
    benchmark.save_record(executed, tmp_path)
    (recorded,) = benchmark.recorded_or_live([executed.run], live=False, folder=tmp_path)
    (live,) = benchmark.recorded_or_live([executed.run], live=True, folder=tmp_path, progress=False)
    varying = ("wall_time_s", "date", "hardware", "dirty", "commit")
    live_values, recorded_values = asdict(live), asdict(recorded)
    for name in varying:
        live_values.pop(name), recorded_values.pop(name)
    assert live_values == recorded_values


def test_every_split_held_back_is_judged():
    record = benchmark.execute(make_run(task="builtin_random"), progress=False)
    assert set(record.metrics) == {"validation", "test", "test_untrained", "test_random"}
    assert "accuracy" in record.metrics["test_random"]
    assert record.data["test_random"]["origin"].startswith("builtin ")


def test_splits_of_other_tasks_are_judged_too():
    record = benchmark.execute(
        make_run(task="builtin", loss="sbert", also_judge=["builtin_graded/test"]), progress=False
    )
    graded = record.metrics["builtin_graded/test"]
    assert "auc" in graded
    assert "accuracy" not in graded  # no threshold for grades
    assert record.data["builtin_graded/test"]["rows"] == 3000
    assert 0 <= record.metrics["test"]["classifier_accuracy"] <= 1
    assert record.metrics["test_untrained"]["spearman"] != record.metrics["test"]["spearman"]
    with pytest.raises(ValueError, match="also_judge holds 'builtin_graded', expected TASK/SPLIT"):
        benchmark.execute(make_run(also_judge=["builtin_graded"]), progress=False)


def test_test_split_is_evaluated_once_and_after_training(own, monkeypatch):
    import cosent_lib.data.load
    import cosent_lib.evaluation.evaluate
    import cosent_lib.training.train

    loaded, events = {}, []
    load, judge, fit = (
        cosent_lib.data.load.load_pairs,
        cosent_lib.evaluation.evaluate.evaluate,
        cosent_lib.training.train.train,
    )

    def load_pairs(task, split, *args, **options):
        loaded[split] = load(task, split, *args, **options)
        return loaded[split]

    def evaluate(encoder, pairs, *args, **options):
        events.append(next(name for name, value in loaded.items() if value is pairs))
        return judge(encoder, pairs, *args, **options)

    def train(*args, **options):
        assert not any(value is loaded["test"] for value in (*args, *options.values()))
        result = fit(*args, **options)
        events.append("trained")
        return result

    monkeypatch.setattr(cosent_lib.data.load, "load_pairs", load_pairs)
    monkeypatch.setattr(cosent_lib.evaluation.evaluate, "evaluate", evaluate)
    monkeypatch.setattr(cosent_lib.training.train, "train", train)
    benchmark.execute(make_run(task=own), progress=False)
    before, after = events[: events.index("trained")], events[events.index("trained") :]
    assert before.count("test") == 1  # the untrained encoder, a baseline that nothing is chosen by
    assert after.count("test") == 1


def test_seed_reaches_a_loss_with_weights_of_its_own(own, monkeypatch):
    import cosent_lib.losses.direct

    made, make = [], cosent_lib.losses.direct.make_loss

    def make_loss(name, encoder, **options):
        made.append(options)
        return make(name, encoder, **options)

    monkeypatch.setattr(cosent_lib.losses.direct, "make_loss", make_loss)
    record = benchmark.execute(make_run(task=own, loss="sbert", seed=7), progress=False)
    assert made[-1] == {"seed": 7}
    assert record.resolved["training"]["loss_learning_rate"] > 0


def test_learned_scale_is_recorded_as_it_ended(own):
    training = SMALL | {"loss_learning_rate": 0.1}
    record = benchmark.execute(
        make_run(task=own, loss_options={"learn_scale": True}, training=training), progress=False
    )
    assert record.resolved["loss"]["scale"] != pytest.approx(20, abs=1e-3)


def test_a_sum_of_losses_is_recorded_with_the_options_of_its_parts(own):
    options = {"mnrl_scale": 5.0, "sbert_weight": 0.5}
    record = benchmark.execute(make_run(task=own, loss="cosent+mnrl+sbert", loss_options=options), progress=False)
    assert record.resolved["loss"] == {
        "class": "SummedLoss", "cosent_scale": 20.0, "cosent_margin": 0.0, "cosent_flat": False, "cosent_weight": 1.0,
        "mnrl_scale": 5.0, "mnrl_weight": 1.0, "sbert_num_labels": 2, "sbert_features": ["u", "v", "|u-v|"],
        "sbert_weight": 0.5,
    }  # fmt: skip
    assert record.resolved["training"]["loss_learning_rate"] > 0
    assert "cosent+mnrl+sbert mnrl_scale=5.0 sbert_weight=0.5" in str(record.run)


def test_seed_and_suggested_scale_reach_the_parts_of_a_sum(own, monkeypatch):
    monkeypatch.setattr(benchmark, "_suggested", lambda *_: 7.5)
    import cosent_lib.losses.direct

    made, make = [], cosent_lib.losses.direct.make_loss

    def make_loss(name, encoder, **options):
        made.append((name, options))
        return make(name, encoder, **options)

    monkeypatch.setattr(cosent_lib.losses.direct, "make_loss", make_loss)
    run = make_run(task=own, loss="cosent+sbert", loss_options={"cosent_scale": "suggested"}, seed=7)
    record = benchmark.execute(run, progress=False)
    assert record.resolved["loss"]["cosent_scale"] == 7.5
    assert made.count(("sbert", {"seed": 7})) == 2  # for the check before loading, and for training
    with pytest.raises(ValueError, match="loss 'mnrl' has no option margni"):
        benchmark.execute(make_run(task=own, loss="cosent+mnrl", loss_options={"mnrl_margni": 1}), progress=False)


def test_history_is_thinned_with_first_and_last():
    import pandas as pd

    steps = np.arange(1, 1234)
    frame = pd.DataFrame({"step": steps, "loss": steps / 7, "inversion_bound": np.nan})
    thin = outcome._thinned(frame)
    assert len(thin["step"]) == 200
    assert (thin["step"][0], thin["step"][-1]) == (1, 1233)
    assert thin["loss"] == [float(f"{step / 7:.6g}") for step in thin["step"]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {"batchsize": 3}}, "unknown training setting 'batchsize'"),
        ({"loss": "cosnet"}, "cosnet"),
        ({"encoder": "statics"}, "statics"),
        ({"task": "pawsx"}, "'pawsx' has no training split"),
        ({"task": "lcqmk"}, "lcqmk"),
        ({"loss_options": {"margni": 1}}, "margni"),
    ],
)
def test_mistakes_in_a_run_are_named(own, changes, message):
    with pytest.raises(ValueError, match=message):
        benchmark.execute(make_run(**({"task": own} | changes)), progress=False)


def test_labels_without_order_are_refused_before_training(tmp_path, monkeypatch):
    import cosent_lib.training.train

    header = "sentence1\tsentence2\tscore\n"
    for split in ("train", "validation"):
        (tmp_path / f"{split}.tsv").write_text(header + "one two\tthree\t0\nfour\tfive six\t1\n" * 2)
    (tmp_path / "test.tsv").write_text(header + "a\tb\t1\nc\td\t1\n")
    monkeypatch.setattr(cosent_lib.training.train, "train", lambda *_: pytest.fail("trained"))
    with pytest.raises(ValueError, match="test"):
        benchmark.execute(make_run(task=f"csv:{tmp_path}"), progress=False)


def test_a_setting_that_is_no_finite_number_is_refused_not_replaced_by_the_default():
    with pytest.raises(ValueError, match="learning_rate must be a finite number, got nan"):
        make_run(training={"learning_rate": math.nan})
    with pytest.raises(ValueError, match="scale must be a finite number, got inf"):
        make_run(loss_options={"scale": math.inf})


def test_a_split_without_order_in_its_cosines_costs_no_finished_training(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    known = ["a cat sat\tthe cat sat down\t1", "a dog\tstock prices fell\t0"] * 8
    for split, rows in (("train", known), ("validation", known), ("test", ["qq\tzz\t1", "xx\tjj\t0"])):
        (own / f"{split}.tsv").write_text("\n".join(["sentence1\tsentence2\tscore", *rows]) + "\n")
    with pytest.warns(UserWarning, match="test: the metric is undefined: all 2 scores equal 0"):
        record = benchmark.execute(make_run(task=f"csv:{own}"), progress=False)
    assert record.metrics["test"] == {"spearman": None}
    assert record.metrics["validation"]["spearman"] is not None
