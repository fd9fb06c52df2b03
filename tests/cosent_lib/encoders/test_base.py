"""What all encoders share: padding, order, gradients, saving, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from encoder_kit import TEXTS

import cosent_lib.encoders.pretrained as pretrained
from cosent_lib.encoders.base import CONFIG_FILE, WEIGHTS_FILE, SentenceEncoder
from cosent_lib.encoders.load import load_encoder
from cosent_lib.encoders.pretrained import TransformerEncoder
from cosent_lib.encoders.static import StaticEncoder
from cosent_lib.texts import silent_about_cut


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
        (["rain", ""], r"texts\[1\] is empty: got '', expected a text that is not only white space"),
        (["rain", "a", " \n"], r"texts\[2\] is empty: got ' \\n'"),
        (["rain", "\u200b\ufeff \u200d"], r"texts\[1\] is empty: got '\\u200b\\ufeff \\u200d', expected"),
        (["\x08"], r"texts\[0\] is empty: got '\\x08'"),
        (["rain", None], r"texts\[1\] is not a text: got None, expected a text"),
        ([float("nan")], r"texts\[0\] is not a text: got nan"),
        ({"rain": [1]}, "texts is a table, dict; pass one of its columns as a list"),
        (pd.DataFrame({"text": ["rain"]}), "texts is a table, DataFrame; pass one of its columns"),
        ("rain", r"texts is one string \('rain'\); pass a list"),
    ],
)
def test_bad_texts_are_named_by_position(encoder: SentenceEncoder, texts: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encoder.encode(texts)


def test_encode_refuses_a_batch_size_of_zero(static: SentenceEncoder) -> None:
    for bad in (0, 2.5, True):
        with pytest.raises(ValueError, match=f"batch_size must be a whole number of at least 1, got {bad}"):
            static.encode(TEXTS, batch_size=bad)


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


@pytest.mark.parametrize("kind", ["static", "bert"])
@pytest.mark.parametrize("foreign", ["notes.md", "vectors.npy", "sub/thesis.txt", ".hidden", "record.json", "empty/"])
def test_what_save_did_not_write_is_never_deleted(
    kind: str, foreign: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    encoder = request.getfixturevalue(kind)
    encoder.save(tmp_path / "e")
    place = tmp_path / "e" / foreign
    place.parent.mkdir(exist_ok=True)
    place.mkdir() if foreign.endswith("/") else place.write_text("years of work")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "e").rglob("*")}
    with pytest.raises(ValueError, match=f"e holds more than a saved encoder: .*{foreign.rstrip('/')}; refusing"):
        encoder.save(tmp_path / "e")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "e").rglob("*")} == before


def test_files_saved_with_an_encoder_are_replaced_with_it(static: SentenceEncoder, tmp_path: Path) -> None:
    for text in ("first", "second"):
        static.save(tmp_path / "e", {"record.json": text})
        assert (tmp_path / "e" / "record.json").read_text() == text
    static.save(tmp_path / "e")
    assert not (tmp_path / "e" / "record.json").exists()


@pytest.mark.parametrize("name", [CONFIG_FILE, WEIGHTS_FILE, "../escaped.txt", "/tmp/escaped.txt", "a/b.txt", "..", ""])
def test_what_goes_with_an_encoder_never_lands_elsewhere_or_on_its_files(
    name: str, static: SentenceEncoder, tmp_path: Path
) -> None:
    static.save(tmp_path / "e")
    with pytest.raises(
        ValueError, match=f"also names '{name}'; expected a plain file name, and none of .'encoder.json"
    ):
        static.save(tmp_path / "e", {name: "text"})
    assert SentenceEncoder.load(tmp_path / "e").fingerprint() == static.fingerprint()
    assert [path.name for path in tmp_path.iterdir()] == ["e"]


@pytest.mark.parametrize("kind", ["static", "bert"])
def test_a_folder_of_an_older_version_is_replaced_and_its_neighbours_kept(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    encoder = request.getfixturevalue(kind)
    encoder.save(tmp_path / "e", {"record.json": "{}"})
    path = tmp_path / "e" / CONFIG_FILE
    config = json.loads(path.read_text())
    assert sorted(config.pop("files")) == sorted(each.name for each in (tmp_path / "e").iterdir())
    path.write_text(json.dumps(config))  # versions before the list wrote none
    for foreign in ("notes.md", *(["vocab.txt", "merges.txt"] if kind == "static" else ["vocabulary.json"])):
        (tmp_path / "e" / foreign).write_text("years of work")
        with pytest.raises(ValueError, match=f"more than a saved encoder: {foreign}; refusing"):
            encoder.save(tmp_path / "e")
        (tmp_path / "e" / foreign).unlink()
    encoder.save(tmp_path / "e")
    assert "files" in json.loads(path.read_text())


@pytest.mark.parametrize("text", ['{"theirs": 1}', "{", '{"format": "cosent_lib.encoder", "format_version": 99}'])
def test_an_encoder_json_of_somebody_else_is_no_leave_to_delete(
    static: SentenceEncoder, tmp_path: Path, text: str
) -> None:
    (tmp_path / CONFIG_FILE).write_text(text)
    with pytest.raises(ValueError, match="holds no saved encoder; refusing to replace it"):
        static.save(tmp_path)
    assert (tmp_path / CONFIG_FILE).read_text() == text
    with pytest.raises(ValueError, match=r"encoder\.json is a file"):
        static.save(tmp_path / CONFIG_FILE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"files": "model.safetensors"}, "has files 'model.safetensors'; expected a list of names"),
        ({"format_version": 2}, "has format version 2; this library reads version 1"),
        ({"format": "other"}, "is not of format 'cosent_lib.encoder'"),
        ({"kind": "quantum"}, "has kind 'quantum'; this library reads static, small, transformer"),
        ({"kind": ["static"]}, r"has kind \['static'\]; this library reads"),
        ({"name": 5}, "has name 5; expected a str"),
        ({"options": None}, "has options None; expected a dict"),
        ({"options": [1]}, r"has options \[1\]; expected a dict"),
        ({"options": {}}, r"encoder\.json has options {}; expected seed \(int\)"),
        ({"options": {"seed": 0, "zz": 1}}, r"has options {'seed': 0, 'zz': 1}; expected seed \(int\)"),
        ({"options": {"seed": "0"}}, r"has options {'seed': '0'}; expected seed \(int\)"),
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
    for broken, problem in ((whole[: len(whole) // 2], "is damaged"), ("null", "holds a NoneType; expected a list")):
        vocabulary.write_text(broken)
        with pytest.raises(ValueError, match=rf"holds no whole StaticEncoder: .*vocabulary\.json {problem}"):
            SentenceEncoder.load(tmp_path / "e")
    vocabulary.write_text(whole)
    weights = tmp_path / "e" / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
        SentenceEncoder.load(tmp_path / "e")
    (tmp_path / "e" / CONFIG_FILE).write_text("{")
    with pytest.raises(ValueError, match=r"encoder\.json is damaged"):
        SentenceEncoder.load(tmp_path / "e")


def test_whatever_a_file_brings_about_is_one_error_that_names_the_folder(
    bert: TransformerEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bert.save(tmp_path / "e")
    for error in (KeyError("weight"), TypeError("no int"), AttributeError("x"), RuntimeError("sizes\nin detail")):
        monkeypatch.setattr(TransformerEncoder, "_read", lambda *_, error=error: (_ for _ in ()).throw(error))
        with pytest.raises(ValueError, match=f"e holds no whole TransformerEncoder: .*{error.args[0][:5]}") as caught:
            load_encoder(str(tmp_path / "e"))
        assert "\n" not in str(caught.value)


# --------------------------------------------------------------------------------------- what decides a vector


def test_a_fingerprint_is_the_same_wherever_the_encoder_is(encoder: SentenceEncoder, tmp_path: Path) -> None:
    own, form = encoder.fingerprint(), encoder.fingerprint(weights=False)
    encoder.encode(TEXTS)  # which sets how the tokenizer cuts
    encoder.save(tmp_path / "e")
    code = f"from cosent_lib import load_encoder; print(load_encoder({str(tmp_path / 'e')!r}).fingerprint())"
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert encoder.fingerprint() == load_encoder(str(tmp_path / "e")).fingerprint() == elsewhere == own
    other = changed(encoder)
    assert other.fingerprint() != own
    assert other.fingerprint(weights=False) == form


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", {"num_attention_heads": 4}),
        ("config.json", {"hidden_act": "relu"}),
        ("config.json", {"layer_norm_eps": 1e-3}),
        ("tokenizer.json", {"normalizer": {"type": "Lowercase"}}),
        ("tokenizer.json", {"pre_tokenizer": {"type": "WhitespaceSplit"}}),
        ("tokenizer.json", {"post_processor": None}),
        ("tokenizer_config.json", {"truncation_side": "left"}),
        (CONFIG_FILE, {"options": {"source": "folder", "pooling": "max", "max_length": 40}}),
        (CONFIG_FILE, {"options": {"source": "folder", "pooling": "mean", "max_length": 4}}),
    ],
)
def test_what_changes_a_vector_changes_the_fingerprint(
    file: str, change: dict[str, Any], bert: TransformerEncoder, tmp_path: Path
) -> None:
    texts = ["The CAT sat, on a mat and looked!", *TEXTS]
    if "truncation_side" in change:
        bert.configure(max_length=4)
    bert.save(tmp_path / "e")
    path = tmp_path / "e" / file
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    other = load_encoder(str(tmp_path / "e"))
    with silent_about_cut():
        assert not torch.equal(other.encode(texts), bert.encode(texts))
    assert other.fingerprint() != bert.fingerprint()
    assert other.fingerprint(weights=False) != bert.fingerprint(weights=False)


def test_texts_in_which_nothing_is_known_are_counted(encoder: SentenceEncoder) -> None:
    texts = ["the rain", "\u2603\u2603", "\u265e", "the \u2603"]
    assert encoder.count_unknown(texts) == encoder.count_unknown(texts, encoder.tokenize(texts)) == 2
    assert encoder.count_unknown([]) == 0
