"""What all tests share: no network, and the folder of real data where there is one."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

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


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command of the library in this process; returns (exit code, stdout, stderr)."""
    from cosent_lib.cli import main as cli

    def run(*words: object) -> tuple[int, str, str]:
        code = cli.main([str(word) for word in words])
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
