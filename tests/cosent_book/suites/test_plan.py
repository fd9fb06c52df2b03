"""Suites: settings chosen on validation, runs carried out beside other runners and past failures, rows compared."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_benchmark import make_record, make_run, spearman

from cosent_book import published, runner, tables
from cosent_book.runner import Plan, RunsFailed
from cosent_book.suites import plan as suites
from cosent_book.suites.entries import Entry
from cosent_lib.runs import perform as benchmark
from cosent_lib.runs.run import record_path, save_record
from cosent_lib.runs.schema import DamagedRecord


@pytest.fixture
def entry():
    candidates = tuple(make_run(loss_options={"scale": scale}) for scale in (5.0, 10.0, 20.0))
    return Entry(label="CoSENT, λ tuned", candidates=candidates, seeds=(0, 1, 2))


def record_trials(entry, values, folder):
    for run, value in zip(entry.trials, values, strict=True):
        save_record(spearman(run, value, None), folder)


def as_suite(monkeypatch, entries):
    monkeypatch.setitem(suites.SUITES, "trial", lambda: iter(entries))


def fixed(runs):
    return lambda: Plan(runs, 0)


# ------------------------------------------------------------------------------------------------------ choices


def test_the_best_on_validation_is_chosen_and_trained_with_every_seed(entry, tmp_path):
    assert entry.chosen(tmp_path) is None
    record_trials(entry, [0.5, 0.7, 0.6], tmp_path)
    assert [(run.loss_options["scale"], run.seed) for run in entry.reported(tmp_path)] == [(10, 0), (10, 1), (10, 2)]
    assert all(run.judge_test for run in entry.reported(tmp_path))


def test_no_choice_before_every_candidate_is_recorded(entry, tmp_path):
    record_trials(entry, [0.5, 0.7, 0.6], tmp_path)
    record_path(entry.trials[0], tmp_path).unlink()
    assert entry.reported(tmp_path) == []


def test_candidates_never_see_test(entry, tmp_path):
    assert not any(run.judge_test for run in entry.trials)
    assert set(benchmark.load_splits(entry.trials[0])) == {"train", "validation"}
    record = benchmark.execute(entry.trials[0], progress=False)
    assert record.metrics["test"] is None
    assert record.metrics["test_untrained"] is None
    assert record.metrics["validation"]["spearman"] is not None


def test_of_equals_the_first_is_chosen_and_a_failure_never(entry, tmp_path):
    record_trials(entry, [None, 0.4, 0.4], tmp_path)
    assert entry.chosen(tmp_path).loss_options["scale"] == 10
    record_trials(entry, [None, None, None], tmp_path)
    assert entry.chosen(tmp_path) is None
    assert not entry.waits(tmp_path)
    assert entry.reported(tmp_path) == []


def test_one_candidate_is_reported_without_a_trial(tmp_path):
    alone = Entry(label="x", candidates=(make_run(),), seeds=(4, 5))
    assert alone.trials == []
    assert [run.seed for run in alone.reported(tmp_path)] == [4, 5]


def test_a_damaged_candidate_is_named_and_not_passed_over(entry, tmp_path):
    record_trials(entry, [0.5, 0.7, 0.6], tmp_path)
    record_path(entry.trials[1], tmp_path).write_text("{")
    with pytest.raises(DamagedRecord, match=entry.trials[1].key):
        entry.chosen(tmp_path)


def test_plan_grows_when_the_choice_is_made(entry, tmp_path, monkeypatch):
    as_suite(monkeypatch, [entry, make_run(loss="sbert")])
    runs, undecided = suites.suite_plan("trial", tmp_path)
    assert (len(runs), undecided) == (4, 3)
    record_trials(entry, [0.5, 0.7, 0.6], tmp_path)
    runs, undecided = suites.suite_plan("trial", tmp_path)
    assert (len(runs), undecided) == (7, 0)
    assert [label for label, _ in suites.suite_rows("trial", tmp_path)] == ["CoSENT, λ tuned", "sbert"]
    assert len(suites.suite_plan("trial", tmp_path, only="sbert").runs) == 1


def test_two_entries_that_choose_the_same_settings_share_its_runs(entry, tmp_path, monkeypatch):
    other = Entry(label="λ = 10", candidates=entry.candidates[1:2], seeds=entry.seeds)
    as_suite(monkeypatch, [entry, other])
    record_trials(entry, [0.5, 0.7, 0.6], tmp_path)
    assert len(suites.suite_plan("trial", tmp_path).runs) == 6  # three candidates, three seeds
    rows = suites.suite_rows("trial", tmp_path)
    assert rows[0][1] == rows[1][1]


def test_main_gives_every_loss_the_same_number_of_tries():
    everything = suites.suite_entries("main")
    entries = [entry for entry in everything if entry.candidates[0].encoder == "static"]
    others = [entry for entry in everything if entry not in entries]  # a BERT from scratch, nothing chosen
    assert {(entry.candidates[0].encoder, len(entry.candidates)) for entry in others} == {("small", 1)}
    assert {len(entry.candidates) for entry in entries} == {4}
    assert {entry.candidates[0].task for entry in entries} == {"atec", "bq", "lcqmc", "stsb_zh", "stsb_en"}
    for entry in entries:  # candidates differ in one thing
        settings = [{**run.training, **run.loss_options} for run in entry.candidates]
        assert sum(len({repr(one.get(name)) for one in settings}) > 1 for name in settings[0]) == 1
    by_task = {entry.candidates[0].task: [] for entry in entries}
    for entry in entries:
        by_task[entry.candidates[0].task].append(entry.label)
    assert all(len(set(labels)) == len(labels) for labels in by_task.values())
    assert set(by_task["lcqmc"]) == set(by_task["stsb_en"]) - {"Sentence-BERT, 6 classes"}


def test_rows_of_two_encoders_that_are_called_the_same_stand_side_by_side(entry, tmp_path, monkeypatch):
    settings = {**vars(entry.candidates[0]), "encoder": "small"}
    other = Entry(label=entry.label, candidates=(type(entry.candidates[0])(**settings),), seeds=(0,))
    as_suite(monkeypatch, [entry, other])
    rows = suites.suite_rows("trial", tmp_path)
    assert [(label, [run.encoder for run in runs]) for label, runs in rows] == [
        (entry.label, []), (entry.label, ["small"])
    ]  # fmt: skip
    assert len(suites.suite_rows("main", tmp_path)) == len(suites.suite_entries("main"))


def test_suggested_scale_is_computed_before_training_and_recorded(tmp_path):
    import torch

    from cosent_lib.encoders.load import load_encoder
    from cosent_lib.evaluation.evaluate import cosine_scores
    from cosent_lib.ranking.scale import suggest_scale

    generator = np.random.default_rng(0)
    lines = ["sentence1\tsentence2\tscore"]
    for label in generator.integers(0, 2, size=80):  # shared words go with the label, but not always
        words = generator.integers(10, 99, size=(2, 5))
        words[1, : generator.integers(1, 5) if label else generator.integers(0, 4)] = words[0, 0]
        lines.append("\t".join([" ".join(map(str, words[0])), " ".join(map(str, words[1])), str(label)]))
    for split in ("train", "validation"):
        (tmp_path / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    run = make_run(task=f"csv:{tmp_path}", loss_options={"scale": "suggested"})
    splits = benchmark.load_splits(run)
    record = benchmark.execute(run, progress=False)
    texts = [*splits["train"]["sentence1"][:], *splits["train"]["sentence2"][:]]
    cosines = torch.from_numpy(cosine_scores(load_encoder("static", texts), splits["validation"]))
    expected = suggest_scale(cosines, torch.tensor(splits["validation"]["score"][:]))
    assert record.resolved["loss"]["scale"] == pytest.approx(expected, rel=1e-6)


def test_a_scale_that_cannot_be_suggested_is_refused(tmp_path):
    """On hard negatives the untrained cosines order the pairs the wrong way round."""
    with pytest.raises(ValueError, match="the cosines do not follow the labels"):
        benchmark.execute(make_run(loss_options={"scale": "suggested"}), progress=False)


# -------------------------------------------------------------------------------------------------------- runner


def test_failed_run_is_reported_and_the_others_are_made(tmp_path, monkeypatch):
    def pretend(run, **_):
        if run.seed == 1:
            raise RuntimeError("no luck")
        return make_record(run)

    monkeypatch.setattr(runner, "execute", pretend)
    runs, lines = [make_run(seed=seed) for seed in range(3)], []
    with pytest.raises(RunsFailed, match=r"1 runs failed.*seed 1: RuntimeError: no luck"):
        runner.run_missing(fixed(runs), lines.append, tmp_path)
    assert [run.seed for run in benchmark.missing_runs(runs, tmp_path)] == [1]
    assert any("FAILED, going on" in line for line in lines)


def test_training_that_diverges_is_recorded_as_a_failure(tmp_path, monkeypatch):
    from cosent_lib.training.batches import Batch
    from cosent_lib.training.errors import NonFiniteLoss

    history = pd.DataFrame({"step": [1], "epoch": [1], "loss": [2.0], "inversion_bound": [0.5], "learning_rate": [1.0]})

    def pretend(run, **_):
        raise NonFiniteLoss("the loss is inf", Batch(2, 1, [3], [[1]], [[1]], None), "lower the rate", history)

    monkeypatch.setattr(runner, "execute", pretend)
    run = make_run(alter={"take": 100})
    assert runner.run_missing(fixed([run]), lambda line: None, tmp_path) == 1
    record = benchmark.read_record(record_path(run, tmp_path))
    assert "the loss is inf at step 2" in record.failure
    assert record.data["train"]["rows"] == 100  # the pairs as the run altered them
    assert record.metrics["validation"] is None
    assert record.history["loss"] == [2.0]
    assert "undefined" in benchmark.table(benchmark.rows_of([record]))


def test_a_collapsed_run_does_not_stop_the_suite(tmp_path):
    """Cosines that are all equal have no Spearman: recorded as undefined."""
    still = {"max_steps": 1, "batch_size": 2, "device": "cpu", "learning_rate": 1e-30}
    run = make_run(training=still)
    assert runner.run_missing(fixed([run]), lambda line: None, tmp_path, progress=False) == 1


def _runner_process(folder, names):
    def pretend(run, **_):
        time.sleep(0.05)
        with (Path(folder) / "made.txt").open("a") as file:
            file.write(f"{run.key}\n")
        return make_record(run)

    runner.execute, runner.load_splits, runner.WAIT = pretend, lambda run: {}, 0.02
    runner.run_missing(fixed([make_run(seed=seed) for seed in names]), lambda line: None, Path(folder))


def test_two_runners_share_a_suite_without_making_a_run_twice(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_runner_process, args=(str(tmp_path), range(12))) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    made = (tmp_path / "made.txt").read_text().split()
    assert sorted(made) == sorted(make_run(seed=seed).key for seed in range(12))
    assert not list(tmp_path.glob(".*.lock"))


def test_a_killed_runner_leaves_its_run_to_others(tmp_path):
    run = make_run()
    code = (
        "import sys, time; from pathlib import Path; from cosent_book.runner import _claimed\n"
        "with _claimed(Path(sys.argv[1])) as mine:\n    print(mine, flush=True)\n    time.sleep(60)\n"
    )
    path = record_path(run, tmp_path)
    other = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline().strip() == "True"
    with runner._claimed(path) as mine:
        assert not mine
    other.send_signal(signal.SIGKILL)
    other.wait()
    with runner._claimed(path) as mine:
        assert mine
    other.stdout.close()


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_benchmark import make_record, make_run
import cosent_lib.training.train
from cosent_book import runner
def pretend(run, **_):
    time.sleep(0.01)
    return make_record(run)
runner.execute, runner.load_splits = pretend, lambda run: {}
print("ready", flush=True)
plan = runner.Plan([make_run(seed=seed) for seed in range(40)], 0)
runner.run_missing(lambda: plan, lambda line: None, Path(sys.argv[1]))
"""


