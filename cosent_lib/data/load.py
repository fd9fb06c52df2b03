"""Sentence pairs as a `datasets.Dataset`: one call for every task and every place it may come from.

`load_pairs` never substitutes one data set for another and never leaves a row out in silence: what cannot be had is
`DataUnavailable`, a malformed row is `MalformedRow`. Scores are scaled by the task's declared range to [0, 1].
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from cosent_lib.data import corpus
from cosent_lib.data.columns import COLUMNS, QUERY
from cosent_lib.data.files import RANGE_ADVICE, Checker, OnError, check_file
from cosent_lib.data.hub import from_hub
from cosent_lib.data.tasks import FULL, TASKS, VARIABLE, DataUnavailable, Task

if TYPE_CHECKING:  # a second of import
    from datasets import Dataset

SOURCES = ("auto", "dir", "hub", "builtin")
SUFFIXES = (".tsv", ".csv", ".tsv.gz", ".csv.gz")


def load_pairs(
    task: str,
    split: str,
    source: str = "auto",
    *,
    score_range: tuple[float, float] | None = None,
    on_error: OnError = "raise",
) -> Dataset:
    """The pairs of a task's split.

    Args:
        task: a name in `TASKS`, or ``csv:PATH`` for your own: a folder of ``SPLIT.tsv`` or ``SPLIT.csv`` (or ``.gz`` of
            them), a path with ``{split}`` in it, or a single file, which has only the split ``all``.
        split: one of the task's splits.
        source: ``dir`` (``TASK/SPLIT.tsv[.gz]`` or ``.csv`` under ``COSENT_DATA_DIR``, or the original layout's
            ``TASK.SPLIT.data``), ``hub``, ``builtin``, or ``auto``: ``builtin`` for generated tasks, else ``dir``
            when the variable is set, else ``hub``.
        score_range: (lowest, highest) raw score of a ``csv:`` task, by default (0, 1); other tasks declare theirs.
        on_error: ``raise`` at a malformed row, or ``skip`` such rows with a `SkippedRowsWarning`.

    Returns:
        Columns ``sentence1``, ``sentence2`` and ``score``, a float in [0, 1], and ``query`` where a file has one:
        only pairs of one query are then compared in training. `origin` says where they come from.

    Raises:
        DataUnavailable: the data are not there.
        MalformedRow, MalformedFile: a row, or the file as a whole, is not as it should be (both `ValueError`).
        ValueError: a task, split, source or range that does not exist or does not fit.

    Example:
        >>> pairs = load_pairs("builtin", "validation")
        >>> pairs.column_names, len(pairs)
        (['sentence1', 'sentence2', 'score'], 1500)
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f"unknown on_error {on_error!r}; expected 'raise' or 'skip'")
    if source not in SOURCES:
        raise ValueError(f"unknown source {source!r}; expected one of {', '.join(SOURCES)}")
    if task.startswith("csv:"):
        if source != "auto":
            raise ValueError(f"{task!r} is read from its path, so source {source!r} does not apply; leave it at 'auto'")
        checker, where = _from_own(task.removeprefix("csv:"), split, score_range, on_error)
    else:
        known = _known(task)
        if score_range is not None and tuple(score_range) != known.score_range:
            raise ValueError(f"task {task!r} has scores in {known.score_range}; score_range is for csv: tasks")
        checker, where = _from_source(known, split, _resolved_source(known, source), on_error)
    from datasets import Dataset, DatasetInfo, Features, Value

    columns = checker.finish()
    features = Features({name: Value("float64" if name == "score" else "string") for name in columns})
    info = DatasetInfo(description=where, features=features)
    return Dataset.from_dict(columns, features=features, info=info)


def split_names(task: str) -> tuple[str, ...]:
    """The splits of a task; for ``csv:PATH`` those among train, validation, test whose file exists.

    Raises:
        ValueError: unknown task.
        DataUnavailable: no file at a ``csv:`` path.

    Example:
        >>> split_names("pawsx")
        ('validation', 'test')
    """
    if not task.startswith("csv:"):
        return _known(task).splits
    place = task.removeprefix("csv:")
    if "{split}" not in place and Path(place).is_file():
        return ("all",)
    names = tuple(split for split in FULL if _candidates(place, split))
    if not names:
        raise DataUnavailable(f"no file of pairs at {place!r}; {_listing(_folder_of(place))}")
    return names


def check_own(place: str, score_range: tuple[float, float] | None = None) -> dict[str, Checker]:
    """The good rows and the malformed ones of the reader's own data, split by split.

    ``place`` is what may stand after ``csv:``; ``score_range`` and what is raised are as in `load_pairs`, malformed
    rows excepted.
    """
    return {split: _from_own(place, split, score_range, "skip")[0] for split in split_names(f"csv:{place}")}


def fingerprint(dataset: Dataset) -> str:
    """The SHA-256 over all rows in order: the same for the same texts and scaled scores, however loaded."""
    digest, columns = hashlib.sha256(), dataset.with_format(None)[:]
    names = [name for name in (*COLUMNS, QUERY) if name in columns]
    for row in zip(*(columns[name] for name in names), strict=True):
        digest.update(json.dumps(row, ensure_ascii=False).encode())
    return digest.hexdigest()


