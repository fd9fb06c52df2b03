"""What the records say about a claim: each comparison that it rests on, and the verdict that follows.

A claim says that one row of a suite is ahead of another (or level with it). `verdict_of` reads that off the records, by
rules that are the same for all claims, so that the text cannot be kinder to one of them.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from cosent_book import store
from cosent_book.comparisons import mean_interval
from cosent_book.frames import frame
from cosent_book.measurements.registry import SUITE as MEASUREMENTS
from cosent_book.records import RecordMissing
from cosent_book.suites.plan import rows

Outcome = Literal["holds", "open", "contradicts"]
Verdict = Literal["stands", "bounded", "open", "doubtful", "fell"]
ROLES = ("sets", "encoders", "budgets")
EPOCHS = "epochs_needed"  # to within half a point of the best on validation; all other metrics are shown times 100
VERDICTS: dict[Verdict, str] = {
    "stands": "It holds on all its sets; nothing elsewhere contradicts it, though not every interval there excludes "
    "the opposite.",
    "bounded": "It holds on all its sets, and another encoder or another budget contradicts it.",
    "open": "On its sets not every interval excludes the opposite; nothing contradicts it.",
    "doubtful": "On its sets not every interval excludes the opposite, and another encoder or budget contradicts it.",
    "fell": "One of its own sets contradicts it.",
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where two rows of a suite are compared.

    Attributes:
        suite: its name.
        task: the set.
        row: label of the row that the claim favours.
        base: label of the other.
        encoder: name of the encoder of both.
        alter: changes of the training pairs, as `Run.alter_label` has them.
        base_alter: those of the base, where they are others.
        rate: learning rate of both, where the suite has several rows of a label.
        metric: a column of `cosent_book.frames.frame`, `EPOCHS`, or ``best_NAME``: what was watched as NAME at the
            step that was kept.
    """

    suite: str
    task: str
    row: str
    base: str
    encoder: str = "static"
    alter: str = ""
    base_alter: str | None = None
    rate: float | None = None
    metric: str = "test_spearman"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence of the book that rests on records.

    Attributes:
        name: marks the sentence in its chapter: ``<!-- claim: NAME -->``.
        text: the sentence, as wide as it was tried.
        chapter: number of the chapter that makes it.
        sets: comparisons that it rests on; a record that is missing there is an error.
        encoders: the same comparison with other encoders.
        budgets: the same with another number of epochs.
        by: the row is ahead by more than so many points (epochs).
        within: instead, it is level: the two differ by at most so many points.
        verdict: what the text says became of it.
    """

    name: str
    text: str
    chapter: int
    sets: tuple[Place, ...]
    verdict: Verdict
    encoders: tuple[Place, ...] = ()
    budgets: tuple[Place, ...] = ()
    by: float = 0.0
    within: float | None = None

    def __post_init__(self) -> None:
        if self.within is not None and self.by:
            raise ValueError(f"claim {self.name!r}: a difference is either above `by` or `within`, not both")

    def outcome(self, low: float, high: float) -> Outcome:
        """What an interval of the difference, in points (epochs), says about the claim."""
        if math.isnan(low) or math.isnan(high):  # one seed has no interval
            return "open"
        if self.within is None:
            return "holds" if low > self.by else "contradicts" if high <= self.by else "open"
        if max(abs(low), abs(high)) <= self.within:
            return "holds"
        return "contradicts" if low > self.within or high < -self.within else "open"


@dataclass(frozen=True)
class Finding:
    """One comparison of a claim, in points (epochs).

    Attributes:
        place: what was compared.
        role: one of `ROLES`.
        difference: mean over the seeds that both rows have.
        half_width: of its 95 % t-interval over seeds; NaN for one seed.
        seeds: how many.
        epochs: mean number of epochs that the two rows were trained.
        pairs: ends of the 95 % bootstrap interval over test pairs (seed 0); None where it was not measured.
        over_seeds: what the seeds say.
        over_pairs: what the test pairs say; None where it was not measured.
    """

    place: Place
    role: str
    difference: float
    half_width: float
    seeds: int
    epochs: float
    pairs: tuple[float, float] | None
    over_seeds: Outcome
    over_pairs: Outcome | None


class Evidence:
    """The book's records, that claims are held against; each suite is read once."""

    def __init__(self) -> None:
        self._suites: dict[str, pd.DataFrame] = {}

    def findings(self, claim: Claim) -> list[Finding]:
        """All comparisons of a claim, its own sets first.

        Raises:
            RecordMissing: a row of one of its own sets is not recorded with every seed. A comparison with another
                encoder or budget that is not recorded is left out.
            ValueError: a place that no suite has.
        """
        return [
            found
            for role in ROLES
            for place in getattr(claim, role)
            if (found := self._finding(claim, place, role)) is not None
        ]

    def _finding(self, claim: Claim, place: Place, role: str) -> Finding | None:
        turned = place if place.base_alter is None else replace(place, alter=place.base_alter)
        row, base = self._runs(place, place.row), self._runs(turned, place.base)
        if row.empty or base.empty:
            if role == "sets":
                raise RecordMissing(f"claim {claim.name!r} rests on runs that have no record: {place}")
            return None
        factor = 1.0 if place.metric == EPOCHS else 100.0
        both = factor * (row.set_index("seed")[place.metric] - base.set_index("seed")[place.metric]).dropna()
        difference, half = mean_interval(both.to_numpy())
        pairs = self._over_pairs(place)
        return Finding(
            place, role, difference, half, len(both), float(pd.concat([row, base])["epochs"].mean()), pairs,
            claim.outcome(difference - half, difference + half), pairs and claim.outcome(*pairs),
        )  # fmt: skip

    def _runs(self, place: Place, label: str) -> pd.DataFrame:
        """The recorded runs of a row; none unless every seed is there."""
        seeds = _declared_seeds(place, label)
        runs = self._suite(place.suite)
        here = runs[
            (runs["task"] == place.task) & (runs["encoder_name"] == place.encoder) & (runs["row"] == label)
            & (runs["alter"] == place.alter)
        ]  # fmt: skip
        if place.rate is not None:
            here = here[[record.run.training.get("learning_rate") == place.rate for record in here["record"]]]
        if here["seed"].duplicated().any():
            raise ValueError(f"several runs of one seed are called {label!r} in {place}; give a rate")
        return here if len(here) == seeds else here.iloc[:0]

    def _suite(self, name: str) -> pd.DataFrame:
        if name not in self._suites:
            self._suites[name] = _with_epochs(frame(name, live=False, partial=True))
        return self._suites[name]

    def _over_pairs(self, place: Place) -> tuple[float, float] | None:
        """The bootstrap interval over test pairs, in points, where it was measured."""
        if place.metric != "test_spearman" or place.encoder != "static" or place.alter:
            return None
        found = self._measured.get((place.suite, place.task, place.row, place.base))
        turned = self._measured.get((place.suite, place.task, place.base, place.row))
        return found or (turned and (-turned[1], -turned[0]))

    @cached_property
    def _measured(self) -> Mapping[tuple[str, str, str, str], tuple[float, float]]:
        """Intervals by suite, task and the two rows."""
        return {
            (values["arguments"]["suite"], values["arguments"]["task"], each["row"], each["base"]): (
                100 * each["low"], 100 * each["high"],
            )
            for _, values in store.read(MEASUREMENTS).values()
            if values["measurement"] == "paired_differences"
            for each in values["result"]["differences"]
        }  # fmt: skip


