"""Validation along training: the metrics by which the best step is chosen, and scales computed from its cosines."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cosent_lib.data.columns import PairColumns, Pairs, pair_columns
from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.evaluation.evaluate import cosine_scores
from cosent_lib.evaluation.metrics import UndefinedMetric, check_defined, score_metrics
from cosent_lib.losses.order import ScaledLoss
from cosent_lib.training.batches import digest_of
from cosent_lib.training.setup import Objective, TrainingConfig, Watch

SAMPLE = 32  # pairs looked at before the first step
SAME = 1e-6  # cosines that differ by no more differ by rounding


class Validation:
    """The validation pairs of a run, if there are any; each look at them is one pass of the encoder.

    Args:
        config: of the run.
        loss: of the run; its scales, or those of its parts, may be given as rules.
        pairs: as for ``train``.

    Raises:
        ValueError: bad pairs, labels that are all equal, settings or a scale that need pairs where there are none.
    """

    def __init__(self, config: TrainingConfig, loss: nn.Module, pairs: Pairs | None) -> None:
        if getattr(loss, "needs_order", False) and config.batch_size < 2:
            name = type(loss).__name__
            raise ValueError(f"{name} compares the pairs of a batch: batch_size must be at least 2, got 1")
        self.pairs = pairs
        self.ruled = [part for part in loss.modules() if isinstance(part, ScaledLoss) and part.scale_rule is not None]
        if pairs is None:
            if config.patience is not None:
                raise ValueError("patience counts validations: it needs validation pairs")
            if self.ruled:
                raise ValueError(f"scale {self.ruled[0].scale_rule!r} is computed from validation pairs: give some")
            return
        columns = pair_columns(pairs, "validation")
        check_defined(columns.labels, "validation labels")
        self.columns, self.labels, self.digest = columns, columns.labels, digest_of(*columns)

    columns: PairColumns
    labels: NDArray[np.float64]
    digest: str | None = None

    def look_ahead(self, encoder: SentenceEncoder) -> None:
        """Look, before the first step, whether the cosines can tell pairs apart: at a few; at all only if these do not.

        Raises:
            UndefinedMetric: all are equal, and no training can change that.
        """
        if self.pairs is None:
            return
        rows = np.unique(np.linspace(0, len(self.labels) - 1, SAMPLE).astype(int))
        first, second = ([texts[row] for row in rows] for texts in self.columns[:2])
        sample = {"sentence1": first, "sentence2": second, "score": self.labels[rows]}
        if np.ptp(cosine_scores(encoder, sample)) > SAME:
            return
        cosines = cosine_scores(encoder, self.pairs)
        if np.ptp(cosines) > SAME:
            return
        equal = f"validation: all {len(cosines)} cosines equal {cosines[0]:.6g} before the first step"
        if cause := self._lasting_cause(encoder):
            raise UndefinedMetric(f"{equal}, and training cannot change that: {cause}")
        warnings.warn(f"{equal}: the encoder does not tell any texts apart yet", stacklevel=7)

    def evaluate(self, encoder: SentenceEncoder) -> tuple[dict[str, float], NDArray[np.float64]]:
        """Metrics, as from ``evaluate``, and the cosines they are of.

        Raises:
            UndefinedMetric: the cosines are all equal; says why.
        """
        cosines = cosine_scores(encoder, self.pairs)
        try:
            return score_metrics(cosines, self.labels), cosines
        except UndefinedMetric as error:
            cause = self._lasting_cause(encoder) or (
                "the encoder gives all texts the same direction; a lower learning rate may keep them apart"
            )
            equal = f"all {len(cosines)} cosines equal {cosines[0]:.6g}"
            raise UndefinedMetric(f"validation: {equal}, so no step can be chosen: {cause}") from error

    def _lasting_cause(self, encoder: SentenceEncoder) -> str | None:
        """Why the cosines are equal whatever the parameters; None where the tokens do not tell."""
        first, second = (encoder.tokenize(texts) for texts in self.columns[:2])
        unknown = sum(not ids for ids in [*first, *second])
        if all(not a or not b for a, b in zip(first, second, strict=True)):
            return (
                f"the encoder knows no word of {unknown} of the {2 * len(first)} texts, at least one of every pair; "
                "expected texts like those its vocabulary is from"
            )
        if all(a == b for a, b in zip(first, second, strict=True)):
            return "both texts of every pair are the same tokens to the encoder"
        return None

    def suggest_scales(self, encoder: SentenceEncoder) -> None:
        """Compute every scale that is given as a rule, before the first step.

        Raises:
            ValueError: the untrained encoder's cosines do not let it be computed.
        """
        if self.ruled:
            self._fit(self.ruled, cosine_scores(encoder, self.pairs), "before the first step")

    def follow_scales(self, cosines: NDArray[np.float64], step: int) -> None:
        """Compute anew the scales that are followed."""
        self._fit([part for part in self.ruled if part.scale_rule == "followed"], cosines, f"after step {step}")

    def _fit(self, losses: list[ScaledLoss], cosines: NDArray[np.float64], when: str) -> None:
        for loss in losses:
            try:
                loss.fit_scale(cosines, self.labels)
            except ValueError as error:
                error.add_note(f"while the scale of {type(loss).__name__} was computed from validation pairs, {when}")
                raise


def watched_row(watch: Watch, objective: Objective, step: int) -> dict[str, float | None]:
    """Call ``watch`` and check what it returns.

    Raises:
        ValueError: it is no mapping from names to numbers or None.
    """
    row: Any = watch(objective.encoder, objective.loss)
    expected = "watch must return a mapping from names to numbers, such as {'mean': 0.5}"
    if not isinstance(row, Mapping):
        raise ValueError(f"{expected}; got {'None' if row is None else f'{row!r:.60}'}")
    numbers: dict[str, float | None] = {}
    for name, value in row.items():
        if not isinstance(name, str) or name == "step":
            raise ValueError(f"{expected}; got the name {name!r}")
        try:  # of numpy and torch too: a checkpoint holds plain numbers
            numbers[name] = value if value is None or isinstance(value, int) else float(value)
        except (TypeError, ValueError, RuntimeError):
            raise ValueError(f"{expected}; got {value!r:.60} as {name!r}") from None
    return {"step": step, **numbers}
