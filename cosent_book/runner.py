"""Suites carried out: run by run, skipping what is recorded, beside other runners, past runs that fail."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosent_book import store
from cosent_book.carry_out import BOOK_ENCODERS, altered_splits, carry_out
from cosent_book.records import load_records, missing_runs, save_record
from cosent_book.suites.plan import Plan
from cosent_lib.data.load import origin
from cosent_lib.errors import CosentError
from cosent_lib.runs.outcome import outcome_record, thinned
from cosent_lib.runs.perform import load_splits
from cosent_lib.runs.record import Record
from cosent_lib.runs.run import Run

if TYPE_CHECKING:
    from datasets import Dataset

    from cosent_lib.training.errors import NonFiniteLoss

WAIT = 2.0  # seconds between two looks at what another runner is at


class RunsFailed(CosentError, RuntimeError):  # noqa: N818
    """Some runs of a suite could not be carried out; all others are recorded. The message names them."""


def run_missing(
    suite: str,
    plan: Callable[[Mapping[str, Record]], Plan],
    report: Callable[[str], None] = print,
    folder: Path | None = None,
    progress: bool = True,
) -> int:
    """Carry out and record the runs of a suite that have no record, until none is left; return how many were made.

    Each record is written the moment its run ends, so that stopping loses at most the running one. A run whose
    loss is not finite is a result too and recorded as a failure. Several runners, in several processes, may share
    one folder: a run in hand is locked, and the lock goes with the process that holds it.

    Args:
        suite: Its name.
        plan: Records → what there is to do; asked again after each run, because a choice on validation adds runs.
        report: Receives a line before and after each run.
        folder: As for `recorded_or_live`.
        progress: Show progress bars as well.

    Raises:
        DamagedRecord: Before anything is run, if an existing record cannot be read.
        RunsFailed: At the end, if runs failed for another reason than their loss.
    """
    store.fold(suite, folder)  # what a killed runner left
    state = _State(report, folder, progress)
    waited = False
    while True:
        recorded = load_records(suite, folder)
        runs, undecided = plan(recorded)
        missing = [run for run in missing_runs(runs, recorded) if run.key not in state.failed]
        if not missing:
            break
        if state.make_one(missing, len(missing) + undecided):
            waited = False
            continue
        if not waited:
            report(f"waiting for another runner that is at {len(missing)} of these runs, such as {missing[0]}")
        waited = True
        time.sleep(WAIT)
    if state.failed:
        first = next(iter(state.failed.values()))
        raise RunsFailed(f"{len(state.failed)} runs failed, the others are recorded; the first: {first}")
    return state.made


def require_encoders(runs: Sequence[Run]) -> None:
    """Load every encoder of the runs once, so that one that cannot be had stops them before the first.

    Raises:
        EncoderUnavailable: One that cannot be had; the message says why, and how the others can go on.
        ValueError: An unknown encoder, or one without an option that its runs give it.
    """
    from cosent_lib.encoders.base import EncoderUnavailable
    from cosent_lib.encoders.load import load_encoder

    wanted = {run.encoder_label: run for run in runs}
    for run in wanted.values():
        try:
            BOOK_ENCODERS.get(run.encoder, partial(load_encoder, run.encoder))(["a text"], **run.encoder_options)
        except EncoderUnavailable as error:
            others = sorted({other.encoder for other in wanted.values()} - {run.encoder})
            way = f"; --only {others[0]!r} leaves them out" if others else ""
            count = sum(other.encoder_label == run.encoder_label for other in runs)
            raise EncoderUnavailable(f"{str(error).rstrip('.')}. {count} runs need it{way}") from error


def attempt(run: Run, splits: "dict[str, Dataset]", progress: bool = True) -> Record:
    """Carry out a run on ``splits``, from `load_splits`; a loss that is not finite is a result too, of a failed run."""
    from cosent_lib.training.errors import NonFiniteLoss

    try:
        return carry_out(run, progress=progress, splits=splits)[0]
    except NonFiniteLoss as error:
        return failure_record(run, altered_splits(run, splits), error)


def failure_record(run: Run, splits: "dict[str, Dataset]", error: "NonFiniteLoss") -> Record:
    """Put together the record of a run whose training came to no result; its metrics are None."""
    return outcome_record(
        run,
        splits,
        resolved={"source": origin(splits["train"]).partition(" ")[0], "encoder": {}, "loss": {}, "training": {}},
        metrics={"validation": None, "test": None},
        history=thinned(error.history),
        evaluations=[],
        best_step=0,
        steps=len(error.history),
        batches_without_order=0,
        wall_time_s={"train": 0.0, "evaluate": 0.0},
        failure=str(error),
    )


class _State:
    """What one runner remembers from run to run."""

    def __init__(self, report: Callable[[str], None], folder: Path | None, progress: bool) -> None:
        self.report, self.folder, self.progress = report, folder, progress
        self.made, self.begun = 0, time.perf_counter()
        self.failed: dict[str, str] = {}  # key -> what went wrong
        self._data: tuple[Any, dict[str, Dataset]] = (None, {})  # of the last run: the next one mostly needs the same

    def make_one(self, missing: Sequence[Run], left: int) -> bool:
        """Carry out the first run that no other runner is at, or find it recorded; False if there is none."""
        for run in missing:
            with store.claimed(run.suite, run.key, self.folder) as mine:
                if not mine:
                    continue
                if store.holds(run.suite, run.key, self.folder):  # another runner finished it since the suite was read
                    return True
                self.report(f"[{self.made + 1}, {left} left] {run}")
                try:
                    record = self._record(run)
                except Exception as error:  # one bad run must not cost the others; KeyboardInterrupt passes
                    self.failed[run.key] = f"{run}: {type(error).__name__}: {error}"
                    self.report(f"    FAILED, going on: {type(error).__name__}: {error}")
                    return True
                save_record(record, self.folder)
                self.made += 1
                self.report("    " + _summary(record, (time.perf_counter() - self.begun) / self.made * (left - 1)))
                return True
        return False

    def _record(self, run: Run) -> Record:
        place = (run.task, run.source, run.score_range, run.judge)
        if self._data[0] != place:
            self._data = place, load_splits(run)
        return attempt(run, self._data[1], self.progress)


def _summary(record: Record, seconds_left: float) -> str:
    scores = [
        f"{split} {values['spearman']:.4f}"
        for split, values in record.metrics.items()
        if values and values.get("spearman") is not None
    ]
    outcome = f"failed: {record.failure}" if record.failure else f"spearman {', '.join(scores) or 'undefined'}"
    return f"{outcome} · {record.wall_time_s['train']:.1f} s · about {seconds_left:.0f} s left"
