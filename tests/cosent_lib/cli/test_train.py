"""The command train when it is stopped, killed and gone on with, and its settings."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from runs import read_record

from cosent_lib.cli import main as cli
from cosent_lib.training.batches import Batches

OPTIONS = ["--epochs", "3", "--batch-size", "16", "--no-progress", "--device", "cpu", "--evaluation-steps", "3"]
ROWS = [("a cat sat", "the cat sat down", 1), ("a dog", "stock prices fell", 0), ("he runs", "he is running", 1)]
KILLED = """
import os, signal, sys
from cosent_lib.cli.main import main
from cosent_lib.training.batches import Batches
at = Batches.at
Batches.at = lambda self, step: os.kill(os.getpid(), signal.SIGKILL) if step == 8 else at(self, step)
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A task of 60 pairs a split with labels 0 and 1: 4 steps an epoch."""
    folder = tmp_path_factory.mktemp("own")
    for split in ("train", "validation", "test"):
        rows = [f"{a} {i}\t{b} {i % 7}\t{score}" for i in range(20) for a, b, score in ROWS]
        (folder / f"{split}.tsv").write_text("\n".join(["sentence1\tsentence2\tscore", *rows]) + "\n", encoding="utf-8")
    return f"csv:{folder}"


@pytest.fixture(scope="module")
def undisturbed(own, tmp_path_factory):
    output = tmp_path_factory.mktemp("undisturbed") / "run"
    assert cli.main(["train", own, "--output", str(output), *OPTIONS]) == 0
    return output


@pytest.fixture
def press(monkeypatch):
    """Press Ctrl-C as a step begins."""

    def at_step(number):
        at = Batches.at

        def pressing(self, step):
            if step == number:
                os.kill(os.getpid(), signal.SIGINT)
            return at(self, step)

        monkeypatch.setattr(Batches, "at", pressing)

    yield at_step
    monkeypatch.undo()


def assert_same_run(output: Path, expected: Path) -> None:
    assert (output / "model.safetensors").read_bytes() == (expected / "model.safetensors").read_bytes()
    ours, theirs = (read_record(folder / "record.json") for folder in (output, expected))
    for name in ("run", "resolved", "metrics", "history", "evaluations", "best_step", "steps"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert not output.with_name(f"{output.name}.checkpoints").exists()


def test_ctrl_c_saves_and_resume_goes_on_as_if_nothing_had_been(call, own, undisturbed, press, monkeypatch, tmp_path):
    output, saving = tmp_path / "run", tmp_path / "run.checkpoints"
    press(6)
    code, out, err = call("train", own, "--output", output, *OPTIONS)
    place = saving / "checkpoint-00000006"
    assert (code, out) == (130, "")
    assert err == f"interrupted: saved in {place}; go on with the same command and --resume\n"
    assert not output.exists()
    monkeypatch.undo()

    code, _, err = call("train", own, "--output", output, *OPTIONS)
    assert (code, err) == (
        2,
        f"error: {saving} holds an unfinished run: go on with --resume, or delete it to begin again\n",
    )
    code, _, err = call("train", own, "--output", output, *OPTIONS, "--scale", "5", "--resume")
    assert code == 2
    assert re.fullmatch(r"error: .* belongs to a run with other settings \(loss_options: .*5.0.*\)\n", err)
    assert place.is_dir()  # nothing was lost by these mistakes

    assert call("train", own, "--output", output, *OPTIONS, "--resume")[0] == 0
    assert_same_run(output, undisturbed)


@pytest.mark.skipif(os.name == "nt", reason="sends SIGKILL to a process")
def test_kill_and_resume_goes_on_from_the_last_checkpoint(call, own, undisturbed, tmp_path):
    words = ["train", own, "--output", str(tmp_path / "run"), *OPTIONS, "--checkpoint-steps", "5"]
    assert subprocess.run([sys.executable, "-c", KILLED, *words]).returncode == -signal.SIGKILL
    assert [path.name for path in (tmp_path / "run.checkpoints").iterdir()] == ["checkpoint-00000005"]
    assert call(*words, "--resume")[0] == 0
    assert_same_run(tmp_path / "run", undisturbed)


def test_ctrl_c_after_the_last_step_keeps_the_training(call, own, undisturbed, monkeypatch, tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cosent_lib.runs.perform.make_record", interrupted)
        code, _, err = call("train", own, "--output", tmp_path / "run", *OPTIONS)
    assert (code, err.count("\n")) == (130, 1)
    assert "checkpoint-00000012; go on with" in err
    assert call("train", own, "--output", tmp_path / "run", *OPTIONS, "--resume")[0] == 0
    assert_same_run(tmp_path / "run", undisturbed)


def test_ctrl_c_before_the_first_step_says_that_nothing_is_saved(call, own, monkeypatch, tmp_path):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("cosent_lib.runs.perform.perform", interrupted)
    code, _, err = call("train", own, "--output", tmp_path / "run", *OPTIONS)
    assert (code, err) == (130, "interrupted: before anything was saved\n")


def test_resume_without_a_checkpoint_is_a_mistake(call, own, tmp_path):
    code, _, err = call("train", own, "--output", tmp_path / "run", *OPTIONS, "--resume")
    assert code == 2
    saving = tmp_path / "run.checkpoints"
    assert err == f"error: --resume: no checkpoint in {saving}; leave --resume out to begin\n"


@pytest.mark.parametrize("foreign", ["notes.md", "vectors.npy", "plots/a.svg"])
def test_a_folder_that_holds_more_than_we_wrote_is_refused_before_training(call, own, tmp_path, monkeypatch, foreign):
    output, saving = tmp_path / "run", tmp_path / "run.checkpoints"
    short = ["--max-steps", "2", "--batch-size", "16", "--no-progress", "--device", "cpu"]
    assert call("train", own, "--output", output, *short)[0] == 0
    assert call("train", own, "--output", output, *short)[0] == 0  # its own encoder and record are replaced
    monkeypatch.setattr("cosent_lib.runs.perform.perform", None)  # nothing is trained from here on
    for folder, said in ((output, "holds more than a saved encoder"), (saving, "holds what is no checkpoint")):
        place = folder / foreign
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("years of work")
        code, _, err = call("train", own, "--output", output, *short)
        assert (code, err.count("\n")) == (2, 1)
        assert f"{folder} {said}" in err
        assert foreign in err
        assert place.read_text() == "years of work"
        place.unlink()
        if place.parent != folder:
            place.parent.rmdir()


def test_a_file_put_there_while_it_trains_costs_no_training(call, own, tmp_path, monkeypatch):
    output, saving = tmp_path / "run", tmp_path / "run.checkpoints"
    at = Batches.at

    def putting(self, step):
        for folder in (output, saving):
            folder.mkdir(exist_ok=True)
            (folder / "notes.md").write_text("years of work")
        return at(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(Batches, "at", putting)
        code, _, err = call("train", own, "--output", output, *OPTIONS)
    assert (code, err.count("\n")) == (2, 1)
    assert f"{output} exists and holds no saved encoder" in err
    assert f"what was trained is kept in {saving}" in err
    (output / "notes.md").rename(tmp_path / "notes.md")
    assert call("train", own, "--output", output, *OPTIONS, "--resume")[0] == 2  # for that in the checkpoints
    (saving / "notes.md").unlink()
    assert call("train", own, "--output", output, *OPTIONS, "--resume")[0] == 0
    assert read_record(output / "record.json").steps == 12
    assert not saving.exists()


def test_the_settings_of_training_reach_the_run(call, own, tmp_path):
    words = ["--batches", "levels", "--accumulation-steps", "2", "--patience", "1", "--evaluation-steps", "1"]
    code, _, err = call("train", own, "--output", tmp_path / "run", "--device", "cpu", "--no-progress", *words,
                        "--epochs", "9", "--batch-size", "16", "--checkpoint-steps", "3")  # fmt: skip
    assert code == 0
    assert "warning: accumulation_steps=2 is not a larger batch for CoSENTLoss" in err
    record = read_record(tmp_path / "run" / "record.json")
    given = {"batches": "levels", "accumulation_steps": 2, "patience": 1, "evaluation_steps": 1}
    assert record.run.training == {**given, "epochs": 9, "batch_size": 16, "device": "cpu"}
    assert given.items() <= record.resolved["training"].items()
    assert record.best_step == record.steps - 1 < 17  # stopped by patience


def test_scale_is_a_number_or_suggested(call, tmp_path):
    short = ["--max-steps", "2", "--no-progress", "--device", "cpu"]
    for text, declared in (("suggested", "suggested"), ("7", 7.0)):
        output = tmp_path / text
        assert call("train", "builtin_graded", "--output", output, *short, "--scale", text)[0] == 0
        record = read_record(output / "record.json")
        assert record.run.loss_options == {"scale": declared}
        scale = record.resolved["loss"]["scale"]
        assert scale == 7 if text == "7" else 0 < scale < 20
    code, _, err = call("train", "builtin_graded", "--output", tmp_path / "x", "--scale", "many")
    assert (code, err) == (2, "error: --scale 'many': expected a number, or the word suggested\n")


def test_mistakes_in_settings_take_one_line(call, own, tmp_path):
    for words, message in (
        (["--seed", str(2**63)], "seed must be a whole number of at least 0 and below 2**63, got 9223372036854775808"),
        (["--seed", str(10**40)], "seed must be a whole number of at least 0 and below 2**63"),
        (["--seed", "-1"], "seed must be a whole number"),
        (["--patience", "0"], "patience must be a whole number of at least 1"),
        (["--accumulation-steps", "0"], "accumulation_steps must be"),
        (["--batches", "sorted"], "batches must be one of shuffled, levels, got 'sorted'"),
        (["--checkpoint-steps", "0"], "checkpoint_steps must be"),
    ):
        code, _, err = call("train", own, "--output", tmp_path / "run", *OPTIONS, *words)
        assert (code, err.count("\n")) == (2, 1), err
        assert err.startswith("error: ")
        assert message in err
    assert list(tmp_path.iterdir()) == []  # a mistake leaves nothing behind
