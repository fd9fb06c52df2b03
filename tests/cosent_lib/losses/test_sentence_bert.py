"""Sentence-BERT's loss by hand."""

import torch
from loss_kit import batch

from cosent_lib.losses.sentence_bert import SoftmaxLoss


def test_sentence_bert_by_hand() -> None:
    u, v = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]])
    loss = SoftmaxLoss(dim=2, num_labels=3)
    with torch.no_grad():
        loss.classifier.weight.copy_(torch.arange(18.0).reshape(3, 6) / 10)
        loss.classifier.bias.copy_(torch.tensor([0.1, 0.0, -0.1]))
    features = torch.tensor([1.0, 2.0, 3.0, -1.0, 2.0, 3.0])
    logits = torch.stack([features @ (torch.arange(6.0) + 6 * k) / 10 for k in range(3)])
    logits = logits + torch.tensor([0.1, 0.0, -0.1])
    expected = torch.logsumexp(logits, 0) - logits[1]
    torch.testing.assert_close(loss(u, v, torch.tensor([0.5])), expected)
    assert loss.predict(u, v).tolist() == [int(logits.argmax())]


def test_sentence_bert_classes_round_halves_up() -> None:
    labels = torch.tensor([0.0, 0.24, 0.25, 0.49, 0.5, 0.74, 0.75, 1.0])
    assert SoftmaxLoss(2, 2).classes(labels).tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert SoftmaxLoss(2, 3).classes(labels).tolist() == [0, 0, 1, 1, 1, 1, 2, 2]
    grades = torch.arange(6, dtype=torch.float32) / 5  # as load_pairs scales 0..5
    assert SoftmaxLoss(2, 6).classes(grades).tolist() == [0, 1, 2, 3, 4, 5]


def test_sentence_bert_features_and_seed() -> None:
    u, v, _ = batch(4)
    loss = SoftmaxLoss(6, features=("u*v", "v"))
    expected = torch.cat([u * v, v], 1).float() @ loss.classifier.weight.T + loss.classifier.bias
    torch.testing.assert_close(loss.logits(u.float(), v.float()), expected)
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    same, other = SoftmaxLoss(6, seed=0), SoftmaxLoss(6, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(same.classifier.weight, SoftmaxLoss(6, seed=0).classifier.weight)
    assert not torch.equal(same.classifier.weight, other.classifier.weight)
