"""Validation along training: the metrics by which the best step is chosen, and scales computed from its cosines."""

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cosent_lib.data.columns import Pairs, pair_columns
from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.evaluation.evaluate import cosine_scores
from cosent_lib.evaluation.metrics import check_defined, score_metrics
from cosent_lib.losses.order import ScaledLoss
from cosent_lib.training.batches import digest_of
from cosent_lib.training.setup import TrainingConfig


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
        self.labels, self.digest = columns.labels, digest_of(*columns)

    labels: NDArray[np.float64]
    digest: str | None = None

    def evaluate(self, encoder: SentenceEncoder) -> tuple[dict[str, float], NDArray[np.float64]]:
        """Metrics, as from ``evaluate``, and the cosines they are of."""
        cosines = cosine_scores(encoder, self.pairs)
        return score_metrics(cosines, self.labels), cosines

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