def test_kill_at_random_moments_loses_and_doubles_no_record(tmp_path):
    generator, seen = np.random.default_rng(0), {}
    for _ in range(5):
        arguments = [sys.executable, "-c", KILLED, str(tmp_path), os.path.dirname(__file__)]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        time.sleep(generator.uniform(0, 0.3))
        process.kill()
        process.wait()
        process.stdout.close()
        now = {path.name: path.read_text() for path in tmp_path.glob("[!.]*.json")}
        assert seen.items() <= now.items()  # nothing recorded was lost or rewritten
        seen = now
    assert 0 < len(seen) < 40
    runner.run_missing(fixed([make_run(seed=seed) for seed in range(len(seen))]), lambda line: None, tmp_path)
    assert len(benchmark.load_records("trial", tmp_path)) == len(list(tmp_path.glob("[!.]*.json")))


# -------------------------------------------------------------------------------------------------------- tables


def over_seeds(values, **changes):
    return [spearman(make_run(seed=seed, **changes), 0.5, value) for seed, value in enumerate(values)]


def test_comparison_is_the_paired_t_test_over_common_seeds():
    base, other = over_seeds([0.70, 0.71, 0.73]), over_seeds([0.72, 0.74, 0.745, 0.9], loss="sbert")
    difference, p = tables.paired(other, base)
    assert difference == pytest.approx(np.mean([0.02, 0.03, 0.015]))
    assert p == pytest.approx(stats.ttest_rel([0.72, 0.74, 0.745], [0.70, 0.71, 0.73]).pvalue)


