"""Measurements: what a chapter shows of real data or of a pretrained encoder without training anything for a record.

A measurement is a function of pairs and arguments that returns plain JSON values. `measured` is the call that chapters
use: it reads the record of a measurement, or takes it now by the very same function.
"""

import hashlib
import inspect
import json
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from cosent_lib.runs.perform import RecordMissing
from cosent_lib.runs.provenance import commit_of_library, hardware, versions
from cosent_lib.runs.run import RESULTS, json_value, write_atomically
from cosent_lib.runs.schema import DamagedRecord, refuse_constant

if TYPE_CHECKING:
    from datasets import Dataset

FOLDER = RESULTS / "measurements"
SCHEMA_VERSION = 1
FIELDS: dict[str, tuple[type, ...]] = {
    "measurement": (str,), "arguments": (dict,), "result": (dict,), "data": (dict,), "wall_time_s": (int, float),
    "hardware": (dict,), "versions": (dict,), "commit": (str, type(None)), "dirty": (bool, type(None)), "date": (str,),
    "schema_version": (int,),
}  # fmt: skip

# name -> function, found on demand
MEASUREMENTS: dict[str, str] = {
    "pair_statistics": "cosent_book.measurements.pairs:pair_statistics",
    "leaks": "cosent_book.measurements.pairs:leaks",
    "triangles": "cosent_book.measurements.pairs:triangles",
    "compared_scores": "cosent_book.measurements.pairs:compared_scores",
    "label_weights": "cosent_book.measurements.direct:label_weights",
    "long_training": "cosent_book.measurements.direct:long_training",
    "untrained_scale": "cosent_book.measurements.scale:untrained_scale",
    "scale_by_size": "cosent_book.measurements.scale:scale_by_size",
    "contradiction_pull": "cosent_book.measurements.contradiction:contradiction_pull",
    "pull_on_flipped": "cosent_book.measurements.noise:pull_on_flipped",
    "fate_of_flipped": "cosent_book.measurements.fate:fate_of_flipped",
    "paired_differences": "cosent_book.measurements.difference:paired_differences",
    "question_cosines": "cosent_book.measurements.encoder:question_cosines",
    "pooling_comparison": "cosent_book.measurements.encoder:pooling_comparison",
    "layer_geometry": "cosent_book.measurements.encoder:layer_geometry",
    "whitening_after_training": "cosent_book.measurements.encoder:whitening_after_training",
    "cone_along_training": "cosent_book.measurements.encoder:cone_along_training",
    "classifier_starts": "cosent_book.measurements.sbert:classifier_starts",
    "score_forms": "cosent_book.measurements.family:score_forms",
    "sum_weights": "cosent_book.measurements.family:sum_weights",
}

