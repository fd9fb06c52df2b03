"""The small encoder: tokens by hand, one tokenizer whatever the order, sizes."""

import json
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
from encoder_kit import TEXTS

from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.encoders.load import load_encoder
from cosent_lib.encoders.small import SmallEncoder, train_tokenizer
from cosent_lib.evaluation.evaluate import evaluate
from cosent_lib.losses.make import make_loss
from cosent_lib.training.setup import TrainingConfig
from cosent_lib.training.train import train


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("天气好", ["天", "气", "好"]),  # though "天气" is as frequent as either of its characters
        ("Ｔｈｅ RAIN", ["the", "rain"]),
        ("天气好the rain", ["天", "气", "好", "the", "rain"]),
        ("train", ["t", "##rain"]),
        ("猫 rain,", ["[UNK]", "rain", "[UNK]"]),
        ("##r", ["[UNK]", "[UNK]", "r"]),  # a text cannot name a piece
    ],
)
def test_small_tokens_by_hand(text: str, expected: list[str]) -> None:
    encoder = load_encoder("small", ["天气好 the rain"] * 3 + ["brain there"], dim=32)
    (ids,) = encoder.tokenize([text])
    assert encoder.tokenizer.convert_ids_to_tokens(ids) == ["[CLS]", *expected, "[SEP]"]


def made_up_texts() -> list[str]:
    """60 texts over 100 made-up words, in which many pieces are equally frequent."""
    draw = np.random.default_rng(0)
    words = ["".join(draw.choice(list("abcdefghij天气"), 5)) for _ in range(100)]
    return [" ".join(draw.choice(words, 6)) for _ in range(60)]


def test_small_tokenizer_is_the_same_whatever_the_order_of_texts_and_the_trainers_hash_seed() -> None:
    texts = made_up_texts()
    plain, ours = set(), set()
    for turn in range(4):
        tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
        trainer = tokenizers.trainers.WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]"], show_progress=False)
        tokenizer.train_from_iterator(texts, trainer)
        plain.add(json.dumps(tokenizer.get_vocab(), sort_keys=True))
        trained = train_tokenizer(texts[turn:] + texts[:turn], 200)
        assert len(trained) == 200
        ours.add(trained.backend_tokenizer.to_str())
    assert len(plain) > 1  # the library's trainer alone varies: the test would see it
    assert len(ours) == 1


def test_small_vocabulary_drops_the_rarest_characters_and_refuses_to_drop_many() -> None:
    texts = [f"天 气 {i}" for i in range(10)] + [
        "天 气",
        "a " * 990,
    ]  # 13 characters: 990 a, 11 天, 11 气, one of each digit
    encoder = load_encoder("small", texts, dim=32, vocabulary_size=10)
    assert set(encoder.tokenizer.get_vocab()) == {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "天", "气", "0", "1", "2"}
    with pytest.raises(
        ValueError, match=r"vocabulary_size 6 has room for 2 of 13 characters, 97\.9% of the texts; .* 99%"
    ):
        load_encoder("small", texts, dim=32, vocabulary_size=6)
    with pytest.raises(ValueError, match=r"1 texts hold no character"):
        load_encoder("small", ["\ufffd"])  # BERT's normaliser drops it


def test_small_depends_on_the_seed_only_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = load_encoder("small", TEXTS, dim=32, seed=5).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    again, other = (load_encoder("small", TEXTS, dim=32, seed=seed).state_dict() for seed in (5, 6))
    assert all(torch.equal(first[name], again[name]) for name in first)
    table = "model.embeddings.word_embeddings.weight"
    assert not torch.equal(first[table], other[table])


def test_small_sizes() -> None:
    config = load_encoder("small", TEXTS).model.config
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (128, 2, 4)
    encoder = load_encoder("small", ["the cat " * 20], dim=64, layers=3, max_length=5, pooling="cls")
    assert (encoder.dim, encoder.model.config.num_hidden_layers, encoder.pooling) == (64, 3, "cls")
    assert len(encoder.tokenize(["the cat " * 20])[0]) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dim": 48}, "dim is 48; expected a multiple of 32"),
        ({"dim": 0}, "dim is 0"),
        ({"layers": 0}, "layers is 0"),
        ({"max_length": 2}, "max_length 2; expected at least 1 and 3"),
        ({"vocabulary_size": 0}, "vocabulary_size 0 has room for 0"),
        ({"pooling": "sum"}, "unknown pooling 'sum'"),
        ({"revision": "main"}, "'small' has no option 'revision'; it has dim, vocabulary_size, layers"),
    ],
)
def test_small_refuses_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_encoder("small", TEXTS, **options)


def test_small_trains_and_keeps_its_learning_rate_when_saved(tmp_path: Path) -> None:
    first, second = ["the cat", "a dog", "rain fell", "on a mat"], ["one feline", "hounds", "showers", "his rug"]
    rows = [(x, y, float(i == j)) for i, x in enumerate(first) for j, y in enumerate(second)]
    pairs = dict(zip(("sentence1", "sentence2", "score"), map(list, zip(*rows, strict=True)), strict=True))
    encoder = load_encoder("small", first + second, dim=32, layers=1)
    assert evaluate(encoder, pairs)["auc"] < 0.9
    config = TrainingConfig(max_steps=40, batch_size=16, learning_rate=3e-3, progress=False, device="cpu")
    train(encoder, make_loss("cosent", encoder), pairs, config)
    assert evaluate(encoder, pairs)["auc"] == 1
    encoder.save(tmp_path / "small")
    loaded = SentenceEncoder.load(tmp_path / "small")
    assert evaluate(loaded, pairs) == evaluate(encoder, pairs)
    assert {group["lr"] for group in loaded.parameter_groups()} == {SmallEncoder.default_learning_rate} != {2e-5}
