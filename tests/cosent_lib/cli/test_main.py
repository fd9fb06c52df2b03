"""The command line as a user meets it: real commands, their output, and one line for each mistake."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from runs import read_record

from cosent_lib.cli import main as cli
from cosent_lib.errors import CosentError

SHORT = ["--max-steps", "3", "--batch-size", "16", "--no-progress", "--device", "cpu"]

ROWS = [("a cat sat", "the cat sat down", 5), ("a dog", "stock prices fell", 0), ("he runs", "he is running", 4)]


def write_pairs(folder, splits=("train", "validation", "test"), rows=ROWS):
    folder.mkdir(exist_ok=True)
    for split in splits:
        lines = ["sentence1\tsentence2\tscore", *(f"{a} {split}\t{b}\t{score}" for a, b, score in rows * 8)]
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A task of 24 pairs a split with labels 0 and 1."""
    rows = [(a, b, int(score > 2)) for a, b, score in ROWS]
    return f"csv:{write_pairs(tmp_path_factory.mktemp('own'), rows=rows)}"


@pytest.fixture(scope="module")
def trained(own, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first"
    words = ["train", own, "--loss", "cosent", "--scale", "10", "--output", str(folder), *SHORT]
    assert cli.main(words) == 0
    return folder


def test_train_saves_an_encoder_and_its_record(trained, own):
    from cosent_lib.data.load import load_pairs
    from cosent_lib.encoders.base import SentenceEncoder
    from cosent_lib.evaluation.evaluate import evaluate

    record = read_record(trained / "record.json")
    assert record.run.loss_options == {"scale": 10.0}
    assert record.run.training == {"max_steps": 3, "batch_size": 16, "device": "cpu"}
    judged = evaluate(SentenceEncoder.load(trained), load_pairs(own, "test"), load_pairs(own, "validation"))
    assert dict(record.metrics["test"]) == judged


def test_loss_options_are_values_by_name(call, own, tmp_path):
    words = ["train", own, "--loss", "sbert", "--output", tmp_path / "x", *SHORT]
    code, _, _ = call(*words, "--loss-option", "num_labels=3", "--loss-option", 'features=["|u-v|"]')
    assert code == 0
    assert read_record(tmp_path / "x" / "record.json").run.loss_options == {
        "num_labels": 3,
        "features": ["|u-v|"],
    }
    code, _, err = call(*words, "--loss-option", "num_labels")
    assert (code, err) == (2, "error: --loss-option 'num_labels': expected name=value, such as num_labels=6\n")
    code, _, err = call(*words, *2 * ["--loss-option", "num_labels=6"])
    assert (code, err) == (2, "error: --loss-option 'num_labels=6': num_labels is given already, as 6\n")
    code, _, err = call("train", own, "--scale", 20, "--loss-option", "scale=3", "--output", tmp_path / "y")
    assert (code, err) == (2, "error: --loss-option 'scale=3': scale is given already, as 20.0\n")


def test_train_says_which_split_is_its_training_pairs_again(call, tmp_path):
    folder = write_pairs(tmp_path / "own", rows=[(a, b, int(score > 2)) for a, b, score in ROWS])
    (folder / "test.tsv").write_text((folder / "train.tsv").read_text())
    code, _, err = call("train", f"csv:{folder}", "--output", tmp_path / "x", *SHORT)
    assert code == 0
    assert "warning: test must be other data than the pairs that are trained on" in err
    assert "validation must be" not in err


def test_train_prints_an_aligned_table_of_validation_and_test(call, tmp_path):
    words = ["--loss", "sbert", "--loss-option", "num_labels=4", "--output", tmp_path / "x", *SHORT]
    code, out, err = call("train", "builtin_graded", *words)
    assert (code, err) == (0, "")
    record = read_record(tmp_path / "x" / "record.json")
    header, *rows = [line for line in out.splitlines() if re.search(r"validation|spearman|pearson|auc|ceiling", line)]
    column = header.index("test")
    values = {row.split()[0]: (row[:column].split()[1], row[column:].split()[0]) for row in rows}
    for metric in ("spearman", "pearson", "auc", "ceiling"):
        expected = tuple(f"{record.metrics[split][metric]:.4f}" for split in ("validation", "test"))
        assert values[metric] == expected


def test_training_again_into_the_same_folder_replaces_the_encoder(call, own, tmp_path):
    output = tmp_path / "again"
    for seed in (1, 2):
        assert call("train", own, "--seed", seed, "--output", output, *SHORT)[0] == 0
    assert read_record(output / "record.json").run.seed == 2


def test_the_same_seed_trains_the_same_encoder(call, own, trained, tmp_path):
    call("train", own, "--loss", "cosent", "--scale", "10", "--output", tmp_path / "twin", *SHORT)
    twin, first = ((folder / "model.safetensors").read_bytes() for folder in (tmp_path / "twin", trained))
    assert twin == first


def test_evaluate_gives_the_metrics_of_training(call, own, trained):
    code, out, _ = call("evaluate", trained, own, "--threshold-split", "validation", "--no-progress")
    assert code == 0
    record = read_record(trained / "record.json")
    printed = {words[0]: words[1] for words in map(str.split, out.splitlines()[2:])}
    assert printed == {name: f"{value:.4f}" for name, value in record.metrics["test"].items()}


def test_test_pairs_that_are_those_of_validation_are_no_evidence_and_it_is_said(call, tmp_path):
    folder = write_pairs(tmp_path / "mine", rows=[(a, b, int(score > 2)) for a, b, score in ROWS])
    lines = (folder / "validation.tsv").read_text().splitlines()
    (folder / "test.tsv").write_text("\n".join([lines[0], *lines[:0:-1]]) + "\n")  # in another order
    code, _, err = call("train", f"csv:{folder}", "--output", tmp_path / "run", *SHORT)
    assert code == 0
    assert "warning: test: validation must be other data than the pairs that are evaluated" in err
    assert "accuracy" not in read_record(tmp_path / "run" / "record.json").metrics["test"]


def test_classifier_accuracy_stands_beside_the_majority_rate(call, own, tmp_path):
    code, out, _ = call("train", own, "--loss", "sbert", "--output", tmp_path / "run", *SHORT)
    assert code == 0
    metrics = read_record(tmp_path / "run" / "record.json").metrics["test"]
    assert metrics["classifier_majority"] == metrics["majority"] == 2 / 3
    printed = [line.split()[0] for line in out.splitlines() if line.startswith("classifier")]
    assert printed == ["classifier_accuracy", "classifier_majority"]


@pytest.mark.parametrize("name", ["static", "small"])
def test_an_untrained_encoder_is_judged_as_training_begins_with_it(call, own, tmp_path, name):
    assert call("train", own, "--encoder", name, "--output", tmp_path / "run", *SHORT)[0] == 0
    before = read_record(tmp_path / "run" / "record.json").metrics["test_untrained"]
    code, out, err = call("evaluate", name, own, "--no-progress")
    assert (code, err) == (0, "")
    assert out.startswith(f"{name} (untrained, its vocabulary from the training pairs, seed 0) on {own} test: 24 pairs")
    printed = {words[0]: words[1] for words in map(str.split, out.splitlines()[2:])}
    assert printed == {metric: f"{value:.4f}" for metric, value in before.items()}


def test_scale_of_a_trained_encoder_says_which_scale_made_it(call, own, trained, tmp_path):
    from cosent_lib.encoders.base import SentenceEncoder

    def second_line(encoder, task=own):
        return call("scale", encoder, task, "--no-progress")[1].splitlines()[1]

    ask = "Its cosines are what came of that: for a new training ask the untrained encoder."
    assert second_line(trained) == f"{trained} was trained by CoSENTLoss with scale 10. {ask}"
    SentenceEncoder.load(trained).save(tmp_path / "bare")
    assert second_line(tmp_path / "bare").startswith(f"{tmp_path / 'bare'} was perhaps trained before; no record.json")
    words = [
        "--loss",
        "mnrl+cosent",
        "--loss-option",
        "cosent_scale=3",
        "--loss-option",
        "cosent_learn_scale=false",
        "--output",
        tmp_path / "sum",
        *SHORT,
    ]
    assert call("train", own, *words)[0] == 0
    assert "was trained by SummedLoss with cosent_scale 3, mnrl_scale 20." in second_line(tmp_path / "sum")
    assert "trained by" not in second_line("static", "builtin_graded")


def test_what_an_untrained_encoder_lacks_is_said_in_words_of_the_command_line(call, tmp_path):
    single, texts = write_pairs(tmp_path / "own", ["train"]) / "train.tsv", tmp_path / "texts.txt"
    texts.write_text("a cat\n")
    for name in ("static", "small"):
        for words in (
            ["scale", name, f"csv:{single}", "--score-range", "0,5"],
            ["evaluate", name, f"csv:{single}", "--score-range", "0,5"],
            ["encode", name, texts, "--output", tmp_path / "v.npy"],
            ["search", name, tmp_path / "v.npy", texts, "a cat"],
        ):
            code, _, err = call(*words)
            assert (code, err.count("\n")) == (2, 1)
            assert f"cosent train TASK --encoder {name} --output FOLDER" in err
            assert "load_encoder" not in err
    assert not (tmp_path / "v.npy").exists()


def test_own_data_from_a_folder(call, tmp_path):
    task = f"csv:{write_pairs(tmp_path / 'mine')}"
    code, out, _ = call("train", task, "--score-range", "0,5", "--output", tmp_path / "run", *SHORT)
    assert code == 0
    assert "spearman" in out
    record = read_record(tmp_path / "run" / "record.json")
    assert record.run.score_range == (0.0, 5.0)
    assert {split: entry["rows"] for split, entry in record.data.items()} == {"train": 24, "validation": 24, "test": 24}
    code, out, _ = call("evaluate", tmp_path / "run", task, "--score-range", "0,5", "--no-progress")
    assert code == 0
    assert f"{record.metrics['test']['spearman']:.4f}" in out


def test_own_data_without_validation_and_test(call, tmp_path):
    task = f"csv:{write_pairs(tmp_path / 'mine', ['train'])}"
    code, out, err = call("train", task, "--score-range", "0,5", "--output", tmp_path / "run", *SHORT)
    assert code == 0
    assert "no validation" in err
    assert "spearman" not in out
    assert read_record(tmp_path / "run" / "record.json").metrics == dict.fromkeys(
        ("validation", "test", "test_untrained")
    )


def test_data_lists_tasks_and_describes_one(call):
    from cosent_lib.data.load import load_pairs
    from cosent_lib.data.tasks import TASKS

    _, out, _ = call("data")
    assert [line.split()[0] for line in out.splitlines()[1:]] == list(TASKS)
    code, out, _ = call("data", "builtin")
    assert code == 0
    scores = np.asarray(load_pairs("builtin", "train")["score"])
    (train,) = [line for line in out.splitlines() if line.startswith("train")]
    assert str(len(scores)) in train
    assert f"1: {100 * (scores == 1).mean():.1f} %" in train


def test_help_of_every_command_has_an_example_that_parses(call):
    code, out, _ = call("--help")
    assert code == 0
    commands = re.findall(r"^  (\w+)  ", out[out.index("Commands") :], re.M)
    assert set(commands) == {"data", "train", "evaluate", "scale", "encode", "search", "export"}
    for command in commands:
        code, out, _ = call(command, "--help")
        assert code == 0
        examples = re.findall(r"^ +cosent (.*)$", out.partition("Examples:")[2], re.M)
        assert examples
        for example in examples:
            assert example.startswith(command)


def test_help_states_the_defaults_of_training(call):
    from cosent_lib.training.setup import TrainingConfig

    out = " ".join(call("train", "--help")[1].split())
    assert f"Pairs in a batch (default {TrainingConfig.batch_size})." in out
    assert "(default: until validation stops improving, at most 20)" in out
    assert "(default: 3; never, where --epochs or --max-steps is given)" in out


def test_without_words_the_help_is_shown(call):
    _, out, err = call()
    assert "Commands" in out + err
    assert "Traceback" not in out + err


def test_mistakes_take_one_line_and_exit_code_two(call, own, tmp_path, monkeypatch):
    monkeypatch.delenv("COSENT_DATA_DIR", raising=False)
    output = ["--output", tmp_path / "run", *SHORT]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("precious")
    (tmp_path / "single.tsv").write_text("sentence1\tsentence2\tscore\na\tb\t1\n")
    bad = write_pairs(tmp_path / "bad")
    (bad / "train.tsv").write_text("sentence1\tsentence2\tscore\na\tb\t1\nc\td\tmany\n")
    cases = [
        (["trian"], "trian"),
        (["train", own], "--output"),
        (["train", "lcqmk", *output], "lcqmk"),
        (["train", "lcqmc", "--source", "dir", *output], "COSENT_DATA_DIR"),
        (["train", "pawsx", *output], "no training split"),
        (["train", own, "--loss", "cosnet", *output], "cosnet"),
        (["train", own, "--loss", "sbert", "--scale", 3, *output], "scale"),
        (["train", own, "--encoder", "statics", *output], "statics"),
        (["train", own, "--epochs", "few", *output], "--epochs"),
        (["train", own, "--learning-rate", "-1", *output], "learning_rate"),
        (["train", own, "--precision", "int3", *output], "int3"),
        (["train", own, *output, "--output", tmp_path / "full"], "full"),
        (["train", f"csv:{tmp_path / 'nowhere'}", *output], "nowhere"),
        (["train", f"csv:{tmp_path / 'single.tsv'}", *output], "single file"),
        (["train", f"csv:{bad}", *output], "train.tsv"),
        (["train", f"csv:{bad}", "--score-range", "5", *output], "--score-range"),
        (["evaluate", tmp_path / "nowhere", own], "nowhere"),
        (["evaluate", tmp_path / "full", own], "full"),
        (["evaluate", tmp_path / "full", own, "--split", "tset"], "tset"),
        (["data", "lcqmk"], "lcqmk"),
    ]
    for words, named in cases:
        code, _, err = call(*words)
        assert code == 2, (words, err)
        assert err.count("\n") == 1, (words, err)
        assert err.startswith("error: ")
        assert named in err, (words, err)
    assert (tmp_path / "full" / "thesis.txt").read_text() == "precious"
    assert not (tmp_path / "run").exists()  # a mistake leaves nothing behind


def test_malformed_row_names_file_line_and_value(call, tmp_path):
    bad = write_pairs(tmp_path / "bad")
    (bad / "train.tsv").write_text("sentence1\tsentence2\tscore\na\tb\t1\nc\td\tmany\n")
    _, _, err = call("train", f"csv:{bad}", "--output", tmp_path / "run", *SHORT)
    assert "train.tsv" in err
    assert re.search(r"\b3\b", err)
    assert "many" in err


def test_debug_shows_the_traceback_wherever_it_stands(call):
    for words in (["--debug", "data", "lcqmk"], ["data", "lcqmk", "--debug"]):
        with pytest.raises(ValueError, match="lcqmk"):
            call(*words)


@pytest.mark.parametrize("kind", [ValueError, OSError, CosentError])
def test_an_error_keeps_its_notes_in_the_order_in_which_they_were_added(call, monkeypatch, kind):
    def failing(*_, **__):
        error = kind("no such\ncolumn")
        error.add_note("while reading  file 3")
        error.add_note("of the task x")
        raise error

    monkeypatch.setattr("cosent_lib.data.load.load_pairs", failing)
    code, out, err = call("data", "builtin")
    assert (code, out) == (2, "")
    assert err == "error: no such column; while reading file 3; of the task x\n"


def test_the_note_of_a_validation_that_fails_in_training_reaches_the_user(call, own, monkeypatch, tmp_path):
    def failing(*_):
        raise ValueError("the cosines broke")

    monkeypatch.setattr("cosent_lib.training.validation.score_metrics", failing)
    code, _, err = call("train", own, "--output", tmp_path / "run", *SHORT)
    assert code == 2
    assert re.search(r"^error: the cosines broke; .*while validating after step \d", err, re.M)


def test_a_defect_of_the_program_is_not_dressed_up_as_a_mistake(call, monkeypatch):
    def broken(*_, **__):
        raise TypeError("a bug")

    monkeypatch.setattr("cosent_lib.data.load.load_pairs", broken)
    with pytest.raises(TypeError, match="a bug"):
        call("data", "builtin")


def test_mistake_in_a_real_process():
    done = subprocess.run([sys.executable, "-m", "cosent_lib", "data", "lcqmk"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to a process")
def test_interrupt_gives_130_and_one_line(own, tmp_path):
    words = ["train", own, "--output", str(tmp_path / "run"), "--epochs", "100000", "--no-progress"]
    # the marker file says that training has begun: a signal during the start would test Python, not us
    started = tmp_path / "started"
    code = (
        "import sys, pathlib, cosent_lib.training.batches as setup\n"
        "from cosent_lib.cli.main import main\n"
        "at = setup.Batches.at\n"
        f"setup.Batches.at = lambda self, step: (pathlib.Path({str(started)!r}).touch(), at(self, step))[1]\n"
        f"sys.exit(main({words!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not started.exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.startswith("interrupted")
    assert err.count("\n") == 1
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_record_is_json_that_other_tools_read(trained):
    values = json.loads((trained / "record.json").read_text(encoding="utf-8"))
    assert values["suite"] == "command_line"
    assert values["versions"]["torch"]
    assert torch.is_tensor(torch.tensor(values["history"]["loss"]))


def test_without_a_command_it_shows_the_help_page(call):
    code, _, err = call()
    assert code == 2
    assert "\n" in err.strip()
    assert "Usage: cosent" in err
    assert "error:" not in err


def test_mistakes_in_values_cost_one_line_before_anything_is_trained(call, own, tmp_path):
    in_a_file = tmp_path / "file"
    in_a_file.write_text("")
    for words, message in (
        (["--learning-rate", "nan"], "learning_rate must be a finite number, got nan"),
        (["--scale", "inf"], "scale must be a finite number, got inf"),
        (["--loss-option", "scale=abc"], "scale (λ) must be a positive finite number, or suggested or followed"),
        (["--loss-option", "learn_scale=maybe"], "option learn_scale of loss 'cosent' must be a bool, got 'maybe'"),
        (["--output", str(in_a_file / "x")], "is a file, not a folder"),
    ):
        code, _, err = call("train", own, "--loss", "cosent", "--output", tmp_path / "o", *SHORT, *words)
        assert code == 2
        assert message in err
        assert err.count("\n") == 1
