"""What a suite is made of: rows of a comparison, whose settings are fixed or chosen on validation."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cosent_lib.runs.record import Record
from cosent_lib.runs.run import Run

Losses = Sequence[tuple[str, Mapping[str, Any]]]

# All losses with the defaults that their papers or posts give.
ALL_LOSSES: Losses = tuple(
    (name, {})
    for name in (
        "cosine_linear", "cosine_squared", "cosine_margin", "sbert", "cosent", "ranknet", "angle", "mnrl"
    )
)  # fmt: skip

# the dials of the encoder `static`: four values each
RATES = ("learning_rate", (3e-3, 6e-3, 1e-2, 2e-2))
SCALES = ("scale", (5.0, 10.0, 20.0, 40.0))


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a comparison: a loss on a task with an encoder, over seeds.

    With several candidates the settings are chosen on validation: each candidate is trained once, with the first seed,
    and evaluated on validation alone. The best of them is trained with every seed and evaluated on test. Of equals the
    first declared is taken; one that failed is never the best.

    Attributes:
        label: What the row is called.
        candidates: Runs that differ in what is to be chosen; one where nothing is.
        seeds: Seeds of the reported runs.
        dear: The runs are long. Each candidate is judged at once, to save a run of the chosen one (the choice is made
            on validation all the same), and further seeds come after the first ones of all rows.
    """

    label: str
    candidates: tuple[Run, ...]
    seeds: tuple[int, ...]
    dear: bool = False

    def __str__(self) -> str:
        return f"{self.candidates[0].task} · {self.label}"

    def names(self, text: str) -> bool:
        """Whether ``text`` stands in the row's name or in the description of one of its runs."""
        runs = [*self.candidates, *(self.of_seeds(self.candidates[0]) if len(self.candidates) == 1 else [])]
        return any(text in str(each) for each in (self, *runs))

    def of_seeds(self, run: Run) -> list[Run]:
        """A candidate with every seed."""
        return [replace(run, seed=seed) for seed in self.seeds]

    def trials(self, recorded: Mapping[str, Record]) -> list[Run]:
        """The runs that the choice is made from, as far as they are known; none where there is nothing to choose."""
        if len(self.candidates) == 1:
            return []
        return [replace(run, seed=self.seeds[0], judge=run.judge if self.dear else ()) for run in self.candidates]

    def waits(self, recorded: Mapping[str, Record]) -> bool:
        """Whether a candidate is not among the records, so that the choice is still to come."""
        return not all(run.key in recorded for run in self.trials(recorded))

    def chosen(self, recorded: Mapping[str, Record]) -> Run | None:
        """The best candidate on validation; None as long as one has no record, and where all of them failed."""
        if self.waits(recorded):
            return None
        if len(self.candidates) == 1:
            return self.candidates[0]
        found = [recorded[run.key].metrics["validation"] for run in self.trials(recorded)]
        scores = [-math.inf if not metrics or metrics["spearman"] is None else metrics["spearman"] for metrics in found]
        return None if max(scores) == -math.inf else self.candidates[scores.index(max(scores))]

    def reported(self, recorded: Mapping[str, Record]) -> list[Run]:
        """The runs whose test results are reported; none before the choice is made."""
        chosen = self.chosen(recorded)
        return [] if chosen is None else self.of_seeds(chosen)


def grid(
    suite: str,
    *,
    tasks: Sequence[str],
    encoder: str,
    losses: Losses,
    seeds: Sequence[int],
    encoder_options: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    **others: Any,
) -> Iterator[Row]:
    """Every task × loss, in this order, with one encoder and one training configuration and nothing to choose.

    ``others`` are further fields of `Run`.
    """
    for task in tasks:
        for loss, options in losses:
            run = Run(
                suite=suite,
                task=task,
                encoder=encoder,
                encoder_options=encoder_options or {},
                loss=loss,
                loss_options=options,
                training=training or {},
                **others,
            )
            yield Row(label=run.loss_label, candidates=(run,), seeds=tuple(seeds))


def dial_row(
    suite: str,
    task: str,
    training: Mapping[str, Any],
    label: str,
    loss: str,
    fixed: Mapping[str, Any],
    dial: tuple[str, Sequence[float]],
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
) -> Row:
    """A row with the static encoder; the dial ``learning_rate`` is a setting of training, any other of the loss."""
    name, values = dial
    candidates = []
    for value in values:
        options, settings = dict(fixed), dict(training)
        (settings if name == "learning_rate" else options)[name] = value
        candidates.append(
            Run(suite=suite, task=task, encoder="static", loss=loss, loss_options=options, training=settings)
        )
    return Row(label=label, candidates=tuple(candidates), seeds=tuple(seeds))
