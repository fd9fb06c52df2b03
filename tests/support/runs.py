"""Runs and records that several tests make: a small run, a made-up record of it, and a task of forty pairs a split."""

import json
from pathlib import Path
from typing import Any

from cosent_book.schema import record_of
from cosent_lib.runs.record import Record
from cosent_lib.runs.run import Run

SMALL = {"max_steps": 4, "batch_size": 16, "device": "cpu"}


def make_run(**changes: Any) -> Run:
    """A run of four steps on the built-in pairs, in the suite ``trial``."""
    settings = {"suite": "trial", "task": "builtin", "encoder": "static", "loss": "cosent", "training": SMALL}
    return Run(**(settings | changes))


def make_record(run: Run | None = None, **changes: Any) -> Record:
    """A record with made-up results."""
    values = {
        "run": run or make_run(),
        "resolved": {"source": "builtin", "encoder": {"dim": 4}, "loss": {"scale": 20.0}, "training": {}},
        "data": {split: {"rows": 10, "sha256": "ab", "origin": "dir x"} for split in ("train", "test")},
        "metrics": {"validation": {"spearman": 0.1 + 0.2, "auc": 0.5}, "test": {"spearman": 1 / 3, "auc": None}},
        "history": {"step": [1, 2], "loss": [1.5, 1e-300], "inversion_bound": [None, 0.25]},
        "evaluations": [{"step": 2, "spearman": 0.3}],
        "best_step": 2, "steps": 2, "batches_without_order": 0,
        "wall_time_s": {"train": 1.5, "evaluate": 0}, "hardware": {"cpu": "x"}, "versions": {"python": "3.11"},
        "commit": None, "dirty": None, "date": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    return Record(**(values | changes))


def own_task(folder: Path) -> str:
    """Write a task of 40 pairs a split (20 that mean the same, 20 that do not) and return its name."""
    colours, things = ("red", "green", "blue", "black"), ("cat", "dog", "house", "tree", "car")
    for split, verb in (("train", "see"), ("validation", "like"), ("test", "buy")):
        rows = [(f"I {verb} a {c} {t}", f"a {c} {t} I {verb}", 1) for c in colours for t in things]
        rows += [(a, rows[(i + 7) % 20][1], 0) for i, (a, _, _) in enumerate(rows)]
        text = "sentence1\tsentence2\tscore\n" + "".join("\t".join(map(str, row)) + "\n" for row in rows)
        (folder / f"{split}.tsv").write_text(text, encoding="utf-8")
    return f"csv:{folder}"


def read_record(path: Path) -> Record:
    """The record in a file of its own, as ``cosent train`` writes it."""
    return record_of(json.loads(path.read_text(encoding="utf-8")), str(path))