# the calls that the chapters make: what `python -m cosent_book measure` records
DIRECT = ["cosine_linear", "cosine_squared", "cosine_margin"]
SCALE_TASKS = ("stsb_en", "stsb_zh", "bq", "atec", "lcqmc")
ANSWERS = ["Cancel your plan", "Pause your plan", "Change your plan", "Refund rules", "Opening hours", "Careers"]
CONES: tuple[tuple[str, str, dict[str, float], bool], ...] = (
    ("builtin", "cosent", {"scale": 20.0}, False),
    ("builtin", "cosent", {"scale": 20.0}, True),
    ("builtin_random", "cosent", {"scale": 20.0}, False),
    ("builtin", "cosine_squared", {}, False),
)
WHITENED: tuple[tuple[str, str, str, dict[str, float], int, int], ...] = (
    ("static", "stsb_en", "cosent", {"scale": 5.0}, 64, 4),
    ("minilm", "stsb_en", "cosent", {"scale": 20.0}, 32, 1),
)
STARTS: list[dict[str, Any]] = [
    {"start": None},
    {"start": -0.5},
    {"start": 0.5},
    {"features": ["|u-v|"], "start": None},
]
TURNED: list[dict[str, Any]] = [{"features": ["|u-v|"], "start": -0.5}]
STARTED: dict[str, dict[str, Any]] = {
    "atec": {"epochs": 3}, "bq": {"epochs": 5}, "stsb_en": {"epochs": 5}, "lcqmc": {"epochs": 1, "take": 64_000}
}  # fmt: skip
FLIPPED: list[dict[str, Any]] = [
    *({"loss": "power_mean", "scale": 20.0, "exponent": exponent} for exponent in (-1.0, 0.0, 1.0)),
    {"loss": "cosent", "scale": 20.0},
]
SCORES: list[dict[str, Any]] = [
    *({"form": form, "scale": 5.0} for form in ("cosine", "absolute", "turned", "both", "angle")),
    *({"form": form, "scale": 7.0711} for form in ("cosine", "both")),  # AnglE at 5 is √2 · 5 times "both"
]
WEIGHTED = {"weights": [0.25, 1.0, 4.0, 16.0], "seeds": [0, 1, 2], "epochs": 1, "scales": {"cosent": 5.0, "mnrl": 20.0}}
PAIRED = {"base": "Sentence-BERT, 2 classes", "rows": ["CoSENT, λ = 20", "CoSENT, λ suggested", "RankNet, λ tuned"]}
TEST_TASKS = ("lcqmc", "atec", "bq", "pawsx", "stsb_zh", "stsb_en")
DECLARED: tuple[tuple[str, dict[str, Any]], ...] = (
    *(("pair_statistics", {"task": task, "split": "test"}) for task in TEST_TASKS),
    *(("leaks", {"task": task}) for task in TEST_TASKS if task != "pawsx"),
    *(("triangles", {"task": task, "splits": ["train", "validation", "test"]}) for task in ("lcqmc", "bq")),
    ("compared_scores", {"task": "stsb_en", "split": "test"}),
    ("label_weights", {"task": "atec", "losses": DIRECT, "seeds": [0, 1, 2], "steps": 376}),
    ("long_training", {"task": "bq", "losses": DIRECT, "seeds": [0, 1, 2], "epochs": 10}),
    *(("untrained_scale", {"task": task, "encoder": "static"}) for task in SCALE_TASKS),
    *(("untrained_scale", {"task": task, "encoder": "small"}) for task in SCALE_TASKS[:3]),
    ("untrained_scale", {"task": "stsb_en", "encoder": "minilm"}),
    ("scale_by_size", {"task": "lcqmc", "sizes": [8000, 32_000], "scales": [2.5, 5.0, 10.0, 20.0], "seeds": [0, 1, 2]}),
    ("contradiction_pull", {"task": "lcqmc", "take": 120_000, "scale": 20.0, "seeds": [0, 1]}),
    *(
        ("pull_on_flipped", {"task": task, "flip": 0.3, "losses": FLIPPED, "seeds": [0, 1], **options})
        for task, options in (("bq", {"epochs": 5}), ("lcqmc", {"epochs": 1, "take": 64_000}))
    ),
    *(
        ("fate_of_flipped", {"task": task, "flip": 0.3, "losses": FLIPPED[:3], "seeds": [0, 1, 2], **options})
        for task, options in (("bq", {"epochs": 5}), ("atec", {"epochs": 3}), ("lcqmc", {"epochs": 1, "take": 64_000}))
    ),
    *(("paired_differences", {"task": task, **PAIRED}) for task in SCALE_TASKS),
    ("question_cosines", {"encoder": "minilm", "question": "How do I cancel my plan?", "answers": ANSWERS}),
    ("layer_geometry", {"encoder": "minilm", "task": "stsb_en", "split": "test", "fit_split": "train"}),
    ("pooling_comparison", {"encoder": "minilm", "task": "stsb_en", "split": "test", "batch_size": 32}),
    *(
        (
            "cone_along_training",
            {
                "task": task,
                "loss": loss,
                "options": options,
                "steps": 1000,
                "seeds": [0, 1, 2],
                "flip": flip,
            },
        )
        for task, loss, options, flip in CONES
    ),
    *(
        (
            "whitening_after_training",
            {
                "encoder": encoder,
                "task": task,
                "loss": loss,
                "options": options,
                "batch_size": size,
                "epochs": epochs,
                "seed": 0,
            },
        )
        for encoder, task, loss, options, size, epochs in WHITENED
    ),
    *(
        ("score_forms", {"task": task, "settings": SCORES, "seeds": [0, 1, 2], "epochs": epochs})
        for task, epochs in (("bq", 1), ("stsb_en", 5))
    ),
    *(("sum_weights", WEIGHTED | options) for options in ({"task": "bq"}, {"task": "lcqmc", "take": 64_000})),
    ("sum_weights", WEIGHTED | {"task": "lcqmc", "take": 64_000, "scales": {"cosent": 5.0, "mnrl": 5.0}}),
    *(
        ("classifier_starts", {"task": task, "settings": STARTS, "seeds": [0, 1, 2], **options})
        for task, options in STARTED.items()
    ),
    *(
        ("classifier_starts", {"task": task, "settings": TURNED, "seeds": [0, 1, 2], **STARTED[task]})
        for task in ("lcqmc", "stsb_en")
    ),
)


class Data:
    """Where a measurement gets its pairs from, so that its record can say which they were."""

    def __init__(self) -> None:
        self.used: dict[str, dict[str, Any]] = {}

    def load(self, task: str, split: str) -> "Dataset":
        """As `cosent_lib.load_pairs`; rows, fingerprint and origin are noted."""
        from cosent_lib.data.load import fingerprint, load_pairs, origin

        pairs = load_pairs(task, split)
        self.used[f"{task}/{split}"] = {
            "rows": len(pairs), "sha256": fingerprint(pairs), "origin": origin(pairs)
        }  # fmt: skip
        return pairs


