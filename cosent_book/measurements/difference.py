"""How far differences between losses would move on another sample of test pairs (chapter 9, and the claims)."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosent_book.measurements.registry import Data, measurement
from cosent_book.records import load_records
from cosent_book.suites.plan import rows as rows_of
from cosent_lib.evaluation.evaluate import cosine_scores
from cosent_lib.evaluation.metrics import spearman
from cosent_lib.runs.perform import perform

COMPARED = (
    "CoSENT, λ = 20", "CoSENT, λ suggested", "CoSENT, λ followed", "CoSENT, λ tuned", "CoSENT, λ learned",
    "Sentence-BERT, 2 classes", "squared cosine", "linear cosine", "cosine with margin", "contrastive",
    "RankNet, λ tuned", "power mean, κ = −0.3", "power mean, κ = −1", "power mean, κ = 1", "AnglE, scale tuned",
    "in-batch negatives, scale tuned",
)  # fmt: skip
SEED = 0  # with which the settings were chosen on validation
RESAMPLES = 1000
# Of each set the rows that are recorded: what is measured here, and what the claims compare.
RECORDED = dict.fromkeys(("stsb_en", "stsb_zh", "bq"), COMPARED) | {
    "atec": (
        "CoSENT, λ = 20",
        "CoSENT, λ suggested",
        "CoSENT, λ followed",
        "CoSENT, λ tuned",
        "Sentence-BERT, 2 classes",
        "squared cosine",
        "cosine with margin",
        "RankNet, λ tuned",
        "power mean, κ = −0.3",
    )
}


@measurement({"suite": "table", "task": task, "rows": list(rows)} for task, rows in RECORDED.items())
def paired_differences(data: Data, *, suite: str, task: str, rows: Sequence[str]) -> dict[str, Any]:
    """Train rows of a suite once more with the settings chosen there, and compare each two pair by pair on test.

    Args:
        data: where pairs come from.
        suite: of the rows; its runs with the encoder `static` and seed 0 are taken.
        task: a task of the suite.
        rows: labels, at least two.

    Returns:
        dict: ``pairs``, the number of test pairs, and ``differences``, for each two rows in the order given: ``row``,
        ``base``, the ``difference`` of their test Spearman, and ``low`` and ``high``, the ends of its 95 % percentile
        bootstrap interval over test pairs, the same drawn pairs for all rows.

    Raises:
        ValueError: a label that the suite does not have for this task, or whose settings are not chosen yet.
    """
    recorded = load_records(suite)
    declared = {
        row.label: run
        for row in rows_of(suite, only="static")
        for run in row.reported(recorded)
        if run.task == task and run.encoder == "static" and run.seed == SEED
    }
    absent = [label for label in rows if label not in declared]
    if absent:
        raise ValueError(
            f"{suite} has no settings for {absent[0]!r} on {task} with seed {SEED}, only for: {', '.join(declared)}"
        )
    splits = {name: data.load(task, name) for name in ("train", "validation", "test")}
    labels = np.asarray(splits["test"]["score"][:])
    cosines = []
    for label in rows:
        encoder = perform(declared[label], progress=False, splits=dict(splits))[1]
        cosines.append(cosine_scores(encoder, splits["test"]))
    return {"pairs": len(labels), "differences": _differences(rows, np.stack(cosines), labels)}


def _differences(rows: Sequence[str], cosines: NDArray[Any], labels: NDArray[Any]) -> list[dict[str, Any]]:
    """All differences of Spearman between two of the rows of ``cosines`` ``[rows, pairs]``, with their intervals.

    The intervals of `cosent_lib.bootstrap_difference`; here a row is ranked once a draw, not once for each other row.
    """
    generator = np.random.default_rng(SEED)
    draws = [np.arange(len(labels)), *(generator.integers(len(labels), size=(RESAMPLES, len(labels))))]
    scores = np.array([[spearman(line[drawn], labels[drawn]) for line in cosines] for drawn in draws])
    found = []
    for i, j in combinations(range(len(rows)), 2):
        whole, *resampled = scores[:, i] - scores[:, j]
        low, high = np.percentile(resampled, (2.5, 97.5))
        found.append(
            {"row": rows[i], "base": rows[j], "difference": float(whole), "low": float(low), "high": float(high)}
        )
    return found
