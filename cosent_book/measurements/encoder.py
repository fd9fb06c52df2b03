"""Measurements that need an encoder: what pooling does to it, layer by layer, and how training moves its vectors.

Each is called by :func:`cosent_book.measurements.registry.measured` and returns plain JSON values. Source: Chapter 5.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from cosent_book.geometry import geometry, whitening
from cosent_book.measurements.registry import Data, measurement
from cosent_book.measurements.training import texts_of
from cosent_lib.data.columns import PairColumns, pair_columns
from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.encoders.load import load_encoder
from cosent_lib.encoders.pretrained import TransformerEncoder, minilm_folder
from cosent_lib.evaluation.evaluate import evaluate
from cosent_lib.evaluation.intervals import bootstrap_difference, bootstrap_interval
from cosent_lib.evaluation.metrics import spearman
from cosent_lib.losses.make import make_loss
from cosent_lib.ranking.scale import suggest_scale
from cosent_lib.training.setup import TrainingConfig
from cosent_lib.training.train import train

Vectors = NDArray[np.float64]
FIT_SENTENCES = 4000  # of the training split, without labels, from which a whitening is computed

ANSWERS = [
    "Is it possible to terminate my health club contract on the website?",
    "How do I renew my gym membership online?",
    "How do I pause my gym membership online?",
    "How do I cancel my gym membership by phone?",
    "Is there a discount for students?",
    "Which documents do I need for a parking permit?",
]
COSENT = {"loss": "cosent", "options": {"scale": 20.0}}
CONES: list[dict[str, Any]] = [
    {"task": "builtin", **COSENT, "flip": False},
    {"task": "builtin", **COSENT, "flip": True},
    {"task": "builtin_random", **COSENT, "flip": False},
    {"task": "builtin", "loss": "cosine_squared", "options": {}, "flip": False},
]
WHITENED: list[dict[str, Any]] = [
    {"encoder": "static", "loss": "cosent", "options": {"scale": 5.0}, "batch_size": 64, "epochs": 4},
    {"encoder": "minilm", **COSENT, "batch_size": 32, "epochs": 1},
]


@measurement([{"encoder": "minilm", "question": "How do I cancel my gym membership online?", "answers": ANSWERS}])
def question_cosines(data: Data, *, encoder: str, question: str, answers: Sequence[str]) -> dict[str, Any]:
    """Cosines of a question with each answer: pooling → a row for each hidden state, 0 the embedding layer."""
    states = layer_vectors(load_encoder(encoder), [question, *answers], batch_size=1)
    rows = {}
    for pooling, layers in states.items():
        repeated = np.repeat(layers[:1], len(answers), axis=0)
        rows[pooling] = [cosines(repeated[:, k], layers[1:, k]).tolist() for k in range(layers.shape[1])]
    return rows


@measurement([{"encoder": "minilm", "task": "stsb_en", "split": "test", "batch_size": 32}])
def pooling_comparison(data: Data, *, encoder: str, task: str, split: str, batch_size: int) -> dict[str, Any]:
    """Spearman of an untuned transformer on ``task`` for every pooling, right and wrong.

    Sentences are taken in the order of the file, ``batch_size`` at a time, and padded to the longest of their batch,
    as a plain loop does it. Returns pooling → ``spearman`` with its bootstrap interval ``low`` to ``high``, and
    ``difference`` from ``mean`` with the paired interval ``difference_low`` to ``difference_high``. Under
    ``0 against 1`` stands the difference between the two meanings of "first-last".
    """
    columns, model = pair_columns(data.load(task, split)), _transformer(encoder)
    first, second = (_pooled(model, texts, batch_size) for texts in (columns.first, columns.second))
    scores = {name: cosines(first[name], second[name]) for name in first}
    found = {name: _judged(values, columns, scores["mean"]) for name, values in scores.items()}
    return found | {"0 against 1": _judged(scores["states 0 and last"], columns, scores["states 1 and last"])}


@measurement([{"encoder": "minilm", "task": "stsb_en", "split": "test", "fit_split": "train"}])
def layer_geometry(data: Data, *, encoder: str, task: str, split: str, fit_split: str) -> dict[str, Any]:
    """Geometry and Spearman of every hidden state of an untuned transformer, raw, centred and whitened.

    Centre and whitening come from :data:`FIT_SENTENCES` sentences of ``fit_split``; no label is used. Returns
    pooling → a row for each hidden state with `geometry` of the sentences of ``split`` and
    what :func:`_judged_cosines` says of its pairs. A hidden state that is the same for all sentences has None.
    """
    columns, model = pair_columns(data.load(task, split)), _transformer(encoder)
    fit = layer_vectors(model, _sample(pair_columns(data.load(task, fit_split))))
    first, second = (layer_vectors(model, texts) for texts in (columns.first, columns.second))
    distinct = _distinct_rows(columns)
    rows: dict[str, Any] = {}
    for pooling in fit:
        both = np.concatenate([first[pooling], second[pooling]])[distinct]
        rows[pooling] = [
            None
            if np.ptp(both[:, k], axis=0).max() == 0
            else geometry(both[:, k])
            | _judged_cosines(first[pooling][:, k], second[pooling][:, k], fit[pooling][:, k], columns)
            for k in range(both.shape[1])
        ]
    return rows


@measurement({"task": "stsb_en", "seed": 0, **each} for each in WHITENED)
def whitening_after_training(
    data: Data,
    *,
    encoder: str,
    task: str,
    loss: str,
    options: Mapping[str, Any],
    batch_size: int,
    epochs: int,
    seed: int,
) -> dict[str, Any]:
    """Geometry and Spearman on test, raw, centred and whitened, ``before`` and ``after`` training with ``loss``.

    The checkpoint is the best on validation, one validation an epoch. Centre and whitening come from training
    sentences, without labels, anew for the trained encoder.
    """
    pairs, test = data.load(task, "train"), data.load(task, "test")
    columns, sample = pair_columns(test), _sample(pair_columns(pairs))
    model = load_encoder(encoder, texts_of(pairs), seed=seed)
    before = _state_of(model, columns, sample)
    config = TrainingConfig(batch_size=batch_size, epochs=epochs, seed=seed, progress=False)
    train(model, make_loss(loss, model, **options), pairs, config, validation=data.load(task, "validation"))
    return {"before": before, "after": _state_of(model, columns, sample)}


@measurement({"steps": 1000, "seeds": [0, 1, 2], **cone} for cone in CONES)
def cone_along_training(
    data: Data, *, task: str, loss: str, options: Mapping[str, Any], steps: int, seeds: Sequence[int], flip: bool
) -> dict[str, Any]:
    """How the cone of a tiny transformer from scratch opens or closes along training, for each seed.

    ``flip`` turns every label of the training pairs. Returns ``step`` and, for each seed a list, ``mean_cosine``,
    ``std_cosine`` and ``auc`` (on 300 validation pairs of ``task``) at these steps, with ``loss``, the training loss
    of the batch before; and ``start_auc``, the AUC of the untrained encoder on the training pairs as labelled.
    """
    pairs, unseen = data.load(task, "train"), data.load(task, "validation")
    unseen = unseen.select(range(min(300, len(unseen))))
    if flip:
        pairs = type(pairs).from_dict({**pairs[:], "score": [1 - label for label in pairs[:]["score"]]})
    columns = pair_columns(unseen)
    sentences = list(dict.fromkeys([*columns.first, *columns.second]))
    found: dict[str, Any] = {name: [] for name in ("mean_cosine", "std_cosine", "auc", "loss", "start_auc")}
    for seed in seeds:
        model = load_encoder(
            "small", texts_of(pairs),
            dim=32, layers=1, vocabulary_size=500, max_length=32, seed=seed,
        )  # fmt: skip
        found["start_auc"].append(evaluate(model, pairs.select(range(min(1000, len(pairs)))))["auc"])
        config = TrainingConfig(
            max_steps=steps, batch_size=32, seed=seed, evaluation_steps=max(1, steps // 20), progress=False
        )

        def watch(encoder: SentenceEncoder, loss: torch.nn.Module) -> dict[str, float | None]:
            seen = geometry(encoder.encode(sentences).numpy())
            auc = evaluate(encoder, unseen)["auc"]
            return {"mean_cosine": seen["mean_cosine"], "std_cosine": seen["std_cosine"], "auc": auc}

        # validation only sets the rhythm of the watch; the best step is not used
        result = train(model, make_loss(loss, model, **options), pairs, config, validation=unseen, watch=watch)
        for name in ("mean_cosine", "std_cosine", "auc"):
            found[name].append(result.watched[name].tolist())
        found["step"] = result.watched["step"].tolist()
        losses = result.history["loss"].tolist()
        found["loss"].append([float(np.mean(losses[max(0, step - 20) : max(1, step)])) for step in found["step"]])
    return found


def layer_vectors(encoder: SentenceEncoder, texts: Sequence[str], batch_size: int = 32) -> dict[str, Vectors]:
    """``cls`` and ``mean`` (over the tokens) of every hidden state, each ``[n, layers + 1, dim]``, float64."""
    parts: dict[str, list[Tensor]] = {"cls": [], "mean": []}
    for states, mask in _batches(encoder, texts, batch_size):
        weights = mask[:, None, :, None].to(states.dtype)
        parts["cls"].append(states[:, :, 0])
        parts["mean"].append((states * weights).sum(2) / weights.sum(2))
    return {name: torch.cat(found).double().numpy() for name, found in parts.items()}


def cosines(u: Vectors, v: Vectors) -> Vectors:
    """Cosine of row with row, in float64: in a narrow cone, single precision would round all of them to 1."""
    lengths = np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1)
    found: Vectors = (u * v).sum(axis=1) / lengths
    return found


def _transformer(name: str) -> TransformerEncoder:
    encoder = load_encoder(name)
    if not isinstance(encoder, TransformerEncoder):
        raise ValueError(f"encoder {name!r} has no hidden states; expected a transformer")
    return encoder


@torch.no_grad()
def _batches(
    encoder: SentenceEncoder, texts: Sequence[str], batch_size: int, attend_padding: bool = False
) -> Iterator[tuple[Tensor, Tensor]]:
    """Hidden states ``[n, layers + 1, length, dim]`` and mask ``[n, length]``, batch by batch in the order given."""
    if not isinstance(encoder, TransformerEncoder):
        raise ValueError(f"encoder {encoder.name!r} has no hidden states; expected a transformer")
    token_ids, padding = encoder.tokenize(texts), encoder.tokenizer.pad_token_id or 0
    for start in range(0, len(token_ids), batch_size):
        rows = [torch.tensor(row) for row in token_ids[start : start + batch_size]]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=padding)
        mask = torch.arange(ids.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]
        attention = torch.ones_like(ids) if attend_padding else mask.long()
        output = encoder.model(input_ids=ids, attention_mask=attention, output_hidden_states=True)
        yield torch.stack(output.hidden_states, dim=1), mask


def _pooled(encoder: TransformerEncoder, texts: Sequence[str], batch_size: int) -> dict[str, Vectors]:
    """Vectors of the texts under each pooling: name → ``[n, dim]``."""
    parts: dict[str, list[Tensor]] = {}

    def add(name: str, vectors: Tensor) -> None:
        parts.setdefault(name, []).append(vectors)

    dense = _pooler_layer() if encoder.name == "minilm" else None
    for states, mask in _batches(encoder, texts, batch_size):
        last, weights = states[:, -1], mask[:, :, None].to(states.dtype)
        inner = weights.clone()  # without the special tokens at both ends
        inner[:, 0] = 0
        inner[torch.arange(len(inner)), mask.sum(1) - 1] = 0
        means = (states * weights[:, None]).sum(2) / weights.sum(1)[:, None]
        add("mean", means[:, -1])
        add("cls", last[:, 0])
        if dense is not None:
            add("pooler", torch.tanh(last[:, 0] @ dense[0].T + dense[1]))
        add("mean without [CLS], [SEP]", (last * inner).sum(1) / inner.sum(1).clamp(min=1))
        add("mean of padding too", last.mean(1))
        add("states 0 and last", (means[:, 0] + means[:, -1]) / 2)
        add("states 1 and last", (means[:, 1] + means[:, -1]) / 2)
        add("last two states", (means[:, -2] + means[:, -1]) / 2)
    for states, _ in _batches(encoder, texts, batch_size, attend_padding=True):
        add("no mask at all", states[:, -1].mean(1))
    return {name: torch.cat(found).double().numpy() for name, found in parts.items()}


def _pooler_layer() -> tuple[Tensor, Tensor]:
    """Weight and bias of MiniLM's pooler layer, which the library leaves out."""
    weights = load_file(minilm_folder()[0] / "model.safetensors")
    return weights["pooler.dense.weight"], weights["pooler.dense.bias"]


