"""Search with the vectors: does a text find its partners among all texts?

A high Spearman on labelled pairs does not promise this: there the competitors are the labelled negatives, here they are
all other texts (chapters 4 and 8).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TIED = 1e-12  # a product of matrices rounds otherwise for other shapes, so that equal vectors differ in a last digit


def near_one(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """Multiply each row of ``[n, dim]`` by a power of two, so that its largest number lies in [½, 1).

    Exact, and directions stay; the squares of what remains neither overflow nor vanish.
    """
    return np.ldexp(vectors, -np.frexp(np.abs(vectors).max(axis=1, initial=0, keepdims=True))[1])


def ranks_of_partners(
    vectors: NDArray[np.floating], partners: dict[int, list[int]], chunk: int = 512
) -> list[NDArray[np.int64]]:
    """For each query, the ranks (from 1, rising) at which its partners are found among all other rows.

    A text that is not a partner and has the same cosine as one (to `TIED`) is ranked before it: ties count against
    the encoder, and ``chunk`` changes nothing.

    Args:
        vectors: ``[n, dim]``; zero rows have cosine 0 with everything.
        partners: query row → rows to be found, neither empty nor holding the query.
        chunk: queries compared with all rows at once; memory is chunk × n floats.
    """
    vectors = near_one(vectors.astype(np.float64))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths == 0, 1, lengths)
    queries, ranks = list(partners), []
    for start in range(0, len(queries), chunk):
        rows = queries[start : start + chunk]
        for query, cosines in zip(rows, unit[rows] @ unit.T, strict=True):
            wanted = -np.sort(-cosines[partners[query]])
            cosines[[query, *partners[query]]] = -np.inf  # what is left are the wrong answers
            ahead = np.array([np.count_nonzero(cosines >= cosine - TIED) for cosine in wanted])
            ranks.append(ahead + np.arange(1, wanted.size + 1))
    return ranks


def retrieval_metrics(ranks: Sequence[NDArray[np.int64]], ks: Sequence[int]) -> dict[str, float]:
    """Mean reciprocal rank of the first partner, and for each k the mean share of partners within the first k."""
    metrics = {"mrr": float(np.mean([1 / rising[0] for rising in ranks]))}
    for k in ks:
        metrics[f"recall@{k}"] = float(np.mean([(rising <= k).mean() for rising in ranks]))
    return metrics
