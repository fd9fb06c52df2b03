"""What real sets of sentence pairs hold, measured (chapter 4): overlaps of words, leaks, triangles, compared scores.

The functions that take ``data`` are measurements (`cosent_book.measurements.registry`): they return plain JSON values.
"""

import itertools
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from cosent_book.measurements.registry import Data, measurement
from cosent_lib.data.columns import PairColumns, pair_columns
from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.encoders.load import load_encoder
from cosent_lib.evaluation.intervals import bootstrap_interval
from cosent_lib.evaluation.metrics import concordance, spearman
from cosent_lib.evaluation.report import summarise
from cosent_lib.evaluation.retrieval import ranks_of_partners

PERCENTILES = (10, 25, 50, 75, 90)
HIGH, LOW = 0.8, 0.2  # labels from HIGH on count as positives, up to LOW as negatives; with labels 0 and 1, all
RESAMPLES = 200
NEAR = 0.8  # two sentences are nearly equal from this overlap on
SHORT = 192  # of the 384 numbers of a MiniLM vector

TextPair = tuple[str, str]


TEST_TASKS = ("lcqmc", "atec", "bq", "pawsx", "stsb_zh", "stsb_en")


def normalised(text: str) -> str:
    """``text`` by its letters and digits only, NFKC and case-folded; a text without any stays as it is.

    Two texts that agree in this differ in punctuation, white space, width or case at most.
    """
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum()) or text


def bigrams(text: str) -> frozenset[str]:
    """The pairs of neighbouring characters of the normalised text; a text of one character is its own."""
    text = normalised(text)
    return frozenset(map("".join, itertools.pairwise(text))) or frozenset([text])


def bigram_overlap(first: str, second: str) -> float:
    """Share of the two texts' bigrams that stand in both (Jaccard), in [0, 1]; characters, so for any language."""
    a, b = bigrams(first), bigrams(second)
    return len(a & b) / len(a | b)


@measurement({"task": task, "split": "test"} for task in TEST_TASKS)
def pair_statistics(data: Data, *, task: str, split: str) -> dict[str, Any]:
    """What one split holds: labels, repetitions, contradictions, and how many bigrams the two texts of a pair share.

    Args:
        data: where pairs come from.
        task: a name of `cosent_lib.data.tasks.TASKS`, or ``csv:PATH``.
        split: one of its splits.

    Returns:
        dict: ``rows``; ``labels`` as [label, rows]; ``ceiling``, ``tied``, ``repeated`` and ``contradictory`` as in
        `Summary`, with texts compared when normalised; ``same_text``, the share of pairs whose
        texts are then equal; ``overlap``, group → percentiles 10, 25, 50, 75, 90 of `bigram_overlap`, for positives
        (label ≥ 0.8), negatives (≤ 0.2) and random pairs (a sentence with the partner of another);
        ``overlap_auc`` and ``overlap_spearman`` against the labels, each as estimate and ends of its 95 % interval;
        ``random_auc``, that of positives against random pairs.

    Raises:
        ValueError: all labels are equal, or none is 0.8 or more.
    """
    columns = pair_columns(data.load(task, split))
    first, second = (list(map(normalised, texts)) for texts in columns[:2])
    labels, summary = columns.labels, summarise({"sentence1": first, "sentence2": second, "score": columns.labels})
    found = np.array(list(map(bigram_overlap, columns.first, columns.second)))
    groups = {"positives": found[labels >= HIGH], "negatives": found[labels <= LOW], "random": _random(columns)}
    ends = [groups["positives"], groups["random"]]
    against = concordance(np.concatenate(ends), np.repeat([1, 0], list(map(len, ends))))
    return {
        "rows": summary.rows,
        "labels": [[label, summary.labels[label]] for label in sorted(summary.labels)],
        "ceiling": summary.ceiling,
        "tied": summary.tied,
        "repeated": summary.repeated,
        "contradictory": summary.contradictory,
        "same_text": float(np.mean(np.equal(first, second))),
        "overlap": {
            group: np.percentile(values, PERCENTILES).tolist() for group, values in groups.items() if values.size
        },
        "overlap_auc": list(bootstrap_interval(found, labels, concordance, resamples=RESAMPLES)),
        "overlap_spearman": list(bootstrap_interval(found, labels, spearman, resamples=RESAMPLES)),
        "random_auc": against,
    }


