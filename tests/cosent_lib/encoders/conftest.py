"""Encoders that tests of this room share."""

from pathlib import Path

import pytest
import torch
import transformers
from encoder_kit import TEXTS, tiny, word_piece_tokenizer

from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.encoders.load import load_encoder
from cosent_lib.encoders.pooling import POOLINGS
from cosent_lib.encoders.pretrained import TransformerEncoder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with random weights, three layers, as transformers saves it (pooler included)."""
    folder = tmp_path_factory.mktemp("checkpoint")
    word_piece_tokenizer().save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        transformers.BertModel(tiny("bert")).save_pretrained(folder)
    return folder


@pytest.fixture
def bert(checkpoint: Path) -> TransformerEncoder:
    encoder = load_encoder(str(checkpoint))
    assert isinstance(encoder, TransformerEncoder)
    return encoder


@pytest.fixture
def static() -> SentenceEncoder:
    return load_encoder("static", TEXTS, dim=8)


@pytest.fixture(params=["static", "small", *POOLINGS])
def encoder(request: pytest.FixtureRequest, checkpoint: Path) -> SentenceEncoder:
    if request.param == "static":
        return load_encoder("static", TEXTS, dim=8)
    if request.param == "small":
        return load_encoder("small", TEXTS, dim=32, layers=1)
    return load_encoder(str(checkpoint), pooling=request.param)