def measured(name: str, live: bool, folder: Path | None = None, **arguments: Any) -> dict[str, Any]:
    """The result of a measurement: from its record, or taken now.

    Args:
        name: a key of ``MEASUREMENTS``.
        live: False reads the record; True calls the function (nothing is written).
        folder: of the records; by default ``cosent_lib/results/measurements``.
        arguments: of the measurement, plain JSON values.

    Raises:
        ValueError: an unknown name, or arguments that the function does not take.
        RecordMissing: not live, and there is no record; the message has the command that makes it.
        DamagedRecord: a record that cannot be read or belongs to other arguments.
        DataUnavailable, MalformedRow: live, from `load_pairs`.
    """
    function = _function(name, arguments)
    if live:
        return json_value(function(Data(), **arguments), name)
    path = measurement_path(name, arguments, folder)
    if not path.exists():
        raise RecordMissing(
            f"measurement {_label(name, arguments)} has no record: make it with python -m cosent_book measure {name}"
        )
    return read_measurement(path)["result"]


def take(name: str, arguments: Mapping[str, Any], folder: Path | None = None) -> Path:
    """Take a measurement now, write its record, all or nothing, and return the file. Errors as `measured`."""
    data, begun = Data(), time.perf_counter()
    result = _function(name, arguments)(data, **arguments)
    commit, dirty = commit_of_library()
    record = {
        "measurement": name, "arguments": dict(arguments), "result": result, "data": data.used,
        "wall_time_s": round(time.perf_counter() - begun, 3), "hardware": hardware(), "versions": versions(),
        "commit": commit, "dirty": dirty, "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "schema_version": SCHEMA_VERSION,
    }  # fmt: skip
    record = json_value(record, name)
    lines = (f" {json.dumps(key)}: {_dump(record[key])}" for key in sorted(record))
    return write_atomically(measurement_path(name, arguments, folder), "{\n" + ",\n".join(lines) + "\n}\n")


def measurement_path(name: str, arguments: Mapping[str, Any], folder: Path | None = None) -> Path:
    """The file of a measurement's record: its name and arguments, readable, and ten digits of their SHA-256.

    The order in which arguments, or the keys of a mapping among them, are given makes no difference.
    """
    plain = json.loads(_dump(dict(arguments)))  # keys sorted at every depth
    digest = hashlib.sha256(_dump([name, plain]).encode()).hexdigest()[:10]
    words = "-".join([name, *map(str, plain.values())])
    readable = re.sub(r"[^A-Za-z0-9_.]+", "_", words)[:80].strip("_.")
    return (FOLDER if folder is None else Path(folder)) / f"{readable}-{digest}.json"


def read_measurement(path: Path) -> dict[str, Any]:
    """Read and check one record.

    Raises:
        DamagedRecord: not JSON, a field that is missing, unknown or of the wrong type, a schema of another version, or
            a file name that does not belong to its arguments.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=refuse_constant)
    except ValueError as error:
        raise DamagedRecord(f"{path}: not a record, its JSON cannot be read ({error})") from error
    if not isinstance(values, dict) or set(values) != set(FIELDS):
        found = sorted(values) if isinstance(values, dict) else type(values).__name__
        raise DamagedRecord(f"{path}: a measurement has the fields {', '.join(sorted(FIELDS))}; this has {found}")
    for name, kinds in FIELDS.items():
        if not isinstance(values[name], kinds) or (isinstance(values[name], bool) and bool not in kinds):
            raise DamagedRecord(f"{path}: field {name!r} is {values[name]!r:.60}, of another type than it must have")
    if values["schema_version"] != SCHEMA_VERSION:
        raise DamagedRecord(
            f"{path}: schema_version is {values['schema_version']}, this library reads {SCHEMA_VERSION}"
        )
    if measurement_path(values["measurement"], values["arguments"]).name != Path(path).name:
        raise DamagedRecord(f"{path}: the arguments in it belong to another file name; it was edited or renamed")
    return values


def missing_measurements(name: str = "", folder: Path | None = None) -> list[tuple[str, dict[str, Any]]]:
    """The declared measurements, or those called ``name``, that have no record; existing records are checked.

    Raises:
        ValueError: no declared measurement is called ``name``.
        DamagedRecord: from `read_measurement`.
    """
    wanted = [each for each in DECLARED if name in ("", each[0])]
    if not wanted:
        known = ", ".join(dict.fromkeys(each[0] for each in DECLARED)) or "none"
        raise ValueError(f"no measurement is called {name!r}, expected one of: {known}")
    missing = []
    for each in wanted:
        path = measurement_path(*each, folder)
        if path.exists():
            read_measurement(path)
        else:
            missing.append(each)
    return missing


def _function(name: str, arguments: Mapping[str, Any]) -> Callable[..., Mapping[str, Any]]:
    if name not in MEASUREMENTS:
        raise ValueError(f"unknown measurement {name!r}, expected one of: {', '.join(MEASUREMENTS) or 'none'}")
    function = resolve_name(MEASUREMENTS[name])
    try:
        inspect.signature(function).bind(None, **arguments)
    except TypeError as error:
        raise ValueError(f"measurement {name!r}: {error}; it is {name}{inspect.signature(function)}") from None
    return function


def _label(name: str, arguments: Mapping[str, Any]) -> str:
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"


def _dump(value: Any) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False)
