"""One training run as it is declared (`Run`), and as it came out (`Record`): one JSON file a run.

A record holds everything that is needed to judge a number and to make it again: the declared settings, what
they resolved to, the data by fingerprint, metrics, a thinned history, times, machine, versions and commit.
"""

import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from cosent_lib.runs.schema import SCHEMA_VERSION, DamagedRecord, check_record, refuse_constant

RESULTS = Path(__file__).parent / "results"
# Settings that change nothing about what is computed, or that a run has in a field of its own.
NOT_TRAINING_SETTINGS = ("seed", "progress", "output_dir", "checkpoint_steps")


@dataclass(frozen=True, kw_only=True)
class Run:
    """The settings of one run, as declared: what is not given here is the library's default.

    Attributes:
        suite: Name of the suite; also the folder of its records.
        task: A name of `cosent_lib.data.tasks.TASKS`, or ``csv:PATH``.
        source: ``auto``, ``dir``, ``hub`` or ``builtin``, as for `load_pairs`.
        encoder, encoder_options: As for `load_encoder`.
        loss, loss_options: As for `make_loss`.
        training: Fields of `TrainingConfig`, but for seed, progress and checkpoints.
        seed: Seeds the encoder, the loss's own parameters and the order of the batches.
        score_range: Range of the scores, for ``csv:`` tasks.
        alter: Changes of the training pairs, as for `cosent_lib.data.alterations.altered`.
        watch: Names in `cosent_lib.training.watches.WATCHES` of what is watched on validation along training.
        also_judge: Splits of other tasks to evaluate on at the end, as ``TASK/SPLIT``.
        judge_retrieval: Also evaluate retrieval on test, before training and after.
        judge_test: False for a candidate of a tuning grid: no held-back split is even loaded.
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
    also_judge: tuple[str, ...] = ()
    judge_retrieval: bool = False
    judge_test: bool = True

    def __post_init__(self) -> None:
        wrong = [name for name in NOT_TRAINING_SETTINGS if name in self.training]
        if wrong:
            raise ValueError(f"Run.training must not hold {', '.join(wrong)}: these do not belong to it")
        for name in ("encoder_options", "loss_options", "training", "alter"):
            for option, value in getattr(self, name).items():
                if isinstance(value, float) and not math.isfinite(value):
                    raise ValueError(f"{option} must be a finite number, got {value}")
            object.__setattr__(self, name, json_value(dict(getattr(self, name)), f"Run.{name}"))
        object.__setattr__(self, "also_judge", tuple(self.also_judge))
        object.__setattr__(self, "watch", tuple(self.watch))
        if self.score_range is not None:
            low, high = self.score_range
            object.__setattr__(self, "score_range", (float(low), float(high)))

    @property
    def key(self) -> str:
        """Readable name plus ten hex digits of the settings' SHA-256: the file name of its record.

        The suite is not part of the hash, results never are: two runs with one key do the same thing. Nor
        is a field left at its default, so that a field added later leaves older keys as they are.
        """
        left_out = ("suite", *(f.name for f in fields(self) if getattr(self, f.name) in (f.default, {})))
        settings = {name: value for name, value in asdict(self).items() if name not in left_out}
        digest = hashlib.sha256(_dump(settings).encode()).hexdigest()[:10]
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
        return " · ".join(parts if self.judge_test else [*parts, "validation only"])


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a run gave. Every value is plain JSON; a metric that is undefined is None, never NaN.

    Attributes:
        run: The settings as declared.
        resolved: What they came to: ``source``, ``encoder``, ``loss`` and ``training`` in full.
        data: For each split used (training pairs as altered): ``rows``, ``sha256`` and ``origin`` (`fingerprint` and
            `origin` of `cosent_lib.data.load`).
        metrics: ``validation``, ``test`` and any other split that the task holds back or the run names, each as
            from `evaluate`, with ``classifier_accuracy`` for Sentence-BERT; None where there is no such split. All
            but validation were evaluated once, after the choice on it. ``test_untrained`` is the same split before
            the first step.
        history: At most 200 points: ``step``, ``loss``, ``inversion_bound``.
        evaluations: Metrics on the validation split during training.
        watched: What the run watched, a row for step 0 and one for each validation.
        best_step, steps, batches_without_order: As in `TrainingResult`.
        wall_time_s: Seconds, ``train`` (validation during training included) and ``evaluate``.
        hardware, versions: The machine and the packages.
        commit, dirty: Commit of the checkout and whether files of the library differed from it; None
            outside a checkout.
        date: When the run ended, UTC, ISO 8601.
        failure: Why the training has no result (its loss became infinite, say); None for one that ended well.
    """

    run: Run
    resolved: Mapping[str, Any]
    data: Mapping[str, Any]
    metrics: Mapping[str, Any]
    history: Mapping[str, Any]
    evaluations: list[Any]
    best_step: int | None
    steps: int
    batches_without_order: int
    wall_time_s: Mapping[str, Any]
    hardware: Mapping[str, Any]
    versions: Mapping[str, Any]
    commit: str | None
    dirty: bool | None
    date: str
    failure: str | None = None
    watched: list[Any] = field(default_factory=list)
    schema_version: int = SCHEMA_VERSION


