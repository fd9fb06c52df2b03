"""Where a run was made: the machine, the packages and the commit, as a record states them."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cosent_lib.version import __version__

PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "accelerate", "numpy", "scipy", "scikit-learn")


def hardware() -> dict[str, Any]:
    """Processor model, cores, threads that torch uses, and GPU (None without one)."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"cpu": _cpu_name(), "cores": os.cpu_count(), "threads": torch.get_num_threads(), "gpu": gpu}


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def versions() -> dict[str, str | None]:
    """Versions of Python, of this library and of the packages it computes with (None: not installed)."""
    found: dict[str, str | None] = {"python": platform.python_version(), "cosent_lib": __version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def commit_of_library() -> tuple[str | None, bool | None]:
    """Commit of the checkout that the library runs from, and whether any Python file of the checkout differs from it.

    An installed copy that merely lies inside somebody's checkout has no commit: git must know this file.
    """
    here = Path(__file__)
    library = here.parents[1]

    def git(*arguments: str) -> str | None:
        try:
            command = ["git", "-C", str(library), *arguments]
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    if git("ls-files", "--error-unmatch", str(here)) is None or (commit := git("rev-parse", "HEAD")) is None:
        return None, None
    changed = git("status", "--porcelain", "--", ":(top,glob)**/*.py")
    return commit, None if changed is None else bool(changed)
