"""Training that cannot go on: what is named, and what is kept."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from training_kit import PAIRS, VALIDATION, Press, Spoil, TinyEncoder, assert_same_run, quiet, static, undisturbed

from cosent_lib.evaluation.metrics import UndefinedMetric
from cosent_lib.losses.make import make_loss
from cosent_lib.training.batches import Batches
from cosent_lib.training.errors import NonFiniteLoss, OutOfMemory
from cosent_lib.training.train import train


class Explode(nn.Module):
    """The squared cosine loss, infinite from the k-th call on."""

    def __init__(self, call: int) -> None:
        super().__init__()
        self.left = call

    def forward(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        self.left -= 1
        value = (nn.functional.cosine_similarity(u, v) - labels).square().mean()
        return value if self.left > 0 else value * math.inf


def test_an_overflowing_loss_stops_the_run() -> None:
    encoder = static(PAIRS)
    with pytest.raises(NonFiniteLoss) as caught:
        train(encoder, Explode(16), PAIRS, quiet(epochs=2, learning_rate=0.1, warmup_ratio=0))
    error = caught.value
    rows = Batches(encoder, PAIRS, 16, 0).at(16)[0].rows
    assert (error.step, error.epoch, error.rows) == (16, 2, rows)
    assert error.history["step"].tolist() == list(range(1, 16))
    assert np.isfinite(error.history["loss"]).all()
    start = f"the loss is inf at step 16 (epoch 2; training rows {', '.join(map(str, rows[:8]))}, …): "
    assert str(error).startswith(start)
    assert "parameters, vectors and labels are finite, so Explode itself overflowed" in str(error)


@pytest.mark.parametrize("name", ["cosent", "cosine_squared", "sbert"])
def test_texts_without_finite_vector_are_named(name: str) -> None:
    class Broken(TinyEncoder):
        def embed(self, token_ids: list[list[int]]) -> Tensor:
            vectors = super().embed(token_ids)
            wrong = [ids[:3] == self.tokenize(["odd"])[0] for ids in token_ids]
            return vectors.masked_fill(torch.tensor(wrong)[:, None], math.nan)

    pairs = dict(PAIRS, sentence2=[*PAIRS["sentence2"][:-1], "odd one"])
    encoder = Broken()
    with pytest.raises(
        NonFiniteLoss, match=r"not finite for 1 of .* texts .sentence2 of row 199. though all param"
    ) as c:
        train(encoder, make_loss(name, encoder), pairs, quiet())
    assert 199 in c.value.rows


def test_a_diverged_parameter_is_named() -> None:
    class Cliff(nn.Module):
        """A finite value whose gradient is not."""

        def forward(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
            return (u - u.detach()).abs().sqrt().sum() + v.sum()

    with pytest.raises(NonFiniteLoss, match=r"at step 2 .*encoder\.letters is not finite after an earlier update"):
        train(TinyEncoder(), Cliff(), PAIRS, quiet())
    with pytest.raises(NonFiniteLoss, match=r"parameter encoder\.letters is not finite at step 1 .*its update made"):
        train(TinyEncoder(), Cliff(), PAIRS, quiet(max_steps=1))  # noticed though no loss follows


def test_a_value_error_of_the_loss_itself_is_not_hidden() -> None:
    class Picky(nn.Module):
        def forward(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
            raise ValueError("labels must be odd")

    with pytest.raises(ValueError, match="labels must be odd"):
        train(TinyEncoder(), Picky(), PAIRS, quiet())


class Failing(TinyEncoder):
    """Gives all texts one vector at the given calls of ``encode``."""

    def __init__(self, *calls: int) -> None:
        super().__init__()
        self.calls, self.call = calls, 0

    def encode(self, texts: list[str], batch_size: int = 256, progress: bool = False) -> Tensor:
        self.call += 1
        return torch.ones(len(texts), 2) if self.call in self.calls else super().encode(texts)


def test_equal_cosines_at_a_validation_are_named_with_split_and_cause() -> None:
    with pytest.raises(UndefinedMetric) as caught:
        train(Failing(2), Spoil(), PAIRS, quiet(), VALIDATION)
    message = (
        "validation: all 80 cosines equal 1, so no step can be chosen: the encoder gives all texts the same direct"
    )
    assert str(caught.value).startswith(message)
    assert caught.value.__notes__ == ["while validating after step 13"]


def not_at_the_second_look(failure: Exception) -> Any:
    rows: list[int] = []

    def watch(encoder: nn.Module, loss: nn.Module) -> dict[str, float]:
        rows.append(1)
        if len(rows) == 3:
            raise failure
        return {"looks": 1.0}

    return watch


@pytest.mark.parametrize("what", ["cosines", "watch"])
def test_what_fails_at_a_validation_loses_no_step(what: str, tmp_path: Path) -> None:
    """The state is kept; gone on with, the validation is made up for, and the run is what it would have been."""
    config = quiet(epochs=3, output_dir=tmp_path)
    encoder = Failing(3) if what == "cosines" else TinyEncoder()
    watch = not_at_the_second_look(OSError("the disk is gone")) if what == "watch" else None
    with pytest.raises((UndefinedMetric, OSError)) as caught:
        train(encoder, Press(encoder), PAIRS, config, VALIDATION, watch=watch)
    kept = tmp_path / "checkpoint-00000026"
    assert caught.value.__notes__ == ["while validating after step 26", f"saved in {kept}"]
    assert kept.is_dir()
    again = TinyEncoder(seed=9)
    loss = Press(again)
    result = train(again, loss, PAIRS, config, VALIDATION, resume_from=tmp_path, watch=watch)
    assert_same_run(again, loss, result, undisturbed(quiet(epochs=3)))
    assert result.watched["step"].tolist() == ([0, 13, 26, 39] if what == "watch" else [])


CPU_ALLOCATOR = "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to allocate"

NO_MEMORY = [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), MemoryError(),
             RuntimeError(CPU_ALLOCATOR), RuntimeError("MPS backend out of memory")]  # fmt: skip


@pytest.mark.parametrize("failure", NO_MEMORY, ids=lambda error: type(error).__name__)
def test_out_of_memory_says_what_to_change_and_keeps_the_checkpoint(tmp_path: Path, failure: Exception) -> None:
    config = quiet(epochs=3, checkpoint_steps=5, output_dir=tmp_path)
    encoder = TinyEncoder()
    encoder.max_length = 128
    with pytest.raises(OutOfMemory) as caught:
        train(encoder, Press(encoder, call=18, failure=failure), PAIRS, config, VALIDATION)
    kept = tmp_path / "checkpoint-00000015"
    assert (caught.value.step, caught.value.checkpoint, caught.value.__cause__) == (18, kept, failure)
    assert str(caught.value).startswith(
        "out of memory at step 18: take a smaller batch_size (now 16), or an encoder with a smaller max_length (now "
        f"128 tokens). Checkpoint: {kept} is kept, for the same settings where there is more memory. "
    )
    again = TinyEncoder(seed=9)
    loss = Press(again)
    result = train(again, loss, PAIRS, config, VALIDATION, resume_from=tmp_path)
    assert_same_run(again, loss, result, undisturbed(quiet(epochs=3)))


@pytest.mark.parametrize(("call", "step", "when"), [(1, 0, "before the first step"), (2, 13, "after step 13")])
def test_out_of_memory_while_validating(call: int, step: int, when: str) -> None:
    class Large(TinyEncoder):
        calls = 0

        def encode(self, texts: list[str], batch_size: int = 256, progress: bool = False) -> Tensor:
            self.calls += 1
            if self.calls == call:
                raise MemoryError
            return super().encode(texts)

    with pytest.raises(OutOfMemory) as caught:
        train(Large(), Spoil(), PAIRS, quiet(), VALIDATION)
    assert caught.value.step == step
    text = f"out of memory while validating {when}: take a machine with more memory. Checkpoint: none saved."
    assert str(caught.value).startswith(text)


def test_other_runtime_errors_are_left_alone() -> None:
    encoder = TinyEncoder()
    with pytest.raises(RuntimeError, match=r"^shapes$"):
        train(encoder, Press(encoder, call=2, failure=RuntimeError("shapes")), PAIRS, quiet())