def test_holm_by_hand():
    # sorted: 0.01·4, max(0.04, 0.02·3), 0.03·2 -> kept at 0.06, 0.5·1
    assert tables.holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert tables.holm([0.9, 0.8]) == [1.0, 1.0]
    assert tables.holm([]) == []


def test_table_compares_within_a_task_only():
    rows = [
        ("base", over_seeds([0.70, 0.71, 0.73])),
        ("other", over_seeds([0.72, 0.74, 0.745], loss="sbert")),
        ("elsewhere", over_seeds([0.1, 0.2, 0.3], task="lcqmc", loss="sbert")),
        ("nothing yet", []),
    ]
    lines = benchmark.table(rows, baseline="base").splitlines()
    assert len(lines) == 5
    assert "+0.0217" in lines[3]
    assert lines[2].rstrip(" |").endswith("–")
    assert lines[4].rstrip(" |").endswith("–")
    with pytest.raises(ValueError, match="no row is called 'bass'"):
        benchmark.table(rows, baseline="bass")


def test_published_rows_are_complete_and_average_as_published():
    means = {"BERT + CoSENT": 68.19, "Sentence-BERT": 61.74, "RoBERTa + CoSENT": 68.85, "Sentence-RoBERTa": 62.80}
    for row in published.PUBLISHED:
        assert set(row.spearman) == set(published.TASKS)
        if row.trained_on == published.OWN and row.method in means:
            assert np.mean(list(row.spearman.values())) == pytest.approx(means[row.method], abs=0.006)
    text = tables.published_table(["lcqmc", "stsb_en"])
    assert "78.69" in text
    assert "–" in text
    assert len({len(line) for line in text.splitlines()}) == 1
