"""How far a difference between two losses would move on another sample of test pairs (chapter 9)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cosent_book.measurements.registry import Data, measurement
from cosent_book.records import load_records
from cosent_book.suites.plan import rows as rows_of
from cosent_lib.evaluation.evaluate import cosine_scores
from cosent_lib.evaluation.intervals import bootstrap_difference
from cosent_lib.evaluation.metrics import spearman
from cosent_lib.runs.perform import perform

PAIRED = {"base": "Sentence-BERT, 2 classes", "rows": ["CoSENT, λ = 20", "CoSENT, λ suggested", "RankNet, λ tuned"]}
SEED = 0  # with which the settings were chosen on validation
TASKS = ("stsb_en", "stsb_zh", "bq", "atec", "lcqmc")


@measurement({"task": task, **PAIRED} for task in TASKS)
def paired_differences(data: Data, *, task: str, base: str, rows: Sequence[str]) -> dict[str, Any]:
    """Train rows of the suite `main` once more with the settings chosen there, and compare them pair by pair on test.

    Args:
        data: where pairs come from.
        task: a task of `main`.
        base: label of the row that the others are compared with.
        rows: labels of the others.

    Returns:
        dict: ``pairs``, the number of test pairs; ``rows``, for each: ``row``, ``difference`` of test Spearman from the
        base, and ``low`` and ``high``, the ends of its 95 % paired percentile bootstrap interval over test pairs.

    Raises:
        ValueError: a label that `main` does not have for this task with the static encoder, or whose settings are not
            chosen yet.
    """
    recorded = load_records("main")
    declared = {
        row.label: run
        for row in rows_of("main", only="static")
        for run in row.reported(recorded)
        if run.task == task and run.encoder == "static" and run.seed == SEED
    }
    absent = [label for label in (base, *rows) if label not in declared]
    if absent:
        raise ValueError(
            f"main has no settings for {absent[0]!r} on {task} with seed {SEED}, only for: {', '.join(declared)}"
        )
    splits = {name: data.load(task, name) for name in ("train", "validation", "test")}
    labels = np.asarray(splits["test"]["score"][:])
    cosines = {}
    for label in (base, *rows):
        encoder = perform(declared[label], progress=False, splits=dict(splits))[1]
        cosines[label] = cosine_scores(encoder, splits["test"])
    found = []
    for label in rows:
        interval = bootstrap_difference(cosines[label], cosines[base], labels, spearman, seed=SEED)
        found.append({"row": label, "difference": interval.estimate, "low": interval.low, "high": interval.high})
    return {"pairs": len(labels), "rows": found}
