"""The training pairs cut into batches, each a function of seed and step alone, so that a run can go on anywhere."""

import hashlib
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cosent_lib.data.columns import Pairs, pair_columns, query_column
from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.texts import count_cut

BATCHES = ("shuffled", "levels")


class Batch(NamedTuple):
    """What one pass of the encoder sees: B pairs."""

    step: int  # counted from 1
    epoch: int  # counted from 1
    rows: list[int]  # of the training pairs, length B
    first: list[list[int]]  # token ids of sentence1, B lists
    second: list[list[int]]
    labels: Tensor  # float32 [B], on the CPU
    segments: Tensor | None = None  # int64 [B]: the number of each pair's query, where pairs have one


class Batches:
    """The training pairs, each distinct text tokenised once, cut into batches that ``step`` alone determines.

    The order of epoch e comes from a generator seeded by (seed, e), so any step can be entered without replaying
    the ones before it, and all losses trained with one seed see the same batches. A step has ``per_step`` batches,
    fewer at the end of an epoch. ``kind`` is ``shuffled`` (the order, cut) or ``levels`` (`strata`, dealt out).
    ``by_query``: pairs that have a column ``query`` are shuffled query by query, so that those of one stay together
    (a batch's end may part them), and batches say whose each pair is.
    """

    def __init__(
        self,
        encoder: SentenceEncoder,
        pairs: Pairs,
        batch_size: int,
        seed: int,
        per_step: int = 1,
        kind: str = "shuffled",
        by_query: bool = False,
    ) -> None:
        first, second, labels = pair_columns(pairs, "train_pairs")
        query = query_column(pairs, "train_pairs") if by_query else None
        self.query = None if query is None else torch.from_numpy(query)
        if self.query is not None and kind == "levels":
            raise ValueError("batches='levels' deals pairs out by label, which parts those of a query: take 'shuffled'")
        index = {text: number for number, text in enumerate(dict.fromkeys([*first, *second]))}
        self.texts = list(index)
        tokens = encoder.tokenize(self.texts)
        self.cut = count_cut(encoder, self.texts, tokens)
        unknown = encoder.count_unknown(self.texts, tokens) if hasattr(encoder, "count_unknown") else 0
        if unknown == len(self.texts):
            unread = f"{encoder.name!r} knows no word of any of the {unknown} texts"
            raise ValueError(f"train_pairs: {unread}, so that no step could teach it anything")
        self._first = [tokens[index[text]] for text in first]
        self._second = [tokens[index[text]] for text in second]
        self.labels = torch.from_numpy(labels).float()
        self._batch_size, self._seed, self._per_step = batch_size, seed, per_step
        self._strata = torch.from_numpy(strata(labels, batch_size)) if kind == "levels" else None
        self._count = math.ceil(len(first) / batch_size)  # of batches, an epoch
        self._epoch: tuple[int, list[list[int]]] = (-1, [])  # the one in hand: its number, the rows of its batches
        self.per_epoch = math.ceil(self._count / per_step)
        self.digest = digest_of(first, second, labels, query)

    def at(self, step: int) -> list[Batch]:
        """The batches of ``step`` (from 1)."""
        epoch, position = divmod(step - 1, self.per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._cut(epoch))
        return [
            Batch(
                step,
                epoch + 1,
                rows,
                [self._first[row] for row in rows],
                [self._second[row] for row in rows],
                self.labels[rows],
                None if self.query is None else self.query[rows],
            )
            for rows in self._epoch[1][position * self._per_step : (position + 1) * self._per_step]
        ]

    def count(self, steps: int) -> int:
        """How many batches the first ``steps`` steps have."""
        epochs, rest = divmod(steps, self.per_epoch)
        return epochs * self._count + rest * self._per_step

    def _cut(self, epoch: int) -> list[list[int]]:
        """The rows of each batch of an epoch (from 0)."""
        state = int(np.random.SeedSequence([self._seed, epoch]).generate_state(1, np.uint64)[0])
        generator = torch.Generator().manual_seed(state)
        order = torch.randperm(len(self._first), generator=generator)
        if self.query is not None:
            place = torch.randperm(int(self.query.max()) + 1, generator=generator)
            order = order[place[self.query[order]].argsort(stable=True)]
        if self._strata is None:
            return [rows.tolist() for rows in order.split(self._batch_size)]
        order = order[self._strata[order].argsort(stable=True)]  # stratum by stratum, at random within each …
        hands = torch.randperm(self._count, generator=generator).tolist()
        return [order[hand :: self._count].tolist() for hand in hands]  # … and dealt out like cards


def outputs(encoder: nn.Module, first: list[list[int]], second: list[list[int]]) -> tuple[Tensor, ...]:
    """What a loss takes besides labels: u and v ``[n, dim]``; of a cross-encoder its scores ``[n]`` alone."""
    reads: Any = encoder
    if getattr(encoder, "reads_pairs", False):
        return (reads.score(first, second),)
    found: tuple[Tensor, ...] = reads.embed([*first, *second]).split(len(first))
    return found


def shares(batches: list[Batch]) -> list[float]:
    """The share of each batch in the pairs of all: exactly 1 for a single one."""
    pairs = sum(len(batch.rows) for batch in batches)
    return [len(batch.rows) / pairs for batch in batches]


def strata(labels: NDArray[np.float64], batch_size: int) -> NDArray[np.int64]:
    """The stratum of each pair, of which every batch is to have its share: integers ``[n]``.

    A stratum is a label level. Where there are more levels than a quarter of the batch (at least 4), it is one of that
    many quantiles of the labels; equal labels stay together. Dealt out one after the other, a stratum of c pairs gives
    each of m batches c/m of them, rounded down or up. The largest comes first: all others then follow one another,
    so that min(m, their pairs) batches get something else than it.
    """
    _, level, counts = np.unique(labels, return_inverse=True, return_counts=True)
    number = max(4, batch_size // 4)
    if len(counts) > number:
        middle = (counts.cumsum() - counts / 2) / len(labels)  # the quantile in the middle of a level
        level = (middle * number).astype(np.int64)[level]
    largest = np.bincount(level).argmax()
    return (level - largest) % (level.max() + 1)


def digest_of(first: list[str], second: list[str], labels: NDArray[Any], query: NDArray[Any] | None = None) -> str:
    """SHA-256 of the columns of a set of pairs, by which a checkpoint knows its data again."""
    digest = hashlib.sha256(labels.tobytes())
    for text in (*first, *second):
        written = text.encode("utf-8", "surrogatepass")
        digest.update(b"%d:%b" % (len(written), written))  # its length first: no two lists of texts give one digest
    if query is not None:
        digest.update(query.tobytes())
    return digest.hexdigest()
