"""What a training run is made of: settings, result, device and precision, optimisers."""

import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import GradientAccumulationPlugin
from torch import Tensor, nn

from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.errors import WORLD_SIZES, check_number
from cosent_lib.training.batches import BATCHES, Batch, outputs
from cosent_lib.training.ranks import Ranks

Watch = Callable[[SentenceEncoder, nn.Module], Mapping[str, float | None]]
PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}  # ours: Accelerate's
SELECTION_METRICS = ("spearman", "pearson", "auc")
SCHEDULES = ("linear", "constant")
LOSS_LEARNING_RATE = 1e-3
SETTING_TYPES = (bool, int, float, str, tuple)


@dataclass(frozen=True)
class TrainingConfig:
    """Every setting of a training run; nothing is read from anywhere else.

    Attributes:
        epochs: passes over the training pairs. Not used when ``max_steps`` is given.
        max_steps: number of updates instead; the pairs are gone through as often as that takes.
        batch_size: pairs in a batch; of several ranks, on each. The last batch of an epoch may be smaller.
        batches: ``shuffled``, or ``levels``: each batch has its share of every label level (of the quantiles of the
            labels, where there are many), so that there is an order to learn from even where positives are rare.
        accumulation_steps: batches whose gradients are added up to one step, each by its share of the pairs. For a
            loss that is a mean over pairs that is a larger batch; for a ranking loss it is not, and `train` warns.
        learning_rate: of the encoder at its height; None is the encoder's own default.
        loss_learning_rate: of the loss's own parameters (a learned scale, Sentence-BERT's classifier); None is the
            larger of the encoder's and 1e-3, because they start from nothing. They have no weight decay.
        warmup_ratio: share of the steps over which the rate rises linearly.
        schedule: what the rate does then: ``linear``, it falls towards 0; ``constant``, it stays.
        weight_decay: of AdamW, on the parameters that the encoder names. Sparse parameters have none.
        max_grad_norm: the gradient of all dense parameters together is scaled down to this norm; None: never.
        seed: of shuffling and dropout.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        precision: ``auto`` (bf16 on CUDA devices that have it, else fp32), ``fp32``, ``bf16``, ``fp16``.
        evaluation_steps: validate after every so many steps; None: after each epoch. Always after the last step.
        selection_metric: the validation metric whose best step is kept: ``spearman``, ``pearson`` or ``auc``.
        patience: stop after so many validations in a row without a new best one; None: go on to the end. The learning
            rate falls as if the run were to go on.
        output_dir: folder for checkpoints; None: none are written.
        checkpoint_steps: write a checkpoint after every so many steps; None: after each epoch.
        progress: show a progress bar.

    Raises:
        ValueError: a value out of its range, with the name of the setting.

    Example:
        >>> TrainingConfig(epochs=3, batch_size=0)
        Traceback (most recent call last):
        ValueError: batch_size must be a whole number of at least 1, got 0
    """

    epochs: int = 1
    max_steps: int | None = None
    batch_size: int = 64
    batches: str = "shuffled"
    accumulation_steps: int = 1
    learning_rate: float | None = None
    loss_learning_rate: float | None = None
    warmup_ratio: float = 0.1
    schedule: str = "linear"
    weight_decay: float = 0.01
    max_grad_norm: float | None = 1.0
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    evaluation_steps: int | None = None
    selection_metric: str = "spearman"
    patience: int | None = None
    output_dir: str | Path | None = None
    checkpoint_steps: int | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        for each in fields(self):  # numpy's numbers would not go into a checkpoint
            if isinstance(value := getattr(self, each.name), np.generic):
                object.__setattr__(self, each.name, value.item())
        counts = ("max_steps", "evaluation_steps", "patience", "checkpoint_steps")  # each may be None
        for name in ("epochs", "batch_size", "accumulation_steps", *counts):
            value = getattr(self, name)
            if not (name in counts and value is None):
                check_number(name, value, "a whole number of at least 1", 1, math.inf, whole=True)
        for name in ("learning_rate", "loss_learning_rate", "max_grad_norm"):
            value = getattr(self, name)
            if value is not None:
                check_number(name, value, "positive and finite (or None)", math.ulp(0), sys.float_info.max)
        check_number("warmup_ratio", self.warmup_ratio, "a number in [0, 1]", 0, 1)
        check_number("weight_decay", self.weight_decay, "zero or positive", 0, sys.float_info.max)
        last = 2**63 - 1  # torch takes no larger ones
        check_number("seed", self.seed, "a whole number of at least 0 and below 2**63", 0, last, whole=True)
        choices = {"device": ("auto", "cpu", "cuda", "mps"), "precision": ("auto", *PRECISIONS), "batches": BATCHES}
        for name, known in (choices | {"selection_metric": SELECTION_METRICS, "schedule": SCHEDULES}).items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.output_dir is None:
            if self.checkpoint_steps is not None:
                raise ValueError("checkpoint_steps needs output_dir, the folder to write checkpoints to")
            return
        if not isinstance(self.output_dir, (str, Path)):
            raise ValueError(f"output_dir must be a path, got {self.output_dir!r}")
        for place in (Path(self.output_dir), *Path(self.output_dir).absolute().parents):
            if place.exists() and not place.is_dir():
                raise ValueError(f"output_dir must be a folder, or become one: {place} is a file")


