"""Runs in processes of their own, which can be killed between any two lines of the loop and of saving."""

import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from training_kit import PAIRS, VALIDATION, quiet, static, weights

from cosent_lib.losses.make import make_loss
from cosent_lib.training import checkpoints, loop
from cosent_lib.training import train as training
from cosent_lib.training.batches import Batch, Batches

CONTEXT = multiprocessing.get_context("forkserver")
# what a run imports, once for all processes
PRELOADED = ["torch._dynamo", "sklearn.metrics", "accelerate", "cosent_lib.training.train", "killed_runs"]


def live(folder: Path, kill_at: int) -> tuple[int, int]:
    """Run in a process of its own; return its exit code and the number of steps that it finished.

    Args:
        folder: Of its checkpoints; where there is one it goes on from there. A run that comes to its end leaves the
            weights and tables in ``result.pt``.
        kill_at: SIGKILL comes before the n-th line of loop and checkpoints; 0: never.
    """
    CONTEXT.set_forkserver_preload(PRELOADED)
    folder.mkdir(exist_ok=True)
    reached = CONTEXT.Value("i", 0, lock=False)
    process = CONTEXT.Process(target=one_life, args=(folder, kill_at, reached))
    process.start()
    process.join()
    return process.exitcode or 0, reached.value


def one_life(folder: Path, kill_at: int, reached: Any) -> None:
    """The life of one process of `live`."""
    torch.set_num_threads(1)
    lines, files = 0, (loop.__file__, checkpoints.__file__)

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal lines
        if frame.f_code.co_filename not in files:
            return None
        lines += event == "line"
        if lines == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    class Noting(Batches):
        def at(self, step: int) -> list[Batch]:
            reached.value = step - 1
            return super().at(step)

    loop.Batches = Noting  # type: ignore[misc]
    encoder = static(PAIRS)
    loss = make_loss("cosent", encoder, learn_scale=True)
    config = quiet(epochs=2, evaluation_steps=6, checkpoint_steps=4, output_dir=folder)
    found = checkpoints.latest_checkpoint(folder)
    if kill_at:
        sys.settrace(trace)
    result = training.train(encoder, loss, PAIRS, config, VALIDATION, found and folder)
    sys.settrace(None)
    tables = [result.history.to_csv(), result.evaluations.to_csv(), dict(result.best_metrics)]
    torch.save([weights(encoder, loss), tables], folder / "result.pt")
