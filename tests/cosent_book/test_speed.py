"""The timing beside sentence-transformers: what it compares and what it leaves on file, not how fast anything is."""

import json
from pathlib import Path

import pytest
import torch

from cosent_book import speed


def test_every_form_gives_the_same_loss_before_it_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = speed.time_loss({16: 2})
    assert [row["labels"] for row in rows] == list(speed.KINDS)
    for row in rows:
        assert {"items", "ours_s", "unchecked_s", "theirs_s", "quadratic_s", "sort_s"} <= row.keys()
        low, middle, high = row["theirs/ours"]
        assert 0 < low <= middle <= high
    monkeypatch.setattr(speed, "quadratic", lambda scores, labels: scores.sum())
    with pytest.raises(RuntimeError, match="the forms disagree for 16 items with binary labels"):
        speed.time_loss({16: 2})


def test_ratios_are_those_of_a_turn_and_a_number_of_seconds_counts_as_such() -> None:
    theirs = iter([9.0, 1.0, 2.0, 8.0])  # the first turn does not count
    found = speed.paired(lambda: 2.0, lambda: next(theirs), 100, 3)
    assert found["theirs/ours"] == [0.75, 1.0, 2.5]
    assert (found["ours_per_s"], found["theirs_per_s"]) == (50.0, 50.0)


def test_their_static_model_is_ours() -> None:
    from cosent_lib import load_encoder

    texts = ["a cat", "the dog barks", "a"]
    encoder = load_encoder("static", texts)
    theirs = speed.their_model("static", encoder).encode(texts, convert_to_tensor=True)
    torch.testing.assert_close(encoder.encode(texts), theirs)


def test_what_was_measured_before_is_kept_if_it_is_of_the_same_machine(tmp_path: Path) -> None:
    path = tmp_path / "speed.json"
    speed.record_speed({"date": "1", "hardware": "slow", "loss": [1]}, path)
    speed.record_speed({"date": "2", "hardware": "slow", "train": [2]}, path)
    assert json.loads(path.read_text()) == {"date": "2", "hardware": "slow", "loss": [1], "train": [2]}
    speed.record_speed({"date": "3", "hardware": "fast", "encode": [3]}, path)
    assert json.loads(path.read_text()) == {"date": "3", "hardware": "fast", "encode": [3]}


def test_the_recorded_result_has_what_the_chapter_draws() -> None:
    found = speed.recorded_speed()
    assert {"date", "hardware", "versions", "threads", "commit", "loss"} <= found.keys()
    assert {row["items"] for row in found["loss"]} == set(speed.SIZES)
