"""Checkpoints: a run that was stopped or killed goes on bit for bit, and no other run goes on from it."""

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from killed_runs import live
from torch import Tensor, nn
from training_kit import (
    PAIRS,
    VALIDATION,
    Press,
    Spoil,
    TinyEncoder,
    assert_same_run,
    quiet,
    same,
    static,
    undisturbed,
    weights,
)

from cosent_lib.evaluation.evaluate import evaluate
from cosent_lib.losses.make import make_loss
from cosent_lib.training import checkpoints
from cosent_lib.training.errors import TrainingInterrupted
from cosent_lib.training.train import train


def test_ctrl_c_saves_and_the_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    config = quiet(epochs=3, evaluation_steps=7, output_dir=tmp_path / "run")
    encoder = TinyEncoder()
    with pytest.raises(TrainingInterrupted, match="stopped after step 17; go on with resume_from=") as caught:
        train(encoder, Press(encoder, call=17), PAIRS, config, VALIDATION)
    stopped = caught.value
    assert isinstance(stopped, KeyboardInterrupt)
    assert stopped.result.steps == 17  # the step in hand was finished
    assert stopped.checkpoint == tmp_path / "run" / "checkpoint-00000017"
    assert evaluate(encoder, VALIDATION) == dict(stopped.result.best_metrics)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    again = TinyEncoder(seed=9)  # everything comes from the checkpoint
    loss = Press(again)
    result = train(again, loss, PAIRS, config, VALIDATION, resume_from=stopped.checkpoint)
    assert_same_run(again, loss, result, undisturbed(quiet(epochs=3, evaluation_steps=7)))


def test_ctrl_c_without_output_dir_gives_the_best_so_far() -> None:
    encoder = TinyEncoder()
    with pytest.raises(TrainingInterrupted, match="nothing saved, output_dir was not set") as caught:
        train(encoder, Press(encoder, call=15), PAIRS, quiet(epochs=3), VALIDATION)
    assert caught.value.checkpoint is None
    assert evaluate(encoder, VALIDATION) == dict(caught.value.result.best_metrics)


@pytest.mark.parametrize(("module", "name"), [(os, "fsync"), (Path, "rename")], ids=["flushing", "renaming"])
def test_a_run_stopped_while_saving_goes_on_from_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    class Stopped(BaseException):
        pass

    original = getattr(module, name)

    def stop_at_the_second_checkpoint(*arguments: Any) -> Any:
        if (tmp_path / "checkpoint-00000005").exists() and list(tmp_path.glob(".*")):
            raise Stopped
        return original(*arguments)

    config = quiet(epochs=3, checkpoint_steps=5, output_dir=tmp_path)
    encoder = TinyEncoder()
    monkeypatch.setattr(module, name, stop_at_the_second_checkpoint)
    with pytest.raises(Stopped):
        train(encoder, Press(encoder), PAIRS, config, VALIDATION)
    monkeypatch.undo()
    assert checkpoints.latest_checkpoint(tmp_path) == tmp_path / "checkpoint-00000005"
    again = TinyEncoder(seed=9)
    loss = Press(again)
    result = train(again, loss, PAIRS, config, VALIDATION, resume_from=tmp_path)
    assert_same_run(again, loss, result, undisturbed(quiet(epochs=3)))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-00000039"]  # and nothing half-written is left


def test_a_checkpoint_whose_best_parameters_are_missing_is_refused(tmp_path: Path) -> None:
    config = quiet(epochs=3, output_dir=tmp_path)
    encoder = TinyEncoder()
    with pytest.raises(TrainingInterrupted) as caught:
        train(encoder, Press(encoder, call=17), PAIRS, config, VALIDATION)
    (caught.value.checkpoint / "best.safetensors").unlink()
    with pytest.raises(ValueError, match=r"checkpoint .* cannot be used: .*best\.safetensors"):
        train(encoder, Press(encoder), PAIRS, config, VALIDATION, resume_from=tmp_path)


def test_new_settings_go_on_bit_for_bit(tmp_path: Path) -> None:
    new = {"epochs": 4, "evaluation_steps": 3, "patience": 3, "accumulation_steps": 2, "batches": "levels"}
    config = quiet(**new, output_dir=tmp_path)
    encoder, again = TinyEncoder(), TinyEncoder(seed=9)
    with pytest.raises(TrainingInterrupted) as caught:
        train(encoder, Press(encoder, call=18), PAIRS, config, VALIDATION)
    assert caught.value.result.steps == 10  # seven steps an epoch, of two batches, the last of one; then three
    loss = Press(again)
    result = train(again, loss, PAIRS, config, VALIDATION, resume_from=tmp_path)
    assert_same_run(again, loss, result, undisturbed(quiet(**new)))


