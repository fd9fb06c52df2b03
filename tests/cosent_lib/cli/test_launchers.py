"""Several processes of a launcher: refused, whatever the command, before a file is touched."""

import os
import re
import subprocess
import sys
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


def test_torchrun_with_two_processes_is_refused_and_with_one_works(tmp_path: Path) -> None:
    code, errors = launched(2, tmp_path, WORDS)
    assert code != 0
    # the launcher ends the other process as soon as one has ended
    assert re.search(r"^error: WORLD_SIZE=2: this runs in one process; start it without torchrun", errors, re.M)
    assert list(tmp_path.iterdir()) == []
    code, errors = launched(1, tmp_path, WORDS)
    assert code == 0, errors
    assert (tmp_path / "run" / "encoder.json").is_file()


@pytest.mark.parametrize("name", ["WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"])
def test_every_entry_refuses_to_be_one_of_several(name: str, call, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv(name, "2")
    monkeypatch.chdir(tmp_path)
    for words in (WORDS, ["data", "builtin"], ["encode", "run", "texts.txt", "--output", "v.npy"], ["scale", "static"]):
        assert cli.main(words) == 2
        assert capsys.readouterr().err.startswith(f"error: {name}=2: this runs in one process")
    assert book.main(["benchmark", "spine"]) == 2
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