def _declared_seeds(place: Place, label: str) -> int:
    """How many seeds the suite declares for a row of this label at this place."""
    for row in rows(place.suite, only=label):
        first = row.candidates[0]
        here = (first.task, first.encoder, first.alter_label) == (place.task, place.encoder, place.alter)
        if row.label == label and here and (place.rate is None or first.training.get("learning_rate") == place.rate):
            return len(row.seeds)
    raise ValueError(f"suite {place.suite!r} declares no row {label!r} for {place}")


def _with_epochs(runs: pd.DataFrame) -> pd.DataFrame:
    """The frame with ``epochs`` trained, `EPOCHS` and what was watched at the step that was kept, of each run."""
    kept: list[Mapping[str, Any]] = [
        next((each for each in record.watched if each["step"] == record.best_step), {}) for record in runs["record"]
    ]
    names = dict.fromkeys(name for each in kept for name in each)
    watched = {f"best_{name}": np.array([each.get(name, math.nan) for each in kept], dtype=float) for name in names}
    return runs.assign(
        epochs=[_epoch(record.evaluations, record.steps) for record in runs["record"]],
        **{EPOCHS: [epochs_needed(record.evaluations) for record in runs["record"]]},
        **watched,
    )


def _epoch(evaluations: Any, step: int | None) -> float:
    return next((float(each["epoch"]) for each in evaluations if each["step"] == step), math.nan)


def epochs_needed(evaluations: Sequence[Mapping[str, Any]], within: float = 0.005) -> float:
    """The first epoch whose validation Spearman is within half a point of the best; NaN where none is defined."""
    scores = [(float(each["epoch"]), each["spearman"]) for each in evaluations if each["spearman"] is not None]
    best = max((score for _, score in scores), default=math.nan)
    return next((epoch for epoch, score in scores if score >= best - within), math.nan)


def verdict_of(findings: list[Finding]) -> Verdict:
    """The verdict on a claim from its comparisons: see `VERDICTS`."""
    own, other = list(_outcomes(findings, ("sets",))), list(_outcomes(findings, ("encoders", "budgets")))
    if "contradicts" in own:
        return "fell"
    if "contradicts" in other:
        return "doubtful" if "open" in own else "bounded"
    return "open" if "open" in own else "stands"


def _outcomes(findings: list[Finding], roles: tuple[str, ...]) -> Iterator[Outcome]:
    for found in findings:
        if found.role in roles:
            yield found.over_seeds
            if found.over_pairs is not None:
                yield found.over_pairs
