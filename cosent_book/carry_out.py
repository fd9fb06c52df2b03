"""A run of the book carried out: `perform`, with training pairs changed and training watched as the run declares."""

from datasets import Dataset

from cosent_book.alterations import LEAKS, altered, leaked
from cosent_book.watches import make_watch
from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.runs.perform import load_splits, perform
from cosent_lib.runs.record import Record
from cosent_lib.runs.run import Run
from cosent_lib.training.setup import Watch


def carry_out(
    run: Run, *, progress: bool = True, splits: dict[str, Dataset] | None = None
) -> tuple[Record, SentenceEncoder]:
    """Carry out one run and return its record and the trained encoder.

    Args:
        run: what to do.
        progress: show progress bars.
        splits: from `load_splits` of a run on the same data, so that they are not read again.

    Raises:
        ValueError: an unknown change or watch, one that the data do not allow; and what `perform` raises.
    """
    seen = altered_splits(run, load_splits(run) if splits is None else splits)
    return perform(run, progress=progress, splits=seen, watch=_watch(run, seen))


def altered_splits(run: Run, splits: dict[str, Dataset]) -> dict[str, Dataset]:
    """The splits as the run sees them: its training pairs changed as it declares, all others as they are."""
    splits = leaked(splits, run.alter, run.seed)
    changes = {name: value for name, value in run.alter.items() if name not in LEAKS}
    return splits | {"train": altered(splits["train"], changes, run.seed)}


def _watch(run: Run, splits: dict[str, Dataset]) -> Watch | None:
    """What the run watches on its validation pairs (the watch ``test``: on its test pairs)."""
    if not run.watch:
        return None
    if "validation" not in splits:
        raise ValueError(f"watch={list(run.watch)} looks at validation pairs, and {run.task} has no validation split")
    return make_watch(run.watch, splits["validation"], splits.get("test"))