@measurement({"task": task} for task in TEST_TASKS if task != "pawsx")
def leaks(data: Data, *, task: str) -> dict[str, Any]:
    """How much of a test split can be known from the sentences of the training split.

    A *memory* never compares two sentences. It scores a pair by what it remembers of each sentence alone: the mean
    label of the sentence's training pairs, with the overall share as one more observation; an unknown sentence
    gets that share.

    Args:
        data: where pairs come from.
        task: as for `pair_statistics`, with the splits train and test.

    Returns:
        dict: ``test`` rows; ``seen``, the share of them with 0, 1 and 2 sentences in train; ``near``, the share that
        has one sentence in common with a training pair, and the other nearly; ``memory_auc`` and ``memory_spearman``
        with the ends of their 95 % intervals; ``by_seen``, the memory's AUC on the pairs with 1 and with 2 known
        sentences (None where undefined); ``far_auc``, its AUC without the pairs counted in ``near``.
    """
    train, test = (pair_columns(data.load(task, split)) for split in ("train", "test"))
    partners: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for first, second, label in zip(*train, strict=True):
        a, b = normalised(first), normalised(second)
        partners[a].append((b, label))
        partners[b].append((a, label))
    pairs = [(normalised(a), normalised(b)) for a, b in zip(test.first, test.second, strict=True)]
    labels, overall = test.labels, float(np.mean(train.labels))
    remembered = {text: (sum(y for _, y in known) + overall) / (len(known) + 1) for text, known in partners.items()}
    scores = np.array([remembered.get(a, overall) + remembered.get(b, overall) for a, b in pairs])
    seen = np.array([(a in partners) + (b in partners) for a, b in pairs])
    closest = np.array([_closest(pair, partners) for pair in pairs])
    return {
        "test": len(pairs),
        "seen": [float(np.mean(seen == count)) for count in (0, 1, 2)],
        "near": float(np.mean(closest >= NEAR)),
        "memory_auc": list(bootstrap_interval(scores, labels, concordance, resamples=RESAMPLES)),
        "memory_spearman": list(bootstrap_interval(scores, labels, spearman, resamples=RESAMPLES)),
        "by_seen": [_auc_or_none(scores[seen == count], labels[seen == count]) for count in (1, 2)],
        "far_auc": _auc_or_none(scores[closest < NEAR], labels[closest < NEAR]),
    }


@measurement({"task": task, "splits": ["train", "validation", "test"]} for task in ("lcqmc", "bq"))
def triangles(data: Data, *, task: str, splits: list[str]) -> dict[str, Any]:
    """Three sentences of which all three pairs are labelled: how often 1, 1 goes with 1, and how often with 0.

    Args:
        data: where pairs come from.
        task: a task with labels 0 and 1.
        splits: taken together.

    Returns:
        dict: ``pairs``, distinct pairs of two different normalised texts; ``contradictory``, those with both labels,
        which are left out; ``repeated``, those with more than one row, and ``disagreement``, the share of differing
        labels among two rows of one of them, averaged over them (None without any); ``triangles``, the three labels
        such as "110" → number.
    """
    rows: dict[TextPair, list[float]] = defaultdict(list)
    for split in splits:
        for first, second, label in zip(*pair_columns(data.load(task, split)), strict=True):
            a, b = sorted((normalised(first), normalised(second)))
            if a != b:
                rows[a, b].append(label)
    repeated = [labels for labels in rows.values() if len(labels) > 1]
    ones = [(sum(labels), len(labels)) for labels in repeated]
    differing = [2 * k * (n - k) / (n * (n - 1)) for k, n in ones]
    return {
        "pairs": len(rows),
        "contradictory": sum(len(set(labels)) > 1 for labels in repeated),
        "repeated": len(repeated),
        "disagreement": float(np.mean(differing)) if repeated else None,
        "triangles": count_triangles({pair: ys[0] for pair, ys in rows.items() if len(set(ys)) == 1}),
    }


