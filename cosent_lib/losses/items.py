"""Classification losses as a ranking of items: what :func:`rank_loss` becomes with other items and labels."""

import torch
import torch.nn.functional as F
from torch import Tensor

from cosent_lib.ranking.rank_loss import rank_loss


def cross_entropy(logits: Tensor, target: Tensor | int) -> Tensor:
    """Softmax cross-entropy as a :func:`rank_loss`: the target labelled 1, all other classes 0.

    Args:
        logits: ``[classes]`` or ``[batch, classes]``.
        target: class index, or ``[batch]`` of them.

    Returns:
        Scalar, averaged over the batch. Equal to ``torch.nn.functional.cross_entropy``; meant for reading, one row at a
        time.

    Source: Chapter 1.
    """
    logits, targets = torch.atleast_2d(logits), torch.atleast_1d(torch.as_tensor(target))
    labels = F.one_hot(targets.long(), logits.shape[-1]).to(logits.device)
    return torch.stack([rank_loss(*row) for row in zip(logits, labels, strict=True)]).mean()


def multilabel_loss(scores: Tensor, targets: Tensor, threshold: float = 0.0) -> Tensor:
    """Return ZLPR, log(1 + Σ_neg e^{s − s₀}) + log(1 + Σ_pos e^{s₀ − s}), as a :func:`rank_loss` with one item more.

    Args:
        scores: ``[labels]`` or ``[batch, labels]``.
        targets: 0 or 1, the shape of scores.
        threshold: s₀, the score above which a label is predicted: the item labelled ½.

    Returns:
        Scalar, averaged over the batch.

    Raises:
        ValueError: for targets other than 0 and 1.

    Source: Su et al. 2022 (arXiv 2208.02955); Chapter 2.
    """
    if not bool(((targets == 0) | (targets == 1)).all()):
        raise ValueError("targets of multilabel_loss must be 0 or 1")
    scores, targets = torch.atleast_2d(scores), torch.atleast_2d(targets)
    rows = []
    for row, target in zip(scores, targets, strict=True):
        items = torch.cat([row, row.new_full((1,), threshold)])
        rows.append(rank_loss(items, torch.cat([target.to(row.dtype), row.new_full((1,), 0.5)])))
    return torch.stack(rows).mean()


def circle_loss(positive: Tensor, negative: Tensor, gamma: float = 256.0, margin: float = 0.25) -> Tensor:
    """Circle loss as a :func:`rank_loss` of the re-weighted similarities γ·α·(s − Δ).

    Args:
        positive: within-class similarities, ``[positives]``.
        negative: between-class similarities, ``[negatives]``.
        gamma: γ, the scale.
        margin: m, the relaxation: Δ_p = 1 − m, Δ_n = m, O_p = 1 + m, O_n = −m.

    Returns:
        Scalar. The weights α = max(0, O_p − s), max(0, s − O_n) carry no gradient, as in the paper.

    Source: Sun et al. 2020 (arXiv 2002.10857), eqs. 4-8; Chapter 2.
    """
    weight_p = (1 + margin - positive.detach()).clamp_min(0)
    weight_n = (negative.detach() + margin).clamp_min(0)
    scores = torch.cat([weight_p * (positive - (1 - margin)), weight_n * (negative - margin)])
    labels = torch.cat([torch.ones_like(positive), torch.zeros_like(negative)]).detach()
    return rank_loss(gamma * scores, labels)
