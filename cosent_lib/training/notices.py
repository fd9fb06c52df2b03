"""What `train` says in a warning: settings and labels that do something else than one may expect."""

import warnings
from typing import Any

from torch import Tensor, nn

from cosent_lib.losses.base import SummedLoss
from cosent_lib.losses.sentence_bert import SoftmaxLoss
from cosent_lib.texts import TextsCutWarning, count_cut, warn_of_cut
from cosent_lib.training.batches import Batches
from cosent_lib.training.setup import TrainingConfig
from cosent_lib.training.validation import Validation

SHARE_WORTH_A_WARNING = 0.01  # of batches that taught nothing
MOST_CLASSES = 50  # that are advised


def warn_of_accumulation(loss: nn.Module, config: TrainingConfig) -> None:
    """Say that gradient accumulation does not give a ranking loss what a larger batch would."""
    parts = loss.parts.values() if isinstance(loss, SummedLoss) else [loss]
    ranks = any(getattr(part, "needs_order", False) or getattr(part, "is_rank_loss", False) for part in parts)
    if config.accumulation_steps > 1 and ranks:
        warnings.warn(
            f"accumulation_steps={config.accumulation_steps} is not a larger batch for {type(loss).__name__}: pairs of "
            f"different batches are never compared; for more comparisons raise batch_size (now {config.batch_size})",
            stacklevel=3,
        )


def warn_of_batches_without_order(loss: nn.Module, without: int, count: int) -> None:
    """Say how many of the batches lacked what the loss needs, if they are not a few."""
    if without >= count * SHARE_WORTH_A_WARNING and without:
        warnings.warn(
            f"{without} of {count} batches ({without / count:.1%}) {getattr(loss, 'lacking', 'lacked an order')} and "
            f"taught {type(loss).__name__} nothing; batches='levels' or a larger batch_size helps where others had it",
            stacklevel=3,
        )


def warn_of_merged_levels(loss: nn.Module, labels: Tensor) -> None:
    """Say which label levels a classifier cannot tell apart, because it has fewer classes.

    Args:
        loss: of the run; it, or parts of it, may be classifiers (`SoftmaxLoss`).
        labels: of all training pairs, in [0, 1], ``[n]``.
    """
    levels = labels.unique()
    for part in loss.modules():
        if not isinstance(part, SoftmaxLoss):
            continue
        classes = part.classes(levels)
        groups = [levels[classes == number].tolist() for number in classes.unique()]
        if len(groups) == len(levels):
            continue
        merged = "; ".join(f"{_in_words(group)} become one" for group in groups if len(group) > 1)
        enough = [
            number
            for number in range(len(levels), MOST_CLASSES + 1)
            if (levels * (number - 1) + 0.5).floor().unique().numel() == len(levels)
        ]
        advice = f". num_labels={enough[0]} has a class for each" if enough else ""
        warnings.warn(
            f"the training labels have {len(levels)} levels, {type(part).__name__} has {part.num_labels} classes: "
            f"{merged}{advice}",
            stacklevel=3,
        )


def warn_of_cut_texts(encoder: Any, batches: Batches, validation: Validation) -> None:
    """Say once how many training and validation texts the encoder cuts; it then says no more until warnings are reset.

    Raises:
        ValueError: a validation text that the encoder's tokenizer refuses, which would otherwise end the first epoch.
    """
    columns = () if validation.pairs is None else validation.columns[:2]
    others = list({text for texts in columns for text in texts}.difference(batches.texts))
    cut = batches.cut + count_cut(encoder, others)
    warn_of_cut(encoder, cut, len(batches.texts) + len(others), "training and validation texts", stacklevel=3)
    warnings.simplefilter("ignore", TextsCutWarning)


def _in_words(levels: list[float]) -> str:
    """A few levels one by one, many by their ends."""
    shown = [f"{level:.4g}" for level in levels]
    if len(shown) > 4:
        return f"the {len(shown)} from {shown[0]} to {shown[-1]}"
    return f"{', '.join(shown[:-1])} and {shown[-1]}"
