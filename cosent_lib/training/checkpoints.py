"""Checkpoints of a training run: whole or absent, and enough to go on bit for bit (on the CPU).

A checkpoint is a folder ``checkpoint-STEP`` with ``parameters.safetensors`` (encoder and loss), ``best.safetensors``
(those of the best validation, if any), ``optimizers.pt`` (moments and random states; read with ``weights_only``) and
``state.json``. It is written under another name and renamed, so a killed run leaves the last whole one.
Accelerate's save_state would go on without random states that it cannot read, and reads custom ones by plain pickle.
"""

import json
import re
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cosent_lib.files import replacing_folder
from cosent_lib.training.setup import TrainingConfig, TrainingResult

FORMAT_VERSION = 2
HISTORY = {"step": "int64", "epoch": "int64"} | dict.fromkeys(("loss", "inversion_bound", "learning_rate"), "float64")

NAME = r"checkpoint-\d{8,}"
FILES = ("parameters.safetensors", "best.safetensors", "optimizers.pt", "state.json")


@dataclass
class Progress:
    """How far a run is: everything that changes from step to step, except parameters and optimisers."""

    step: int = 0
    history: list[list[float]] = field(default_factory=list)  # rows with the columns of HISTORY
    evaluations: list[dict[str, float]] = field(default_factory=list)
    watched: list[dict[str, float | None]] = field(default_factory=list)
    best_step: int = 0
    best_metrics: dict[str, float] = field(default_factory=dict)
    batches_without_order: int = 0
    seconds: float = 0.0

    def table(self) -> pd.DataFrame:
        """The steps so far as a table."""
        return pd.DataFrame(self.history, columns=list(HISTORY)).astype(HISTORY)

    def result(self, config: TrainingConfig) -> TrainingResult:
        """The run so far as a result; ``config`` as in `TrainingResult`."""
        evaluations = pd.DataFrame(self.evaluations, columns=None if self.evaluations else ["step", "epoch"])
        best, metrics = self.best_step if self.best_metrics else self.step, dict(self.best_metrics)
        watched = pd.DataFrame(self.watched, columns=None if self.watched else ["step"])
        counts = (self.step, self.seconds, self.batches_without_order)
        return TrainingResult(self.table(), evaluations, best, metrics, *counts, watched, config)


