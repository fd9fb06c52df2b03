"""What tests of training share: small pairs, a small encoder, losses that spoil or stop a run."""

import os
import signal
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cosent_lib.encoders.static import StaticEncoder
from cosent_lib.losses.make import make_loss
from cosent_lib.training.setup import TrainingConfig
from cosent_lib.training.train import train

WORDS = ["cat", "dog", "bird", "fish", "tree", "rock", "rain", "snow", "wind", "fire", "iron", "gold"]


def make_pairs(count: int, seed: int = 0, levels: int = 2) -> dict[str, list]:
    """Sentences of four words; the label says how many words the two share (0 … 4)."""
    rng = np.random.default_rng(seed)
    first = [rng.choice(WORDS, 4, replace=False) for _ in range(count)]
    second = [np.where(rng.random(4) < rng.random(), words, rng.choice(WORDS, 4)) for words in first]
    shared = np.array([len({*a} & {*b}) for a, b in zip(first, second, strict=True)])
    labels = (shared >= 3).astype(float) if levels == 2 else shared / 4
    return {"sentence1": [" ".join(a) for a in first], "sentence2": [" ".join(b) for b in second],
            "score": labels.tolist()}  # fmt: skip


class TinyEncoder(nn.Module):
    """A dense encoder of letters with dropout; notes what it is asked."""

    name, default_learning_rate, dim = "tiny", 1e-2, 8

    def __init__(self, seed: int = 0, dropout: float = 0.1) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.letters = nn.Parameter(torch.randn(27, self.dim, generator=generator))
        self.turn = nn.Parameter(torch.randn(self.dim, self.dim, generator=generator))
        self.dropout = nn.Dropout(dropout)
        self.tokenized: list[str] = []
        self.embedded: list[int] = []

    @property
    def device(self) -> torch.device:
        return self.turn.device

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        self.tokenized += texts
        return [[max(ord(letter) - 96, 0) for letter in text] for text in texts]

    def embed(self, token_ids: list[list[int]]) -> Tensor:
        self.embedded.append(len(token_ids))
        flat = torch.tensor([number for ids in token_ids for number in ids], device=self.device)
        starts = torch.tensor([0, *np.cumsum([len(ids) for ids in token_ids])[:-1]], device=self.device)
        means = nn.functional.embedding_bag(flat, self.letters, starts, mode="mean")
        return self.dropout(torch.tanh(means @ self.turn))

    def encode(self, texts: list[str], batch_size: int = 256, progress: bool = False) -> Tensor:
        mode = self.training
        self.eval()
        with torch.no_grad():
            vectors = self.embed(self.tokenize(texts)).cpu()
        self.train(mode)
        return vectors

    def parameter_groups(self, learning_rate: float | None = None, weight_decay: float = 0.01) -> list[dict[str, Any]]:
        rate = learning_rate or self.default_learning_rate
        return [{"params": [self.letters, self.turn], "lr": rate, "weight_decay": weight_decay, "sparse": False}]


def static(pairs: dict[str, list], dim: int = 16) -> StaticEncoder:
    return StaticEncoder.from_texts([*pairs["sentence1"], *pairs["sentence2"]], dim=dim)


def quiet(**settings: Any) -> TrainingConfig:
    return TrainingConfig(**{"progress": False, "device": "cpu", "batch_size": 16, **settings})


def weights(*modules: nn.Module) -> list[Tensor]:
    return [value.detach().cpu().clone() for module in modules for value in module.state_dict().values()]


def same(left: list[Tensor], right: list[Tensor]) -> bool:
    return len(left) == len(right) and all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


PAIRS, VALIDATION = make_pairs(200, seed=1), make_pairs(80, seed=2)


class Spoil(nn.Module):
    """Teaches the opposite of the labels, so that the first validation is the best one."""

    def forward(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        return ((2 * labels - 1) * nn.functional.cosine_similarity(u, v)).mean()


class Press(nn.Module):
    """Sentence-BERT's loss, which presses Ctrl-C (or fails) in its k-th call."""

    needs_order = False

    def __init__(self, encoder: TinyEncoder, call: int = 0, failure: BaseException | None = None) -> None:
        super().__init__()
        self.inner, self.left, self.failure = make_loss("sbert", encoder), call, failure

    def forward(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        self.left -= 1
        if self.left == 0:
            if self.failure is not None:
                raise self.failure
            os.kill(os.getpid(), signal.SIGINT)
        return self.inner(u, v, labels)


@cache
def undisturbed(config: TrainingConfig) -> tuple[list[Tensor], Any]:
    encoder = TinyEncoder()
    loss = Press(encoder)
    result = train(encoder, loss, PAIRS, config, VALIDATION)
    return weights(encoder, loss), result


def assert_same_run(encoder: nn.Module, loss: nn.Module, result: Any, expected: tuple[list[Tensor], Any]) -> None:
    assert same(weights(encoder, loss), expected[0])
    assert result.history.equals(expected[1].history)
    assert result.evaluations.equals(expected[1].evaluations)
    assert (result.best_step, result.steps) == (expected[1].best_step, expected[1].steps)
    assert dict(result.best_metrics) == dict(expected[1].best_metrics)
