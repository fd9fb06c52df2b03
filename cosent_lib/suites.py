"""The suites of runs that the book reports: task × encoder × loss × options × seeds, as readable declarations.

A suite yields runs with fixed settings, or `Entry`s, which choose their settings on validation. To add an experiment,
declare it here and call ``python -m cosent_lib benchmark SUITE``.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cosent_lib.records import Run, read_record, record_path
from cosent_lib.runner import Plan

Losses = Sequence[tuple[str, Mapping[str, Any]]]

# All losses with the defaults that their papers or posts give.
ALL_LOSSES: Losses = tuple(
    (name, {})
    for name in (
        "cosine_linear", "cosine_squared", "cosine_margin", "sbert", "cosent", "ranknet", "angle", "mnrl"
    )
)  # fmt: skip


def grid(
    suite: str,
    *,
    tasks: Sequence[str],
    encoder: str,
    losses: Losses,
    seeds: Sequence[int],
    encoder_options: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    also_judge: Sequence[str] = (),
) -> Iterator[Run]:
    """Every task × loss × seed, in this order, with one encoder and one training configuration."""
    for task in tasks:
        for loss, options in losses:
            for seed in seeds:
                yield Run(
                    suite=suite,
                    task=task,
                    encoder=encoder,
                    encoder_options=encoder_options or {},
                    loss=loss,
                    loss_options=options,
                    training=training or {},
                    seed=seed,
                    also_judge=tuple(also_judge),
                )


def spine() -> Iterator[Run]:
    """What the chapters on the ranking loss and on CoSENT show of real data, each loss with its customary settings."""
    yield from grid("spine", tasks=["lcqmc"], encoder="static", losses=ALL_LOSSES, seeds=range(5))
    graded = [*ALL_LOSSES, ("sbert", {"num_labels": 6})]  # grades 0 to 5 as classes
    yield from grid(
        "spine", tasks=["stsb_en", "stsb_zh"], encoder="static", losses=graded, seeds=range(5), training={"epochs": 5}
    )


def minilm() -> Iterator[Run]:
    """A pretrained encoder: squared error and CoSENT, three settings each, of which validation chooses one."""
    for scale in (20.0, 10.0, 5.0):
        yield from _minilm("cosent", {"scale": scale}, 2e-5, (0,))
    for rate in (1e-5, 2e-5, 5e-5):
        yield from _minilm("cosine_squared", {}, rate, (0,))
    # What validation chose with seed 0, and the customary λ, with further seeds.
    for seed in (1, 2):
        yield from _minilm("cosent", {"scale": 5.0}, 2e-5, (seed,))
        yield from _minilm("cosine_squared", {}, 5e-5, (seed,))
    yield from _minilm("cosent", {"scale": 20.0}, 2e-5, (1,))


def _minilm(loss: str, options: Mapping[str, Any], rate: float, seeds: Sequence[int]) -> Iterator[Run]:
    training = {"epochs": 1, "batch_size": 32, "learning_rate": rate}
    yield from grid(
        "minilm", tasks=["stsb_en"], encoder="minilm", losses=[(loss, options)], seeds=seeds, training=training
    )


def builtin() -> Iterator[Run]:
    """The built-in corpus, hard against random training negatives, judged on one binary and one graded test."""
    yield from grid(
        "builtin",
        tasks=["builtin", "builtin_random"],
        encoder="static",
        encoder_options={"dim": 64},
        losses=ALL_LOSSES,
        seeds=range(5),
        training={"max_steps": 600},
        also_judge=("builtin_graded/test",),
    )


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row of a comparison whose settings are chosen on validation.

    Each candidate is trained once, with the first seed, and judged on validation alone. The best of them is trained
    with every seed and judged on test. Of equals the first declared is taken; one that failed is never the best.

    Attributes:
        label: What the row is called.
        candidates: Runs that differ in what is to be chosen.
        seeds: Seeds of the reported runs.
    """

    label: str
    candidates: tuple[Run, ...]
    seeds: tuple[int, ...]

    @property
    def trials(self) -> list[Run]:
        """The runs that the choice is made from; none where there is nothing to choose."""
        if len(self.candidates) == 1:
            return []
        return [replace(run, seed=self.seeds[0], judge_test=False) for run in self.candidates]

    def waits(self, folder: Path | None = None) -> bool:
        """Whether a candidate has no record yet, so that the choice is still to come."""
        return not all(record_path(run, folder).exists() for run in self.trials)

    def chosen(self, folder: Path | None = None) -> Run | None:
        """The best candidate on validation; None as long as one has no record, and where all of them failed.

        Raises:
            DamagedRecord: A record that cannot be read.
        """
        if self.waits(folder):
            return None
        if not self.trials:
            return self.candidates[0]
        found = [read_record(record_path(run, folder)).metrics["validation"] for run in self.trials]
        scores = [-math.inf if not metrics or metrics["spearman"] is None else metrics["spearman"] for metrics in found]
        return None if max(scores) == -math.inf else self.candidates[scores.index(max(scores))]

    def reported(self, folder: Path | None = None) -> list[Run]:
        """The runs whose test results are reported; none before the choice is made."""
        chosen = self.chosen(folder)
        return [] if chosen is None else [replace(chosen, seed=seed) for seed in self.seeds]