@pytest.mark.skipif(os.name == "nt", reason="sends SIGKILL to processes")
def test_a_killed_run_loses_at_most_one_checkpoint_interval(tmp_path: Path) -> None:
    """Twenty kills between two lines of the loop or of saving; the random numbers are seeded, the lines are exact."""
    rng = np.random.default_rng(0)
    assert live(tmp_path / "whole", 0)[0] == 0
    whole, tables = torch.load(tmp_path / "whole" / "result.pt")
    lost, finished = [], 0
    while len(lost) < 20 or finished == 0:
        folder = tmp_path / f"run{finished}"
        code, reached = live(folder, int(rng.integers(1, 900)))
        if code == 0:
            assert same(torch.load(folder / "result.pt")[0], whole)
            assert torch.load(folder / "result.pt")[1] == tables
            finished += 1
        else:
            assert code == -signal.SIGKILL
            found = checkpoints.latest_checkpoint(folder)
            lost.append(max(0, reached - (int(found.name[-8:]) if found else 0)))
    assert 0 < max(lost) <= 4, lost


def test_a_static_encoder_goes_on_bit_for_bit(tmp_path: Path) -> None:
    config = quiet(epochs=2, checkpoint_steps=5, output_dir=tmp_path)
    whole, stopped, again = (static(PAIRS) for _ in range(3))
    expected = train(whole, make_loss("cosent", whole, learn_scale=True), PAIRS, quiet(epochs=2), VALIDATION)
    loss = make_loss("cosent", stopped, learn_scale=True)
    forward, calls = loss.forward, Counter[str]()

    def failing(*arguments: Tensor) -> Tensor:
        calls["forward"] += 1
        if calls["forward"] == 18:
            raise OSError("power cut")
        return forward(*arguments)

    loss.forward = failing  # type: ignore[method-assign]
    with pytest.raises(OSError, match="power cut"):
        train(stopped, loss, PAIRS, config, VALIDATION)
    result = train(again, make_loss("cosent", again, learn_scale=True), PAIRS, config, VALIDATION, resume_from=tmp_path)
    assert same(weights(again), weights(whole))
    assert result.history.equals(expected.history)


def test_a_sum_goes_on_bit_for_bit_with_its_learned_scales(tmp_path: Path) -> None:
    def made(encoder: nn.Module) -> nn.Module:
        return make_loss("cosent+mnrl+sbert", encoder, cosent_learn_scale=True, mnrl_scale=5.0, mnrl_learn_scale=True)

    whole, stopped, again = TinyEncoder(), TinyEncoder(), TinyEncoder()
    whole_loss, stopped_loss, again_loss = made(whole), made(stopped), made(again)
    expected = train(whole, whole_loss, PAIRS, quiet(epochs=2), VALIDATION)
    config = quiet(epochs=2, checkpoint_steps=5, output_dir=tmp_path)

    def cut(*_: Any) -> dict[str, float]:
        cut.calls = getattr(cut, "calls", 0) + 1
        if cut.calls == 3:  # step 0, the end of the first epoch, the end of the second
            raise OSError("power cut")
        return {}

    with pytest.raises(OSError, match="power cut"):
        train(stopped, stopped_loss, PAIRS, config, VALIDATION, watch=cut)
    result = train(again, again_loss, PAIRS, config, VALIDATION, resume_from=tmp_path)
    assert same(weights(again, again_loss), weights(whole, whole_loss))
    assert result.history.equals(expected.history)
    scales = whole_loss.options()
    assert scales["cosent_scale"] != pytest.approx(20, abs=1e-4)
    assert scales["mnrl_scale"] != pytest.approx(5, abs=1e-4)
    # the losses that were cut off hold scales learned so far: no other setting either
    train(stopped, stopped_loss, PAIRS, config, VALIDATION, resume_from=tmp_path)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cosent+mnrl", {"mnrl_weight": 0.5}, "'mnrl_weight': 2.0.* there, .*'mnrl_weight': 0.5.* now"),
        ("cosent+mnrl", {"mnrl_weight": 2.0, "cosent_scale": 5.0}, "'cosent_scale': 20.0.* there, .*: 5.0.* now"),
        ("cosent+angle", {"angle_weight": 2.0}, "'mnrl_scale'.* there, .*'angle_scale'.* now"),
        ("cosent+mnrl", {"mnrl_weight": 2.0, "cosent_flat": True}, "'cosent_flat': False.* there, .*True.* now"),
    ],
)
def test_a_checkpoint_of_another_sum_is_refused(name: str, options: dict, message: str, tmp_path: Path) -> None:
    config = quiet(output_dir=tmp_path, max_steps=2)
    encoder = TinyEncoder()
    train(encoder, make_loss("cosent+mnrl", encoder, mnrl_weight=2.0), PAIRS, config)
    with pytest.raises(ValueError, match=rf"other settings \(loss_options: .*{message}"):
        train(TinyEncoder(), make_loss(name, encoder, **options), PAIRS, config, resume_from=tmp_path)


