"""What labels of more than two levels ask for, counted: what coarser grades keep, and what queries compare (ch. 11)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cosent_book.measurements.registry import Data, measurement
from cosent_book.relabelling import nearest
from cosent_lib.data.columns import pair_columns
from cosent_lib.evaluation.metrics import spearman
from cosent_lib.ranking.rank_loss import count_demanded_pairs


@measurement({"task": task, "levels": list(levels)} for task, levels in (("stsb_zh", (3, 2)), ("stsb_en", (6, 3, 2))))
def coarsened(data: Data, *, task: str, levels: Sequence[int]) -> dict[str, Any]:
    """How much of the order of the training labels is left when only so many levels are told apart.

    Args:
        data: where pairs come from.
        task: a graded set.
        levels: numbers of levels, see `cosent_book.relabelling`.

    Returns:
        dict: ``values``, the number of different labels as they are; and for each of ``levels``, in their order,
        ``kept``, the share of the demanded pairs of two training pairs that is still demanded, and ``spearman``
        between the coarse labels and the fine ones.
    """
    fine = pair_columns(data.load(task, "train")).labels
    coarse = [np.array(nearest(fine.tolist(), count)) for count in levels]
    return {
        "values": len(np.unique(fine)),
        "kept": [_demands(each) / _demands(fine) for each in coarse],
        "spearman": [spearman(each, fine) for each in coarse],
    }


@measurement([{"task": "ocnli"}])
def queries(data: Data, *, task: str) -> dict[str, Any]:
    """How the pairs of each split share their first sentence, and how many comparisons are made within it.

    Args:
        data: where pairs come from.
        task: a set.

    Returns:
        dict: for each of ``train``, ``validation`` and ``test``: the number of ``pairs``, of ``queries`` (first
        sentences), of queries ``with_several`` labels, of demanded pairs ``within`` queries and of all ``across``.
    """
    found = {}
    for split in ("train", "validation", "test"):
        columns = pair_columns(data.load(task, split))
        numbers = np.unique(columns.first, return_inverse=True)[1]
        within = [_demands(columns.labels[numbers == query]) for query in range(numbers.max() + 1)]
        found[split] = {
            "pairs": len(columns.labels), "queries": len(within), "with_several": int(np.count_nonzero(within)),
            "within": sum(within), "across": _demands(columns.labels),
        }  # fmt: skip
    return found


def _demands(labels: NDArray[np.float64]) -> int:
    return count_demanded_pairs(torch.from_numpy(labels))
