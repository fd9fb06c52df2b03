"""Several processes of a launcher: train is one run of them all, every other command is refused at once."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from training_kit import PAIRS, TinyEncoder, quiet

from cosent_book import cli as book
from cosent_lib.cli import main as cli
from cosent_lib.errors import check_one_process
from cosent_lib.losses.make import make_loss
from cosent_lib.runs.perform import perform
from cosent_lib.runs.run import Run
from cosent_lib.training.train import train


def launched(processes: int, folder: Path, words: list[str]) -> tuple[int, str]:
    """Run a command of cosent in a folder by torch's launcher."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    command += ["-m", "cosent_lib", *words]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    return done.returncode, done.stderr


WORDS = ["train", "builtin", "--output", "run", "--max-steps", "3", "--no-progress", "--device", "cpu"]


def history(run: Path) -> list[float]:
    """The losses of a run's record."""
    return json.loads((run / "record.json").read_text())["history"]["loss"]


def test_torchrun_with_two_processes_is_one_run_with_twice_the_batch(tmp_path: Path) -> None:
    code, errors = launched(2, tmp_path, [*WORDS, "--batch-size", "32", "--checkpoint-steps", "2"])
    assert code == 0, errors
    assert "error" not in errors
    assert sorted(each.name for each in tmp_path.iterdir()) == ["run"]
    code, errors = launched(1, tmp_path, [word if word != "run" else "alone" for word in WORDS])
    assert code == 0, errors
    assert history(tmp_path / "run") == pytest.approx(history(tmp_path / "alone"), rel=1e-5)


def test_torchrun_with_two_processes_is_refused_by_other_commands(tmp_path: Path) -> None:
    code, errors = launched(2, tmp_path, ["data", "builtin"])
    assert code != 0
    # the launcher ends the other process as soon as one has ended
    assert re.search(r"^error: (rank 1: )?WORLD_SIZE=2: this runs in one process; start it without", errors, re.M)
    assert list(tmp_path.iterdir()) == []


def by_hand(folder: Path, words: list[str]) -> list[subprocess.Popen[str]]:
    """Two ranks without a launcher that would end one when the other has."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    meeting = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "cosent_lib", *words],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | meeting | {"RANK": rank, "LOCAL_RANK": rank},
        )
        for rank in "01"
    ]


def test_a_rank_that_is_killed_ends_the_other_and_the_run_goes_on_later(tmp_path: Path) -> None:
    # long enough that it is not over before a busy machine has come to the kill
    words = ["train", "builtin", "--output", "run", "--max-steps", "120", "--checkpoint-steps", "2", "--no-progress"]
    words += ["--device", "cpu", "--batch-size", "8", "--scale", "20"]
    ranks, limit = by_hand(tmp_path, words), time.monotonic() + 240
    while not list(tmp_path.glob("run.checkpoints/checkpoint-*/state.json")) and time.monotonic() < limit:
        time.sleep(0.01)
    ranks[1].kill()
    _, errors = ranks[0].communicate(timeout=120)
    ranks[1].communicate()
    assert ranks[0].returncode == 2, errors
    assert re.search(r"^error: rank 0 of 2: another process of the run has ended or stopped; checkpoints", errors, re.M)
    assert len(list(tmp_path.glob("run.checkpoints/checkpoint-*"))) == 1
    again = by_hand(tmp_path, [*words, "--resume"])
    said = [each.communicate(timeout=300) for each in again]
    assert [each.returncode for each in again] == [0, 0], said
    assert said[1][0] == ""  # rank 0 speaks for both
    code, errors = launched(
        1, tmp_path, ["alone" if word == "run" else "16" if word == "8" else word for word in words]
    )
    assert code == 0, errors
    losses, alone = history(tmp_path / "run"), history(tmp_path / "alone")
    assert len(losses) == len(alone) == 120
    assert losses[:40] == pytest.approx(alone[:40], rel=1e-3)


@pytest.mark.parametrize("name", ["WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"])
def test_every_entry_refuses_to_be_one_of_several(name: str, call, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv(name, "2")
    monkeypatch.chdir(tmp_path)
    assert cli.main(WORDS) == 2  # train could be one of several, if a launcher had said where the others are
    assert capsys.readouterr().err.startswith(f"error: {name}=2, but RANK")
    for words in (["data", "builtin"], ["encode", "run", "texts.txt", "--output", "v.npy"], ["scale", "static"]):
        assert cli.main(words) == 2
        assert capsys.readouterr().err.startswith(f"error: {name}=2: this runs in one process")
    assert book.main(["benchmark", "main"]) == 2
    encoder = TinyEncoder()
    with pytest.raises(ValueError, match=f"{name}=2"):
        train(encoder, make_loss("cosent", encoder), PAIRS, quiet(output_dir=tmp_path))
    with pytest.raises(ValueError, match=f"{name}=2"):
        perform(Run(suite="s", task="no such task", encoder="static", loss="cosent"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["1", "", "0", "two"])
def test_one_process_is_one_process(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", value)
    check_one_process()


def test_a_launchers_words_change_nothing_of_a_single_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would have Accelerate open a process group; they are still there afterwards."""
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "1")
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "0")
    encoder = TinyEncoder()
    assert train(encoder, make_loss("cosent", encoder), PAIRS, quiet(max_steps=2)).steps == 2
    assert (os.environ["LOCAL_RANK"], os.environ["WORLD_SIZE"]) == ("0", "1")
