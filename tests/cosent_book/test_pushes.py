"""The push is minus the gradient on the scores."""

import torch

from cosent_book.pushes import push
from cosent_lib.ranking.rank_loss import rank_loss


def test_pushes_by_hand_and_scores_left_alone() -> None:
    scores = torch.zeros(3, requires_grad=True)
    found = push(rank_loss, scores, torch.tensor([1, 0, 0]))
    assert torch.allclose(found, torch.tensor([2 / 3, -1 / 3, -1 / 3]))
    assert not found.requires_grad
    assert scores.grad is None


def test_a_push_is_where_the_loss_falls() -> None:
    scores, labels = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64), torch.tensor([0, 1, 2])
    step = 1e-6 * push(rank_loss, scores, labels)
    fall = rank_loss(scores, labels) - rank_loss(scores + step, labels)
    assert torch.isclose(fall, (step**2).sum() / 1e-6, rtol=1e-4)
