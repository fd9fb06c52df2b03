"""The command train when it is stopped, killed and gone on with, and its settings."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from runs import read_record
from training_kit import make_pairs

from cosent_lib.cli import main as cli
from cosent_lib.data.load import load_pairs
from cosent_lib.encoders.load import load_encoder
from cosent_lib.evaluation.evaluate import cosine_scores
from cosent_lib.files import claimed
from cosent_lib.ranking.scale import suggest_scale
from cosent_lib.runs.perform import perform
from cosent_lib.runs.run import Run
from cosent_lib.training.batches import Batches

OPTIONS = [
    "--epochs",
    "3",
    "--scale",
    "20",
    "--batch-size",
    "16",
    "--no-progress",
    "--device",
    "cpu",
    "--evaluation-steps",
    "3",
]
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
        rows = [f"{a} {i} {split}\t{b} {i % 7}\t{score}" for i in range(20) for a, b, score in ROWS]
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


# --- what is chosen where nothing is given ----------------------------------------------------------------------------

SMALL = ["--batch-size", "16", "--no-progress", "--device", "cpu"]


def write_task(folder: Path, splits=("train", "validation", "test"), change=lambda split, score: score) -> str:
    """A task of 80 pairs a split, labelled by how many words they share, with scores changed by ``change``."""
    folder.mkdir()
    for number, split in enumerate(splits):
        pairs = make_pairs(80, seed=number, levels=5)
        rows = zip(pairs["sentence1"], pairs["sentence2"], pairs["score"], strict=True)
        lines = ["sentence1\tsentence2\tscore", *(f"{a}\t{b}\t{change(split, score)}" for a, b, score in rows)]
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"csv:{folder}"


def noised(split: str, score: float) -> float:
    """Labels that follow the words by and large, so that a finite λ is best."""
    noised.calls = (getattr(noised, "calls", 0) + 1) % 4
    return score if noised.calls else 1 - score


def trained(call, task: str, output: Path, *words: str):
    code, out, _ = call("train", task, "--output", output, *SMALL, *words)
    assert code == 0
    return out.splitlines()[0], read_record(output / "record.json")


@pytest.mark.parametrize("loss", ["cosent", "ranknet"])
def test_by_default_it_trains_until_validation_stops_and_with_the_suggested_scale(call, tmp_path, loss):
    task = write_task(tmp_path / "own", change=noised)
    line, record = trained(call, task, tmp_path / "run", "--loss", loss)
    scale = record.resolved["loss"]["scale"]
    assert line == (
        f"chosen: λ = {scale:.3g}, computed from untrained cosines of validation pairs (--scale); "
        "at most 20 epochs, until 3 validations bring no new best (--epochs)"
    )
    texts = [text for side in ("sentence1", "sentence2") for text in load_pairs(task, "train")[side]]
    validation = load_pairs(task, "validation")
    cosines = cosine_scores(load_encoder("static", texts), validation)
    assert scale == pytest.approx(suggest_scale(cosines, np.asarray(validation["score"]), loss))
    assert record.run.loss_options == {"scale": "suggested"}
    assert record.run.training == {"epochs": 20, "patience": 3, "batch_size": 16, "device": "cpu"}
    assert record.resolved["training"]["patience"] == 3
    rows = [row["spearman"] for row in record.evaluations]
    assert len(rows) == 20 or max(rows[:-3]) >= max(rows[-3:])


def test_what_is_given_gives_the_run_that_it_always_gave(call, tmp_path):
    task = write_task(tmp_path / "own", change=noised)
    line, record = trained(call, task, tmp_path / "run", "--epochs", "1", "--scale", "20")
    assert line.startswith(f"{task} · static · cosent scale=20.0")  # nothing was chosen
    settings = {"epochs": 1, "batch_size": 16, "device": "cpu"}
    run = Run(suite="command_line", task=task, encoder="static", loss="cosent", loss_options={"scale": 20.0},
              training=settings)  # fmt: skip
    assert record.run == run
    before, encoder = perform(Run(suite="x", task=task, encoder="static", loss="cosent", training=settings))
    assert record.metrics == before.metrics
    assert record.history == before.history
    assert load_encoder(str(tmp_path / "run")).fingerprint() == encoder.fingerprint()


def test_where_no_scale_can_be_computed_it_is_the_customary_one_and_the_reason_is_said(call, tmp_path):
    against = write_task(
        tmp_path / "against", change=lambda split, score: 1 - score if split == "validation" else score
    )
    for task, reason in (
        (against, "the untrained encoder's cosines do not follow the validation labels"),
        (write_task(tmp_path / "none", ["train", "test"]), "there are no validation pairs to compute one from"),
    ):
        output = tmp_path / f"run {reason[:3]}{len(reason)}"
        line, record = trained(call, task, output)
        assert line.startswith(f"chosen: λ = 20, the customary one, for {reason} (--scale); ")
        assert record.resolved["loss"]["scale"] == 20
    assert line.endswith("; 1 epoch, for there are no validation pairs to stop by (--epochs)")
    assert record.steps == 5


def test_pairs_in_perfect_order_choose_no_scale(call, tmp_path):
    folder = Path(write_task(tmp_path / "own", change=noised).removeprefix("csv:"))
    pairs = [("cat dog", "cat dog", 1), ("cat dog", "bird fish", 0), ("rain snow", "rain snow", 1)]
    lines = ["sentence1\tsentence2\tscore", *("\t".join(map(str, pair)) for pair in pairs)]
    (folder / "validation.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    line, record = trained(call, f"csv:{folder}", tmp_path / "run", "--max-steps", "2")
    assert line == (
        "chosen: λ = 20, the customary one, for the untrained encoder has every validation pair in order, so none is "
        "best (--scale)"
    )
    assert record.run.training == {"max_steps": 2, "batch_size": 16, "device": "cpu"}


@pytest.mark.parametrize(
    ("words", "line", "options", "training"),
    [
        (["--loss", "sbert", "--epochs", "1"], None, {}, {"epochs": 1}),
        (["--loss", "angle", "--max-steps", "1"], None, {}, {"max_steps": 1}),
        (["--loss-option", "learn_scale=true", "--epochs", "1"], None, {"learn_scale": True}, {"epochs": 1}),
        (["--loss-option", "scale=7", "--epochs", "1"], None, {"scale": 7}, {"epochs": 1}),
        (["--scale", "7", "--patience", "1"], "at most 20 epochs, until 1 validations", {"scale": 7.0},
         {"epochs": 20, "patience": 1}),
        (["--margin", "0.1", "--epochs", "1"], "λ = ", {"scale": "suggested", "margin": 0.1}, {"epochs": 1}),
    ],
)  # fmt: skip
def test_what_is_given_is_left_and_only_the_rest_is_chosen(call, tmp_path, words, line, options, training):
    first, record = trained(call, write_task(tmp_path / "own", change=noised), tmp_path / "run", *words)
    assert first.startswith(f"chosen: {line}" if line else "csv:")
    assert record.run.loss_options == options
    assert record.run.training == {**training, "batch_size": 16, "device": "cpu"}


def command(*words, encoding="utf-8", **options):
    """Run ``cosent`` in a process of its own, whose output has this encoding."""
    call = [sys.executable, "-m", "cosent_lib", *map(str, words)]
    environment = {**os.environ, "PYTHONIOENCODING": f"{encoding}:strict"}
    return subprocess.run(call, stderr=subprocess.PIPE, encoding=encoding, env=environment, **options)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
def test_what_came_out_is_said_on_stderr_where_stdout_is_gone(own, undisturbed, tmp_path):
    with open("/dev/full", "w") as full:
        done = command("train", own, "--output", tmp_path / "run", *OPTIONS, stdout=full)
    assert done.returncode == 0
    assert f"saved: {tmp_path / 'run'}" in done.stderr
    assert "Traceback" not in done.stderr
    assert "ignored" not in done.stderr
    assert_same_run(tmp_path / "run", undisturbed)  # and no checkpoints are left


def test_a_cross_encoder_is_trained_saved_and_judged(call, own, tmp_path):
    cross = ("--encoder", "cross:small", "--loss", "bce", "--max-steps", "3", "--no-progress")
    code, out, err = call("train", own, "--output", tmp_path / "run", *cross)
    assert code == 0, err
    assert json.loads((tmp_path / "run" / "record.json").read_text())["encoder"] == "cross:small"
    code, out, err = call("evaluate", tmp_path / "run", own, "--split", "train")
    assert code == 0, err
    assert "spearman" in out
    for name in ("cross:small", tmp_path / "run"):
        code, out, err = call("scale", name, own, "--split", "train")
        assert (code, out) == (2, "")
        assert "gives scores of pairs, whose λ is 1: scale is for encoders of vectors" in err
    code, out, err = call("encode", "cross:small", tmp_path / "texts.txt", "--output", tmp_path / "v.npy")
    assert code == 2
    assert "cosent train TASK --encoder cross:small --output FOLDER" in err
    code, out, err = call("train", own, "--output", tmp_path / "other", "--encoder", "cross:small")
    assert code == 2
    assert "encoder 'cross:small' gives scores of pairs, which loss 'cosent' does not take: choose bce" in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
def test_no_training_is_lost_for_want_of_a_reader(own, undisturbed, tmp_path):
    """What was chosen is said before the first step, the rest after the last: neither may end the run."""
    call = [sys.executable, "-m", "cosent_lib", "train", own, *OPTIONS[:2], *OPTIONS[4:], "--output"]  # λ is chosen
    for name, redirection in {"full": ">/dev/full 2>&1", "closed": ">&-", "neither": ">&- 2>&-"}.items():
        shell = ["sh", "-c", f'exec "$@" {redirection}', "sh", *map(str, call), str(tmp_path / name)]
        done = subprocess.run(shell, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 0, name
        assert (f"saved: {tmp_path / name}" in done.stderr) == (name == "closed")
        assert (tmp_path / name / "record.json").exists()
        assert not (tmp_path / f"{name}.checkpoints").exists()


def test_an_output_that_another_process_trains_into_is_refused(call, own, undisturbed, tmp_path):
    with claimed(tmp_path / "run.lock") as ours:
        assert ours
        code, out, err = call("train", own, "--output", tmp_path / "run", *OPTIONS)
        assert (code, out) == (2, "")
        assert err == (
            f"error: --output {tmp_path / 'run'}: another process is training into it; wait for it, or take another\n"
        )
    assert call("train", own, "--output", tmp_path / "run", *OPTIONS)[0] == 0
    assert_same_run(tmp_path / "run", undisturbed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]  # no lock is left either


def test_an_output_that_cannot_encode_a_character_gets_its_code(own):
    call = ("scale", "static", own, "--no-progress")
    plain = command(*call, stdout=subprocess.PIPE)
    narrow = command(*call, stdout=subprocess.PIPE, encoding="latin-1")
    assert (narrow.returncode, narrow.stderr) == (plain.returncode, plain.stderr) == (0, "")
    assert "λ" in plain.stdout
    assert narrow.stdout == plain.stdout.encode("latin-1", "backslashreplace").decode("latin-1")