@dataclass(frozen=True)
class TrainingResult:
    """What a run did.

    Attributes:
        history: a row a step: ``step`` and ``epoch`` (from 1), ``loss`` (before the step's update),
            ``inversion_bound`` (:func:`cosent_lib.inversion_bound`; NaN for losses that are not a
            ``rank_loss`` and for batches without order), ``learning_rate`` (of the encoder's first group). A step of
            several batches has the mean of their losses by pairs, and of their bounds where there is one.
        evaluations: a row a validation: ``step``, ``epoch`` and the metrics of :func:`cosent_lib.evaluate`.
        best_step: the step whose parameters encoder and loss now hold (the last one without validation).
        best_metrics: the validation metrics there; empty without validation.
        steps: updates made.
        seconds: wall time of steps, validations and checkpoints, resumed runs added up; not of tokenising.
        batches_without_order: batches whose labels were all equal, where the loss needs an order; they moved nothing.
        watched: what ``watch`` returned, a row for step 0 and one for each validation; empty without it.
        config: the settings as they came out: ``learning_rate`` (of the encoder's first group), ``loss_learning_rate``
            (None where the loss has no parameters), ``device`` and ``precision`` say what was used.
    """

    history: pd.DataFrame
    evaluations: pd.DataFrame
    best_step: int
    best_metrics: Mapping[str, float]
    steps: int
    seconds: float
    batches_without_order: int
    watched: pd.DataFrame
    config: TrainingConfig


class Objective(nn.Module):
    """Encoder and loss as the one module whose forward is a training step's loss; this is what Accelerate wraps."""

    def __init__(self, encoder: SentenceEncoder, loss: nn.Module, ranks: Ranks | None = None) -> None:
        super().__init__()
        self.encoder, self.loss, self.ranks = encoder, loss, ranks or Ranks()
        self.exchanges = getattr(loss, "exchanges", False)

    def forward(self, batch: Batch, labels: Tensor) -> Tensor:
        """The loss, a scalar, of the whole batch, of which each rank embeds its part. ``labels`` are on the device."""
        own = self.ranks.part(len(batch.rows))
        said = {name: value.to(labels.device) for name, value in self.said_of(batch).items()}
        if first := batch.first[own]:
            found = outputs(self.encoder, first, batch.second[own])
        else:  # of a last batch with fewer pairs than ranks; the pair is one that another rank embeds
            found = tuple(each[:0] for each in outputs(self.encoder, batch.first[:1], batch.second[:1]))
        if self.ranks.count > 1 and self.exchanges:
            labels, said = labels[own], {name: value[own] for name, value in said.items()}
        elif self.ranks.count > 1:  # any other loss has the vectors of all put together
            found = self.ranks.joined(torch.stack(found, dim=1), len(batch.rows)).unbind(1)
        return self.loss(*found, labels, **said)

    def said_of(self, batch: Batch) -> dict[str, Tensor]:
        """What a loss is told besides labels: the pairs' queries; if it needs to know equal texts, ints ``[B, 2]``."""
        said = {} if batch.segments is None else {"segments": batch.segments}
        if getattr(self.loss, "needs_texts", False):
            number: dict[tuple[int, ...], int] = {}  # equal to the encoder are texts whose tokens are
            sides = batch.first, batch.second
            texts = [[number.setdefault(tuple(ids), len(number)) for ids in each] for each in sides]
            said["texts"] = torch.tensor(texts).T
        return said


