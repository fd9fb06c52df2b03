"""Cross-encoders at work: what a request costs, and what their scores teach an encoder of vectors (chapter 12)."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray

from cosent_book.measurements.registry import Data, measurement
from cosent_book.measurements.training import texts_of, train_static
from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.encoders.cross import CrossEncoder
from cosent_lib.encoders.load import load_encoder
from cosent_lib.evaluation.evaluate import cosine_scores, evaluate
from cosent_lib.losses.make import make_loss
from cosent_lib.training.setup import TrainingConfig
from cosent_lib.training.train import train

RATES = (2.5e-3, 1e-2, 4e-2)
SEEDS = (0, 1, 2)
STUDENTS = {"CoSENT": {"loss": "cosent", "scale": "suggested"}, "squared cosine": {"loss": "cosine_squared"}}
REPEATS = 5


@dataclass(frozen=True)
class Teacher:
    """How a teacher is trained, and how its scores become labels in [0, 1]."""

    encoder: str
    loss: dict[str, Any]
    learning_rate: float
    epochs: int
    labels: Callable[[NDArray[np.float64]], NDArray[np.float64]]


TEACHERS = {
    "cross": Teacher("cross:minilm", {"loss": "bce"}, 1.5e-4, 2, lambda scores: 1 / (1 + np.exp(-scores))),
    "vectors": Teacher(
        "minilm", {"loss": "cosent", "scale": "suggested"}, 6e-5, 2, lambda scores: np.clip(scores, 0.0, 1.0)
    ),
}


@measurement({"task": "stsb_en", "teacher": teacher} for teacher in ("labels", *TEACHERS))
def taught(data: Data, *, task: str, teacher: str) -> dict[str, Any]:
    """Train the encoder `static` on a teacher's scores, of the labelled pairs and of more, or on the labels themselves.

    Rate and best step are chosen on the labelled validation pairs, so what is new is the labels of training alone.
    The further pairs are texts of the training pairs, paired anew: each first text with the nearest other text in
    untrained MiniLM vectors, and with one drawn at random.

    Args:
        data: where pairs come from.
        task: a graded set in English.
        teacher: of `TEACHERS`, trained on the set's training pairs; or ``labels``, for none.

    Returns:
        dict: ``teacher``, test Spearman of the teacher (None for none); ``further``, the number of pairs that were
        added; ``students``, a list of ``loss``, ``pairs`` (``labelled`` or ``further``), ``learning_rate`` and the
        test Spearman of each seed, ``test``.
    """
    splits = {name: data.load(task, name) for name in ("train", "validation", "test")}
    pairs = splits["train"]
    found: dict[str, Any] = {"teacher": None, "further": 0}
    sets = {"labelled": pairs}
    if teacher != "labels":
        encoder = _trained(TEACHERS[teacher], splits)
        found["teacher"] = evaluate(encoder, splits["test"])["spearman"]
        more = further_pairs(pairs)
        found["further"] = len(more)
        labelled = _labelled(pairs, encoder, TEACHERS[teacher])
        both = {name: [*labelled[name][:], *_labelled(more, encoder, TEACHERS[teacher])[name][:]] for name in COLUMNS}
        sets = {"labelled": labelled, "further": Dataset.from_dict(both)}
    students = [
        {"loss": name, "pairs": which, **_student(loss, those, splits)}
        for name, loss in STUDENTS.items()
        for which, those in sets.items()
    ]
    return found | {"students": students}


COLUMNS = ("sentence1", "sentence2", "score")


def further_pairs(pairs: Dataset) -> Dataset:
    """Texts of ``pairs`` paired anew, as `taught` says; no pair, whichever way round, that is there already."""
    texts = list(dict.fromkeys(texts_of(pairs)))
    number = {text: i for i, text in enumerate(texts)}
    first = [number[text] for text in dict.fromkeys(pairs["sentence1"][:])]
    known = {frozenset((number[a], number[b])) for a, b in zip(pairs["sentence1"], pairs["sentence2"], strict=True)}
    vectors = torch.nn.functional.normalize(load_encoder("minilm").encode(texts))
    generator = np.random.default_rng(0)
    new: dict[frozenset[int], tuple[int, int]] = {}
    for start in range(0, len(first), 512):
        rows = first[start : start + 512]
        nearest = (vectors[rows] @ vectors.T).topk(10, dim=1).indices.tolist()
        for row, candidates in zip(rows, nearest, strict=True):
            for other in (*candidates, None):
                other = int(generator.integers(len(texts))) if other is None else other
                if other != row and frozenset((row, other)) not in known and frozenset((row, other)) not in new:
                    new[frozenset((row, other))] = row, other
                    break
            other = int(generator.integers(len(texts)))
            if other != row and frozenset((row, other)) not in known:
                new.setdefault(frozenset((row, other)), (row, other))
    columns = ([texts[pair[side]] for pair in new.values()] for side in (0, 1))
    return Dataset.from_dict(dict(zip(COLUMNS, (*columns, [0.0] * len(new)), strict=True)))


def _trained(teacher: Teacher, splits: dict[str, Dataset]) -> SentenceEncoder:
    encoder = load_encoder(teacher.encoder, seed=0)
    options = {name: value for name, value in teacher.loss.items() if name != "loss"}
    config = TrainingConfig(
        epochs=teacher.epochs, batch_size=32, evaluation_steps=90, learning_rate=teacher.learning_rate, progress=False
    )
    loss = make_loss(teacher.loss["loss"], encoder, **options)
    train(encoder, loss, splits["train"], config, splits["validation"])
    return encoder


def _labelled(pairs: Dataset, encoder: SentenceEncoder, teacher: Teacher) -> Dataset:
    """The pairs with the teacher's labels."""
    labels = teacher.labels(cosine_scores(encoder, pairs))
    return Dataset.from_dict({**{name: pairs[name][:] for name in COLUMNS[:2]}, "score": labels.tolist()})


