"""What a run gave (`Record`), as plain JSON that says everything needed to judge a number and to make it again:

the declared settings, what they resolved to, the data by fingerprint, metrics, a thinned history, times, machine,
versions and commit.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from cosent_lib.runs.run import Run, dump, json_value

SCHEMA_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a run gave. Every value is plain JSON; a metric that is undefined is None, never NaN.

    Attributes:
        run: the settings as declared.
        resolved: what they came to: ``source``, ``encoder``, ``loss`` and ``training`` in full.
        data: for each split used (training pairs as altered): ``rows``, ``sha256`` and ``origin`` (`fingerprint` and
            `origin` of `cosent_lib.data.load`).
        metrics: ``validation``, ``test`` and any other split that the task holds back or the run names, each as
            from `evaluate`, with ``classifier_accuracy`` for Sentence-BERT, and ``classifier_majority``, what always
            giving the most frequent class would have; None where there is no such split. All but validation were
            evaluated once, after the choice on it. ``test_untrained`` is the same split before
            the first step.
        history: at most 200 points: ``step``, ``loss``, ``inversion_bound``.
        evaluations: metrics on the validation split during training.
        watched: what the run watched, a row for step 0 and one for each validation.
        best_step, steps, batches_without_order: as in `TrainingResult`.
        wall_time_s: seconds, ``train`` (validation during training included) and ``evaluate``.
        hardware, versions: the machine and the packages.
        commit, dirty: commit of the checkout and whether files of the library differed from it; None
            outside a checkout.
        date: when the run ended, UTC, ISO 8601.
        failure: why the training has no result (its loss became infinite, say); None for one that ended well.
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


def values_of(record: Record) -> dict[str, Any]:
    """A record as one flat mapping of plain JSON values, the run's settings among them."""
    own = {f.name: getattr(record, f.name) for f in fields(Record) if f.name != "run"}
    return json_value(asdict(record.run) | own, "record")


def to_json(record: Record) -> str:
    """The text of a record in a file of its own: keys sorted, one top-level field a line, floats as Python's repr."""
    values = values_of(record)
    return "{\n" + ",\n".join(f" {json.dumps(key)}: {dump(values[key])}" for key in sorted(values)) + "\n}\n"
