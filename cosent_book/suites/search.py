"""Rows whose settings are searched for: the same rule for every loss, extended where a best lies at an edge."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cosent_book.suites.rows import Row
from cosent_lib.runs.record import Record
from cosent_lib.runs.run import Run


@dataclass(frozen=True)
class Ladder:
    """The values that a setting may take, in rising order, and those that are tried whatever comes out.

    Attributes:
        name: ``learning_rate``, a setting of training, or an option of the loss.
        values: all of them; the first and the last are where the search ends.
        first: those tried first, neighbours in ``values``.
    """

    name: str
    values: tuple[float, ...]
    first: tuple[float, ...]

    def with_value(self, run: Run, value: float) -> Run:
        """The run with this setting."""
        if self.name == "learning_rate":
            return replace(run, training={**run.training, self.name: value})
        return replace(run, loss_options={**run.loss_options, self.name: value})

    def value_of(self, run: Run) -> float | None:
        """What the run has for this setting; None where nothing is said."""
        settings: Mapping[str, Any] = run.training if self.name == "learning_rate" else run.loss_options
        return settings.get(self.name)

    def beyond(self, tried: set[float], best: float) -> float | None:
        """The next value to try where the best is at an edge of those tried; None where it is not, or none is left."""
        at = self.values.index(best)
        for step in (-1, 1):
            if 0 <= at + step < len(self.values) and self.values[at + step] not in tried:
                return self.values[at + step]
        return None


@dataclass(frozen=True, kw_only=True)
class Search(Row):
    """A row whose settings are searched for on validation, with the first seed.

    Learning rates are tried at the customary dial, then values of the dial at the best rate; a best value at the edge
    of those tried is followed along its ladder until there is a worse neighbour on both sides or the ladder ends. The
    best of all trials is trained with every seed and evaluated on test.

    Attributes:
        candidates: One run, with the customary dial and no learning rate.
        ladders: What is searched for, one after the other.
    """

    ladders: tuple[Ladder, ...]

    def trials(self, recorded: Mapping[str, Record]) -> list[Run]:
        """The runs of the search that are known: those with records, and those that can be made now."""
        return self._searched(recorded)[0]

    def waits(self, recorded: Mapping[str, Record]) -> bool:
        """Whether the search has not ended."""
        return not self._searched(recorded)[1]

    def chosen(self, recorded: Mapping[str, Record]) -> Run | None:
        """The best trial on validation; None as long as the search has not ended, and where all of them failed."""
        trials, ended = self._searched(recorded)
        if not ended:
            return None
        best = _best(trials, recorded)
        return None if best is None else replace(best, judge=self.candidates[0].judge)

    def at_edge(self, recorded: Mapping[str, Record]) -> list[str]:
        """The settings whose chosen value is an end of its ladder, so that the best may lie beyond."""
        chosen = self.chosen(recorded)
        if chosen is None:
            return []
        return [each.name for each in self.ladders if each.value_of(chosen) in (each.values[0], each.values[-1])]

    def _searched(self, recorded: Mapping[str, Record]) -> tuple[list[Run], bool]:
        """All known trials, and whether the search has ended."""
        first = self.candidates[0]
        run = replace(first, seed=self.seeds[0], judge=first.judge if self.dear else ())
        trials: dict[str, Run] = {}
        for ladder in self.ladders:
            stage = list(self._stage(run, ladder, recorded))
            trials |= {trial.key: trial for trial in stage}
            best = _best(stage, recorded)
            if any(trial.key not in recorded for trial in stage) or best is None:
                return list(trials.values()), best is None and all(trial.key in recorded for trial in stage)
            run = best
        return list(trials.values()), True

    def _stage(self, run: Run, ladder: Ladder, recorded: Mapping[str, Record]) -> Iterator[Run]:
        """The trials of one ladder that are known, the other settings as in ``run``."""
        customary = ladder.value_of(run)
        tried = {value: ladder.with_value(run, value) for value in ladder.first}
        if customary in ladder.values:
            tried[customary] = run
        while all(trial.key in recorded for trial in tried.values()):
            best = _best(list(tried.values()), recorded)
            value = ladder.value_of(best) if best is not None else None
            further = None if value is None else ladder.beyond(set(tried), value)
            if further is None:
                break
            tried[further] = ladder.with_value(run, further)
        yield from tried.values()


def _best(trials: list[Run], recorded: Mapping[str, Record]) -> Run | None:
    """The recorded trial with the highest Spearman on validation, the first of equals; None where none has any."""
    scores = {}
    for trial in trials:
        metrics = recorded[trial.key].metrics["validation"] if trial.key in recorded else None
        if metrics and metrics["spearman"] is not None:
            scores[trial.key] = metrics["spearman"]
    if not scores or max(scores.values()) == -math.inf:
        return None
    key = max(scores, key=lambda each: scores[each])
    return next(trial for trial in trials if trial.key == key)
