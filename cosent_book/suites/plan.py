"""The suites of runs that the book reports: task × encoder × loss × options × seeds, as readable declarations.

A suite yields runs with fixed settings, or `Entry`s, which choose their settings on validation. To add an experiment,
declare it here or beside `suites_pairs`, and call ``python -m cosent_book benchmark SUITE``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from inspect import signature
from pathlib import Path
from typing import Any

from cosent_book.runner import Plan
from cosent_book.suites.entries import ALL_LOSSES, RATES, SCALES, Entry, dial_entry, grid
from cosent_book.suites.pairs import SENTENCE_PAIRS
from cosent_book.suites.table import TABLE_SUITES
from cosent_lib.runs.run import Run

__all__ = ["ALL_LOSSES", "SUITES", "Entry", "grid", "suite_entries", "suite_plan", "suite_rows", "suite_runs"]


def spine() -> Iterator[Run]:
    """What the chapters on the ranking loss and on CoSENT show of real data, each loss with its customary settings."""
    yield from grid("spine", tasks=["lcqmc"], encoder="static", losses=ALL_LOSSES, seeds=range(5))
    graded = [*ALL_LOSSES, ("sbert", {"num_labels": 6})]  # grades 0 to 5 as classes
    yield from grid(
        "spine", tasks=["stsb_en", "stsb_zh"], encoder="static", losses=graded, seeds=range(5), training={"epochs": 5}
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


def main() -> Iterator[Entry]:
    """Every loss on every set that has a training split, four candidates each, chosen on validation; five seeds.

    A loss with a dial of its own (scale, margin) tries four values of it at the encoder's learning rate; one without
    tries four learning rates. So does CoSENT where its λ is given, suggested or learned.
    """
    graded = {"stsb_zh": 5, "stsb_en": 5, "atec": 1, "bq": 1, "lcqmc": 1}  # epochs; the quick ones first
    for task, epochs in graded.items():
        for label, loss, fixed, dial in _contenders(ordinal=task.startswith("stsb")):
            yield dial_entry("main", task, {"epochs": epochs}, label, loss, fixed, dial)
    yield from _small_encoder()


def _small_encoder() -> Iterator[Entry]:
    """The same with a BERT of two layers from scratch at its own learning rate, nothing chosen; two seeds.

    It takes minutes where the static encoder takes seconds: of LCQMC's training pairs about a quarter is used.
    """
    for task, epochs in {"atec": 3, "lcqmc": 1, "stsb_en": 3, "stsb_zh": 3, "bq": 5}.items():  # the telling ones first
        rows: list[tuple[str, str, dict[str, Any]]] = [
            ("CoSENT, λ suggested", "cosent", {"scale": "suggested"}),
            ("CoSENT, λ = 20", "cosent", {"scale": 20.0}),
            ("squared cosine", "cosine_squared", {}),
            ("cosine with margin", "cosine_margin", {}),
            ("Sentence-BERT, 2 classes", "sbert", {}),
            ("RankNet, λ = 20", "ranknet", {"scale": 20.0}),
            ("power mean, κ = -1, λ = 20", "power_mean", {"scale": 20.0, "exponent": -1.0}),
        ]
        if task.startswith("stsb"):
            rows.append(("Sentence-BERT, 6 classes", "sbert", {"num_labels": 6}))
        for label, loss, options in rows:
            run = Run(suite="main", task=task, encoder="small", loss=loss, loss_options=options,
                      training={"epochs": epochs}, alter={"take": 64_000} if task == "lcqmc" else {})  # fmt: skip
            yield Entry(label=label, candidates=(run,), seeds=(0, 1))


Contender = tuple[str, str, Mapping[str, Any], tuple[str, Sequence[float]]]


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


SUITES: dict[str, Callable[..., Iterator[Run | Entry]]] = {
    "builtin": builtin, "spine": spine, "main": main, **SENTENCE_PAIRS, **TABLE_SUITES
}  # fmt: skip


def suite_entries(suite: str, encoder: str | None = None) -> list[Run | Entry]:
    """What a suite declares, in its order; with ``encoder`` (a folder or hub id) that one in the place of its own.

    Raises:
        ValueError: An unknown suite, or an encoder for a suite whose settings belong to its own.
    """
    if suite not in SUITES:
        raise ValueError(f"unknown suite {suite!r}, expected one of: {', '.join(SUITES)}")
    declare = SUITES[suite]
    if encoder is None:
        return list(declare())
    if "encoders" not in signature(declare).parameters:
        free = ", ".join(name for name, each in SUITES.items() if "encoders" in signature(each).parameters)
        raise ValueError(
            f"the settings of suite {suite!r} belong to its own encoders; the suites for any encoder are: {free}"
        )
    return list(declare(encoders=(encoder,)))


def suite_plan(suite: str, folder: Path | None = None, only: str = "", encoder: str | None = None) -> Plan:
    """All runs of a suite that are known now, candidates before what is chosen from them, each once.

    Args:
        suite: Its name.
        folder: Folder of its records, by which choices are made.
        only: Leave out entries and runs whose description does not contain this.
        encoder: As for `suite_entries`.
    """
    runs: dict[str, Run] = {}
    undecided = 0
    for entry in suite_entries(suite, encoder):
        if isinstance(entry, Run):
            found = [entry] if only in str(entry) else []
        elif only in f"{entry.candidates[0].task} · {entry.label}" or any(only in str(run) for run in entry.candidates):
            undecided += len(entry.seeds) if entry.waits(folder) else 0
            found = [*entry.trials, *entry.reported(folder)]
        else:
            found = []
        runs |= {run.key: run for run in found if run.key not in runs}
    return Plan(list(runs.values()), undecided)


def suite_rows(
    suite: str, folder: Path | None = None, only: str = "", encoder: str | None = None
) -> list[tuple[str, list[Run]]]:
    """The rows of a suite's table: a label, and the runs over seeds that it reports; arguments as for `suite_plan`.

    An entry that has no choice yet has no runs. Runs declared singly make a row where they differ in the seed alone.
    """
    rows: dict[str, tuple[str, list[Run]]] = {}
    for entry in suite_entries(suite, encoder):
        if isinstance(entry, Entry):
            runs = entry.reported(folder)
            row = f"{entry.candidates[0].task} · {entry.label}"
            if only in row or any(only in str(run) for run in entry.candidates):
                # rows of two encoders may be called the same
                rows[f"{row} · {entry.candidates[0].encoder_label}"] = (entry.label, runs)
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
