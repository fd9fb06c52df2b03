"""Folders of sentence-transformers: the vectors of its own encode, or a refusal that names what is in the way."""

import copy
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
import transformers
from encoder_kit import TEXTS

import cosent_lib.encoders.modules as reading
import cosent_lib.encoders.pretrained as pretrained
from cosent_lib.encoders.base import EncoderUnavailable
from cosent_lib.encoders.checkpoint import read_checkpoint
from cosent_lib.encoders.load import load_encoder
from cosent_lib.encoders.pretrained import TransformerEncoder

library = pytest.importorskip("sentence_transformers", reason="needs the extra sentence-transformers")
parts = pytest.importorskip("sentence_transformers.sentence_transformer.modules")


@pytest.fixture
def write(checkpoint: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes a model of the tiny BERT and the given modules behind it; returns its folder."""

    def written(*behind: Any, options: dict[str, Any] | None = None, **settings: Any) -> Path:
        transformer = parts.Transformer(str(checkpoint), **settings)
        model = library.SentenceTransformer(modules=[transformer, *behind], device="cpu", **(options or {}))
        model.save(str(tmp_path / "model"))
        return tmp_path / "model"

    return written


def change(path: Path, **values: Any) -> None:
    """Put values into a JSON file; None takes one away."""
    content = json.loads(path.read_text()) if path.is_file() else {}
    content |= values
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def assert_same_vectors(folder: Path, texts: list[str] = TEXTS) -> TransformerEncoder:
    """Ours have the direction of theirs; read in silence."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder = load_encoder(str(folder))
        warnings.filterwarnings("ignore", "(?s).*(tokens|cut).*")
        vectors = encoder.encode(texts)
    expected = library.SentenceTransformer(str(folder), device="cpu").encode(texts, convert_to_tensor=True)
    normal = torch.nn.functional.normalize
    torch.testing.assert_close(normal(vectors), normal(expected), atol=1e-5, rtol=0)
    assert isinstance(encoder, TransformerEncoder)
    return encoder


def refusal(folder: Path, **options: Any) -> str:
    with pytest.raises(EncoderUnavailable) as caught:
        load_encoder(str(folder), **options)
    message = str(caught.value)
    start = f"cannot load '{folder}' as a checkpoint: "
    assert message.startswith(start)
    return message.removeprefix(start)


@pytest.mark.parametrize("pooling", ["cls", "mean", "max"])
@pytest.mark.parametrize("normalize", [False, True])
def test_poolings_that_are_ours_are_followed(write: Any, pooling: str, normalize: bool) -> None:
    folder = write(parts.Pooling(16, pooling), *[parts.Normalize()] * normalize)
    assert assert_same_vectors(folder).pooling == pooling


@pytest.mark.parametrize("switch", ["cls_token", "mean_tokens", "max_tokens"])
def test_the_older_form_of_a_pooling_is_followed(write: Any, switch: str) -> None:
    folder = write(parts.Pooling(16, "mean"))
    switches = {f"pooling_mode_{name}": name == switch for name in ("cls_token", "mean_tokens", "max_tokens")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 16} | switches))
    assert_same_vectors(folder)


@pytest.mark.parametrize(("settings", "length"), [({"max_seq_length": 6}, 6), ({}, 40)])
def test_the_length_is_followed_in_both_forms(write: Any, settings: dict[str, int], length: int) -> None:
    folder = write(parts.Pooling(16, "cls"), **settings)
    assert assert_same_vectors(folder).max_length == length
    change(folder / "sentence_bert_config.json", max_seq_length=5)  # where older versions write it
    assert assert_same_vectors(folder).max_length == 5


def test_lower_case_is_followed_and_kept(write: Any, tmp_path: Path) -> None:
    folder = write(parts.Pooling(16, "mean"))
    texts = ["The CAT sat", "on The mat"]
    assert load_encoder(str(folder)).tokenize(texts)[0][1] == 1  # [UNK]: the tokenizer keeps capitals
    change(folder / "sentence_bert_config.json", do_lower_case=True)
    encoder = assert_same_vectors(folder, texts)
    assert 1 not in encoder.tokenize(texts)[0]
    encoder.save(tmp_path / "ours")
    assert torch.equal(load_encoder(str(tmp_path / "ours")).encode(texts), encoder.encode(texts))


