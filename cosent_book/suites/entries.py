"""What a suite is made of: grids of runs with fixed settings, and entries whose settings are chosen on validation."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cosent_lib.runs.run import Run, read_record, record_path

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
) -> Iterator[Run]:
    """Every task × loss × seed, in this order, with one encoder and one training configuration.

    ``others`` are further fields of `Run`.
    """
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
                    **others,
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


def dial_entry(
    suite: str,
    task: str,
    training: Mapping[str, Any],
    label: str,
    loss: str,
    fixed: Mapping[str, Any],
    dial: tuple[str, Sequence[float]],
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
) -> Entry:
    """An entry with the static encoder; the dial ``learning_rate`` is a setting of training, any other of the loss."""
    name, values = dial
    candidates = []
    for value in values:
        options, settings = dict(fixed), dict(training)
        (settings if name == "learning_rate" else options)[name] = value
        candidates.append(
            Run(suite=suite, task=task, encoder="static", loss=loss, loss_options=options, training=settings)
        )
    return Entry(label=label, candidates=tuple(candidates), seeds=tuple(seeds))
