"""λ computed from validation pairs while a trainer of sentence-transformers runs."""

import warnings
import zlib
from typing import Any

import torch.distributed as dist
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from cosent_lib.data.columns import Pairs, pair_columns
from cosent_lib.sentence_transformers.losses import RankingLoss


class FitScale(TrainerCallback):
    """Computes a loss's λ from validation pairs: before the first step, and for ``"followed"`` at every evaluation.

    λ is kept in the trainer's checkpoints: a training that resumes goes on with the λ that it had. Several processes
    take that of the first.

    Args:
        loss: one whose ``scale`` is ``"suggested"`` or ``"followed"``.
        pairs: validation pairs with the columns ``sentence1``, ``sentence2``, ``score``; scores are any numbers.

    Raises:
        ValueError: a loss with a number for λ; bad columns. While training, where no λ is best before the first step:
            see :meth:`cosent_lib.losses.order.ScaledLoss.fit_scale`.

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
        columns = pair_columns(pairs, unit=False)
        self.loss, self.pairs = loss, pairs
        # Losses of several data sets have a λ each: told apart by what it is computed from.
        told = repr([type(loss).__name__, loss.get_config_dict(), columns.first, columns.second, [*columns.labels]])
        self.key = f"{type(self).__name__} {zlib.crc32(told.encode()):08x}"

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Compute λ, or take up that of the checkpoint."""
        kept = _kept(state).get(self.key) if state.global_step else None
        if kept is not None:
            self.loss.loss.scale = kept["scale"]
            return
        if state.global_step:
            warnings.warn(
                f"the checkpoint of step {state.global_step} holds no λ of this loss and these pairs: it is computed "
                "from the model as it is now",
                stacklevel=2,
            )
        self._fit(state)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Compute λ anew where it is to be followed."""
        if self.loss.loss.scale_rule == "followed":
            self._fit(state)

    def _fit(self, state: TrainerState) -> None:
        found = [self.loss.fit_scale(self.pairs)]
        if dist.is_available() and dist.is_initialized():  # devices may differ in a last digit
            dist.broadcast_object_list(found, src=0)
        self.loss.loss.scale = found[0]
        _kept(state)[self.key] = {"scale": found[0]}


def _kept(state: TrainerState) -> dict[str, dict[str, float]]:
    """What goes into ``trainer_state.json`` of a checkpoint."""
    return state.stateful_callbacks  # type: ignore[return-value]  # declared a list, made a dict on creation
