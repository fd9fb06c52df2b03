"""Encoders by name: what there is, and options refused by name."""

import warnings
from pathlib import Path

import pytest
import torch
from encoder_kit import TEXTS

from cosent_lib.encoders.base import EncoderUnavailable, SentenceEncoder
from cosent_lib.encoders.load import load_encoder
from cosent_lib.encoders.pretrained import TransformerEncoder


def test_unknown_name_lists_what_exists() -> None:
    message = (
        "unknown encoder 'statik'; expected 'static', 'small', 'minilm', an existing folder, or a hub id 'owner/name'"
    )
    with pytest.raises(ValueError, match=message):
        load_encoder("statik", TEXTS)


def test_a_hub_id_that_cannot_be_had_says_so() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the error says it all
        with pytest.raises(
            EncoderUnavailable, match="cannot load 'nobody/nothing' from the hub, and there is no such folder"
        ):
            load_encoder("nobody/nothing")


@pytest.mark.parametrize("name", ["static", "small"])
def test_an_encoder_from_scratch_needs_texts(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' takes its vocabulary from texts"):
        load_encoder(name)
    with pytest.raises(ValueError, match=r"0 texts hold no (feature|character) to build a vocabulary from"):
        load_encoder(name, [])
    with pytest.raises(ValueError, match=r"texts\[1\] is empty: got ''"):
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