def _judged(scores: Vectors, columns: PairColumns, baseline: Vectors) -> dict[str, float]:
    """Spearman with its interval, and its difference from that of ``baseline`` with the paired one."""
    own = bootstrap_interval(scores, columns.labels, spearman)
    found = {"spearman": own.estimate, "low": own.low, "high": own.high}
    if scores is not baseline:
        against = bootstrap_difference(scores, baseline, columns.labels, spearman)
        found |= {"difference": against.estimate, "difference_low": against.low, "difference_high": against.high}
    return found


def _judged_cosines(first: Vectors, second: Vectors, fit: Vectors, columns: PairColumns) -> dict[str, Any]:
    """What the cosines of pairs ``[n, dim]`` are worth: raw, centred and whitened by ``fit`` ``[m, dim]``.

    Beside the Spearmans: mean and standard deviation of the cosines, their Pearson correlation with the labels, the λ
    that :func:`cosent_lib.suggest_scale` finds (None where none helps), and the squared error against the
    labels, as it is (``error``) and after the best common offset (``error_without_offset``).
    """
    raw = cosines(first, second)
    centre, matrix = whitening(fit)
    centred = cosines(first - centre, second - centre)
    white = cosines((first - centre) @ matrix, (second - centre) @ matrix)
    try:
        scale = suggest_scale(torch.from_numpy(raw), torch.from_numpy(columns.labels))
    except ValueError:  # the cosines run against the labels
        scale = None
    residual = raw - columns.labels
    return {
        "raw": _judged(raw, columns, raw), "centred": _judged(centred, columns, raw),
        "whitened": _judged(white, columns, raw), "pair_mean": float(raw.mean()), "pair_std": float(raw.std()),
        "pearson": float(np.corrcoef(raw, columns.labels)[0, 1]), "suggested_scale": scale,
        "error": float((residual**2).mean()), "error_without_offset": float(residual.var()),
    }  # fmt: skip


def _state_of(encoder: SentenceEncoder, columns: PairColumns, sample: Sequence[str]) -> dict[str, Any]:
    first, second, fit = (
        encoder.encode(texts).double().numpy() for texts in (columns.first, columns.second, list(sample))
    )
    both = np.concatenate([first, second])[_distinct_rows(columns)]
    return geometry(both) | _judged_cosines(first, second, fit, columns)


def _sample(columns: PairColumns) -> list[str]:
    """:data:`FIT_SENTENCES` distinct sentences, drawn with a fixed seed, or all if there are fewer."""
    texts = list(dict.fromkeys([*columns.first, *columns.second]))
    order = np.random.default_rng(0).permutation(len(texts))[:FIT_SENTENCES]
    return [texts[i] for i in order]


def _distinct_rows(columns: PairColumns) -> list[int]:
    """Rows of the distinct sentences in the two columns one below the other."""
    return list({text: row for row, text in reversed(list(enumerate([*columns.first, *columns.second])))}.values())
