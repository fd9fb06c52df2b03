"""The one way in which measurements train the static encoder: it is the library's."""

import pytest
import torch

from cosent_book.measurements.training import static_encoder, texts_of, train_static
from cosent_lib.data.load import load_pairs
from cosent_lib.losses.order import CoSENTLoss
from cosent_lib.training.setup import TrainingConfig
from cosent_lib.training.train import train

PAIRS = load_pairs("builtin", "train").select(range(128))


def test_texts_are_those_of_both_columns() -> None:
    texts = texts_of(PAIRS)
    assert texts[:128] == PAIRS["sentence1"][:]
    assert texts[128:] == PAIRS["sentence2"][:]


def test_a_name_with_options_and_a_function_train_as_the_library_does() -> None:
    encoder = static_encoder(PAIRS, 3)
    config = TrainingConfig(max_steps=3, batch_size=32, seed=3, device="cpu", progress=False)
    train(encoder, CoSENTLoss(5.0), PAIRS, config)
    expected = encoder.encode(PAIRS["sentence1"][:4])
    for loss in ({"loss": "cosent", "scale": 5.0}, lambda encoder: CoSENTLoss(5.0)):
        trained = train_static(PAIRS, loss, 3, max_steps=3, batch_size=32)
        assert torch.equal(trained.encoder.encode(PAIRS["sentence1"][:4]), expected)
        assert (trained.loss.scale, trained.result.steps) == (5.0, 3)


def test_words_of_other_pairs_and_the_best_checkpoint() -> None:
    few, validation = PAIRS.select(range(16)), load_pairs("builtin", "validation").select(range(50))
    seen: list[float] = []

    def watch(encoder, loss) -> dict[str, float]:
        seen.append(loss.scale)
        return {"scale": loss.scale}

    trained = train_static(
        few, {"loss": "cosent"}, 0, vocabulary=PAIRS, validation=validation, watch=watch, epochs=2, batch_size=8,
        evaluation_steps=2,
    )  # fmt: skip
    assert trained.result.watched["step"].tolist() == [0, 2, 4]
    assert len(seen) == 3
    assert len(trained.result.evaluations) == 2
    assert trained.encoder.encode(["a"]).shape == static_encoder(PAIRS, 0).encode(["a"]).shape
    sizes = [sum(p.numel() for p in each.parameters()) for each in (trained.encoder, static_encoder(few, 0))]
    assert sizes[0] > sizes[1], "the vocabulary is that of all pairs"


def test_an_unknown_loss() -> None:
    with pytest.raises(ValueError, match="unknown loss 'cosine'"):
        train_static(PAIRS, {"loss": "cosine"}, 0)
