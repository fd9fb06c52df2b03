"""Poolings and hidden states by a second route; how a cone is measured along training."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from cosent_book.measurements import encoder as encoder_measurements
from cosent_book.measurements.encoder import (
    cone_along_training,
    cosines,
    layer_geometry,
    layer_vectors,
    pooling_comparison,
    question_cosines,
    whitening_after_training,
)
from cosent_lib.data.load import load_pairs
from cosent_lib.encoders.load import load_encoder
from cosent_lib.encoders.pretrained import TransformerEncoder

TEXTS = ["How do I cancel my plan?", "Please help me", "Is it possible to renew my film channel membership online?"]


class FewPairs:
    """The built-in corpus in place of whatever is asked for, cut to a few rows."""

    def load(self, task: str, split: str) -> Any:
        del task
        return load_pairs("builtin", split).select(range(64))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> TransformerEncoder:
    """A tiny transformer under every name, so that no test needs a pretrained one; short bootstraps."""
    encoder = load_encoder("small", TEXTS, dim=32, layers=2, vocabulary_size=100, max_length=32)
    assert isinstance(encoder, TransformerEncoder)
    monkeypatch.setattr(encoder_measurements, "load_encoder", lambda name, *args, **options: encoder)
    for name in ("bootstrap_interval", "bootstrap_difference"):
        monkeypatch.setattr(encoder_measurements, name, partial(getattr(encoder_measurements, name), resamples=20))
    return encoder


def test_the_last_hidden_state_is_what_the_library_pools(small: TransformerEncoder) -> None:
    states = layer_vectors(small, TEXTS, batch_size=2)
    assert states["mean"].shape == (3, 3, 32)
    for pooling in ("mean", "cls"):
        small.configure(pooling=pooling)
        assert np.allclose(states[pooling][:, -1], small.encode(TEXTS).numpy(), atol=1e-5)


def test_neighbours_change_a_vector_only_without_the_mask(small: TransformerEncoder) -> None:
    together, alone = (encoder_measurements._pooled(small, TEXTS, size) for size in (3, 1))
    for name in together:
        leaks = name in ("mean of padding too", "no mask at all")
        assert np.allclose(together[name], alone[name], atol=1e-5) != leaks, name


def test_first_last_of_the_library_starts_at_hidden_state_1(small: TransformerEncoder) -> None:
    small.configure(pooling="first_last_mean")
    pooled, library = encoder_measurements._pooled(small, TEXTS, 3), small.encode(TEXTS).numpy()
    assert np.allclose(pooled["states 1 and last"], library, atol=1e-5)
    assert not np.allclose(pooled["states 0 and last"], library, atol=1e-2)


def test_special_tokens_are_left_out_at_both_ends(small: TransformerEncoder) -> None:
    ids = torch.tensor(small.tokenize(TEXTS[:1]))
    with torch.no_grad():
        last = small.model(input_ids=ids).last_hidden_state[0, 1:-1]
    pooled = encoder_measurements._pooled(small, TEXTS, 3)["mean without [CLS], [SEP]"][0]
    assert np.allclose(pooled, last.mean(0).numpy(), atol=1e-5)


def test_cosines_of_a_narrow_cone_keep_their_digits() -> None:
    u = np.array([[1.0, 0.0], [1.0, 0.0]])
    v = np.array([[1.0, 1e-5], [1.0, 2e-5]])
    assert 1 - cosines(u, v) == pytest.approx([5e-11, 2e-10], rel=1e-4)


def test_a_question_against_answers(small: TransformerEncoder) -> None:
    found = question_cosines(None, encoder="any", question=TEXTS[0], answers=TEXTS[:2])  # type: ignore[arg-type]
    assert found["mean"][2][0] == pytest.approx(1)
    small.configure(pooling="mean")
    u, v = small.encode(TEXTS[:2]).double()
    assert found["mean"][2][1] == pytest.approx(float(torch.cosine_similarity(u, v, dim=0)), abs=1e-6)


def test_poolings_are_judged_against_the_mean() -> None:
    found = pooling_comparison(FewPairs(), encoder="any", task="any", split="test", batch_size=8)  # type: ignore[arg-type]
    for name in set(found) - {"mean", "0 against 1"}:
        difference = found[name]["spearman"] - found["mean"]["spearman"]
        assert found[name]["difference"] == pytest.approx(difference, abs=1e-12)
    both = found["states 0 and last"]["spearman"] - found["states 1 and last"]["spearman"]
    assert found["0 against 1"]["difference"] == pytest.approx(both, abs=1e-12)


def test_geometry_of_every_hidden_state() -> None:
    found = layer_geometry(FewPairs(), encoder="any", task="any", split="test", fit_split="train")  # type: ignore[arg-type]
    assert found["cls"][0] is None  # the embedding of [CLS] is the same for all
    row = found["mean"][2]
    assert row["error"] == pytest.approx(row["error_without_offset"] + (row["pair_mean"] - 0.5) ** 2, abs=0.2)
    assert row["whitened"]["difference"] == pytest.approx(row["whitened"]["spearman"] - row["raw"]["spearman"])


def test_an_encoder_before_and_after_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_measurements, "load_encoder", load_encoder)
    found = whitening_after_training(
        FewPairs(), encoder="static", task="any", loss="cosent", options={}, batch_size=16, epochs=3, seed=0
    )  # type: ignore[arg-type]
    assert found["before"]["mean_cosine"] != found["after"]["mean_cosine"]
    assert found["after"]["raw"]["spearman"] > found["before"]["raw"]["spearman"]


def test_a_cone_is_watched_from_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_measurements, "load_encoder", load_encoder)
    options = {"task": "any", "loss": "cosine_squared", "options": {}, "steps": 4, "seeds": [0, 1]}
    found = cone_along_training(FewPairs(), flip=False, **options)  # type: ignore[arg-type]
    assert found["step"] == [0, 1, 2, 3, 4]
    assert len(found["mean_cosine"]) == len(found["auc"]) == 2
    assert all(len(each) == 5 for each in found["loss"])
    turned = cone_along_training(FewPairs(), flip=True, **options)  # type: ignore[arg-type]
    assert turned["start_auc"] == pytest.approx([1 - auc for auc in found["start_auc"]])
