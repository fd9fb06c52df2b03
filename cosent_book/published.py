"""Published test results, as published: Spearman × 100 and accuracy in %. They are never mixed with ours."""

from collections.abc import Mapping
from typing import NamedTuple

TASKS = ("atec", "bq", "lcqmc", "pawsx", "stsb_zh")


class Published(NamedTuple):
    """A published row: what was trained, on what, where it stands, and Spearman × 100 by task."""

    method: str
    trained_on: str
    source: str
    spearman: Mapping[str, float]


class PublishedAccuracy(NamedTuple):
    """A published row of accuracies in %, by task; the threshold was fitted on validation."""

    method: str
    source: str
    accuracy: Mapping[str, float]


def _row(method: str, trained_on: str, source: str, *values: float) -> Published:
    return Published(method, trained_on, source, dict(zip(TASKS, values, strict=True)))


_POST = "Su 2022, Scientific Spaces 8847"
OWN, NLI = "each task's own training pairs", "NLI only"
PUBLISHED = (
    _row("BERT + CoSENT", OWN, _POST, 49.74, 72.38, 78.69, 60.00, 80.14),
    _row("Sentence-BERT", OWN, _POST, 46.36, 70.36, 78.72, 46.86, 66.41),
    _row("RoBERTa + CoSENT", OWN, _POST, 50.81, 71.45, 79.31, 61.56, 81.13),
    _row("Sentence-RoBERTa", OWN, _POST, 48.29, 69.99, 79.22, 44.10, 72.42),
    _row("BERT + CoSENT", NLI, _POST, 28.93, 41.84, 66.07, 20.49, 73.91),
    _row("Sentence-BERT", NLI, _POST, 28.19, 42.73, 64.98, 15.38, 74.88),
    _row("RoBERTa + CoSENT", NLI, _POST, 31.84, 46.65, 68.43, 20.89, 74.37),
    _row("Sentence-RoBERTa", NLI, _POST, 31.87, 45.60, 67.89, 15.64, 73.93),
    _row("RoBERTa + AnglE", OWN, "Li and Li 2023, arXiv 2309.12871", 51.30, 73.35, 79.53, 62.46, 80.83),
)


def _accuracies(method: str, *values: float) -> PublishedAccuracy:
    return PublishedAccuracy(method, "Su 2022, Scientific Spaces 8860", dict(zip(TASKS[:4], values, strict=True)))


ACCURACY = (  # of the models of `PUBLISHED` that were trained on each task's own pairs
    _accuracies("BERT + CoSENT", 85.81, 83.24, 86.67, 76.30),
    _accuracies("Sentence-BERT", 84.93, 82.46, 87.42, 65.33),
    _accuracies("RoBERTa + CoSENT", 85.93, 83.42, 87.63, 76.55),
    _accuracies("Sentence-RoBERTa", 85.34, 82.52, 88.14, 68.35),
)
_CROSS = "Su 2022, Scientific Spaces 9341"
CROSS_TASKS = TASKS[:4]


def _cross(method: str, *values: float) -> Published:
    return Published(method, OWN, _CROSS, dict(zip(CROSS_TASKS, values, strict=True)))


CROSS = (  # cross-encoders; checkpoints chosen by accuracy, so that these are not to be set beside `PUBLISHED`
    _cross("BERT, cross-entropy", 48.01, 71.96, 78.53, 68.59),
    _cross("BERT, CoSENT", 48.09, 72.25, 78.70, 69.34),
    _cross("RoBERTa, cross-entropy", 49.70, 73.20, 79.13, 70.52),
    _cross("RoBERTa, CoSENT", 49.82, 73.09, 78.78, 70.54),
)
