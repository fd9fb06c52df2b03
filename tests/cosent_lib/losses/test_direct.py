"""The direct losses against torch and by hand."""

import pytest
import torch
import torch.nn.functional as F
from loss_kit import Encoder, batch

from cosent_lib.losses.direct import CosineEmbeddingLoss, CosineSimilarityLoss
from cosent_lib.losses.make import make_loss


@pytest.mark.parametrize("margin", [-1.0, 0.0, 0.7])
def test_cosine_embedding_loss_is_torchs(margin: float) -> None:
    u, v, labels = batch(40)
    u[:5] = v[:5] + 0.01  # some cosines above the margin
    expected = F.cosine_embedding_loss(u, v, 2 * labels - 1, margin=margin)
    torch.testing.assert_close(CosineEmbeddingLoss(margin)(u, v, labels), expected)


def test_direct_losses_by_hand() -> None:
    # cosines 0.6, 1, 0.8 with labels 1, 0, 0.5
    u = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.5, 0.0]])
    v = torch.tensor([[3.0, 4.0], [7.0, 0.0], [8.0, 6.0]])
    labels = torch.tensor([1.0, 0.0, 0.5])
    linear = (0.4 + 2.0 + 0.5 * 0.2 + 0.5 * 1.8) / 3
    squared = (0.4**2 + 1.0**2 + 0.3**2) / 3
    margin = (0.4 + 0.3 + 0.5 * 0.2 + 0.5 * 0.1) / 3
    assert float(make_loss("cosine_linear", Encoder())(u, v, labels)) == pytest.approx(linear)
    assert float(CosineSimilarityLoss()(u, v, labels)) == pytest.approx(squared)
    assert float(make_loss("cosine_margin", Encoder())(u, v, labels)) == pytest.approx(margin)
