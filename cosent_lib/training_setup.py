"""What a training run is made of: settings, result, device and precision, batches, optimisers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cosent_lib.evaluation import Pairs, pair_columns

if TYPE_CHECKING:
    import pandas as pd
    from accelerate import Accelerator

    from cosent_lib.encoders import SentenceEncoder

PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}  # ours: Accelerate's
SELECTION_METRICS = ("spearman", "pearson", "auc")
LOSS_LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class TrainingConfig:
    """Every setting of a training run; nothing is read from anywhere else.

    Attributes:
        epochs: passes over the training pairs. Not used when ``max_steps`` is given.
        max_steps: number of updates instead; the pairs are gone through as often as that takes.
        batch_size: pairs a step. The last batch of an epoch may be smaller.
        learning_rate: of the encoder at its height; None is the encoder's own default.
        loss_learning_rate: of the loss's own parameters (a learned scale, Sentence-BERT's classifier); None is the
            larger of the encoder's and 1e-3, because they start from nothing. They have no weight decay.
        warmup_ratio: share of the steps over which the rate rises linearly; it then falls linearly towards 0.
        weight_decay: of AdamW, on the parameters that the encoder names. Sparse parameters have none.
        max_grad_norm: the gradient of all dense parameters together is scaled down to this norm; None: never.
        seed: of shuffling and dropout.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        precision: ``auto`` (bf16 on CUDA devices that have it, else fp32), ``fp32``, ``bf16``, ``fp16``.
        evaluation_steps: validate after every so many steps; None: after each epoch. Always after the last step.
        selection_metric: the validation metric whose best step is kept: ``spearman``, ``pearson`` or ``auc``.
        output_dir: folder for checkpoints; None: none are written.
        checkpoint_steps: write a checkpoint after every so many steps; None: after each epoch.
        progress: show a progress bar.

    Raises:
        ValueError: a value out of its range, with the name of the setting.
    """

    epochs: int = 1
    max_steps: int | None = None
    batch_size: int = 64
    learning_rate: float | None = None
    loss_learning_rate: float | None = None
    warmup_ratio: float = 0.1
    weight_decay: float = 0.01
    max_grad_norm: float | None = 1.0
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    evaluation_steps: int | None = None
    selection_metric: str = "spearman"
    output_dir: str | Path | None = None
    checkpoint_steps: int | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        for name in ("epochs", "max_steps", "batch_size", "evaluation_steps", "checkpoint_steps"):
            value = getattr(self, name)
            optional = name not in ("epochs", "batch_size")
            if not (optional and value is None) and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        for name in ("learning_rate", "loss_learning_rate", "max_grad_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite (or None), got {value!r}")
        if not 0 <= self.warmup_ratio <= 1:
            raise ValueError(f"warmup_ratio must lie in [0, 1], got {self.warmup_ratio!r}")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay must be zero or positive, got {self.weight_decay!r}")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed must be a whole number of at least 0, got {self.seed!r}")
        for name, known in (
            ("device", ("auto", "cpu", "cuda", "mps")),
            ("precision", ("auto", *PRECISIONS)),
            ("selection_metric", SELECTION_METRICS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.checkpoint_steps is not None and self.output_dir is None:
            raise ValueError("checkpoint_steps needs output_dir, the folder to write checkpoints to")


@dataclass(frozen=True)
class TrainingResult:
    """What a run did.

    Attributes:
        history: a row a step: ``step`` and ``epoch`` (from 1), ``loss`` (before the step's update),
            ``inversion_bound`` (:func:`cosent_lib.ranking.inversion_bound`; NaN for losses that are not a
            ``rank_loss`` and for batches without order), ``learning_rate`` (of the encoder's first group).
        evaluations: a row a validation: ``step``, ``epoch`` and the metrics of :func:`cosent_lib.evaluation.evaluate`.
        best_step: the step whose parameters encoder and loss now hold (the last one without validation).
        best_metrics: the validation metrics there; empty without validation.
        steps: updates made.
        seconds: wall time of steps, validations and checkpoints, resumed runs added up; not of tokenising.
        batches_without_order: batches whose labels were all equal, where the loss needs an order; they moved nothing.
    """

    history: pd.DataFrame
    evaluations: pd.DataFrame
    best_step: int
    best_metrics: Mapping[str, float]
    steps: int
    seconds: float
    batches_without_order: int


class Batch(NamedTuple):
    """What one step sees: B pairs."""

    step: int  # counted from 1
    epoch: int  # counted from 1
    rows: list[int]  # of the training pairs, length B
    first: list[list[int]]  # token ids of sentence1, B lists
    second: list[list[int]]
    labels: Tensor  # float32 [B], on the CPU


class Batches:
    """The training pairs, each distinct text tokenised once, cut into batches that ``step`` alone determines.

    The order of epoch e comes from a generator seeded by (seed, e), so any step can be entered without replaying
    the ones before it, and all losses trained with one seed see the same batches.
    """

    def __init__(self, encoder: SentenceEncoder, pairs: Pairs, batch_size: int, seed: int) -> None:
        first, second, labels = pair_columns(pairs, "train_pairs")
        index = {text: number for number, text in enumerate(dict.fromkeys([*first, *second]))}
        tokens = encoder.tokenize(list(index))
        self._first = [tokens[index[text]] for text in first]
        self._second = [tokens[index[text]] for text in second]
        self._labels = torch.from_numpy(labels).float()
        self._batch_size, self._seed = batch_size, seed
        self._order: tuple[int, list[int]] = (-1, [])  # of the epoch in hand
        self.per_epoch = math.ceil(len(first) / batch_size)
        self.digest = digest_of(first, second, labels)

    def at(self, step: int) -> Batch:
        """The batch of ``step`` (from 1)."""
        epoch, position = divmod(step - 1, self.per_epoch)
        if self._order[0] != epoch:
            state = int(np.random.SeedSequence([self._seed, epoch]).generate_state(1, np.uint64)[0])
            generator = torch.Generator().manual_seed(state)
            self._order = (epoch, torch.randperm(len(self._first), generator=generator).tolist())
        rows = self._order[1][position * self._batch_size : (position + 1) * self._batch_size]
        labels = self._labels[rows]
        first, second = [self._first[row] for row in rows], [self._second[row] for row in rows]
        return Batch(step, epoch + 1, rows, first, second, labels)


def digest_of(first: list[str], second: list[str], labels: NDArray[np.float64]) -> str:
    """SHA-256 of the columns of a set of pairs, by which a checkpoint knows its data again."""
    digest = hashlib.sha256(labels.tobytes())
    for text in (*first, *second):
        digest.update(text.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


class Objective(nn.Module):
    """Encoder and loss as the one module whose forward is a training step's loss; this is what Accelerate wraps."""

    def __init__(self, encoder: SentenceEncoder, loss: nn.Module) -> None:
        super().__init__()
        self.encoder, self.loss = encoder, loss

    def forward(self, first: Sequence[list[int]], second: Sequence[list[int]], labels: Tensor) -> Tensor:
        """The loss, a scalar; both columns go through the encoder in one call."""
        u, v = self.encoder.embed([*first, *second]).split(len(first))
        return self.loss(u, v, labels)


def make_accelerator(config: TrainingConfig) -> Accelerator:
    """Accelerate on the device and in the precision that ``config`` asks for.

    Raises:
        ValueError: the device is not there, or cannot do the precision; several processes.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState, PartialState
    from accelerate.utils import GradientAccumulationPlugin

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
    if PartialState().num_processes > 1:
        raise ValueError("train() runs in one process; start it without torchrun or `accelerate launch`")
    # Accelerate shares one state among all Accelerators of a process and refuses other settings later on
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    # Everything is said here, so that no environment variable of Accelerate's changes a run.
    accelerator = Accelerator(
        cpu=device == "cpu",
        mixed_precision=PRECISIONS[precision],
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),  # the plain argument yields to one
        dynamo_backend="no",
    )
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
    dense = [{k: v for k, v in group.items() if k != "sparse"} for group in groups if not group["sparse"]]
    sparse = [
        {k: v for k, v in group.items() if k not in ("sparse", "weight_decay")} for group in groups if group["sparse"]
    ]
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


def learning_rate_factor(step: int, total: int, warmup_ratio: float) -> float:
    """The share of its full learning rate at which ``step`` (1 … total) is taken: linear up, then linear down.

    The first step is taken at 1/warm-up and the last above 0, so that no step is wasted.
    """
    warmup = math.ceil(warmup_ratio * total)
    if step <= warmup:
        return step / warmup
    return (total - step + 1) / (total - warmup)
