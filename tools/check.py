"""Every check of ``make test``, one after the other: ``python tools/check.py [STEP …]``.

All steps run even if one fails, so that one run shows everything that is wrong. The last line counts the tests of
all steps together (a step without tests counts as one).
"""

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from notebooks import CELL_TIMEOUT, ROOT, chapter_paths, offline_environment

COVERAGE_FLOOR = 90  # percent of the lines of cosent_lib and cosent_book
STORED_SITE = ROOT / "_build" / "stored" / "_build" / "html"
WORKFLOWS = ROOT / ".github" / "workflows"


@dataclass
class Outcome:
    """What one step found."""

    step: str
    passed: int
    failed: int
    skipped: int
    seconds: float


def _python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def _tool(name: str, *arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name(name)), *arguments]


def lint_commands() -> list[list[str]]:
    """Style and formatting of all Python, notebooks included; workflow and citation files against their schemas."""
    workflows = [str(path) for path in sorted(WORKFLOWS.glob("*.yml"))]
    return [
        _python("-m", "ruff", "check", "."),
        _python("-m", "ruff", "format", "--check", "."),
        _tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows),
        _tool("check-jsonschema", "--builtin-schema", "vendor.citation-file-format", "CITATION.cff"),
    ]


def pytest_command(step: str) -> list[str]:
    """Return the pytest call of a step: ``unit`` (under coverage, in parallel), ``notebooks`` (nbval) or ``site``."""
    if step == "unit":
        # coverage starts pytest, not the other way round: pytest's own configuration imports the library. Each worker
        # keeps to one thread (tests/conftest.py), so that there can be one a core; more than four gain nothing.
        workers = ("-n", "logical", "--maxprocesses=4", "--dist=worksteal")
        return _python("-m", "coverage", "run", "-m", "pytest", "-q", *workers, "-m", "not site")
    if step == "site":
        return _python("-m", "pytest", "-q", "-m", "site", "tests/site")
    chapters = [path.relative_to(ROOT).as_posix() for path in chapter_paths()]
    # A kernel computes with one thread, so there can be one a core; two that start at once on a busy machine are slow.
    nbval = ("--nbval-lax", "--nbval-current-env", f"--nbval-cell-timeout={CELL_TIMEOUT}")
    kernels = ("-n", "logical", "--maxprocesses=4", "--dist=loadfile", "--nbval-kernel-startup-timeout=300")
    return _python("-m", "pytest", "-q", *kernels, *nbval, *chapters)


def count(report: Path, returncode: int) -> tuple[int, int, int]:
    """Return (passed, failed, skipped) from pytest's JUnit report; a run that broke otherwise is one failure."""
    if not report.exists():
        return 0, 1, 0
    suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    total, wrong, skipped = (
        sum(int(suite.get(key, "0")) for suite in suites for key in keys)
        for keys in (("tests",), ("failures", "errors"), ("skipped",))
    )
    if returncode != 0 and wrong == 0:  # interrupted, or nothing collected
        wrong, total = 1, total + 1
    return total - wrong - skipped, wrong, skipped


def run_tests(step: str) -> tuple[int, int, int]:
    """Run one pytest step and count its tests."""
    environment = offline_environment() if step == "notebooks" else dict(os.environ)
    environment["COSENT_SITE"] = str(STORED_SITE)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [*pytest_command(step), f"--junit-xml={report}"]
        returncode = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        return count(report, returncode)


def run_commands(commands: list[list[str]]) -> tuple[int, int, int]:
    """Run all commands; the step is one check, failed if any of them fails."""
    codes = [subprocess.run(command, cwd=ROOT, check=False).returncode for command in commands]
    return (1, 0, 0) if not any(codes) else (0, 1, 0)


def run_unit_tests() -> tuple[int, int, int]:
    """Run the unit tests and hold the lines they cover to the floor, which is one check more."""
    run_commands([_python("-m", "coverage", "erase")])
    passed, failed, skipped = run_tests("unit")
    combine = _python("-m", "coverage", "combine", "--quiet")
    report = _python("-m", "coverage", "report", "--skip-covered", f"--fail-under={COVERAGE_FLOOR}")
    covered, uncovered, _ = run_commands([combine, report])
    return passed + covered, failed + uncovered, skipped


def run_step(step: str) -> Outcome:
    """Run one step by its name."""
    print(f"\n=== {step}", flush=True)
    start = time.perf_counter()
    if step == "lint":
        counts = run_commands(lint_commands())
    elif step == "unit":
        counts = run_unit_tests()
    elif step == "types":
        counts = run_commands([_python("-m", "mypy")])
    elif step == "render":
        counts = run_commands([_python("tools/book.py", "stored")])
    else:
        counts = run_tests(step)
    return Outcome(step, *counts, time.perf_counter() - start)


STEPS = ("lint", "types", "unit", "notebooks", "render", "site")


def main() -> None:
    """Run the steps named on the command line, or all."""
    steps = sys.argv[1:] or list(STEPS)
    unknown = sorted(set(steps) - set(STEPS))
    if unknown:
        raise SystemExit(f"error: unknown step {', '.join(unknown)}; the steps are {', '.join(STEPS)}")
    outcomes = [run_step(step) for step in steps]
    print("\n=== summary")
    for outcome in outcomes:
        verdict = "FAILED" if outcome.failed else "ok"
        counts = f"{outcome.passed} passed, {outcome.failed} failed, {outcome.skipped} skipped"
        print(f"{outcome.step:10} {verdict:7} {outcome.seconds:6.0f} s   {counts}")
    passed, failed, skipped = (sum(getattr(o, key) for o in outcomes) for key in ("passed", "failed", "skipped"))
    seconds = sum(outcome.seconds for outcome in outcomes)
    print(f"{passed} passed, {failed} failed, {skipped} skipped in {seconds:.0f} s")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