def origin(dataset: Dataset) -> str:
    """Where `load_pairs` had the rows from, the hub's revision included, without any folder of this machine."""
    return str(dataset.info.description)


def _known(task: str) -> Task:
    if task not in TASKS:
        raise ValueError(f"unknown task {task!r}; expected one of {', '.join(TASKS)}, or csv:PATH")
    return TASKS[task]


def _resolved_source(task: Task, source: str) -> str:
    if task.builtin != (source == "builtin") and source != "auto":
        fitting = "'auto' or 'builtin'" if task.builtin else "'auto', 'dir' or 'hub'"
        raise ValueError(f"task {task.name!r} does not come from source {source!r}; expected {fitting}")
    if source == "auto":
        return "builtin" if task.builtin else "dir" if os.environ.get(VARIABLE) else "hub"
    return source


def _from_source(task: Task, split: str, source: str, on_error: OnError) -> tuple[Checker, str]:
    """Checked rows and the words for their origin."""
    if split not in FULL and split not in task.splits:
        raise ValueError(f"task {task.name!r} has no split {split!r}; it has {', '.join(task.splits)}")
    if source == "hub":
        return from_hub(task, split, on_error)
    if source == "dir":
        path, header = _in_data_dir(task, split)
        return check_file(path, task.score_range, on_error, header=header), f"dir {path.parent.name}/{path.name}"
    checker = Checker(f"{task.name}/{split}", task.score_range, "raise")
    for row, pair in enumerate(corpus.generate(task.name, split), start=1):
        checker.add(row, *pair)
    return checker, f"builtin {corpus.CHECKSUMS[task.name, split]}"


def _one_of(files: list[Path]) -> Path | None:
    """The only file found, None without any; two for the same split are never chosen between in silence."""
    if len(files) > 1:
        raise ValueError(f"several files for one split: {', '.join(map(str, files))}; keep one")
    return files[0] if files else None


def _listing(folder: Path) -> str:
    """Say what a folder holds."""
    if not folder.is_dir():
        return f"{folder} is not a folder"
    names = sorted(entry.name for entry in folder.iterdir())
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"{folder} holds {', '.join(names[:12])}{more}" if names else f"{folder} is empty"


def _folder_of(place: str) -> Path:
    """The folder in which a ``csv:`` path looks for its files."""
    return Path(place) if Path(place).is_dir() else Path(place.partition("{split}")[0] + "_").parent


def _candidates(place: str, split: str) -> list[Path]:
    """The existing files of a split of a ``csv:`` folder or of a path with ``{split}`` in it."""
    paths = [Path(place.replace("{split}", split))]
    if "{split}" not in place:
        paths = [Path(place) / f"{split}{suffix}" for suffix in SUFFIXES]
    return [path for path in paths if path.is_file()]


def _from_own(
    place: str, split: str, score_range: tuple[float, float] | None, on_error: OnError
) -> tuple[Checker, str]:
    """Checked rows of the reader's own data and the words for their origin."""
    path = _own_file(place, split)
    low, high = (0.0, 1.0) if score_range is None else score_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"score_range is {score_range!r}; expected (lowest, highest), finite and in this order")
    advice = RANGE_ADVICE if score_range is None else ""
    return check_file(path, (float(low), float(high)), on_error, advice=advice), f"csv {path.name}"


def _own_file(place: str, split: str) -> Path:
    """The file of a split of the reader's own data."""
    single = "{split}" not in place and Path(place).is_file()
    if single and split != "all":
        raise ValueError(
            f"csv:{place} is a single file, so its only split is 'all', not {split!r}; for several splits name a "
            "folder of SPLIT.tsv or SPLIT.csv files, or a path with {split} in it"
        )
    path = Path(place) if single else _one_of(_candidates(place, split))
    if path is None:
        endings = "" if "{split}" in place else f" (looked for {split} with {', '.join(SUFFIXES)})"
        raise DataUnavailable(f"csv:{place} has no file for split {split!r}{endings}; {_listing(_folder_of(place))}")
    if not path.name.endswith(SUFFIXES):
        raise ValueError(f"{path}: unknown kind of file; expected {', '.join(SUFFIXES)}")
    return path


def _in_data_dir(task: Task, split: str) -> tuple[Path, bool]:
    """The file under ``COSENT_DATA_DIR`` and whether it has a header."""
    root = os.environ.get(VARIABLE)
    if not root:
        unset = f"source 'dir' needs {VARIABLE}, which is not set"
        raise DataUnavailable(f"{task.name}/{split}: {unset}. {task.ways(split)}")
    folder = Path(root) / task.name
    files = [folder / f"{split}{suffix}" for suffix in SUFFIXES]
    if task.original:
        name = f"{task.original}.{'valid' if split == 'validation' else split}.data"
        files += [Path(root) / task.original / name, Path(root) / task.original / f"{name}.gz"]
    path = _one_of([path for path in files if path.is_file()])
    if path is None:
        there = _listing(folder if folder.is_dir() else Path(root))
        raise DataUnavailable(f"{task.name}/{split} is not under {VARIABLE}: {there}. {task.ways(split)}")
    return path, ".data" not in path.suffixes[-2:]
