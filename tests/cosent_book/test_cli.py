"""The book's command line: suites that are run, listed, tabled, and killed while they run."""

import subprocess
import sys
import time

import pytest
from runs import own_task

from cosent_book.suites import plan as suites
from cosent_lib.runs import perform as benchmark
from cosent_lib.runs.run import Run


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> str:
    return own_task(tmp_path_factory.mktemp("own"))


@pytest.fixture
def trial(own, monkeypatch):
    """A suite of three tiny runs."""
    runs = [
        Run(suite="trial", task=own, encoder="static", loss=loss, seed=seed, training=training)
        for training in [{"max_steps": 3, "batch_size": 16, "device": "cpu"}]
        for loss, seed in (("cosent", 0), ("cosent", 1), ("sbert", 0))
    ]
    monkeypatch.setitem(suites.SUITES, "trial", lambda: iter(runs))
    return runs


def test_benchmark_makes_what_is_missing_and_then_nothing(call_book, trial, tmp_path):
    options = ["--folder", tmp_path, "--no-progress"]
    code, out, _ = call_book("benchmark", "trial", "--only", "sbert", *options)
    assert code == 0
    assert [path.stem for path in tmp_path.iterdir()] == [trial[2].key]
    _, out, _ = call_book("benchmark", "trial", "--list", *options)
    assert [line.split()[0] for line in out.splitlines()[:3]] == ["missing", "missing", "recorded"]
    assert "1 of 3 runs are recorded" in out
    assert call_book("benchmark", "trial", *options)[0] == 0
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert {path.stem for path in files} == {run.key for run in trial}
    code, out, _ = call_book("benchmark", "trial", *options)
    assert (code, {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}) == (0, files)
    assert "3 of 3 runs are recorded" in out


def test_table_of_recorded_runs(call_book, trial, tmp_path):
    call_book("benchmark", "trial", "--only", "cosent", "--folder", tmp_path, "--no-progress")
    code, out, err = call_book("table", "trial", "--folder", tmp_path)
    assert code == 0
    assert out == benchmark.table(benchmark.rows_of(benchmark.recorded_or_live(trial[:2], live=False, folder=tmp_path)))
    assert "1 of 3 runs have no record yet" in err
    assert call_book("table", "trial", "--folder", tmp_path)[1] == out


def test_undeclared_and_damaged_records_are_mentioned(call_book, trial, tmp_path, monkeypatch):
    call_book("benchmark", "trial", "--folder", tmp_path, "--no-progress")
    monkeypatch.setitem(suites.SUITES, "trial", lambda: iter(trial[:2]))
    assert (
        "1 records belong to runs that the suite no longer declares"
        in call_book("table", "trial", "--folder", tmp_path)[2]
    )
    victim = tmp_path / f"{trial[0].key}.json"
    victim.write_text(victim.read_text()[:-30])
    for command in ("table", "benchmark"):
        code, _, err = call_book(command, "trial", "--folder", tmp_path)
        assert code == 2
        assert victim.name in err


def test_kill_loses_at_most_the_running_run(own, trial, tmp_path):
    """Kill the runner again and again; what it recorded stays, and the end is that of an undisturbed run."""
    script = (
        "import sys, itertools\nfrom cosent_lib import suites\nfrom cosent_lib.runs.perform import Run\n"
        "from cosent_lib.cli.main import main\n"
        "def trial():\n"
        "    for seed in range(12):\n"
        f"        yield Run(suite='trial', task={own!r}, encoder='static', loss='cosent', seed=seed,\n"
        "                  training={'max_steps': 3, 'batch_size': 16, 'device': 'cpu'})\n"
        "suites.SUITES['trial'] = trial\n"
        f"sys.exit(main(['benchmark', 'trial', '--no-progress', '--folder', {str(tmp_path)!r}]))"
    )

    def start():
        return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL)

    def recorded():
        return {path: path.read_bytes() for path in tmp_path.glob("*.json")}

    seen = {}
    for wanted in (1, 2):
        process = start()
        while len(recorded()) < wanted and process.poll() is None:
            time.sleep(0.002)
        process.kill()
        process.wait()
        now = recorded()
        assert seen.items() <= now.items()  # nothing lost, nothing written again
        assert len(benchmark.load_records("trial", tmp_path)) == len(now)
        seen = now
    assert start().wait() == 0
    assert len(recorded()) == 12
    assert seen.items() <= recorded().items()
    (mine,) = [r for r in benchmark.load_records("trial", tmp_path) if r.run.key == trial[0].key]
    assert mine.metrics == benchmark.execute(trial[0], progress=False).metrics