def parameters_of(objective: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers on the CPU; no two share memory."""
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in objective.state_dict().items()}


def save_checkpoint(
    folder: Path,
    settings: dict[str, Any],
    progress: Progress,
    objective: nn.Module,
    best: dict[str, Tensor] | None,
    accelerator: Accelerator,
    random: list[tuple[Tensor, Tensor | None]],
) -> Path:
    """Write ``folder/checkpoint-STEP``, then remove earlier ones; return it. ``random``: each rank's `random_state`."""
    target = folder / f"checkpoint-{progress.step:08d}"
    states: dict[str, Any] = {
        "optimizers": [optimizer.optimizer.state_dict() for optimizer in accelerator._optimizers],
        "scaler": accelerator.scaler.state_dict() if accelerator.scaler else None,
        "random": random[0][0],
        "cuda_random": random[0][1],
        "random_of_others": random[1:],
    }
    state = {"format_version": FORMAT_VERSION, "settings": settings, "progress": asdict(progress)}
    with replacing_folder(target) as part:
        save_file(parameters_of(objective), part / "parameters.safetensors")
        if best is not None:
            save_file(best, part / "best.safetensors")
        torch.save(states, part / "optimizers.pt")
        (part / "state.json").write_text(json.dumps(state) + "\n", encoding="utf-8")
    remove_checkpoints(folder, target)
    return target


def foreign_entries(folder: Path) -> list[str]:
    """What stands in an ``output_dir`` that is no checkpoint, nor a part of one; relative to it, sorted."""
    ours = re.compile(rf"({NAME}|\.{NAME}\.[0-9a-f]{{32}}\.(tmp|old))(/({'|'.join(map(re.escape, FILES))}))?")
    names = (each.relative_to(folder).as_posix() for each in folder.rglob("*"))
    return sorted(name for name in names if not ours.fullmatch(name))


def remove_checkpoints(folder: Path, but: Path | None = None) -> None:
    """Remove the checkpoints in an ``output_dir``, but for one, and nothing else."""
    foreign = {folder / name for name in foreign_entries(folder)}
    for old in [*folder.glob("checkpoint-*"), *folder.glob(".checkpoint-*")]:
        if old != but and not any(each == old or old in each.parents for each in foreign):
            shutil.rmtree(old, ignore_errors=True)


def latest_checkpoint(folder: str | Path) -> Path | None:
    """The checkpoint of the latest step in an ``output_dir``, or ``folder`` itself if it is one; None without any."""
    path = Path(folder)
    if (path / "state.json").is_file():
        return path
    whole = (each for each in path.glob("checkpoint-*") if re.fullmatch(NAME, each.name) and each.is_dir())
    return max(whole, default=None, key=lambda each: each.name)


def read_progress(folder: str | Path, settings: dict[str, Any]) -> tuple[Path, Progress]:
    """The latest checkpoint in ``folder`` and its progress, provided it belongs to a run with these settings.

    Raises:
        ValueError: there is none, it cannot be read, or it belongs to other settings (says which).
    """
    checkpoint = latest_checkpoint(folder)
    if checkpoint is None:
        raise ValueError(f"resume_from={str(folder)!r}: no checkpoint there; expected a folder checkpoint-STEP in it")
    try:
        state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
        version, saved, progress = state["format_version"], state["settings"], Progress(**state["progress"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{checkpoint / 'state.json'} is damaged: {error!r}") from error
    if version != FORMAT_VERSION:
        raise ValueError(f"{checkpoint} has format version {version!r}; this library reads {FORMAT_VERSION}")
    wanted = json.loads(json.dumps(settings))
    differing = [name for name in sorted({*saved, *wanted}) if saved.get(name) != wanted.get(name)]
    if differing:
        listed = "; ".join(f"{name}: {saved.get(name)!r} there, {wanted.get(name)!r} now" for name in differing)
        raise ValueError(f"{checkpoint} belongs to a run with other settings ({listed})")
    return checkpoint, progress


def restore(
    checkpoint: Path, progress: Progress, objective: nn.Module, accelerator: Accelerator, rank: int = 0
) -> dict[str, Tensor] | None:
    """Put parameters, optimisers and random states back; return the best parameters, if ``progress`` tells of any.

    Raises:
        ValueError: a file is missing or damaged, or the parameters do not fit.
    """
    try:
        objective.load_state_dict(load_file(checkpoint / "parameters.safetensors"))
        states = torch.load(checkpoint / "optimizers.pt", map_location="cpu", weights_only=True)
        for optimizer, state in zip(accelerator._optimizers, states["optimizers"], strict=True):
            optimizer.optimizer.load_state_dict(state)
        best_parameters = load_file(checkpoint / "best.safetensors") if progress.best_metrics else None
    except Exception as error:
        raise ValueError(f"checkpoint {checkpoint} cannot be used: {error}") from error
    if accelerator.scaler and states["scaler"]:
        accelerator.scaler.load_state_dict(states["scaler"])
    own = [(states["random"], states["cuda_random"]), *states.get("random_of_others", [])][rank]
    torch.set_rng_state(own[0])
    if accelerator.device.type == "cuda" and own[1] is not None:
        torch.cuda.set_rng_state(own[1])
    return best_parameters


def random_state(accelerator: Accelerator) -> tuple[Tensor, Tensor | None]:
    """The states of torch's generators: of the CPU, and of the GPU that is trained on."""
    return torch.get_rng_state(), torch.cuda.get_rng_state() if accelerator.device.type == "cuda" else None
