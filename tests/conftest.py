"""What all tests share: one thread, no network, and the folder of real data where there is one."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

# One thread for torch, here and in every process that a test starts: the models are too small for more, and two test
# workers on two cores would get in each other's way. A machine that sets the variable keeps its own number.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell starts what runs in its background with Ctrl-C ignored, and Python leaves it so; some tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Set before any test module imports a Hugging Face library: the tests never ask a hub.
for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
    os.environ[variable] = "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked ``cuda`` where there is no CUDA device."""
    import torch

    if torch.cuda.is_available():
        return
    for item in items:
        if "cuda" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Save what a test worker covered now: xdist kills a worker that takes long to end."""
    import coverage

    measuring = coverage.Coverage.current()
    if hasattr(session.config, "workerinput") and measuring is not None:
        measuring.save()


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command of ``cosent`` in this process; returns (exit code, stdout, stderr)."""
    from cosent_lib.cli.main import main

    return _caller(main, capsys)


@pytest.fixture
def call_book(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command of ``python -m cosent_book`` in this process; returns (exit code, stdout, stderr)."""
    from cosent_book.cli import main

    return _caller(main, capsys)


def _caller(
    main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def run(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data sets (``COSENT_DATA_DIR``); the test is skipped where it is not set."""
    folder = os.environ.get("COSENT_DATA_DIR")
    if not folder:
        pytest.skip("needs real data: set COSENT_DATA_DIR to the folder of TASK/SPLIT.tsv files")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"COSENT_DATA_DIR={folder!r} is not a folder")
    return path
