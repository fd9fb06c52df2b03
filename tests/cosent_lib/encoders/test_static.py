"""The static encoder: features by hand, means, sparse gradients."""

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from encoder_kit import TEXTS
from safetensors.torch import save_file

from cosent_lib.encoders.base import WEIGHTS_FILE, SentenceEncoder
from cosent_lib.encoders.load import load_encoder
from cosent_lib.encoders.static import Vocabulary, build_vocabulary, features


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda words: [*words[:3], None, *words[4:]],
            "feature 3 is None; expected a text that no feature before it is",
        ),
        (lambda words: [*words[:3], words[1], *words[4:]], "feature 3 is '.*'; expected a text that no feature"),
        (lambda words: [[word] for word in words], r"feature 0 is \['.*'\]; expected a text"),
        (lambda words: {word: n for n, word in enumerate(words)}, "vocabulary.json holds a dict; expected a list"),
    ],
)
def test_a_damaged_vocabulary_is_refused(change: Any, message: str, static: SentenceEncoder, tmp_path: Path) -> None:
    static.save(tmp_path / "e")
    path = tmp_path / "e" / "vocabulary.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(ValueError, match=f"e holds no whole StaticEncoder: .*{message}"):
        load_encoder(str(tmp_path / "e"))


@pytest.mark.parametrize(
    "change",
    [
        lambda weight: weight * float("nan"),
        lambda weight: weight[:, 0],
        lambda weight: weight[:, :, None],
        lambda weight: weight[:, :0],
        lambda weight: weight.long(),
        lambda weight: weight.bool(),
    ],
)
def test_weights_that_are_no_vectors_are_refused(change: Any, static: SentenceEncoder, tmp_path: Path) -> None:
    static.save(tmp_path / "e")
    weight = static.state_dict()["weight"]
    save_file({"weight": change(weight).contiguous()}, tmp_path / "e" / WEIGHTS_FILE)
    with pytest.raises(
        ValueError, match=r"e holds no whole .*: weight is .*; expected finite floats \[features, dim\]"
    ):
        load_encoder(str(tmp_path / "e"))
    save_file({"vectors": weight}, tmp_path / "e" / WEIGHTS_FILE)
    with pytest.raises(ValueError, match=r"holds \['vectors'\]; expected one tensor, weight"):
        load_encoder(str(tmp_path / "e"))


def test_copies_share_the_vocabulary_and_what_they_return_is_the_callers() -> None:
    encoder = load_encoder("static", ["rain on a mat", "a cat"], dim=4)
    copied = copy.deepcopy(encoder)
    assert copied.vocabulary is encoder.vocabulary
    ids = encoder.tokenize(["a cat", "rain"])
    ids[0].clear()  # a caller may do with its lists what it likes
    assert copied.tokenize(["a cat", "rain"]) == encoder.tokenize(["a cat", "rain"]) != ids
    again = pickle.loads(pickle.dumps(encoder))
    assert again.vocabulary == encoder.vocabulary
    assert again.tokenize(["a cat"]) == encoder.tokenize(["a cat"])
    with pytest.raises(ValueError, match="feature 1 is 'a'; expected a text that no feature before it is"):
        Vocabulary(["a", "a"])