@pytest.mark.parametrize("lower", [True, False])
def test_a_tokenizer_that_transformers_rebuilds_is_kept_as_it_was(write: Any, tmp_path: Path, lower: bool) -> None:
    folder, texts = write(parts.Pooling(16, "mean")), ["The CAT sat", "on The mat"]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "The", "the", "CAT", "cat", "sat", "on", "mat"]
    cased = transformers.BertTokenizer(vocab={word: n for n, word in enumerate(words)}, do_lower_case=False)
    cased.save_pretrained(folder)
    change(folder / "sentence_bert_config.json", do_lower_case=lower)
    encoder = assert_same_vectors(folder, texts)
    assert encoder.tokenize(["The CAT"])[0][1:3] == ([6, 8] if lower else [5, 7])
    for name in ("once", "twice"):  # what was read back is as good as what was saved
        encoder.save(tmp_path / name)
        again = load_encoder(str(tmp_path / name))
        assert torch.equal(again.encode(texts), encoder.encode(texts))
        assert again.fingerprint() == encoder.fingerprint()
        encoder = again


def test_a_tokenizer_that_would_be_read_otherwise_is_not_saved(bert: Any, tmp_path: Path, monkeypatch: Any) -> None:
    def other(*_: Any, **__: Any) -> Any:
        tokenizer = copy.deepcopy(bert.tokenizer)
        tokenizer.backend_tokenizer.normalizer = tokenizers.normalizers.Lowercase()
        return tokenizer

    monkeypatch.setattr(pretrained, "read_tokenizer", other)
    with pytest.raises(ValueError, match=r"the tokenizer of .* cannot be saved: transformers reads another one back"):
        bert.save(tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_a_transformer_in_its_own_folder_is_followed(write: Any) -> None:
    folder = write(parts.Pooling(16, "max"), max_seq_length=7)
    (folder / "0_Transformer").mkdir()
    for path in [path for path in folder.iterdir() if path.is_file() and path.name != "modules.json"]:
        shutil.move(path, folder / "0_Transformer")
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    assert assert_same_vectors(folder).max_length == 7


def test_what_is_given_goes_before_what_is_written(write: Any) -> None:
    folder = write(parts.Pooling(16, "weightedmean"), max_seq_length=6)
    encoder = load_encoder(str(folder), pooling="first_last_mean", max_length=9)
    assert isinstance(encoder, TransformerEncoder)
    assert (encoder.pooling, encoder.max_length) == ("first_last_mean", 9)


def test_a_plain_checkpoint_is_read_as_before(checkpoint: Path) -> None:
    encoder = load_encoder(str(checkpoint))
    assert isinstance(encoder, TransformerEncoder)
    assert (encoder.pooling, encoder.max_length) == ("mean", 40)


@pytest.mark.parametrize("pooling", ["weightedmean", "lasttoken", "mean_sqrt_len_tokens", ("cls", "mean")])
def test_other_poolings_are_refused_by_name(write: Any, pooling: Any) -> None:
    named = pooling if isinstance(pooling, str) else " joined to ".join(pooling)
    folder = write(parts.Pooling(16, pooling))
    expected = f"its pooling, {named}, cannot be followed; there are cls, mean and max (1_Pooling/config.json)"
    assert refusal(folder) == expected
    modes = [pooling] if isinstance(pooling, str) else pooling
    older = {key: ours in modes for key, ours in reading.POOLING_SWITCHES.items()}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 16} | older))
    assert refusal(folder) == expected