def _student(loss: dict[str, Any], pairs: Dataset, splits: dict[str, Dataset]) -> dict[str, Any]:
    """Train with each rate and the first seed, then with the best rate and all seeds."""

    def one(rate: float, seed: int) -> tuple[float, float]:
        settings: dict[str, Any] = {"epochs": 10, "patience": 3, "learning_rate": rate}
        words, judge = splits["train"], splits["validation"]
        trained = train_static(pairs, loss, seed, vocabulary=words, validation=judge, **settings)
        return trained.result.best_metrics["spearman"], evaluate(trained.encoder, splits["test"])["spearman"]

    trials = {rate: one(rate, SEEDS[0]) for rate in RATES}
    best = max(RATES, key=lambda rate: trials[rate][0])
    return {"learning_rate": best, "test": [trials[best][1], *(one(best, seed)[1] for seed in SEEDS[1:])]}


@measurement([{"task": "stsb_en", "entries": 1000}])
def reading_cost(data: Data, *, task: str, entries: int) -> dict[str, Any]:
    """What one request costs against so many entries: with vectors that are there already, and read pair by pair.

    Args:
        data: where texts come from.
        task: whose test texts are the entries.
        entries: how many.

    Returns:
        dict: seconds, the smallest of five: ``encode``, the request's vector; ``compare``, its cosines with all
        entries; ``read``, the cross-encoder's scores of the request with all entries; ``index``, the vectors of all
        entries, made once.
    """
    texts: Sequence[str] = list(dict.fromkeys(texts_of(data.load(task, "test"))))[: entries + 1]
    request, rest = texts[0], list(texts[1:])
    vectors, cross = load_encoder("minilm"), load_encoder("cross:minilm")
    assert isinstance(cross, CrossEncoder)
    index = torch.nn.functional.normalize(vectors.encode(rest))
    one = torch.nn.functional.normalize(vectors.encode([request]))
    return {
        "entries": len(rest),
        "encode": _seconds(lambda: vectors.encode([request])),
        "compare": _seconds(lambda: index @ one.T),
        "read": _seconds(lambda: cross.predict([request] * len(rest), rest)),
        "index": _seconds(lambda: vectors.encode(rest)),
    }


def _seconds(call: Callable[[], Any]) -> float:
    """The smallest time of five calls."""
    times = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return min(times)
