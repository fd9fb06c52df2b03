"""Threads of encoders whose steps are tiny: one inside, what it was outside, another number only where it was given."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from encoder_kit import TEXTS, with_random_weights

from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.encoders.load import load_encoder
from cosent_lib.encoders.threads import suited_threads
from cosent_lib.losses.make import make_loss
from cosent_lib.training.setup import TrainingConfig
from cosent_lib.training.train import train


@pytest.fixture(autouse=True)
def not_told(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    torch.set_num_threads(8)
    yield
    torch.set_num_threads(before)


def made(name: str) -> SentenceEncoder:
    return load_encoder(name, TEXTS) if name in ("static", "small") else with_random_weights(name)


def noting(encoder: SentenceEncoder) -> list[int]:
    """The number of threads at each pass of the encoder, noted from now on."""
    threads: list[int] = []
    embed = encoder.embed

    def noted(token_ids: Any) -> torch.Tensor:
        threads.append(torch.get_num_threads())
        return embed(token_ids)

    encoder.embed = noted  # type: ignore[method-assign]
    return threads


@pytest.mark.parametrize(("name", "expected"), [("static", 1), ("small", 1), ("bert", 8)])
def test_encode_and_train_take_one_thread_where_steps_are_tiny(name: str, expected: int) -> None:
    encoder = made(name)
    threads = noting(encoder)
    encoder.encode(TEXTS)
    assert (set(threads), torch.get_num_threads()) == ({expected}, 8)
    pairs = {"sentence1": TEXTS[:4], "sentence2": TEXTS[3:7], "score": [0, 1, 0, 1]}
    config = TrainingConfig(device="cpu", progress=False, max_steps=2)
    train(encoder, make_loss("cosent", encoder), pairs, config, pairs)
    assert (set(threads), torch.get_num_threads()) == ({expected}, 8)
    assert len(threads) >= 5


@pytest.mark.parametrize("where", ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "set_num_threads"])
def test_a_number_that_somebody_chose_is_kept(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if where == "set_num_threads":
        torch.set_num_threads(3)
    else:
        monkeypatch.setenv(where, "8")
    given = torch.get_num_threads()
    encoder = made("static")
    threads = noting(encoder)
    encoder.encode(TEXTS)
    assert (set(threads), torch.get_num_threads()) == ({given}, given)


@pytest.mark.parametrize("own", [8, 4])
def test_torchs_own_choice_a_thread_a_processor_or_a_core_is_no_word_of_anybody(own: int) -> None:
    torch.set_num_threads(own)
    with suited_threads(made("static")):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == own


def test_after_an_error_the_number_is_what_it_was() -> None:
    encoder = made("static")
    encoder.embed = None  # type: ignore[assignment, method-assign]
    with pytest.raises(TypeError):
        encoder.encode(TEXTS)
    with pytest.raises(RuntimeError, match="inside"), suited_threads(encoder):
        raise RuntimeError("inside")
    assert torch.get_num_threads() == 8


def test_an_encoder_of_somebody_elses_is_left_alone() -> None:
    with suited_threads(object()):
        assert torch.get_num_threads() == 8