def test_a_finished_run_is_only_read(tmp_path: Path) -> None:
    config = quiet(output_dir=tmp_path)
    encoder, again = TinyEncoder(), TinyEncoder(seed=9)
    loss, other = Press(encoder), Press(again)
    result = train(encoder, loss, PAIRS, config, VALIDATION)
    assert_same_run(
        again, other, train(again, other, PAIRS, config, VALIDATION, tmp_path), (weights(encoder, loss), result)
    )


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    config = quiet(output_dir=tmp_path)
    train(TinyEncoder(), Spoil(), PAIRS, config)
    with pytest.raises(ValueError, match=r"other settings \(batch_size: 16 there, 8 now; seed: 0 there, 5 now\)"):
        train(TinyEncoder(), Spoil(), PAIRS, quiet(batch_size=8, seed=5), resume_from=tmp_path)
    with pytest.raises(ValueError, match=r"other settings \(train_pairs: "):
        train(TinyEncoder(), Spoil(), dict(PAIRS, sentence1=PAIRS["sentence2"]), config, resume_from=tmp_path)
    with pytest.raises(ValueError, match=r"other settings \(loss: 'Spoil' there, 'SoftmaxLoss' now"):
        train(TinyEncoder(), make_loss("sbert", TinyEncoder()), PAIRS, config, resume_from=tmp_path)
    with pytest.raises(ValueError, match="holds a run already: go on with resume_from="):
        train(TinyEncoder(), Spoil(), PAIRS, config)


def test_a_checkpoint_of_other_options_of_the_loss_or_the_encoder_is_refused(tmp_path: Path) -> None:
    config, encoder = quiet(output_dir=tmp_path, max_steps=2), static(PAIRS)
    loss = make_loss("cosent", encoder, scale=5.0, learn_scale=True)
    train(encoder, loss, PAIRS, config)
    assert loss.scale != 5
    train(encoder, loss, PAIRS, config, resume_from=tmp_path)  # a λ that was learned is no other setting
    with pytest.raises(ValueError, match=r"loss_options: \{'scale': 5.0, .*\} there, \{'scale': 20.0, 'mar"):
        train(static(PAIRS), make_loss("cosent", encoder), PAIRS, config, resume_from=tmp_path)
    other = static(PAIRS, dim=8)
    with pytest.raises(ValueError, match=r"other settings \(encoder_options: .*'dim': 16.*'dim': 8"):
        train(other, make_loss("cosent", other, scale=5.0), PAIRS, config, resume_from=tmp_path)
    words, start = list(static(PAIRS).vocabulary), static(PAIRS)
    other = type(start)(words[::-1], start.state_dict()["weight"], start.seed)  # of as many words, numbered otherwise
    with pytest.raises(ValueError, match=r"other settings \(encoder_tokens: '\w{64}' there, '\w{64}' now\)"):
        train(other, make_loss("cosent", other, scale=5.0, learn_scale=True), PAIRS, config, resume_from=tmp_path)


FOREIGN = ("notes.md", "checkpoint-old/model.pt", "checkpoint-00000001/notes.md", ".checkpoint-2.tmp/x", "checkpoint-1")


def test_only_checkpoints_are_removed_and_only_they_are_gone_on_with(tmp_path: Path) -> None:
    for name in FOREIGN:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("years of work")
    (tmp_path / "checkpoint-00000001" / "state.json").write_text("{}")
    half = tmp_path / f".checkpoint-00000002.{'0' * 32}.tmp"
    half.mkdir()
    (half / "optimizers.pt").touch()
    assert checkpoints.foreign_entries(tmp_path) == sorted([*FOREIGN, "checkpoint-old", ".checkpoint-2.tmp"])
    (tmp_path / "checkpoint-00000001" / "state.json").unlink()
    (tmp_path / "checkpoint-00000001").rename(tmp_path / "away")
    train(TinyEncoder(), Spoil(), PAIRS, quiet(max_steps=4, checkpoint_steps=2, output_dir=tmp_path))
    (tmp_path / "away").rename(tmp_path / "checkpoint-00000001")
    assert not half.exists()
    assert checkpoints.latest_checkpoint(tmp_path) == tmp_path / "checkpoint-00000004"
    checkpoints.remove_checkpoints(tmp_path)
    assert not (tmp_path / "checkpoint-00000004").exists()
    assert all((tmp_path / name).read_text() == "years of work" for name in FOREIGN)


def test_an_unusable_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no checkpoint there"):
        train(TinyEncoder(), Spoil(), PAIRS, quiet(), resume_from=tmp_path / "nowhere")
    train(TinyEncoder(), Spoil(), PAIRS, quiet(output_dir=tmp_path))
    (place,) = tmp_path.glob("checkpoint-*")
    state = (place / "state.json").read_text()
    for text, message in (("{", "is damaged"), (json.dumps({**json.loads(state), "format_version": 9}), "version 9")):
        (place / "state.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            train(TinyEncoder(), Spoil(), PAIRS, quiet(), resume_from=tmp_path)
    (place / "state.json").write_text(state)
    for file in ("optimizers.pt", "parameters.safetensors"):
        whole = (place / file).read_bytes()
        (place / file).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ValueError, match=f"checkpoint .*{place.name} cannot be used"):
            train(TinyEncoder(), Spoil(), PAIRS, quiet(), resume_from=tmp_path)
        (place / file).write_bytes(whole)
