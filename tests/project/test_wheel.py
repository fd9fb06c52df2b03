"""What is installed is whole: both packages, the records that chapters show, and what type checkers read."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNWANTED = shutil.ignore_patterns("__pycache__", ".spool")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that the tree stays clean; a warning of the build is a failure."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("cosent_lib", "cosent_book"):
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=UNWANTED)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, folder / "source" / name)
    build = "from setuptools.build_meta import build_wheel; print(build_wheel('..'))"
    done = subprocess.run([sys.executable, "-c", build], cwd=folder / "source", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    printed = done.stdout + done.stderr
    assert not [line for line in printed.splitlines() if "warn" in line.lower() and "byte-compiling" not in line]
    assert "would be ignored" not in printed
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_every_file_of_both_packages(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "cosent_lib", "cosent_book"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    expected = {name for name in tracked if (ROOT / name).is_file()}
    assert {"cosent_lib/py.typed", "cosent_lib/__init__.pyi", "cosent_book/results/main.jsonl"} <= expected
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == expected


def test_the_wheel_brings_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "cosent = cosent_lib.cli.main:main" in archive.read(name).decode()
