"""The tasks: their languages, score ranges and splits, where the hub has them, and what to do where it has not."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cosent_lib.data import corpus
from cosent_lib.errors import CosentError

VARIABLE = "COSENT_DATA_DIR"
FULL = {"train": "train", "validation": "validation", "test": "test"}


class DataUnavailable(CosentError, RuntimeError):  # noqa: N818 (a state of the world, named as users will meet it)
    """The data are not where they were asked from; the message names the task, the place and the other ways."""


@dataclass(frozen=True)
class HubSource:
    """Where a task stands on the Hugging Face hub.

    Attributes:
        id: data set id.
        revision: commit to load.
        config: configuration of the data set, if it has several.
        columns: names of the two texts and of the score there.
        splits: our split -> theirs. Their rows are not cleaned of leaks between splits, so counts differ from ``dir``.
        score_range: range of the score there, if not the task's.
        labels: score of each class name, where their score is a class label.
    """

    id: str
    revision: str
    config: str | None = None
    columns: tuple[str, str, str] = ("sentence1", "sentence2", "score")
    splits: Mapping[str, str] = field(default_factory=lambda: FULL)
    score_range: tuple[float, float] | None = None
    labels: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Task:
    """What a task is: `score_range` is (lowest, highest) raw score, `original` its folder in the original layout."""

    name: str
    language: str
    score_range: tuple[float, float]
    splits: tuple[str, ...]
    description: str
    hub: HubSource | None = None
    original: str | None = None

    @property
    def builtin(self) -> bool:
        """Whether the library generates the task itself."""
        return self.name in corpus.LANGUAGES

    def ways(self, split: str, hub: bool = True) -> str:
        """Say how a split can be had, with or without the hub."""
        file = f"{self.name}/{split}.tsv (header sentence1, sentence2, score)"
        ways = [f"put {file} into the folder that {VARIABLE} names"]
        if hub and self.hub and split in self.hub.splits:
            ways.append(f"use source 'hub' ({self.hub.id}, needs a network)")
        ways.append("use a built-in task, which needs no data")
        return f"Ways to go on: {'; '.join(ways)}."


EVERY, HELD_OUT = ("train", "validation", "test"), ("validation", "test")
ATEC = HubSource("C-MTEB/ATEC", "0f319b1142f28d00e055a6770f3f726ae9b7d865")
BQ = HubSource("C-MTEB/BQ", "e3dda5e115e487b39ec7e618c0c6a29137052a55")
LCQMC = HubSource("C-MTEB/LCQMC", "17f9b096f80380fce5ed12a9be8be7784b337daf")
LABEL = ("sentence1", "sentence2", "label")
PAWSX = HubSource("google-research-datasets/paws-x", "4cd8187c404bda33cb1f62b49b001115862acf37", "zh", LABEL)
STSB_ZH = HubSource("C-MTEB/STSB", "0cde68302b3541bb8b3c340dc0644b0b745b3dc0")
STSB_EN = HubSource("sentence-transformers/stsb", "ab7a5ac0e35aa22088bdcf23e7fd99b220e53308", score_range=(0.0, 1.0))
OCNLI = HubSource(
    "clue/clue",
    "7a92286c90a77a495dcaeba0fe34939053ef7dc5",  # the first commit with every configuration as data files
    config="ocnli",
    columns=LABEL,
    splits={"train": "train", "test": "validation"},  # their test has no labels
    labels={"contradiction": 0, "neutral": 1, "entailment": 2},
)
_ALL = (
    Task("atec", "zh", (0, 1), EVERY, "questions to a payment service, same or not (18 % are)", ATEC, "ATEC"),
    Task("bq", "zh", (0, 1), EVERY, "questions to a bank, same or not", BQ, "BQ"),
    Task("lcqmc", "zh", (0, 1), EVERY, "everyday questions, same or not", LCQMC, "LCQMC"),
    Task("pawsx", "zh", (0, 1), HELD_OUT, "sentences of nearly the same words, same or not", PAWSX, "PAWSX"),
    Task("stsb_zh", "zh", (0, 5), EVERY, "similarity in whole grades 0 to 5, translated", STSB_ZH, "STS-B"),
    Task("stsb_en", "en", (0, 5), EVERY, "similarity from 0 to 5, averaged over annotators", STSB_EN),
    Task("ocnli", "zh", (0, 2), EVERY, "contradiction 0, neutral 1, entailment 2", OCNLI),
    Task("builtin", "en", (0, 1), corpus.SPLITS["builtin"], "generated requests, hard negatives"),
    Task("builtin_random", "en", (0, 1), corpus.SPLITS["builtin_random"], "the same, trained on random negatives"),
    Task("builtin_graded", "en", (0, 3), corpus.SPLITS["builtin_graded"], "the same, graded by shared slots"),
    Task("builtin_zh", "zh", (0, 1), corpus.SPLITS["builtin_zh"], "the same in Chinese, hard negatives"),
)
TASKS = {task.name: task for task in _ALL}