def main() -> Iterator[Entry]:
    """Every loss on every set that has a training split, four candidates each, chosen on validation; five seeds.

    A loss with a dial of its own (scale, margin) tries four values of it at the encoder's learning rate; one without
    tries four learning rates. So does CoSENT where its λ is given, suggested or learned.
    """
    graded = {"stsb_zh": 5, "stsb_en": 5, "atec": 1, "bq": 1, "lcqmc": 1}  # epochs; the quick ones first
    for task, epochs in graded.items():
        for label, loss, fixed, dial in _contenders(ordinal=task.startswith("stsb")):
            yield _entry("main", task, epochs, label, loss, fixed, dial)


Contender = tuple[str, str, Mapping[str, Any], tuple[str, Sequence[float]]]
RATES = ("learning_rate", (3e-3, 6e-3, 1e-2, 2e-2))
SCALES = ("scale", (5.0, 10.0, 20.0, 40.0))


def _contenders(ordinal: bool) -> list[Contender]:
    """Rows of `main`: label, loss, its fixed options, and the dial with its four values."""
    rows: list[Contender] = [
        ("linear cosine", "cosine_linear", {}, RATES),
        ("squared cosine", "cosine_squared", {}, RATES),
        ("cosine with margin", "cosine_margin", {}, ("margin", (0.3, 0.5, 0.7, 0.9))),
        ("Sentence-BERT, 2 classes", "sbert", {}, RATES),
        ("CoSENT, λ = 20", "cosent", {"scale": 20.0}, RATES),
        ("CoSENT, λ tuned", "cosent", {}, SCALES),
        ("CoSENT, λ suggested", "cosent", {"scale": "suggested"}, RATES),
        ("CoSENT, λ learned", "cosent", {"learn_scale": True}, RATES),
        ("RankNet, λ tuned", "ranknet", {}, SCALES),
        ("AnglE, scale tuned", "angle", {}, SCALES),
        ("in-batch negatives, scale tuned", "mnrl", {}, SCALES),
    ]
    return [*rows[:4], ("Sentence-BERT, 6 classes", "sbert", {"num_labels": 6}, RATES), *rows[4:]] if ordinal else rows


def _entry(
    suite: str,
    task: str,
    epochs: int,
    label: str,
    loss: str,
    fixed: Mapping[str, Any],
    dial: tuple[str, Sequence[float]],
) -> Entry:
    """An entry with the static encoder and five seeds; a learning rate is a setting of training, else of the loss."""
    name, values = dial
    candidates = []
    for value in values:
        training: dict[str, Any] = {"epochs": epochs}
        options = dict(fixed)
        (training if name == "learning_rate" else options)[name] = value
        candidates.append(
            Run(suite=suite, task=task, encoder="static", loss=loss, loss_options=options, training=training)
        )
    return Entry(label=label, candidates=tuple(candidates), seeds=(0, 1, 2, 3, 4))


SUITES: dict[str, Callable[[], Iterator[Run | Entry]]] = {
    "builtin": builtin, "spine": spine, "minilm": minilm, "main": main
}  # fmt: skip


def suite_entries(suite: str) -> list[Run | Entry]:
    """What a suite declares, in its order.

    Raises:
        ValueError: An unknown suite.
    """
    if suite not in SUITES:
        raise ValueError(f"unknown suite {suite!r}, expected one of: {', '.join(SUITES)}")
    return list(SUITES[suite]())


def suite_plan(suite: str, folder: Path | None = None, only: str = "") -> Plan:
    """All runs of a suite that are known now, candidates before what is chosen from them, each once.

    Args:
        suite: Its name.
        folder: Folder of its records, by which choices are made.
        only: Leave out entries and runs whose description does not contain this.
    """
    runs: dict[str, Run] = {}
    undecided = 0
    for entry in suite_entries(suite):
        if isinstance(entry, Run):
            found = [entry] if only in str(entry) else []
        elif only in f"{entry.candidates[0].task} · {entry.label}" or any(only in str(run) for run in entry.candidates):
            undecided += len(entry.seeds) if entry.waits(folder) else 0
            found = [*entry.trials, *entry.reported(folder)]
        else:
            found = []
        runs |= {run.key: run for run in found if run.key not in runs}
    return Plan(list(runs.values()), undecided)


def suite_rows(suite: str, folder: Path | None = None, only: str = "") -> list[tuple[str, list[Run]]]:
    """The rows of a suite's table: a label, and the runs over seeds that it reports.

    An entry that has no choice yet has no runs. Runs declared singly make a row where they differ in the seed alone.
    """
    rows: dict[str, tuple[str, list[Run]]] = {}
    for entry in suite_entries(suite):
        if isinstance(entry, Entry):
            runs = entry.reported(folder)
            row = f"{entry.candidates[0].task} · {entry.label}"
            if only in row or any(only in str(run) for run in entry.candidates):
                rows[row] = (entry.label, runs)
        elif only in str(entry):
            settings = Run(**asdict(entry) | {"seed": 0}).key
            rows.setdefault(settings, (entry.loss_label, []))[1].append(entry)
    return list(rows.values())


def suite_runs(suite: str, **wanted: Any) -> list[Run]:
    """The runs of a suite that are known, in their declared order, or those whose fields equal ``wanted``.

    Example: ``suite_runs("spine", task="lcqmc", encoder="static")``; ``judge_test=True`` leaves out candidates.

    Raises:
        ValueError: An unknown suite or field, or a choice that leaves nothing.
    """
    runs = list(suite_plan(suite).runs)
    for name, value in wanted.items():
        if name not in Run.__dataclass_fields__:
            raise ValueError(f"a run has no field {name!r}, expected one of: {', '.join(Run.__dataclass_fields__)}")
        runs = [run for run in runs if getattr(run, name) == value]
    if not runs:
        raise ValueError(f"suite {suite!r} has no run with {wanted}")
    return runs
