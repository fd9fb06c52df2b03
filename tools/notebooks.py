"""The form of a chapter's notebook, and its execution.

A notebook in ``chapters/`` is written in exactly one way (:func:`normalise`): fixed cell ids, fixed metadata, one
setup cell, no trace of when and where it ran. So executing a chapter again leaves no difference behind when
nothing changed.
"""

import os
import re
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import nbformat
import yaml
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = ROOT / "chapters"
CELL_TIMEOUT = 300  # seconds; a chapter is meant to take under 60 in all, but machines differ
KEPT_CELL_METADATA = {"tags", "mystnb"}
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    },
}
# Colab opens a chapter from any branch or tag, and the cell cannot see which. `version` names the release that the
# chapter belongs to: the cell installs its tag, or main, where it is being written, as long as there is no such tag.
SETUP_CELL = """\
import subprocess
import sys

if "google.colab" in sys.modules:  # elsewhere the library is installed
    book = "{address}"
    place = "v{version}"  # the release of this chapter; until there is one, main
    ask = ["git", "ls-remote", "--exit-code", book, f"refs/tags/{{place}}"]
    if subprocess.run(ask, capture_output=True).returncode == 2:
        place = "main"
    %pip install -q "cosent_lib[book] @ git+{{book}}@{{place}}"
"""
# What a progress bar leaves in a cell's output: "\\r", or tqdm's "| 12/40 [00:03<00:05, 3.1it/s]".
PROGRESS = re.compile(r"\r|\|\s*\d+/\d+ \[\d+:\d\d")
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    # No progress bars: their output is never the same twice.
    "TQDM_DISABLE": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    # One thread: sums in the same order on every machine, and `make test` runs a chapter on each core.
    "OMP_NUM_THREADS": "1",
}
UNREACHABLE = "http://127.0.0.1:9"  # a proxy that is not there: a request to anywhere fails at once


class ChapterFailedError(RuntimeError):
    """A chapter did not run to its end; the message names chapter, cell and error."""


def book_version() -> str:
    """Return the version of book and library, without importing the library."""
    text = (ROOT / "cosent_lib" / "version.py").read_text(encoding="utf-8")
    match = re.search(r'__version__ = "([^"]+)"', text)
    if match is None:
        raise ValueError('cosent_lib/version.py: expected a line __version__ = "…"')
    return match.group(1)


def book_address() -> str:
    """Return the address of the book's repository, from ``_config.yml``."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    return str(config["repository"]["url"])


def setup_source() -> str:
    """Return the source that the setup cell of every chapter holds."""
    return SETUP_CELL.format(address=book_address(), version=book_version()).rstrip("\n")


def chapter_paths(prefix: str = "") -> list[Path]:
    """Return the chapters' notebooks in reading order, or those whose name begins with ``prefix``."""
    paths = sorted(CHAPTERS.glob(f"{prefix}*.ipynb"))
    if prefix and not paths:
        raise FileNotFoundError(f"no chapter chapters/{prefix}*.ipynb")
    return paths


def offline_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment in which stored outputs are made: no network, no real data, nothing live."""
    environment = dict(os.environ if base is None else base)
    for name in ("COSENT_DATA_DIR", "COSENT_LIVE"):
        environment.pop(name, None)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        environment[name] = environment[name.upper()] = UNREACHABLE
    environment["no_proxy"] = environment["NO_PROXY"] = "localhost,127.0.0.1,::1"
    return environment | OFFLINE


def live_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment in which every experiment runs for real, with whatever data is at hand."""
    environment = dict(os.environ if base is None else base)
    return environment | {"COSENT_LIVE": "1"}


def _slug(heading: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")
    return words[:40].strip("-") or "section"


def assign_ids(notebook: NotebookNode) -> None:
    """Give each cell an id made of the heading it stands under and its place there.

    Adding a cell changes the ids of its own section only, and the same text always gets the same ids.
    """
    section, counts = "start", Counter[str]()
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            prose = re.sub(r"^(`{3,}).*?^\1", "", cell.source, flags=re.M | re.S)
            headings = re.findall(r"^#{1,6}\s+(.+)$", prose, flags=re.M)
            section = _slug(headings[-1]) if headings else section
        counts[section] += 1
        cell["id"] = f"{section}-{counts[section]}"


def _clean_output(output: NotebookNode) -> NotebookNode | None:
    """Return the output without what differs from run to run, or None if nothing is left of it."""
    if output.output_type == "stream" and output.name == "stderr" and PROGRESS.search(output.text):
        return None
    data = output.get("data", {})
    if "application/vnd.jupyter.widget-view+json" in data:  # a progress bar drawn as a widget
        return None
    if "image/svg+xml" in data:
        data["image/svg+xml"] = re.sub(r"\s*<dc:date>.*?</dc:date>", "", data["image/svg+xml"])
    output.pop("transient", None)
    return output


def normalise(notebook: NotebookNode) -> NotebookNode:
    """Bring a notebook into the one form in which chapters are stored; changes and returns it.

    The source of the cell tagged ``setup`` is replaced by the book's own (:func:`setup_source`).
    """
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict(NOTEBOOK_METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in KEPT_CELL_METADATA})
        cell.pop("attachments", None) if not cell.get("attachments") else None
        if cell.cell_type != "code":
            continue
        if "setup" in cell.metadata.get("tags", []):
            cell.source = setup_source()
        cell.outputs = [kept for output in cell.outputs if (kept := _clean_output(output)) is not None]
    assign_ids(notebook)
    return notebook


def read(path: Path) -> NotebookNode:
    """Read a notebook as version 4.5."""
    return nbformat.read(path, as_version=4)


def write(notebook: NotebookNode, path: Path) -> bool:
    """Write the notebook if its text differs from the file's; return whether it was written."""
    nbformat.validate(notebook)
    text = nbformat.writes(notebook).rstrip("\n") + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return True


def _name_cell(notebook: NotebookNode, index: int) -> str:
    """Return "cell 7 ('first line of it')"."""
    source = notebook.cells[index].source.strip() if index >= 0 else ""
    return f"cell {index + 1} ({source.splitlines()[0]!r})" if source else "no cell: the kernel"


def stray_output(notebook: NotebookNode) -> str | None:
    """Say which cell wrote to stderr, and what; None if none did (progress bars, dropped before, do not count)."""
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                return f"{_name_cell(notebook, index)} writes to stderr: {output.text.strip()}"
    return None


def execute(notebook: NotebookNode, name: str, folder: Path, environment: dict[str, str], timeout: int | None) -> float:
    """Execute all cells afresh in ``folder`` and return the seconds it took.

    Raises :class:`ChapterFailedError`, naming the chapter ``name`` and the cell, if a cell fails, takes more than
    ``timeout`` seconds or kills the kernel.
    """
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    started = [-1]

    def stopped(what: str) -> ChapterFailedError:
        return ChapterFailedError(f"{name}: {_name_cell(notebook, started[-1])} {what}")

    client = NotebookClient(
        notebook,
        on_cell_start=lambda cell, cell_index: started.append(cell_index),
        extra_arguments=["--log-level=ERROR"],  # else each kernel warns about its own transport
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
    )
    start = time.perf_counter()
    try:
        client.execute(env=environment)
    except CellTimeoutError as error:
        raise stopped(f"took more than {timeout} s") from error
    except CellExecutionError as error:
        raise stopped(f"failed\n{error.traceback}") from error
    except DeadKernelError as error:
        raise ChapterFailedError(
            f"{name}: {_name_cell(notebook, started[-1])} killed the kernel (out of memory?)"
        ) from error
    return time.perf_counter() - start
