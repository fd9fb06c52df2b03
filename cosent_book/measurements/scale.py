"""What λ suits real encoders and sets, before training and as the training pairs grow in number (chapter 8)."""

import math
from typing import Any

import torch
from datasets import Dataset

from cosent_book.alterations import altered
from cosent_book.measurements.registry import Data, measurement
from cosent_book.measurements.training import static_encoder, texts_of, train_static
from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.encoders.load import load_encoder
from cosent_lib.evaluation.evaluate import cosine_scores
from cosent_lib.evaluation.metrics import score_metrics
from cosent_lib.ranking.scale import ScaleReport, scale_report

TASKS = ("stsb_en", "stsb_zh", "bq", "atec", "lcqmc")
ENCODERS = {"static": TASKS, "small": TASKS[:3], "minilm": TASKS[:1]}


@measurement({"task": task, "encoder": encoder} for encoder, tasks in ENCODERS.items() for task in tasks)
def untrained_scale(data: Data, *, task: str, encoder: str, seed: int = 0) -> dict[str, Any]:
    """The λ that `suggest_scale` computes from an untrained encoder's validation cosines, and what speaks for it.

    Args:
        data: where pairs come from.
        task: a name of `cosent_lib.data.tasks.TASKS` with the splits train (vocabulary and tokenizer) and validation.
        encoder: a name for `load_encoder`.
        seed: of its random vectors; no meaning for a pretrained encoder.

    Returns:
        dict: ``mean`` and ``deviation`` of the cosines, ``suggested`` λ, ``log_bound`` log(Σ/P) at it and
        ``log_bound_20`` at 20, ``half_slopes`` cut → half the slope of a logistic regression on the cosines.

    Raises:
        ValueError: no λ is best, because the cosines run against the labels or order all of them.
    """
    pairs, validation = data.load(task, "train"), data.load(task, "validation")
    options: dict[str, Any] = {} if encoder == "minilm" else {"seed": seed}
    cosines, report = _reported(load_encoder(encoder, texts_of(pairs), **options), validation)
    return {
        "mean": float(cosines.mean()),
        "deviation": float(cosines.std()),
        "suggested": report.scale,
        "log_bound": report.log_bounds[report.scale],
        "log_bound_20": report.log_bounds[20.0],
        "half_slopes": {f"{cut:g}": slope for cut, slope in report.half_slopes.items()},
    }


@measurement([{"task": "lcqmc", "sizes": [8000, 32_000], "scales": [2.5, 5.0, 10.0, 20.0], "seeds": [0, 1, 2]}])
def scale_by_size(data: Data, *, task: str, sizes: list[int], scales: list[float], seeds: list[int]) -> dict[str, Any]:
    """Train the static encoder with CoSENT for one epoch on more and more pairs, with several λ.

    Args:
        data: where pairs come from.
        task: as for `untrained_scale`.
        sizes: numbers of training pairs, drawn without replacement.
        scales: values of λ.
        seeds: of drawing, encoder and batches.

    Returns:
        dict: ``rows``, one a run: ``pairs``, ``scale``, ``seed``, validation Spearman ``spearman``, and ``before`` and
        ``after`` the λ suggested by the validation cosines before the first step and after the last.

    Raises:
        ValueError: more pairs than there are.
    """
    pairs, validation = data.load(task, "train"), data.load(task, "validation")
    rows = []
    for size in sizes:
        for seed in seeds:
            taken = altered(pairs, {"take": size}, seed)
            before = _reported(static_encoder(taken, seed), validation)[1].scale
            for scale in scales:
                encoder = train_static(taken, {"loss": "cosent", "scale": scale}, seed, epochs=1).encoder
                cosines, after = _reported(encoder, validation)
                row: dict[str, Any] = {"pairs": size, "scale": scale, "seed": seed}
                row["spearman"] = score_metrics(cosines.numpy(), _labels(validation).numpy())["spearman"]
                rows.append(row | {"before": _finite(before), "after": _finite(after.scale)})
    return {"rows": rows}


def _reported(encoder: SentenceEncoder, pairs: Dataset) -> tuple[torch.Tensor, ScaleReport]:
    cosines = torch.from_numpy(cosine_scores(encoder, pairs))
    return cosines, scale_report(cosines, _labels(pairs), resamples=0)


def _labels(pairs: Dataset) -> torch.Tensor:
    return torch.tensor(pairs["score"][:], dtype=torch.float64)


def _finite(scale: float) -> float | None:
    return scale if math.isfinite(scale) else None
