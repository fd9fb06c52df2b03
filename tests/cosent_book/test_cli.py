"""The book's command line: suites that are run, listed and tabled; help, exit codes, and one line for a mistake."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from runs import own_task

from cosent_book import runner, store
from cosent_book.records import load_records, recorded_or_live
from cosent_book.suites import plan as suites
from cosent_book.suites.rows import Row
from cosent_book.tables import table
from cosent_lib.runs.run import Run

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> str:
    return own_task(tmp_path_factory.mktemp("own"))


@pytest.fixture
def trial(own: str, monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """A suite of three tiny runs in two rows."""
    training = {"max_steps": 3, "batch_size": 16, "device": "cpu"}
    one, other = (
        Run(suite="trial", task=own, encoder="static", loss=loss, training=training) for loss in ("cosent", "sbert")
    )
    declared = [
        Row(label="CoSENT", candidates=(one,), seeds=(0, 1)),
        Row(label="Sentence-BERT", candidates=(other,), seeds=(0,)),
    ]
    monkeypatch.setitem(suites.SUITES, "trial", lambda: iter(declared))
    return [one, replace(one, seed=1), other]


def files(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


# ------------------------------------------------------------------------------------------- benchmark and table


def test_benchmark_makes_what_is_missing_and_then_nothing(call_book: Call, trial: list[Run], tmp_path: Path) -> None:
    options = ["--folder", tmp_path, "--no-progress"]
    code, out, _ = call_book("benchmark", "trial", "--only", "Sentence-BERT", *options)
    assert code == 0
    assert list(load_records("trial", tmp_path)) == [trial[2].key]
    before = files(tmp_path)
    _, out, _ = call_book("benchmark", "trial", "--list", *options)
    assert [line.split()[0] for line in out.splitlines()[:3]] == ["missing", "missing", "recorded"]
    assert "trial: 1 of 3 runs are recorded" in out
    assert files(tmp_path) == before
    assert call_book("benchmark", "trial", *options)[0] == 0
    assert load_records("trial", tmp_path).keys() == {run.key for run in trial}
    before = files(tmp_path)
    code, out, _ = call_book("benchmark", "trial", *options)
    assert (code, out, files(tmp_path)) == (0, "trial: 3 of 3 runs are recorded\n", before)


def test_table_of_recorded_runs(call_book: Call, trial: list[Run], tmp_path: Path) -> None:
    call_book("benchmark", "trial", "--only", "cosent", "--folder", tmp_path, "--no-progress")
    code, out, err = call_book("table", "trial", "--folder", tmp_path)
    assert code == 0
    records = recorded_or_live(trial[:2], live=False, folder=tmp_path)
    assert out == table([("CoSENT", records), ("Sentence-BERT", [])])
    assert err == "1 of 3 runs have no record yet\n"
    assert call_book("table", "trial", "--folder", tmp_path)[1] == out
    (line,) = call_book("table", "trial", "--format", "csv", "--folder", tmp_path)[1].splitlines()[1:]
    assert line.split(",")[2] == "CoSENT"


def test_undeclared_and_damaged_records_are_mentioned(
    call_book: Call, trial: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_book("benchmark", "trial", "--folder", tmp_path, "--no-progress")
    row = Row(label="CoSENT", candidates=(trial[0],), seeds=(0, 1))
    monkeypatch.setitem(suites.SUITES, "trial", lambda: iter([row]))
    err = call_book("table", "trial", "--folder", tmp_path)[2]
    assert err == "1 records belong to runs that the suite no longer declares: not shown\n"
    path = store.file_of("trial", tmp_path)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([lines[0], lines[1][:-30], lines[2]]), encoding="utf-8")
    before = files(tmp_path)
    for command in ("table", "benchmark", "verify"):
        code, _, err = call_book(command, "trial", "--folder", tmp_path)
        assert code == 2
        assert err.startswith(f"error: {path}:2: not a record")
        assert err.count("\n") == 1
    assert files(tmp_path) == before


def test_a_run_that_fails_is_reported_in_a_line_and_gives_code_two(
    call_book: Call, trial: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no luck")

    monkeypatch.setattr(runner, "carry_out", broken)
    code, out, err = call_book("benchmark", "trial", "--folder", tmp_path)
    assert code == 2
    assert out.count("FAILED, going on: RuntimeError: no luck") == 3
    assert err.startswith("error: 3 runs failed, the others are recorded; the first: ")
    assert err.count("\n") == 1


def test_an_interrupt_gives_130_and_keeps_what_was_finished(
    call_book: Call, trial: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry_out = runner.carry_out

    def interrupted(run: Run, **others: object) -> object:
        if run.seed == 1:
            raise KeyboardInterrupt
        return carry_out(run, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(runner, "carry_out", interrupted)
    code, _, err = call_book("benchmark", "trial", "--folder", tmp_path, "--no-progress")
    assert (code, err) == (130, "interrupted: what was finished before is saved, the running part is not\n")
    assert list(load_records("trial", tmp_path)) == [trial[0].key]


# ---------------------------------------------------------------------------------------------------------- help


def test_help_of_every_command_has_examples_of_it(call_book: Call) -> None:
    code, out, _ = call_book("--help")
    assert code == 0
    commands = re.findall(r"^  (\w+)  ", out[out.index("Commands") :], re.MULTILINE)
    assert set(commands) == {"benchmark", "verify", "measure", "table", "speed"}
    for command in commands:
        code, out, _ = call_book(command, "--help")
        assert code == 0
        assert f"Usage: python -m cosent_book {command}" in out
        examples = re.findall(r"^ *python -m cosent_book (.*)$", out, re.MULTILINE)
        assert examples
        for example in examples:
            assert example.startswith(command)


def test_the_examples_of_suites_are_of_suites_that_there_are(call_book: Call, tmp_path: Path) -> None:
    found = [
        example
        for command in ("benchmark", "verify", "table")
        for example in re.findall(rf"python -m cosent_book {command} (\w+)", call_book(command, "--help")[1])
        if example not in ("OPTIONS", "SUITE")
    ]
    assert found
    assert set(found) <= set(suites.SUITES)


def test_without_a_command_it_shows_the_help_page(call_book: Call) -> None:
    code, _, err = call_book()
    assert code == 2
    assert "Usage: python -m cosent_book" in err
    assert "Commands" in err
    assert "error:" not in err


# ------------------------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bench"], "bench"),
        (["benchmark"], "Missing argument 'suite'"),
        (["benchmark", "spin"], "unknown suite 'spin', expected one of: "),
        (["table", "spin"], "unknown suite 'spin', expected one of: "),
        (["benchmark", "builtin", "--only", "no such run"], "no run of suite 'builtin' contains 'no such run'; see: "),
        (["table", "builtin", "--only", "no such run"], "no run of suite 'builtin' contains 'no such run'; see: "),
        (["table", "builtin", "--format", "html"], "html"),
        (["table", "builtin", "--baseline", "bass"], "no row is called 'bass'"),
        (["measure", "nothing"], "unknown measurement 'nothing', expected one of: "),
        (["verify", "spin"], "suite 'spin' has no record"),
        (["verify", "builtin", "--count", "few"], "--count"),
    ],
)
def test_a_mistake_takes_one_line_and_exit_code_two(call_book: Call, words: list[str], message: str) -> None:
    code, _, err = call_book(*words)
    assert code == 2
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_debug_shows_the_traceback_wherever_it_stands(call_book: Call) -> None:
    for words in (["--debug", "benchmark", "spin"], ["benchmark", "spin", "--debug"]):
        with pytest.raises(ValueError, match="unknown suite 'spin'"):
            call_book(*words)


def test_a_mistake_in_a_real_process() -> None:
    done = subprocess.run([sys.executable, "-m", "cosent_book", "table", "spin"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: unknown suite 'spin'")
    assert done.stderr.count("\n") == 1