def make_accelerator(config: TrainingConfig) -> Accelerator:
    """Accelerate on the device and in the precision that ``config`` asks for.

    Raises:
        ValueError: the device is not there, or cannot do the precision.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    device = config.device
    if device == "auto":
        device = "cuda" if available["cuda"] else "cpu"  # mps has no sparse gradients: it must be asked for
    if not available[device]:
        raise ValueError(f"device {device!r} is not available here; use device='auto' or 'cpu'")
    bf16 = device == "cuda" and torch.cuda.get_device_capability() >= (8, 0)
    precision = config.precision if config.precision != "auto" else "bf16" if bf16 else "fp32"
    if precision == "fp16" and device != "cuda":
        raise ValueError(f"precision 'fp16' needs device 'cuda', got {device!r}; use 'bf16' or 'fp32'")
    # Accelerate shares one state among all Accelerators of a process and refuses other settings later on
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    # Everything is said here, so that no environment variable of Accelerate's changes a run.
    launched = {name: os.environ.pop(name) for name in ("LOCAL_RANK", *WORLD_SIZES) if name in os.environ}
    try:
        accelerator = Accelerator(
            cpu=device == "cpu",
            mixed_precision=PRECISIONS[precision],
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),  # the plain argument yields to one
            dynamo_backend="no",
        )
    finally:
        os.environ.update(launched)
    if accelerator.device.type != device:
        raise ValueError(f"asked for device {device!r}, but Accelerate is set up for {accelerator.device.type!r}")
    return accelerator


def make_optimizers(objective: Objective, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    """SparseAdam for the encoder's sparse groups, AdamW for its others and for the loss's own parameters.

    Each group remembers its full learning rate as ``peak_lr``.

    Raises:
        ValueError: nothing to train, or sparse groups with precision fp16 (Accelerate's gradient scaler serves one
            optimiser).
    """
    encoder = objective.encoder
    groups = encoder.parameter_groups(config.learning_rate, config.weight_decay)
    own = {id(parameter) for parameter in encoder.parameters()}
    loss_parameters = [p for p in objective.loss.parameters() if p.requires_grad and id(p) not in own]
    if loss_parameters:
        rate = config.loss_learning_rate
        if rate is None:
            rate = max(config.learning_rate or encoder.default_learning_rate, LOSS_LEARNING_RATE)
        groups.append({"params": loss_parameters, "lr": rate, "weight_decay": 0.0, "sparse": False})
    for group in groups:
        group["peak_lr"] = group["lr"]
    sparse = [group for group in groups if group["sparse"]]
    dense = [group for group in groups if not group["sparse"]]
    if not groups:
        raise ValueError(f"nothing to train: encoder {encoder.name!r} and the loss have no parameters with gradient")
    if sparse and config.precision == "fp16":
        raise ValueError("precision 'fp16' cannot train sparse parameters; use 'bf16' or 'fp32'")
    optimizers: list[torch.optim.Optimizer] = []
    if sparse:
        optimizers.append(torch.optim.SparseAdam(sparse))
    if dense:
        fused = all(p.device.type in ("cpu", "cuda") for group in dense for p in group["params"])
        optimizers.append(torch.optim.AdamW(dense, fused=fused))
    return optimizers


def carried_out(
    config: TrainingConfig, accelerator: Accelerator, groups: Sequence[Mapping[str, Any]], loss: nn.Module
) -> TrainingConfig:
    """``config`` with what is used where it leaves the choice, read off the optimisers' groups and the accelerator."""
    own = {id(parameter) for parameter in loss.parameters()}
    loss_rates = [group["peak_lr"] for group in groups if any(id(parameter) in own for parameter in group["params"])]
    return replace(
        config,
        learning_rate=groups[0]["peak_lr"],
        loss_learning_rate=loss_rates[0] if loss_rates else None,
        device=accelerator.device.type,
        precision={theirs: ours for ours, theirs in PRECISIONS.items()}[accelerator.mixed_precision],
    )


def settings_of(config: TrainingConfig, encoder: SentenceEncoder, loss: nn.Module) -> dict[str, Any]:
    """What a run must share with the one whose checkpoint it takes up, but for the pairs."""
    elsewhere = ("output_dir", "checkpoint_steps", "progress", "device")  # these change nothing that is computed
    return {name: value for name, value in asdict(config).items() if name not in elsewhere} | {
        "encoder": encoder.name,
        "encoder_tokens": encoder.fingerprint(weights=False) if hasattr(encoder, "fingerprint") else None,
        "encoder_options": getattr(encoder, "settings", dict)(),
        "loss": type(loss).__name__,
        "loss_options": {n: v for n, v in getattr(loss, "given", dict)().items() if isinstance(v, SETTING_TYPES)},
    }


def learning_rate_factor(step: int, total: int, warmup_ratio: float, schedule: str = "linear") -> float:
    """The share of its full learning rate at which ``step`` (1 … total) is taken: linear up, then down or level.

    The first step is taken at 1/warm-up and the last above 0, so that no step is wasted.
    """
    warmup = math.ceil(warmup_ratio * total)
    if step <= warmup:
        return step / warmup
    if schedule == "constant":
        return 1.0
    return (total - step + 1) / (total - warmup)
