"""A run of the book carried out: `perform`, with training pairs changed and training watched as the run declares."""

from collections.abc import Callable, Mapping

from datasets import Dataset

from cosent_book.alterations import FEWER, LEAKS, altered, judged_on_fewer, leaked
from cosent_book.e5 import load_e5
from cosent_book.measurements.training import texts_of
from cosent_book.relabelling import RELABELS, relabelled
from cosent_book.watches import make_watch
from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.runs.perform import load_splits, perform
from cosent_lib.runs.record import Record
from cosent_lib.runs.run import Run
from cosent_lib.training.setup import Watch

BOOK_ENCODERS: dict[str, Callable[..., SentenceEncoder]] = {"e5": load_e5}


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
    return perform(run, progress=progress, splits=seen, encoder=own_encoder(run, seen), watch=_watch(run, seen))


def own_encoder(run: Run, splits: Mapping[str, Dataset]) -> SentenceEncoder | None:
    """The run's encoder where it is one of the book's, which the library does not know; else None."""
    if run.encoder not in BOOK_ENCODERS:
        return None
    texts = dict.fromkeys(text for pairs in splits.values() for text in texts_of(pairs))
    return BOOK_ENCODERS[run.encoder](list(texts), **run.encoder_options)


def altered_splits(run: Run, splits: dict[str, Dataset]) -> dict[str, Dataset]:
    """The splits as the run sees them: its training pairs changed as it declares, all others as they are or fewer;
    of validation pairs the labels too, where their meaning changes (`relabelled`).
    """
    splits = judged_on_fewer(leaked(splits, run.alter, run.seed), run.alter)
    changes = {name: value for name, value in run.alter.items() if name not in {*LEAKS, *FEWER, *RELABELS}}
    return relabelled(splits | {"train": altered(splits["train"], changes, run.seed)}, run.alter)


def _watch(run: Run, splits: dict[str, Dataset]) -> Watch | None:
    """What the run watches on its validation pairs, its test pairs or others that it is judged on."""
    if not run.watch:
        return None
    if "validation" not in splits:
        raise ValueError(f"watch={list(run.watch)} looks at validation pairs, and {run.task} has no validation split")
    return make_watch(run.watch, splits["validation"], splits.get("test"), splits)