@pytest.mark.parametrize(
    ("behind", "named"),
    [
        (lambda: [parts.Pooling(16), parts.Dense(16, 8)], "Dense cannot be followed"),
        (lambda: [parts.Pooling(16), parts.LayerNorm(16), parts.Dropout(0.1)], "LayerNorm, Dropout cannot be followed"),
        (lambda: [parts.WordWeights(["cat"], {"cat": 2.0}), parts.Pooling(16)], "WordWeights cannot be followed"),
        (lambda: [parts.Normalize(), parts.Pooling(16)], "found Transformer, Normalize, Pooling"),
    ],
)
def test_other_modules_are_refused_by_name(write: Any, behind: Any, named: str) -> None:
    folder = write(*behind())
    assert refusal(folder) == f"modules.json: {named}; expected Transformer, Pooling and at most Normalize"
    assert refusal(folder, pooling="mean").startswith("modules.json: ")  # it is not the pooling that is in the way


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({"a": 1}, "modules.json holds a dict; expected a list"),
        (["Transformer"], "modules.json holds 'Transformer'; expected an object with a type and a path, both texts"),
        ([{"path": None, "type": "sentence_transformers.models.Transformer"}], "modules.json holds {'path': None"),
        ([{"type": "sentence_transformers.models.Transformer"}], "expected an object with a type and a path"),
        ([{"path": "", "type": "custom_st.Transformer"}], "modules.json: custom_st.Transformer cannot be followed"),
        ([{"path": "", "type": "sentence_transformers.models.StaticEmbedding"}], "StaticEmbedding cannot be followed"),
        ([], "modules.json: found nothing; expected Transformer"),
        ([{"path": "../x", "type": "sentence_transformers.models.Transformer"}], "'../x', which is outside"),
    ],
)
def test_what_is_no_transformer_with_a_pooling_is_refused(write: Any, modules: Any, message: str) -> None:
    folder = write(parts.Pooling(16))
    (folder / "modules.json").write_text(json.dumps(modules))
    assert message in refusal(folder)
    (folder / "modules.json").write_text("[{")
    assert f"{folder / 'modules.json'} is damaged" in refusal(folder)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"transformer_task": "fill-mask"}, "transformer_task 'fill-mask'"),
        ({"query_length": 32}, "query_length 32"),
        ({"model_args": {"add_pooling_layer": True}}, "model_args {'add_pooling_layer': True}"),
        ({"modality_config": {"text": {"method": "forward", "method_output_name": "pooler_output"}}}, "text {'method'"),
    ],
)
def test_settings_of_its_transformer_that_change_vectors_are_refused(write: Any, settings: Any, named: str) -> None:
    folder = write(parts.Pooling(16))
    change(folder / "sentence_bert_config.json", **settings)
    assert refusal(folder).startswith(f"settings of its transformer cannot be followed: {named}")


def test_a_prompt_before_every_text_is_refused_and_others_are_named(write: Any) -> None:
    prompts = {"query": "the cat ", "document": ""}
    folder = write(parts.Pooling(16), options={"prompts": prompts, "default_prompt_name": "query"})
    assert refusal(folder) == "the prompt 'query', 'the cat ' before every text, cannot be followed"
    change(folder / "config_sentence_transformers.json", default_prompt_name="document")
    with pytest.warns(UserWarning, match="has prompts, which are not added here: query 'the cat '; put them before"):
        load_encoder(str(folder))
    change(folder / "config_sentence_transformers.json", prompts={"query": "", "document": ""})
    assert_same_vectors(folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (None, "which should name its pooling, is missing or names none; expected cls, mean or max"),
        ({}, "is missing or names none"),
        ({"pooling_mode": []}, "is missing or names none"),
        (dict.fromkeys(reading.POOLING_SWITCHES, False), "is missing or names none"),
        ({"pooling_mode_geometric": True}, "its pooling, pooling_mode_geometric, cannot be followed"),
        ({"pooling_mode": "geometric"}, "its pooling, geometric, cannot be followed"),
        ({"pooling_mode": 5}, "its pooling, 5, cannot be followed"),
        ({"pooling_mode": None}, "its pooling, None, cannot be followed"),
        ({"pooling_mode": ["cls", 5]}, "its pooling, cls joined to 5, cannot be followed"),
        ({"pooling_mode": "cls", "pooling_mode_mean_tokens": True}, "contradicts itself on its pooling"),
        ({"pooling_mode_mean_tokens": "false"}, "contradicts itself on its pooling"),
        ([1], "config.json holds a list; expected a dict"),
    ],
)
def test_a_pooling_that_is_not_said_is_not_guessed(write: Any, settings: Any, message: str) -> None:
    folder = write(parts.Pooling(16))
    path = folder / "1_Pooling" / "config.json"
    path.unlink() if settings is None else path.write_text(json.dumps(settings))
    said = refusal(folder)
    assert message in said
    assert str(Path("1_Pooling", "config.json")) in said
    assert load_encoder(str(folder), pooling="max").pooling == "max"  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="unknown pooling ''"):
        load_encoder(str(folder), pooling="")