def count_triangles(labels: Mapping[TextPair, float]) -> dict[str, int]:
    """Count three sentences with all three pairs labelled, by their labels 0/1 in falling order.

    Args:
        labels: (a, b) with a < b → label.
    """
    neighbours: dict[str, set[str]] = defaultdict(set)
    for a, b in labels:
        neighbours[a].add(b)
        neighbours[b].add(a)
    counts: Counter[str] = Counter()
    for (a, b), label in labels.items():
        for c in neighbours[a] & neighbours[b]:
            if c > b:  # each triangle once, from its two first sentences
                three = sorted((int(label), int(labels[a, c]), int(labels[b, c])), reverse=True)
                counts["".join(map(str, three))] += 1
    return {kind: counts[kind] for kind in ("111", "110", "100", "000")}


@measurement([{"task": "stsb_en", "split": "test"}])
def compared_scores(data: Data, *, task: str, split: str) -> dict[str, Any]:
    """Scores of several models, none of them trained, for the same pairs, and the ranks at which each finds partners.

    ``minilm`` is all-MiniLM-L6-v2; ``short`` keeps the first 192 of its 384 numbers; ``layers`` pools its first and
    last layer instead of the last; ``overlap`` is `bigram_overlap`, which has no vectors to search with.

    Args:
        data: where pairs come from.
        task: a task in English with the split.
        split: what is scored.

    Returns:
        dict: ``labels``; ``scores``, model → one a pair, to five decimals; ``ranks``, model → for each text with
        a partner (a pair labelled ½ or more) the rank of its first; ``corpus``, the number of distinct texts.
    """
    pairs = data.load(task, split)
    columns = pair_columns(pairs)
    texts = list(dict.fromkeys([*columns.first, *columns.second]))
    whole = _encoded(load_encoder("minilm"), texts)
    vectors = {"minilm": whole, "short": whole[:, :SHORT]}
    vectors["layers"] = _encoded(load_encoder("minilm", pooling="first_last_mean"), texts)
    scores = {name: _cosines(matrix, pairs, texts) for name, matrix in vectors.items()}
    scores["overlap"] = np.array(list(map(bigram_overlap, columns.first, columns.second)))
    return {
        "labels": columns.labels.tolist(),
        "scores": {name: values.round(5).tolist() for name, values in scores.items()},
        "ranks": {name: _first_ranks(matrix, pairs, texts) for name, matrix in vectors.items()},
        "corpus": len(texts),
    }


def _random(columns: PairColumns) -> NDArray[np.float64]:
    """Overlap of each first sentence with the partner of another row."""
    order = np.random.default_rng(0).permutation(len(columns.labels))
    others = [(i, j) for i, j in enumerate(order) if i != j]
    return np.array([bigram_overlap(columns.first[i], columns.second[j]) for i, j in others])


def _closest(pair: TextPair, partners: Mapping[str, Sequence[tuple[str, float]]]) -> float:
    """Largest overlap of one sentence with a training partner of the other."""
    a, b = pair
    known = [bigram_overlap(other, text) for one, other in ((a, b), (b, a)) for text, _ in partners.get(one, ())]
    return max(known, default=0.0)


def _auc_or_none(scores: NDArray[np.float64], labels: NDArray[np.float64]) -> float | None:
    return concordance(scores, labels) if len(set(labels.tolist())) > 1 else None


def _encoded(encoder: SentenceEncoder, texts: list[str]) -> NDArray[np.float64]:
    """Vectors of ``texts`` with length 1; float64 ``[n, dim]``."""
    return np.asarray(encoder.encode(texts), dtype=np.float64)


def _cosines(vectors: NDArray[np.float64], pairs: Dataset, texts: list[str]) -> NDArray[np.float64]:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    row = {text: number for number, text in enumerate(texts)}
    first, second = (unit[[row[text] for text in pairs[name][:]]] for name in ("sentence1", "sentence2"))
    return np.einsum("nd,nd->n", first, second)


def _first_ranks(vectors: NDArray[np.float64], pairs: Dataset, texts: list[str]) -> list[int]:
    """For each text with a partner, the rank of the first one found, as `evaluate_retrieval` counts."""
    row = {text: number for number, text in enumerate(texts)}
    partners: dict[int, set[int]] = defaultdict(set)
    for first, second, label in zip(*pair_columns(pairs), strict=True):
        if label >= 0.5 and first != second:
            partners[row[first]].add(row[second])
            partners[row[second]].add(row[first])
    ranks = ranks_of_partners(vectors, {query: sorted(found) for query, found in partners.items()})
    return [int(found[0]) for found in ranks]
