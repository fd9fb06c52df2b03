"""OnlineContrastiveLoss against sentence-transformers', and by hand."""

import pytest
import torch
from loss_kit import batch

from cosent_lib.losses.direct import OnlineContrastiveLoss
from cosent_lib.losses.make import make_loss


@pytest.mark.parametrize("labels", [[1, 0, 1, 0, 0, 1, 0, 1], [1] * 8, [0] * 8, [1] + [0] * 7, [0] + [1] * 7])
@pytest.mark.parametrize("margin", [0.2, 0.5, 1.5])
def test_equals_sentence_transformers(labels: list[int], margin: float) -> None:
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    generator = torch.Generator().manual_seed(3)
    u, v = torch.randn(2, 8, 5, generator=generator, dtype=torch.float64)
    v, y = u + 0.8 * v, torch.tensor(labels)
    ours, theirs = u.clone().requires_grad_(), u.clone().requires_grad_()
    value = OnlineContrastiveLoss(margin)(ours, v, y)
    reference = losses.OnlineContrastiveLoss(torch.nn.Identity(), margin=margin)
    expected = reference.compute_loss_from_embeddings([theirs, v], y)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-9)
    value.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=1e-9)


def test_by_hand() -> None:
    # distances: positives 0.2, 0.6; negatives 0.4, 1.0. Hard: the positive at 0.6 (> 0.4), the negative at 0.4 (< 0.6)
    cosines = torch.tensor([0.8, 0.4, 0.6, 0.0], dtype=torch.float64)
    u = torch.stack([cosines, (1 - cosines**2).sqrt()], 1)
    v = torch.tensor([[1.0, 0.0]], dtype=torch.float64).expand(4, 2)
    loss = OnlineContrastiveLoss(0.5)(u, v, torch.tensor([1, 1, 0, 0]))
    assert loss.item() == pytest.approx(0.6**2 + (0.5 - 0.4) ** 2)


def test_settled_pairs_are_left_alone() -> None:
    u = torch.tensor([[1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    loss = OnlineContrastiveLoss()(u, torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([1, 0]))
    loss.backward()
    assert loss.item() == 0
    assert not u.grad.any()


@pytest.mark.parametrize("margin", [0, -0.1, 2.5, float("nan")])
def test_margin_is_a_distance(margin: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        make_loss("contrastive", None, margin=margin)


@pytest.mark.parametrize("rows", [[0], [0, 1, 2, 3, 4, 5, 6, 7]])
def test_vectors_that_are_no_numbers_leave_no_contrastive_loss(rows: list[int]) -> None:
    u, v, labels = batch(8)
    u[rows] = torch.nan
    assert OnlineContrastiveLoss()(u, v, labels).isnan()
    assert OnlineContrastiveLoss()(u, v, 1 - labels).isnan()
