"""Settings of a run: the rates they give, and what is refused before the first step."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from training_kit import PAIRS, Spoil, TinyEncoder, quiet, same, static, weights

from cosent_lib.losses.make import make_loss
from cosent_lib.training.setup import Objective, TrainingConfig, learning_rate_factor, make_optimizers
from cosent_lib.training.train import train


@pytest.mark.parametrize(
    ("step", "factor"), [(1, 0.1), (5, 0.5), (10, 1.0), (11, 1.0), (12, 89 / 90), (56, 0.5), (100, 1 / 90)]
)
def test_learning_rate_rises_and_falls_linearly(step: int, factor: float) -> None:
    assert learning_rate_factor(step, 100, 0.1) == pytest.approx(factor)


def test_learning_rate_without_and_with_only_warm_up() -> None:
    assert [learning_rate_factor(step, 4, 0) for step in (1, 2, 3, 4)] == [1, 0.75, 0.5, 0.25]
    assert [learning_rate_factor(step, 4, 1) for step in (1, 2, 3, 4)] == [0.25, 0.5, 0.75, 1]


def test_a_constant_rate_stays_after_its_warm_up() -> None:
    assert [learning_rate_factor(step, 10, 0.4, "constant") for step in range(1, 11)] == [0.25, 0.5, 0.75] + [1] * 7
    assert {learning_rate_factor(step, 10, 0, "constant") for step in range(1, 11)} == {1.0}
    encoder = static(PAIRS)
    config = quiet(max_steps=20, warmup_ratio=0.25, schedule="constant", learning_rate=0.03)
    rates = train(encoder, make_loss("cosent", encoder), PAIRS, config).history["learning_rate"].tolist()
    assert rates == pytest.approx([0.006, 0.012, 0.018, 0.024] + [0.03] * 16)
    with pytest.raises(ValueError, match="schedule must be one of linear, constant, got 'cosine'"):
        quiet(schedule="cosine")


def test_the_losss_parameters_are_trained_at_their_own_rate() -> None:
    encoder = static(PAIRS)
    loss = make_loss("sbert", encoder)
    before = weights(loss)
    train(encoder, loss, PAIRS, quiet(max_steps=5))
    assert not same(before, weights(loss))

    def rates(**settings: Any) -> list[float]:
        optimizers = make_optimizers(Objective(TinyEncoder(), loss), quiet(**settings))
        return [group["peak_lr"] for group in optimizers[0].param_groups]

    assert rates() == [1e-2, 1e-2]
    assert rates(learning_rate=2e-5) == [2e-5, 1e-3]
    assert rates(learning_rate=2e-5, loss_learning_rate=0.5) == [2e-5, 0.5]


def test_sparse_and_dense_parameters_each_get_their_optimiser() -> None:
    encoder = static(PAIRS)
    optimizers = make_optimizers(Objective(encoder, make_loss("sbert", encoder)), quiet())
    assert [type(optimizer) for optimizer in optimizers] == [torch.optim.SparseAdam, torch.optim.AdamW]
    assert optimizers[0].param_groups[0]["params"] == [encoder.weight]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"epochs": None}, "epochs must be a whole number"),
        ({"epochs": 1.5}, "epochs must be a whole number of at least 1, got 1.5"),
        ({"max_steps": 0}, "max_steps must be a whole number of at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"evaluation_steps": -1}, "evaluation_steps must be"),
        ({"learning_rate": 0}, "learning_rate must be positive and finite"),
        ({"learning_rate": math.nan}, "learning_rate must be positive and finite"),
        ({"loss_learning_rate": -1.0}, "loss_learning_rate must be positive"),
        ({"warmup_ratio": 1.1}, r"warmup_ratio must be a number in \[0, 1\], got 1.1"),
        ({"weight_decay": -0.1}, "weight_decay must be zero or positive"),
        ({"max_grad_norm": 0}, "max_grad_norm must be positive"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": 2**63}, r"seed must be a whole number of at least 0 and below 2\*\*63, got 9223372036854775808"),
        ({"patience": 0}, "patience must be a whole number of at least 1, got 0"),
        ({"accumulation_steps": 0}, "accumulation_steps must be a whole number of at least 1, got 0"),
        ({"batches": "sorted"}, "batches must be one of shuffled, levels, got 'sorted'"),
        ({"precision": "fp8"}, "precision must be one of auto, fp32, bf16, fp16, got 'fp8'"),
        ({"device": "tpu"}, "device must be one of auto, cpu, cuda, mps, got 'tpu'"),
        ({"selection_metric": "f2"}, "selection_metric must be one of spearman, pearson, auc, got 'f2'"),
        ({"checkpoint_steps": 5}, "checkpoint_steps needs output_dir"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**settings)


def test_a_device_that_is_not_there_is_named() -> None:
    missing = "mps" if not torch.backends.mps.is_available() else "cuda"
    with pytest.raises(ValueError, match=f"device '{missing}' is not available here"):
        train(TinyEncoder(), Spoil(), PAIRS, quiet(device=missing))


def test_the_largest_seed_is_one() -> None:
    assert train(TinyEncoder(), Spoil(), PAIRS, quiet(seed=2**63 - 1, max_steps=2, batches="levels")).steps == 2


def test_no_environment_variable_changes_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained() -> list[Tensor]:
        encoder = static(PAIRS)
        train(encoder, make_loss("cosent", encoder), PAIRS, quiet(max_steps=6))
        return weights(encoder)

    plain = trained()
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert same(plain, trained())


def test_numpy_numbers_become_plain_ones(tmp_path: Path) -> None:
    config = TrainingConfig(
        epochs=np.int64(2), batch_size=np.int32(8), learning_rate=np.float32(0.5), seed=np.int64(3)
    )  # fmt: skip
    kinds = {name: type(getattr(config, name)) for name in ("epochs", "batch_size", "learning_rate", "seed")}
    assert kinds == {"epochs": int, "batch_size": int, "learning_rate": float, "seed": int}


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_an_output_dir_that_cannot_become_a_folder_is_refused_at_once(tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(ValueError, match=f"output_dir must be a folder, or become one: {file} is a file"):
        TrainingConfig(output_dir=file / below)
    with pytest.raises(ValueError, match="output_dir must be a path, got 5"):
        TrainingConfig(output_dir=5)  # type: ignore[arg-type]
