"""λ computed from validation pairs while a trainer of sentence-transformers runs."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from cosent_lib.data.columns import Pairs, pair_columns
from cosent_lib.sentence_transformers.losses import RankingLoss


class FitScale(TrainerCallback):
    """Computes a loss's λ from validation pairs: before the first step, and for ``"followed"`` at every evaluation.

    Args:
        loss: one whose ``scale`` is ``"suggested"`` or ``"followed"``.
        pairs: validation pairs with the columns ``sentence1``, ``sentence2``, ``score``.

    Raises:
        ValueError: a loss with a number for λ; bad columns.

    Example::

        loss = CoSENTLoss(model, scale="suggested")
        SentenceTransformerTrainer(model=model, loss=loss, …, callbacks=[FitScale(loss, validation)]).train()

    Source: Chapter 8.
    """

    def __init__(self, loss: RankingLoss, pairs: Pairs) -> None:
        if loss.loss.scale_rule is None:
            raise ValueError(
                f"the scale of this loss is {loss.scale}, a number: give the loss 'suggested' or 'followed'"
            )
        pair_columns(pairs)
        self.loss, self.pairs = loss, pairs

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Compute λ."""
        self.loss.fit_scale(self.pairs)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Compute λ anew where it is to be followed."""
        if self.loss.loss.scale_rule == "followed":
            self.loss.fit_scale(self.pairs)
