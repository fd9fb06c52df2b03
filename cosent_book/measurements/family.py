"""What AnglE's score owes to its parts, what a true angle would do, and what the weight of a sum does (chapter 13)."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor

from cosent_book.alterations import altered
from cosent_book.measurements.registry import Data, measurement
from cosent_book.measurements.training import train_static
from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.evaluation.evaluate import evaluate, evaluate_retrieval
from cosent_lib.losses.base import cosine
from cosent_lib.losses.order import ScaledLoss
from cosent_lib.ranking.rank_loss import rank_loss

SCORES: list[dict[str, Any]] = [
    *({"form": form, "scale": 5.0} for form in ("cosine", "absolute", "turned", "both", "angle")),
    *({"form": form, "scale": 7.0711} for form in ("cosine", "both")),  # AnglE at 5 is √2 · 5 times "both"
]
WEIGHTED = {"weights": [0.25, 1.0, 4.0, 16.0], "seeds": [0, 1, 2], "epochs": 1}
SUMS: list[dict[str, Any]] = [
    {"task": "bq", "scales": {"cosent": 5.0, "mnrl": 20.0}},
    {"task": "lcqmc", "take": 64_000, "scales": {"cosent": 5.0, "mnrl": 20.0}},
    {"task": "lcqmc", "take": 64_000, "scales": {"cosent": 5.0, "mnrl": 5.0}},
]


def turned(v: Tensor) -> Tensor:
    """Turn each complex coordinate of ``v: [batch, dim]`` by an eighth of a circle: (v + v⊥)/√2, lengths kept.

    The first half of a vector holds the real, the second half the imaginary parts, so v⊥ = (−b, a) for halves (a, b).

    Raises:
        ValueError: an odd length.
    """
    if v.shape[-1] % 2:
        raise ValueError(f"the vectors are halved, so their length must be even, got {v.shape[-1]}")
    a, b = v.chunk(2, -1)
    return torch.cat([a - b, a + b], -1) / math.sqrt(2)


def _angle(u: Tensor, v: Tensor) -> Tensor:
    """π/2 minus the angle between u and v: the slope against the cosine is 1 at a right angle, and grows from there."""
    return math.pi / 2 - cosine(u, v).clamp(-1 + 1e-6, 1 - 1e-6).acos()


FORMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine": cosine,
    "absolute": lambda u, v: cosine(u, v).abs(),
    "turned": lambda u, v: cosine(u, turned(v)),
    "both": lambda u, v: cosine(u, turned(v)).abs(),  # AnglE's score is √2 times this one
    "angle": _angle,
}
"""Scores of pairs, ``[batch]`` of ``u, v: [batch, dim]``."""


class FormLoss(ScaledLoss):
    """:func:`rank_loss` of λ times one of ``FORMS``: CoSENT with another score.

    Args:
        form: its name.
        scale: λ.

    Raises:
        ValueError: an unknown form, or a scale that is not a positive finite number.
    """

    needs_order = True
    is_rank_loss = True

    def __init__(self, form: str = "cosine", scale: float = 20.0) -> None:
        super().__init__(scale)
        if form not in FORMS:
            raise ValueError(f"unknown form {form!r}, expected one of: {', '.join(FORMS)}")
        self.form = form

    def compute(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        """See the class."""
        return rank_loss(self.scaled(FORMS[self.form](u, v)), labels)


@measurement(
    {"task": task, "settings": SCORES, "seeds": [0, 1, 2], "epochs": epochs}
    for task, epochs in (("bq", 1), ("stsb_en", 5))
)
def score_forms(
    data: Data, *, task: str, settings: Sequence[Mapping[str, Any]], seeds: Sequence[int], epochs: int
) -> dict[str, Any]:
    """Train the static encoder with CoSENT on several scores and judge it by the cosine.

    Nothing is chosen on validation: every run is judged on test after its last step.

    Args:
        data: where the pairs come from.
        task: a set with the splits train and test.
        settings: for each row the arguments of `FormLoss`.
        seeds: of encoder and batches.
        epochs: passes over the training pairs.

    Returns:
        dict: ``rows``, one a run: ``form``, ``scale``, ``seed``, test ``spearman``, and ``mrr`` of retrieval on test.
    """
    pairs, test = data.load(task, "train"), data.load(task, "test")
    rows = []
    for seed in seeds:
        for setting in settings:
            encoder = train_static(pairs, partial(_form_loss, setting), seed, epochs=epochs).encoder
            rows.append({**setting, "seed": seed, **_judged(encoder, test)})
    return {"rows": rows}


@measurement(WEIGHTED | each for each in SUMS)
def sum_weights(
    data: Data,
    *,
    task: str,
    weights: Sequence[float],
    seeds: Sequence[int],
    epochs: int,
    scales: Mapping[str, float],
    take: int | None = None,
) -> dict[str, Any]:
    """Train the static encoder with CoSENT + w · in-batch negatives for several weights w, and with either alone.

    Nothing is chosen on validation: every run is judged on test after its last step.

    Args:
        data: where the pairs come from.
        task: a set with the splits train and test.
        weights: of the in-batch part.
        seeds: of encoder and batches, and of what is taken.
        epochs: passes over the training pairs.
        scales: ``cosent`` and ``mnrl`` → λ.
        take: train on that many pairs, drawn anew for each seed.

    Returns:
        dict: ``rows``, one a run: ``weight`` (None: in-batch negatives alone; 0: CoSENT alone), ``seed``, test
        ``spearman``, and ``mrr`` of retrieval on test.
    """
    pairs, test = data.load(task, "train"), data.load(task, "test")
    # in-batch negatives in the usual form: an answer that stands twice in a batch is a negative of itself
    both = {
        "loss": "cosent+mnrl",
        "mnrl_equal_are_negatives": True,
        **{f"{part}_scale": scale for part, scale in scales.items()},
    }
    losses: dict[float | None, dict[str, Any]] = {0.0: {"loss": "cosent", "scale": scales["cosent"]}}
    losses |= {weight: {**both, "mnrl_weight": float(weight)} for weight in weights}
    losses |= {None: {"loss": "mnrl", "scale": scales["mnrl"], "equal_are_negatives": True}}
    rows = []
    for seed in seeds:
        chosen = altered(pairs, {} if take is None else {"take": take}, seed)
        for weight, loss in losses.items():
            encoder = train_static(chosen, loss, seed, epochs=epochs).encoder
            rows.append({"weight": weight, "seed": seed, **_judged(encoder, test)})
    return {"rows": rows}


def _form_loss(setting: Mapping[str, Any], _: SentenceEncoder) -> FormLoss:
    return FormLoss(**setting)


def _judged(encoder: SentenceEncoder, test: Dataset) -> dict[str, float]:
    return {"spearman": evaluate(encoder, test)["spearman"], "mrr": evaluate_retrieval(encoder, test)["mrr"]}