def json_value(value: Any, where: str = "value") -> Any:
    """Reduce ``value`` to plain JSON: numpy and torch scalars to Python's, tuples to lists, NaN to None.

    Raises:
        ValueError: What has no JSON form (an object, a key that is no string), and where it stands.
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


def record_path(run: Run, folder: Path | None = None) -> Path:
    """The file of a run's record: ``RESULTS/SUITE/KEY.json``, or ``folder/KEY.json``."""
    return (RESULTS / run.suite if folder is None else Path(folder)) / f"{run.key}.json"


def save_record(record: Record, folder: Path | None = None) -> Path:
    """Write ``record`` to its file, all or nothing, and return the path.

    It is written beside its place, flushed to the disk, then renamed: a reader, or a machine that is
    switched off, sees the old state or the whole file.
    """
    return write_atomically(record_path(record.run, folder), to_json(record))


def write_atomically(path: Path, text: str) -> Path:
    """Write ``text`` (UTF-8) to ``path`` by way of a temporary file in the same folder and a rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # mkstemp's 0600 would hide a shared record from other users
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def to_json(record: Record) -> str:
    """The text of a record's file: keys sorted, one top-level field a line, floats as Python's repr."""
    flat = asdict(record.run) | {f.name: getattr(record, f.name) for f in fields(Record) if f.name != "run"}
    flat = json_value(flat, "record")
    return "{\n" + ",\n".join(f" {json.dumps(key)}: {_dump(flat[key])}" for key in sorted(flat)) + "\n}\n"


def read_record(path: Path) -> Record:
    """Read one record.

    Raises:
        DamagedRecord: Not UTF-8 JSON, a field that is missing, unknown or of the wrong type, a schema of
            another version, or a file name that does not belong to its settings.
        FileNotFoundError: There is no such file.
    """
    path = Path(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse_constant)
    except ValueError as error:  # also json.JSONDecodeError and UnicodeDecodeError
        raise DamagedRecord(f"{path}: not a record, its JSON cannot be read ({error})") from error
    check_record(values, path)
    run_values = {f.name: values[f.name] for f in fields(Run) if f.name in values}
    try:
        run = Run(**run_values)
    except (ValueError, TypeError) as error:
        raise DamagedRecord(f"{path}: the settings are not those of a run ({error})") from error
    return Record(run=run, **{key: value for key, value in values.items() if key not in run_values})


def load_records(suite: str, folder: Path | None = None) -> list[Record]:
    """All records of a suite in the order of their file names; none where nothing is recorded yet.

    Args:
        suite: Name of the suite.
        folder: Folder of its record files; by default ``cosent_lib/results/SUITE``.

    Raises:
        DamagedRecord: A file that is no record, or not one of this suite; no file is passed over.
    """
    place = RESULTS / suite if folder is None else Path(folder)
    records = []
    for path in sorted(place.glob("[!.]*.json")):
        record = read_record(path)
        if record.run.suite != suite:
            raise DamagedRecord(f"{path}: field 'suite' is {record.run.suite!r}, expected {suite!r}")
        if path.stem != record.run.key:
            raise DamagedRecord(
                f"{path}: the settings in it belong to the file name {record.run.key}.json; it was edited or renamed"
            )
        records.append(record)
    return records


def _dump(value: Any) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False)


def _label(name: str, options: Mapping[str, Any]) -> str:
    return " ".join([name, *(f"{key}={options[key]}" for key in sorted(options))])
