"""Pairs from the Hugging Face hub, at a pinned commit, with every row checked as if it came from a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cosent_lib.data.files import Checker, MalformedFile, OnError
from cosent_lib.data.tasks import DataUnavailable, HubSource, Task

if TYPE_CHECKING:  # a second of import
    from datasets import Dataset


def from_hub(task: Task, split: str, on_error: OnError) -> tuple[Checker, str]:
    """The checked rows of a split and the words for their origin.

    Raises:
        DataUnavailable: the hub does not have it or does not hand it over; the message says what happened.
        MalformedFile, MalformedRow: as in `check_file`.
    """
    hub = task.hub
    if hub is None or split not in hub.splits:
        raise DataUnavailable(f"{task.name}/{split} is not on the hub. {task.ways(split)}")
    asked = f"{task.name}/{split} cannot be had from the hub ({hub.id} at {hub.revision})"
    from datasets import load_dataset

    try:
        _knock(hub)
        raw = load_dataset(hub.id, hub.config, split=hub.splits[split], revision=hub.revision)
    except Exception as error:  # the hub's client raises what its network library happens to raise
        cached = "If it was loaded here before, HF_HUB_OFFLINE=1 takes the copy on this machine."
        raise DataUnavailable(f"{asked}: {_reason(error)}. {cached} {task.ways(split, hub=False)}") from error
    if (loaded := _loaded_commit(raw)) not in (None, hub.revision):  # the client's cache may answer with any commit
        raise DataUnavailable(f"{asked}: the copy on this machine is of commit {loaded}. {task.ways(split, hub=False)}")
    origin = f"hub {hub.id}@{hub.revision}{f' {hub.config}' if hub.config else ''} {hub.splits[split]}"
    if missing := [name for name in hub.columns if name not in raw.column_names]:
        raise MalformedFile(origin, f"no column {', '.join(missing)} among {raw.column_names}")
    first, second, scores = (raw[name][:] for name in hub.columns)
    checker = Checker(origin, hub.score_range or task.score_range, on_error)
    for row, values in enumerate(zip(first, second, _class_scores(raw, hub, scores), strict=True), start=1):
        checker.add(row, *values)
    return checker, origin


def _knock(hub: HubSource) -> None:
    """Ask once whether the hub hands out the commit: `load_dataset` alone repeats for minutes what is refused."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import OfflineModeIsEnabled

    with suppress(OfflineModeIsEnabled):  # `load_dataset` then looks into its cache, and says so if it finds nothing
        HfApi().dataset_info(hub.id, revision=hub.revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)


def _reason(error: BaseException) -> str:
    """Say in plain words what the hub answered; the client wraps it more than once."""
    from huggingface_hub import constants

    for inner in _chain(error):
        status = getattr(getattr(inner, "response", None), "status_code", None) or 0
        if status in (401, 403, 404):
            return f"not found (HTTP {status}): the data set or this commit of it is gone, renamed or not public"
        if status == 429:
            return "rate limit (HTTP 429): too many requests from here; wait some minutes, or log in (hf auth login)"
        if status >= 500:
            return f"server error (HTTP {status}): the hub is in trouble; try again later"
        if isinstance(inner, TimeoutError) or "Timeout" in type(inner).__name__:
            return (
                f"time-out: no answer within {constants.HF_HUB_ETAG_TIMEOUT} s (HF_HUB_ETAG_TIMEOUT sets this); "
                "check the network, or try again later"
            )
    return f"{type(error).__name__}: {' '.join(str(error).split()).rstrip('.')}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _class_scores(raw: Dataset, hub: HubSource, scores: list[Any]) -> list[Any]:
    """Scores by class name where the hub has class labels; -1, a missing label, is left for the check."""
    if hub.labels is None:
        return scores
    by_index = {index: hub.labels[name] for index, name in enumerate(raw.features[hub.columns[2]].names)}
    return [by_index.get(score, score) for score in scores]


def _loaded_commit(raw: Dataset) -> str | None:
    """The commit that was loaded, which the addresses of the downloaded files tell."""
    matches = (re.search(r"@([0-9a-f]{40})/", address) for address in raw.info.download_checksums or {})
    return next((match.group(1) for match in matches if match), None)