@pytest.mark.parametrize("length", [0, -5, 2, "64", 64.0, True, [64]])
def test_a_length_that_is_none_is_not_replaced(write: Any, length: Any) -> None:
    folder = write(parts.Pooling(16))
    change(folder / "sentence_bert_config.json", max_seq_length=length)
    assert refusal(folder) == f"its max_seq_length must be a whole number of at least 3 (or null), got {length!r}"
    change(folder / "sentence_bert_config.json", max_seq_length=5)
    with pytest.raises(ValueError, match=r"max_length must be a whole number from 3 to 40 .*, got 0"):
        load_encoder(str(folder), max_length=0)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("sentence_bert_config.json", [1], "sentence_bert_config.json holds a list; expected a dict"),
        ("sentence_bert_config.json", {"do_lower_case": "no"}, "its do_lower_case must be true or false, got 'no'"),
        ("sentence_bert_config.json", {"modality_config": [1]}, "cannot be followed: text [1]"),
        ("config_sentence_transformers.json", [1], "config_sentence_transformers.json holds a list; expected a dict"),
        ("config_sentence_transformers.json", {"prompts": ["a"]}, "has prompts ['a'] and default_prompt_name None"),
        (
            "config_sentence_transformers.json",
            {"default_prompt_name": "zz"},
            "default_prompt_name 'zz'; expected texts",
        ),
        ("config.json", [1], ""),
        ("config.json", {"model_type": "bert", "hidden_size": "16"}, "hidden_size"),
        ("tokenizer_config.json", {"model_max_length": "64"}, ""),
    ],
)
def test_a_file_of_another_form_is_one_line(write: Any, file: str, content: Any, message: str) -> None:
    folder = write(parts.Pooling(16))
    (folder / file).write_text(json.dumps(content))
    said = refusal(folder)
    assert message in said
    assert "\n" not in said


def test_a_model_of_the_hub_is_read_as_it_says(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub is played by a folder."""
    folder, asked = write(parts.Pooling(16, "cls"), max_seq_length=6), []

    def download(name: str, file: str, revision: str | None) -> str:
        asked.append((name, file, revision))
        if not (folder / file).is_file():
            raise reading.EntryNotFoundError(f"no {file}")
        return str(folder / file)

    monkeypatch.setattr(reading, "hf_hub_download", download)
    monkeypatch.setattr(pretrained, "read_checkpoint", lambda *_, **__: read_checkpoint(str(folder)))
    encoder = load_encoder("some/model", revision="main")
    assert isinstance(encoder, TransformerEncoder)
    assert (encoder.pooling, encoder.max_length) == ("cls", 6)
    assert reading.read_recommended("some/model", "main") == reading.Recommended("", "cls", None, False)
    assert ("some/model", "modules.json", "main") in asked
    (folder / "modules.json").unlink()
    assert reading.read_recommended("some/model") is None


@pytest.mark.parametrize("known_to_be_missing", [True, False])
def test_a_hub_that_cannot_be_asked_is_said_once_something_is_loaded(
    known_to_be_missing: bool, bert: TransformerEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: Any, **__: Any) -> str:
        raise reading.LocalEntryNotFoundError("offline")

    monkeypatch.setattr(reading, "hf_hub_download", unreachable)
    monkeypatch.setattr(reading, "try_to_load_from_cache", lambda *_, **__: object() if known_to_be_missing else None)
    assert reading.read_recommended("some/model") == (None if known_to_be_missing else reading.Recommended(asked=False))
    monkeypatch.setattr(pretrained, "read_checkpoint", lambda *_, **__: (bert.model, bert.tokenizer))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert load_encoder("some/model").pooling == "mean"
    said = ["some/model: the hub cannot be asked"] * (not known_to_be_missing)
    assert [str(each.message).partition(" what")[0] for each in caught] == said
