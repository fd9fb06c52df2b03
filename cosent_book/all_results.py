"""What is recorded, a table a suite: the rows of the page *All results*.

`results` says of a suite how much of it is recorded and gives a line for each row with a result; `cells` are the texts
of these lines, as the page shows them, and `notes` what their marks mean.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import getdoc
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from cosent_book.comparisons import mean_interval
from cosent_book.measurements.registry import declared, missing_measurements
from cosent_book.records import load_records
from cosent_book.suites.plan import SUITES, rows
from cosent_book.suites.rows import Row
from cosent_book.suites.search import Search
from cosent_book.tables import MISSING, decimals, with_half_width
from cosent_lib.runs.record import Record
from cosent_lib.runs.run import Run

LAST, EDGE = "†", "‡"
UNDEFINED = "undefined"
NUMBERS = frozenset(
    ("test Spearman", "AUC", "accuracy", "MRR", "seeds", "trials", "epochs", "best step")
)  # fmt: skip
"""The columns of `cells` that hold numbers."""
_NOTES = {
    LAST: "In one of these runs or more the best step was the last one allowed: longer training might give more.",
    EDGE: "The chosen value is an end of the range that was searched: the best might lie beyond it.",
}
_METRICS = {"auc": ("test", "auc"), "accuracy": ("test", "accuracy"), "mrr": ("test_retrieval", "mrr")}
_COLUMNS = (
    "task", "encoder", "row", "altered", "spearman", "half_width", *_METRICS, "seeds", "declared_seeds", "chosen",
    "at_edge", "trials", "loss", "training", "epochs", "best_step", "at_last",
)  # fmt: skip


@dataclass(frozen=True)
class Results:
    """What is recorded of a suite.

    Attributes:
        suite: its name.
        about: what it compares, the first paragraph of its docstring.
        runs: how many runs it comes to, as far as that is known before all choices are made.
        recorded: how many of them have a record.
        rows: how many rows it declares.
        frame: a line for each row with a result, in their declared order: ``task``, ``encoder``, ``row`` (its label),
            ``altered`` (changes of the data), ``spearman``, ``auc``, ``accuracy`` and ``mrr`` (means on test over
            seeds, NaN where one is undefined or there is none), ``half_width`` (of the 95 % t-interval of the first;
            NaN for one seed), ``seeds`` (recorded) of ``declared_seeds``, ``chosen`` (settings that were chosen on
            validation, a dictionary), ``at_edge`` (names of those at an end of what was searched), ``trials`` (that
            the choice was made from; 0 without a choice), ``loss`` and ``training`` (the other settings, as text),
            ``epochs`` and ``best_step`` (means), ``at_last`` (of how many runs the best step was the last allowed).
    """

    suite: str
    about: str
    runs: int
    recorded: int
    rows: int
    frame: pd.DataFrame


def results(suite: str, folder: Path | None = None) -> Results:
    """What is recorded of a suite; its file is read once.

    Args:
        suite: its name.
        folder: of its file; by default the book's own ``results``.

    Raises:
        ValueError: an unknown suite.
        DamagedRecord: a record that cannot be read.
    """
    records = load_records(suite, folder)
    states = [_state_of(row, records) for row in rows(suite)]
    known = {key for state in states for key in (*state.trials, *state.reported)}
    undecided = sum(len(state.row.seeds) - state.row.dear for state in states if state.waits)
    lines = [_line(state, records) for state in states if state.has_result(records)]
    return Results(
        suite=suite,
        about=(getdoc(SUITES[suite]) or "").partition("\n\n")[0].replace("\n", " "),
        runs=len(known) + undecided,
        recorded=len(known & records.keys()),
        rows=len(states),
        frame=pd.DataFrame(lines, columns=list(_COLUMNS)),
    )


def cells(frame: pd.DataFrame) -> pd.DataFrame:
    """The texts of a table for a frame of `Results`; columns that would be empty throughout are left out.

    Metrics have three decimals. Where seeds are still to come, both numbers are given; `LAST` and `EDGE` are marks that
    `notes` explains. The column ``loss`` is left out, too, where it says what the rows are called.
    """
    shown = {
        "task": frame["task"], "encoder": frame["encoder"], "row": frame["row"], "altered data": frame["altered"],
        "test Spearman": [_spearman(*line) for line in zip(frame["spearman"], frame["half_width"], strict=True)],
        "AUC": frame["auc"].map(decimals), "accuracy": frame["accuracy"].map(decimals),
        "MRR": frame["mrr"].map(decimals),
        "seeds": [_share(*line) for line in zip(frame["seeds"], frame["declared_seeds"], strict=True)],
        "chosen": [_choice(*line) for line in zip(frame["chosen"], frame["at_edge"], frame["trials"], strict=True)],
        "trials": ["" if count == 0 else str(count) for count in frame["trials"]],
        "loss": frame["loss"], "training": frame["training"],
        "epochs": [decimals(value, 1).removesuffix(".0") for value in frame["epochs"]],
        "best step": [_step(*line) for line in zip(frame["best_step"], frame["at_last"], strict=True)],
    }  # fmt: skip
    if frame["loss"].equals(frame["row"]):
        del shown["loss"]
    texts = pd.DataFrame(shown, dtype=str)
    return texts.loc[:, ~texts.isin(["", MISSING]).all()]


def notes(texts: pd.DataFrame) -> list[str]:
    """What the marks in the texts of a table mean; none where it has no mark."""
    places = {LAST: "best step", EDGE: "chosen"}
    marks = [mark for mark, name in places.items() if name in texts and any(mark in text for text in texts[name])]
    return [f"{mark} {_NOTES[mark]}" for mark in marks]


def measurement_list(folder: Path | None = None) -> pd.DataFrame:
    """A line for each declared measurement: ``measurement``, ``arguments`` and ``recorded``, yes or no, as texts.

    Raises:
        DamagedRecord: a record that cannot be read.
    """
    absent = missing_measurements(folder=folder)
    lines = [
        (name, " ".join(f"{key}={value}" for key, value in arguments.items()),
         "no" if (name, arguments) in absent else "yes")
        for name, arguments in declared()
    ]  # fmt: skip
    return pd.DataFrame(lines, columns=["measurement", "arguments", "recorded"])


class _State(NamedTuple):
    """What a row comes to, asked once: keys take most of the time. Runs by key, and whether the choice is to come."""

    row: Row
    trials: dict[str, Run]
    reported: dict[str, Run]
    waits: bool

    def has_result(self, records: Mapping[str, Record]) -> bool:
        """Whether one of its results is recorded, or there will be none because every trial failed."""
        return any(key in records for key in self.reported) or not (self.reported or self.waits)


def _state_of(row: Row, records: Mapping[str, Record]) -> _State:
    trials = {run.key: run for run in row.trials(records)}
    reported = {run.key: run for run in row.reported(records)}
    return _State(row, trials, reported, not reported and row.waits(records))


def _line(state: _State, records: Mapping[str, Record]) -> dict[str, Any]:
    """A row of the frame."""
    row, reported = state.row, list(state.reported.values())
    made = [records[key] for key in state.reported if key in records]
    run = reported[0] if reported else row.candidates[0]  # else: all trials failed
    chosen = {name: _settings(run).get(name) for name in _searched(row)} if reported else {}
    fixed = replace(
        run,
        training={name: value for name, value in run.training.items() if name not in chosen},
        loss_options={name: value for name, value in run.loss_options.items() if name not in chosen},
    )
    spearman, half_width = _mean(made, "test", "spearman")
    return {
        "task": run.task, "encoder": run.encoder_label, "row": row.label, "altered": run.alter_label,
        "spearman": spearman, "half_width": half_width,
        **{name: _mean(made, *where)[0] for name, where in _METRICS.items()},
        "seeds": len(made), "declared_seeds": len(row.seeds), "chosen": chosen, "at_edge": _at_edge(row, chosen),
        "trials": len(state.trials), "loss": fixed.loss_label, "training": fixed.training_label,
        "epochs": _mean_of([record.evaluations[-1].get("epoch") for record in made if record.evaluations]),
        "best_step": _mean_of([record.best_step for record in made]),
        "at_last": sum(record.best_step == record.steps for record in made),
    }  # fmt: skip


def _settings(run: Run) -> dict[str, Any]:
    return {**run.training, **run.loss_options}


def _searched(row: Row) -> list[str]:
    """Names of the settings in which the candidates of a row differ."""
    if isinstance(row, Search):
        return [ladder.name for ladder in row.ladders]
    every = [_settings(run) for run in row.candidates]
    names = dict.fromkeys(name for settings in every for name in settings)
    return [name for name in names if any(settings.get(name) != every[0].get(name) for settings in every)]


def _at_edge(row: Row, chosen: Mapping[str, Any]) -> list[str]:
    """The settings whose chosen value is the least or the greatest of those that could have been tried."""
    ladders: dict[str, list[Any]]
    if isinstance(row, Search):
        ladders = {ladder.name: list(ladder.values) for ladder in row.ladders}
    else:
        ladders = {name: [_settings(run).get(name) for run in row.candidates] for name in chosen}
    return [
        name
        for name, value in chosen.items()
        if all(isinstance(each, int | float) for each in ladders[name])
        and value in (min(ladders[name]), max(ladders[name]))
    ]


def _mean(made: Sequence[Record], split: str, metric: str) -> tuple[float, float]:
    """Mean and half-width over seeds; NaN where one of the runs has none."""
    values = [(record.metrics.get(split) or {}).get(metric) for record in made]
    given = [float(value) for value in values if value is not None]
    return mean_interval(given) if given and len(given) == len(values) else (math.nan, math.nan)


def _mean_of(values: Sequence[float | None]) -> float:
    given = [float(value) for value in values if value is not None]
    return sum(given) / len(given) if given else math.nan


def _spearman(mean: float, half_width: float) -> str:
    if math.isnan(mean):
        return UNDEFINED
    return with_half_width(mean, half_width, 3)


def _share(count: int, declared_count: int) -> str:
    return str(count) if count == declared_count else f"{count} of {declared_count}"


def _choice(chosen: Mapping[str, Any], at_edge: Sequence[str], trials: int) -> str:
    if trials and not chosen:
        return "none: every trial failed"
    return " ".join(f"{name}={value}{EDGE if name in at_edge else ''}" for name, value in chosen.items())


def _step(mean: float, at_last: int) -> str:
    return decimals(mean, 0) + (f" {LAST}" if at_last else "")
