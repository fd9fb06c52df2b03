"""How well cosines order sentence pairs: Spearman, Pearson, AUC, their ceilings, and threshold metrics.

A metric that is undefined (all labels or all scores equal) is a ``ValueError``, never a silent NaN.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cosent_lib.data.columns import PairColumns, Pairs, pair_columns
from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.errors import CosentError, check_gives_vectors
from cosent_lib.evaluation.metrics import check_defined, score_metrics
from cosent_lib.evaluation.report import distinct_pairs
from cosent_lib.evaluation.retrieval import near_one, ranks_of_partners, retrieval_metrics
from cosent_lib.evaluation.thresholds import best_threshold, is_binary, threshold_metrics
from cosent_lib.losses.sentence_bert import SoftmaxLoss
from cosent_lib.texts import folded, shown

CHUNK = 16_384  # rows of float64 vectors in memory at once
MOST_SHARED = 0.5  # of the smaller of two sets of pairs that should be separate; real ones share a few


class SamePairs(CosentError, ValueError):  # noqa: N818
    """What was chosen or fitted on pairs is to be judged on the same pairs."""


def check_other_pairs(pairs: Pairs, fitted_on: Pairs, what: str = "threshold_pairs", use: str = "evaluated") -> None:
    """Refuse to judge on ``pairs`` what is fitted on the same ones: by what stands in them, in whatever order.

    Args:
        pairs: what is evaluated.
        fitted_on: what a threshold, say, is fitted on.
        what: the name used for it in the message.
        use: what is done with ``pairs``, in one word for the message.

    Raises:
        SamePairs: half or more of the smaller set stand in the other, the two texts of a pair in either order and
            whatever their capital letters, their spaces and what of them does not show.
    """
    judged, fitted = (distinct_pairs(columns, folded) for columns in map(pair_columns, (pairs, fitted_on)))
    shared = len(judged & fitted)
    if shared >= MOST_SHARED * min(len(judged), len(fitted)):
        raise SamePairs(
            f"{what} must be other data than the pairs that are {use}, but of its {len(fitted)} distinct pairs "
            f"{shared} are among those {len(judged)}: nothing is judged where it was fitted"
        )


def cosine_scores(
    encoder: SentenceEncoder, pairs: Pairs, *, batch_size: int = 256, progress: bool = False
) -> NDArray[np.float64]:
    """The cosine of each pair's two vectors, float64 ``[n]``; each distinct text is encoded once.

    A zero vector has cosine 0 with everything.

    Args:
        encoder: texts → vectors; only its ``encode`` is used.
        pairs: a ``Dataset``, ``DataFrame`` or mapping with the columns ``sentence1``, ``sentence2``, ``score``.
        batch_size: handed to ``encode``.
        progress: handed to ``encode``.

    Raises:
        ValueError: bad columns, or a vector that is not finite (says of which text).

    Example:
        >>> from cosent_lib import load_encoder
        >>> encoder = load_encoder("static", ["pause my plan", "what is new"])
        >>> pairs = {"sentence1": ["pause my plan"], "sentence2": ["Pause my plan"], "score": [1]}
        >>> cosine_scores(encoder, pairs)  # it does not tell capital letters from small ones
        array([1.])
    """
    columns = pair_columns(pairs)
    if getattr(encoder, "reads_pairs", False):
        cross: Any = encoder
        scores: NDArray[np.float64] = cross.predict(columns.first, columns.second, batch_size, progress)
        return scores
    vectors, left, right = _vectors(encoder, columns, batch_size, progress)
    parts = (slice(start, start + CHUNK) for start in range(0, left.size, CHUNK))
    return np.concatenate([_cosines(vectors[left[part]], vectors[right[part]]) for part in parts])


def _vectors(
    encoder: SentenceEncoder, columns: PairColumns, batch_size: int = 256, progress: bool = False
) -> tuple[NDArray[np.floating], NDArray[np.int64], NDArray[np.int64]]:
    """Vectors of the distinct texts ``[t, dim]``, and for both columns the row of each text there."""
    check_gives_vectors(encoder)
    index = {text: number for number, text in enumerate(dict.fromkeys([*columns.first, *columns.second]))}
    vectors = np.asarray(encoder.encode(list(index), batch_size=batch_size, progress=progress))
    if not np.isfinite(vectors).all():
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        first = shown(next(text for text, number in index.items() if number == bad[0]))
        raise ValueError(f"the encoder gives vectors that are not finite for {bad.size} texts, the first is {first}")
    left, right = (np.fromiter(map(index.__getitem__, texts), np.int64) for texts in columns[:2])
    return vectors, left, right


def _cosines(u: NDArray[np.floating], v: NDArray[np.floating]) -> NDArray[np.float64]:
    """Row-wise cosines of two ``[n, dim]`` arrays in float64; 0 where a row is zero."""
    u, v = (near_one(vectors.astype(np.float64)) for vectors in (u, v))
    uv, uu, vv = (np.einsum("nd,nd->n", a, b) for a, b in ((u, v), (u, u), (v, v)))
    lengths = np.sqrt(uu * vv)  # one root: equal vectors then have exactly 1, and tie, as they should
    return uv / np.where(lengths == 0, 1.0, lengths)


def evaluate(
    encoder: SentenceEncoder,
    pairs: Pairs,
    threshold_pairs: Pairs | None = None,
    *,
    batch_size: int = 256,
    progress: bool = False,
) -> dict[str, float]:
    """How well the encoder's cosines order ``pairs`` by their labels.

    Args:
        encoder: texts → vectors.
        pairs: what is evaluated, with the columns ``sentence1``, ``sentence2``, ``score``.
        threshold_pairs: other pairs (validation) on which a decision threshold is fitted.
        batch_size: of encoding.
        progress: of encoding.

    Returns:
        dict: ``spearman``, ``pearson``, ``auc`` (:func:`cosent_lib.concordance`), ``ceiling``
        (:func:`cosent_lib.spearman_ceiling`), and for labels 0/1 ``average_precision``. With ``threshold_pairs`` also
        ``accuracy`` at ``threshold`` and ``f1`` at ``f1_threshold``, each threshold fitted on ``threshold_pairs`` for
        its own metric, and ``majority``, the accuracy of always giving the more frequent label.

    Raises:
        ValueError: bad columns; all labels or all cosines equal; ``threshold_pairs`` where labels are not 0 and 1.
        ValueError: ``threshold_pairs`` hold ``pairs``, or most of them, see `check_other_pairs`.

    Example:
        >>> from cosent_lib import load_encoder
        >>> first, second = ["pause my plan", "pause my plan"], ["please pause my plan", "what is new"]
        >>> encoder = load_encoder("static", [*first, *second])
        >>> evaluate(encoder, {"sentence1": first, "sentence2": second, "score": [1, 0]})["auc"]
        1.0
    """
    labels = pair_columns(pairs).labels
    check_defined(labels, "labels")  # before minutes of encoding
    fitting = None if threshold_pairs is None else pair_columns(threshold_pairs, "threshold_pairs").labels
    if fitting is not None:
        for name, given in (("pairs", labels), ("threshold_pairs", fitting)):
            if not is_binary(given):
                raise ValueError(f"a threshold parts labels 0 and 1, and {name} are graded: leave threshold_pairs out")
        check_defined(fitting, "labels of threshold_pairs")
        check_other_pairs(pairs, threshold_pairs)
    scores = cosine_scores(encoder, pairs, batch_size=batch_size, progress=progress)
    metrics = score_metrics(scores, labels)
    if fitting is None:
        return metrics
    fitting_scores = cosine_scores(encoder, threshold_pairs, batch_size=batch_size, progress=progress)
    threshold = best_threshold(fitting_scores, fitting).threshold
    f1_threshold = best_threshold(fitting_scores, fitting, "f1").threshold
    return metrics | {
        "accuracy": threshold_metrics(scores, labels, threshold)["accuracy"],
        "f1": threshold_metrics(scores, labels, f1_threshold)["f1"],
        "threshold": threshold,
        "f1_threshold": f1_threshold,
        "majority": float(max(labels.mean(), 1 - labels.mean())),
    }


def evaluate_classifier(
    encoder: SentenceEncoder, loss: SoftmaxLoss, pairs: Pairs, *, batch_size: int = 256, progress: bool = False
) -> dict[str, float]:
    """How often Sentence-BERT's own classifier is right: what it is trained on, not what it is used for (chapter 7).

    Args:
        encoder: texts → vectors.
        loss: the trained :class:`cosent_lib.SoftmaxLoss`.
        pairs: a ``Dataset``, ``DataFrame`` or mapping with the columns ``sentence1``, ``sentence2``, ``score``.
        batch_size: of encoding.
        progress: of encoding.

    Returns:
        dict: ``accuracy``; ``macro_f1``, the mean of the classes' F1, which no frequent class can dominate (a class
        that neither occurs nor is predicted is left out); ``majority``, the accuracy of always giving the most
        frequent class.

    Raises:
        ValueError: bad columns.

    Example:
        >>> from cosent_lib import SoftmaxLoss, load_encoder
        >>> encoder = load_encoder("static", ["a plan", "a bill"])
        >>> pairs = {"sentence1": ["a plan", "a bill"], "sentence2": ["a bill", "a bill"], "score": [0, 1]}
        >>> evaluate_classifier(encoder, SoftmaxLoss(encoder.dim), pairs)["majority"]
        0.5
    """
    from sklearn.metrics import f1_score  # a second of import that no other function needs

    columns = pair_columns(pairs)
    vectors, left, right = _vectors(encoder, columns, batch_size, progress)
    weight = next(loss.parameters())
    u, v = (torch.from_numpy(vectors[rows]).to(weight) for rows in (left, right))
    classes = loss.classes(torch.from_numpy(columns.labels))
    predicted = loss.predict(u, v).cpu()
    return {
        "accuracy": (predicted == classes).double().mean().item(),
        "macro_f1": float(f1_score(classes, predicted, average="macro", zero_division=0)),
        "majority": int(classes.bincount().max()) / classes.numel(),
    }


def evaluate_retrieval(
    encoder: SentenceEncoder,
    pairs: Pairs,
    ks: Sequence[int] = (1, 5, 10),
    *,
    batch_size: int = 256,
    chunk: int = 512,
    progress: bool = False,
) -> dict[str, float]:
    """Whether texts find their partners: every text with a partner asks, all other texts of the pairs may answer.

    Partners are the two texts of a pair labelled ½ or more (two equal texts are not a question). The corpus is all
    distinct texts of the pairs. Unlabelled true matches in it count as wrong, so values are comparable between
    encoders, not between sets. Ties count against the encoder.

    Args:
        encoder: texts → vectors.
        pairs: a ``Dataset``, ``DataFrame`` or mapping with the columns ``sentence1``, ``sentence2``, ``score``.
        ks: the k of recall@k.
        batch_size: of encoding.
        chunk: queries compared with the corpus at once.
        progress: of encoding.

    Returns:
        dict: ``mrr``, the mean over queries of 1/rank of the first partner; ``recall@k``, the mean share of a query's
        partners among its k nearest texts; the numbers of ``queries`` and of texts in the ``corpus``.

    Raises:
        ValueError: bad columns, no pair labelled ½ or more, k below 1.

    Example:
        >>> from cosent_lib import load_encoder
        >>> first, second = ["pause my plan", "what is new"], ["please pause my plan", "tell me what is new"]
        >>> encoder = load_encoder("static", [*first, *second])
        >>> evaluate_retrieval(encoder, {"sentence1": first, "sentence2": second, "score": [1, 1]}, ks=[1])
        {'mrr': 1.0, 'recall@1': 1.0, 'queries': 4, 'corpus': 4}
    """
    if not all(isinstance(k, int) and k >= 1 for k in ks):
        raise ValueError(f"ks must be whole numbers of at least 1, got {tuple(ks)}")
    columns = pair_columns(pairs)
    vectors, left, right = _vectors(encoder, columns, batch_size, progress)
    partners: dict[int, set[int]] = {}
    for a, b in zip(left[columns.labels >= 0.5].tolist(), right[columns.labels >= 0.5].tolist(), strict=True):
        if a != b:
            partners.setdefault(a, set()).add(b)
            partners.setdefault(b, set()).add(a)
    if not partners:
        raise ValueError("no pair of two different texts is labelled 0.5 or more, so there is nothing to retrieve")
    ranks = ranks_of_partners(vectors, {query: sorted(rows) for query, rows in partners.items()}, chunk)
    return retrieval_metrics(ranks, ks) | {"queries": len(ranks), "corpus": len(vectors)}
