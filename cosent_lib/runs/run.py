"""One training run as it is declared: plain settings, with a key that names them."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

# Settings that change nothing about what is computed, or that a run has in a field of its own.
NOT_TRAINING_SETTINGS = ("seed", "progress", "output_dir", "checkpoint_steps")


@dataclass(frozen=True, kw_only=True)
class Run:
    """The settings of one run, as declared: what is not given here is the library's default.

    Attributes:
        suite: name of the suite; also of the file of its records.
        task: a name of `cosent_lib.data.tasks.TASKS`, or ``csv:PATH``.
        source: ``auto``, ``dir``, ``hub`` or ``builtin``, as for `load_pairs`.
        encoder, encoder_options: as for `load_encoder`.
        loss, loss_options: as for `make_loss`.
        training: fields of `TrainingConfig`, but for seed, progress and checkpoints.
        seed: seeds the encoder, the loss's own parameters and the order of the batches.
        score_range: range of the scores, for ``csv:`` tasks.
        alter: changes of the training pairs, by name; who carries out the run makes them.
        watch: names of what is watched along training; who carries out the run hands over the ``watch``.
        judge: what the trained encoder is evaluated on at the end: ``test``, every split that the task holds back;
            ``test:retrieval``, also retrieval on test, before training and after; ``TASK/SPLIT``, a split of another
            task. Empty for a candidate of a tuning grid: no held-back split is even loaded.
    """

    suite: str
    task: str
    encoder: str
    loss: str
    source: str = "auto"
    encoder_options: Mapping[str, Any] = field(default_factory=dict)
    loss_options: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    score_range: tuple[float, float] | None = None
    alter: Mapping[str, Any] = field(default_factory=dict)
    watch: tuple[str, ...] = ()
    judge: tuple[str, ...] = ("test",)

    def __post_init__(self) -> None:
        wrong = [name for name in NOT_TRAINING_SETTINGS if name in self.training]
        if wrong:
            raise ValueError(f"Run.training must not hold {', '.join(wrong)}: these do not belong to it")
        for name in ("encoder_options", "loss_options", "training", "alter"):
            for option, value in getattr(self, name).items():
                if isinstance(value, float) and not math.isfinite(value):
                    raise ValueError(f"{option} must be a finite number, got {value}")
            object.__setattr__(self, name, json_value(dict(getattr(self, name)), f"Run.{name}"))
        object.__setattr__(self, "judge", tuple(self.judge))
        for what in self.judge:
            if what not in ("test", "test:retrieval") and not all(what.rpartition("/")):
                raise ValueError(f"judge holds {what!r}, expected test, test:retrieval or TASK/SPLIT")
        object.__setattr__(self, "watch", tuple(self.watch))
        if self.score_range is not None:
            low, high = self.score_range
            object.__setattr__(self, "score_range", (float(low), float(high)))

    @property
    def key(self) -> str:
        """Readable name plus ten hex digits of the settings' SHA-256: the name of its record.

        The suite is not part of the hash, results never are: two runs with one key do the same thing. Nor
        is a field left at its default, so that a field added later leaves older keys as they are.
        """
        left_out = ("suite", *(f.name for f in fields(self) if getattr(self, f.name) in (f.default, {})))
        settings = {name: value for name, value in asdict(self).items() if name not in left_out}
        digest = hashlib.sha256(dump(settings).encode()).hexdigest()[:10]
        parts = (self.task, self.encoder, self.loss_label, f"seed{self.seed}")
        readable = "-".join(re.sub(r"[^A-Za-z0-9_.]+", "_", part).strip("_.")[-40:] for part in parts)
        return f"{readable}-{digest}"

    @property
    def loss_label(self) -> str:
        """The loss with its options, such as ``cosent scale=5``."""
        return _label(self.loss, self.loss_options)

    @property
    def encoder_label(self) -> str:
        """The encoder with its options, such as ``static dim=64``."""
        return _label(self.encoder, self.encoder_options)

    @property
    def training_label(self) -> str:
        """The training settings, such as ``epochs=5``; empty where all are left at their defaults."""
        return _label("", self.training).strip()

    @property
    def alter_label(self) -> str:
        """The changes of the training pairs, such as ``flip=0.1``; empty without any."""
        return _label("", self.alter).strip()

    def __str__(self) -> str:
        settings = [text for text in (self.training_label, self.alter_label) if text]
        parts = [self.task, self.encoder_label, self.loss_label, *settings, f"seed {self.seed}"]
        return " · ".join(parts if self.judge else [*parts, "validation only"])


def json_value(value: Any, where: str = "value") -> Any:
    """Reduce ``value`` to plain JSON: numpy and torch scalars to Python's, tuples to lists, NaN to None.

    Raises:
        ValueError: what has no JSON form (an object, a key that is no string), and where it stands.
    """
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, Mapping):
        odd = [key for key in value if not isinstance(key, str)]
        if odd:
            raise ValueError(f"{where}: the key {odd[0]!r} is not a string")
        return {key: json_value(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    raise ValueError(f"{where}: {type(value).__name__} {value!r} has no JSON form")


def dump(value: Any) -> str:
    """The one text of a JSON value: keys sorted, floats as Python's repr, no NaN."""
    return json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False)


def _label(name: str, options: Mapping[str, Any]) -> str:
    return " ".join([name, *(f"{key}={options[key]}" for key in sorted(options))])
