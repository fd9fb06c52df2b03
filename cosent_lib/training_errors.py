"""How a training run stops before its end: by a loss that is not finite, or by the reader's Ctrl-C."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch

from cosent_lib.training_setup import Batch, Objective, TrainingResult

if TYPE_CHECKING:
    import pandas as pd


class NonFiniteLoss(RuntimeError):  # noqa: N818 — the name says it
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


def non_finite_parameter(objective: Objective) -> str | None:
    """The name of the first parameter that holds NaN or infinity."""
    for name, parameter in objective.named_parameters():
        if not torch.isfinite(parameter).all():
            return name
    return None


def likely_cause(objective: Objective, batch: Batch, learning_rate: float) -> str | None:
    """Why the loss of ``batch`` is not finite, found by looking; None where parameters and vectors are finite."""
    name = non_finite_parameter(objective)
    if name is not None:
        since = "before the first step" if batch.step == 1 else "after an earlier update"
        return f"parameter {name} is not finite {since}; lower the learning rate (now {learning_rate:.3g})"
    with torch.no_grad():
        vectors = objective.encoder.embed([*batch.first, *batch.second]).float()
    bad = (~torch.isfinite(vectors).all(dim=1)).nonzero().flatten().tolist()
    if not bad:
        return None
    size = len(batch.rows)
    places = ", ".join(f"sentence{1 + i // size} of row {batch.rows[i % size]}" for i in bad[:3])
    return (
        f"the encoder gives vectors that are not finite for {len(bad)} of {2 * size} texts ({places}) though all "
        "parameters are finite; look at these texts, or train with precision='fp32'"
    )


def overflow_cause(objective: Objective, learning_rate: float) -> str:
    """What to say where everything that goes into the loss is finite."""
    return (
        f"parameters, vectors and labels are finite, so {type(objective.loss).__name__} itself overflowed; lower its "
        f"scale, or the learning rate (now {learning_rate:.3g})"
    )


class StopBetweenSteps:
    """Inside the block the first Ctrl-C only sets ``requested``, so that what is kept is a whole step.

    A second one interrupts at once. In threads, and where the program has a handler of its own, nothing is changed.
    """

    def __init__(self) -> None:
        self.requested = False
        self._installed = False

    def __enter__(self) -> StopBetweenSteps:
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
