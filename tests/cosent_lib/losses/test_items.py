"""Losses of items with one target or many, against torch and the papers' forms."""

import pytest
import torch
import torch.nn.functional as F
from loss_kit import gradients

from cosent_lib.losses.items import circle_loss, cross_entropy, multilabel_loss


def test_cross_entropy_is_torchs() -> None:
    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = torch.tensor([0, 3, 6, 2, 2])
    torch.testing.assert_close(cross_entropy(logits, targets), F.cross_entropy(logits, targets))
    torch.testing.assert_close(cross_entropy(logits[0], 4), F.cross_entropy(logits[:1], torch.tensor([4])))


def test_multilabel_loss_is_the_product_form() -> None:
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(6, 9, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, 2, (6, 9), generator=generator)
    targets[0], targets[1] = 0, 1  # no positive, no negative
    for threshold in (0.0, 0.8):
        negatives = ((scores - threshold).exp() * (1 - targets)).sum(1)
        positives = ((threshold - scores).exp() * targets).sum(1)
        expected = (torch.log1p(negatives) + torch.log1p(positives)).mean()
        torch.testing.assert_close(multilabel_loss(scores, targets, threshold), expected)
    single = multilabel_loss(torch.tensor([0.3]), torch.tensor([1]))  # one label: sigmoid cross-entropy
    torch.testing.assert_close(single, F.binary_cross_entropy_with_logits(torch.tensor(0.3), torch.tensor(1.0)))
    with pytest.raises(ValueError, match="targets of multilabel_loss must be 0 or 1"):
        multilabel_loss(scores, scores)


def test_circle_loss_is_the_papers_form_with_weights_held_fixed() -> None:
    generator = torch.Generator().manual_seed(2)
    p, n = (torch.rand(k, generator=generator, dtype=torch.float64).requires_grad_() for k in (4, 6))
    gamma, m = 20.0, 0.25
    alpha_p, alpha_n = (1 + m - p).clamp_min(0).detach(), (n + m).clamp_min(0).detach()
    total = (gamma * alpha_n * (n - m)).exp().sum() * (-gamma * alpha_p * (p - (1 - m))).exp().sum()
    loss, expected = circle_loss(p, n, gamma, m), torch.log1p(total)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradients(loss, p, n), gradients(expected, p, n))
