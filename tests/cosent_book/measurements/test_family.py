"""Scores for CoSENT: AnglE's is a turned cosine without its sign, times √2 (chapter 13)."""

import math

import pytest
import torch
from datasets import Dataset

from cosent_book.measurements.family import FORMS, FormLoss, score_forms, sum_weights, turned
from cosent_lib.data.load import load_pairs
from cosent_lib.losses.base import cosine
from cosent_lib.losses.order import AnglELoss, CoSENTLoss


def vectors() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    u, v = torch.randn(2, 12, 6, generator=generator, dtype=torch.float64)
    return u, v, torch.arange(12) % 3


def test_an_eighth_of_a_circle() -> None:
    u, v, _ = vectors()
    assert torch.allclose(turned(v).norm(dim=1), v.norm(dim=1))
    assert torch.allclose(cosine(v, turned(v)), torch.full((12,), math.sqrt(0.5), dtype=torch.float64))
    eight = v
    for _ in range(8):
        eight = turned(eight)
    assert torch.allclose(eight, v)
    z = torch.complex(*v.chunk(2, -1)) * torch.exp(torch.tensor(1j * math.pi / 4))
    assert torch.allclose(turned(v), torch.cat([z.real, z.imag], -1))
    with pytest.raises(ValueError, match="even, got 5"):
        turned(u[:, :5])


def test_forms_that_are_known_losses() -> None:
    u, v, y = vectors()
    assert torch.isclose(FormLoss("cosine", 7)(u, v, y), CoSENTLoss(7)(u, v, y))
    assert torch.isclose(FormLoss("both", 7 * math.sqrt(2))(u, v, y), AnglELoss(7)(u, v, y))
    assert (FORMS["absolute"](u, v) == cosine(u, v).abs()).all()


def test_a_true_angle_has_slope_one_everywhere() -> None:
    u, v, _ = vectors()
    u.requires_grad_()
    (gradient,) = torch.autograd.grad(FORMS["angle"](u, v).sum(), u)
    assert torch.allclose(gradient.norm(dim=1), 1 / u.norm(dim=1))
    (at_same,) = torch.autograd.grad(FORMS["angle"](u, u.detach()).sum(), u)
    assert at_same.isfinite().all()


def test_unknown_form() -> None:
    with pytest.raises(ValueError, match="unknown form 'sine', expected one of: cosine"):
        FormLoss("sine")


class Built:
    """A part of the built-in corpus."""

    def load(self, task: str, split: str) -> Dataset:
        return load_pairs(task, split).select(range(1000 if split == "train" else 150))


def test_each_setting_and_seed_is_trained() -> None:
    settings = [{"form": "cosine", "scale": 5.0}, {"form": "both", "scale": 5.0}]
    rows = score_forms(Built(), task="builtin", settings=settings, seeds=[0, 1], epochs=6)["rows"]
    assert [(row["form"], row["seed"]) for row in rows] == [("cosine", 0), ("both", 0), ("cosine", 1), ("both", 1)]
    assert all(0 < row["mrr"] < 1 for row in rows)
    assert min(row["spearman"] for row in rows if row["form"] == "cosine") > 0.5  # untrained it is below −0.8


def test_a_sum_between_its_parts() -> None:
    scales = {"cosent": 5.0, "mnrl": 20.0}
    rows = sum_weights(Built(), task="builtin", weights=[1e-6, 1.0], seeds=[0], epochs=1, scales=scales, take=300)[
        "rows"
    ]
    assert [row["weight"] for row in rows] == [0.0, 1e-6, 1.0, None]
    alone, nearly, both, other = (row["spearman"] for row in rows)
    assert nearly == pytest.approx(alone, abs=0.01)
    assert len({alone, both, other}) == 3
