"""How a training run stops before its end: a loss that is not finite, memory that does not suffice, or Ctrl-C."""

import re
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any, Self

import pandas as pd
import torch
from torch import nn

from cosent_lib.errors import CosentError
from cosent_lib.training.batches import Batch, outputs
from cosent_lib.training.setup import Objective, TrainingResult


class NonFiniteLoss(CosentError, RuntimeError):  # noqa: N818 — the name says it
    """The loss or a parameter became NaN or infinite.

    Attributes:
        step: the step, counted from 1.
        epoch: the epoch, counted from 1.
        rows: the rows of the training pairs in that step's batch.
        history: the steps before, as in ``TrainingResult.history``.
    """

    def __init__(self, what: str, batch: Batch, cause: str, history: pd.DataFrame) -> None:
        shown = ", ".join(map(str, batch.rows[:8])) + (", …" if len(batch.rows) > 8 else "")
        super().__init__(f"{what} at step {batch.step} (epoch {batch.epoch}; training rows {shown}): {cause}")
        self.step, self.epoch, self.rows, self.history = batch.step, batch.epoch, batch.rows, history


class OutOfMemory(CosentError, RuntimeError):  # noqa: N818 — the name says it
    """The device's or the machine's memory does not suffice; the message says what to change.

    Attributes:
        step: the step that was not finished, or whose validation was not; counted from 1, 0 before it.
        checkpoint: the last checkpoint, left as it is; None where there is none.
    """

    def __init__(self, error: Exception, done: int, encoder: Any, config: Any, checkpoint: Path | None) -> None:
        validating = "".join(getattr(error, "__notes__", []))  # such as "while validating after step 7"
        self.step, self.checkpoint = done if validating else done + 1, checkpoint
        changes = [] if validating else [f"a smaller batch_size (now {config.batch_size})"]
        if hasattr(encoder, "max_length"):
            changes.append(f"an encoder with a smaller max_length (now {encoder.max_length} tokens)")
        if encoder.device.type == "cuda" and config.precision == "fp32":
            changes.append("precision='bf16' (now 'fp32')")
        instead = ", or ".join(changes or ["a machine with more memory"])
        kept = f"{checkpoint} is kept, for the same settings where there is more memory" if checkpoint else "none saved"
        super().__init__(
            f"out of memory {validating or f'at step {self.step}'}: take {instead}. Checkpoint: {kept}. "
            f"({type(error).__name__}: {str(error)[:200]})"
        )


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error is Python's, torch's or a GPU library's way to say that there is no more memory."""
    says = re.search(r"out of memory|(can't|cannot) allocate memory|not enough memory|ALLOC_FAILED", str(error), re.I)
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and says is not None)


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C, acted on between two steps. Encoder and loss hold the best parameters so far.

    Attributes:
        result: what was reached, a ``TrainingResult``.
        checkpoint: the folder to hand to ``resume_from``; None where ``output_dir`` was not set.
    """

    def __init__(self, result: TrainingResult, checkpoint: Path | None) -> None:
        how = f"go on with resume_from={str(checkpoint)!r}" if checkpoint else "nothing saved, output_dir was not set"
        super().__init__(f"training stopped after step {result.steps}; {how}")
        self.result, self.checkpoint = result, checkpoint


def non_finite_parameter(objective: nn.Module) -> str | None:
    """The name of the first parameter that holds NaN or infinity."""
    return next((name for name, value in objective.named_parameters() if not torch.isfinite(value).all()), None)


def likely_cause(objective: Objective, batch: Batch, learning_rate: float) -> str | None:
    """Why the loss of ``batch`` is not finite, found by looking; None where parameters and vectors are finite."""
    name = non_finite_parameter(objective)
    if name is not None:
        since = "before the first step" if batch.step == 1 else "after an earlier update"
        return f"parameter {name} is not finite {since}; lower the learning rate (now {learning_rate:.3g})"
    with torch.no_grad():
        found = torch.cat(outputs(objective.encoder, batch.first, batch.second)).float()
    vectors = found if found.dim() == 2 else found[:, None].repeat(2, 1)  # a pair's score is that of both its texts
    bad = (~torch.isfinite(vectors).all(dim=1)).nonzero().flatten().tolist()
    if not bad:
        return None
    size = len(batch.rows)
    which = ", ".join(f"sentence{1 + i // size} of row {batch.rows[i % size]}" for i in bad[:3])
    return (
        f"the encoder gives vectors or scores that are not finite for {len(bad)} of {2 * size} texts ({which}) though "
        "all parameters are finite; look at these texts, or train with precision='fp32'"
    )


class StopBetweenSteps:
    """Inside the block the first Ctrl-C only sets ``requested``, so that what is kept is a whole step.

    A second one interrupts at once. In threads, and where the program has a handler of its own, nothing is changed.
    """

    def __init__(self) -> None:
        self.requested = False
        self._installed = False

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
            self._installed = True
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def __exit__(self, *_: Any) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
