"""The README's section on a reader's own task, done as it stands there: its files, its commands, its output."""

import re
import shlex
from pathlib import Path

import pytest

from cosent_lib.cli import main as cli

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
SECTION = README[README.index("## Your own task") :].partition("\n## ")[0]
BLOCKS = [
    re.sub(r"^ {4}", "", block, flags=re.M) for block in re.findall(r"((?:^ {4}.*\n|^\n(?= {4}))+)", SECTION, re.M)
]
NUMBER = re.compile(r"-?\d+\.\d+")


def shown_commands() -> list[tuple[list[str], list[str]]]:
    """The words of each command and the lines that the README shows after it; a line … stands for any lines."""
    found = []
    for part in BLOCKS[1].lstrip("\n").removeprefix("$ ").split("\n$ "):
        command, *lines = part.rstrip("\n").split("\n")
        program, *words = shlex.split(command)
        assert program == "cosent"
        found.append((words, lines))
    return found


def check_lines(shown: list[str], printed: list[str]) -> None:
    """Words and whole numbers as shown; decimal ones within 0.05, for another processor trains others.

    Nor is it told when training ends: the epoch of the best validation may be another there.
    """
    if shown[-1] == "…":
        shown, printed = shown[:-1], printed[: len(shown) - 1]
    assert len(shown) == len(printed), printed
    for expected, line in zip(shown, printed, strict=True):
        ends = re.compile(r"\d+ steps, best at \d+, [\d.]+ s$")
        assert NUMBER.split(ends.sub("", line)) == NUMBER.split(ends.sub("", expected))
        numbers = [list(map(float, NUMBER.findall(text.partition(" steps")[0]))) for text in (line, expected)]
        assert numbers[0] == pytest.approx(numbers[1], abs=0.05), (line, expected)


def test_the_commands_are_check_train_evaluate_encode_search() -> None:
    assert len(BLOCKS) == 2
    assert [words[0] for words, _ in shown_commands()] == ["data", "train", "evaluate", "encode", "search"]


def test_the_readers_own_task_as_the_readme_tells_it(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COSENT_DATA_DIR", "/nowhere")  # none of it needs real data
    exec(BLOCKS[0], {})
    for words, shown in shown_commands():
        assert cli.main(words) == 0
        printed, errors = capsys.readouterr()
        assert errors == ""
        lines = printed.rstrip("\n").split("\n")
        if words[0] != "search":
            check_lines(shown, lines)
            continue
        assert len(lines) == len(shown) == 4  # which texts come second and third may hang on the last digit
        check_lines(shown[:2], lines[:2])
        texts = (tmp_path / "mine" / "texts.txt").read_text(encoding="utf-8").split("\n")
        assert all(line.split(maxsplit=2)[2] in texts for line in lines[1:])
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "runs", "vectors.npy", "vectors.npy.json"}


def test_a_malformed_row_stops_check_and_train_as_the_readme_says(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    exec(BLOCKS[0], {})
    train = tmp_path / "mine" / "train.tsv"
    lines = train.read_text(encoding="utf-8").split("\n")
    lines[7] = lines[7][:-1] + "4"  # the eighth line, and no score from 0 to 3
    train.write_text("\n".join(lines), encoding="utf-8")
    (check, _), (training, _), *_ = shown_commands()
    for words in (check, training):
        assert cli.main(words) == 2
        printed, errors = capsys.readouterr()
        assert re.search(r"mine/train\.tsv.*line 8\b.*'4'", printed + errors, re.S)
    assert not (tmp_path / "runs").exists()
