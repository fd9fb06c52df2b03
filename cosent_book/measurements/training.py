"""What measurements that train an encoder share: the static encoder, trained on pairs by one loss."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from datasets import Dataset
from torch import nn

from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.encoders.load import load_encoder
from cosent_lib.losses.make import make_loss
from cosent_lib.training.setup import TrainingConfig, TrainingResult, Watch
from cosent_lib.training.train import train


class Trained(NamedTuple):
    """What training leaves: encoder and loss with their best parameters, and how it went."""

    encoder: SentenceEncoder
    loss: nn.Module
    result: TrainingResult


def texts_of(pairs: Dataset) -> list[str]:
    """All first sentences, then all second ones, ``[2n]``: what a vocabulary is made from."""
    return [*pairs["sentence1"][:], *pairs["sentence2"][:]]


def static_encoder(pairs: Dataset, seed: int) -> SentenceEncoder:
    """The encoder ``static``, untrained, with the vocabulary of ``pairs``."""
    return load_encoder("static", texts_of(pairs), seed=seed)


def train_static(
    pairs: Dataset,
    loss: Mapping[str, Any] | Callable[[SentenceEncoder], nn.Module],
    seed: int,
    *,
    vocabulary: Dataset | None = None,
    validation: Dataset | None = None,
    watch: Watch | None = None,
    **settings: Any,
) -> Trained:
    """Train the encoder ``static`` on the CPU.

    Args:
        pairs: what is trained on.
        loss: ``{"loss": name, **options}`` as for `cosent_lib.make_loss`, or a function that makes it for the encoder.
        seed: of encoder and batches.
        vocabulary: the pairs whose words the encoder knows; by default those that are trained on.
        validation: pairs by which the best checkpoint is chosen; without them the last one stays.
        watch: as for `cosent_lib.train`.
        settings: others of `cosent_lib.TrainingConfig`.
    """
    encoder = static_encoder(pairs if vocabulary is None else vocabulary, seed)
    made: nn.Module
    if isinstance(loss, Mapping):
        made = make_loss(loss["loss"], encoder, **{name: value for name, value in loss.items() if name != "loss"})
    else:
        made = loss(encoder)
    config = TrainingConfig(seed=seed, device="cpu", progress=False, **settings)
    return Trained(encoder, made, train(encoder, made, pairs, config, validation, watch=watch))
