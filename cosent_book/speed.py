"""How fast the library is beside sentence-transformers on the same machine: ``python -m cosent_book speed``.

Everything is timed in turns, ours and theirs one right after the other, and reported as the paired ratios theirs/ours
with the middle half of them, in processor time of one thread: on a busy machine single times say little. Values are
compared before anything is timed. What comes out is written with the machine to ``results/speed.json``, from which
Chapter 14 draws.
"""

import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from cosent_lib import CoSENTLoss, DataUnavailable, TrainingConfig, load_encoder, load_pairs, rank_loss, train
from cosent_lib.files import read_json, replacing
from cosent_lib.runs.provenance import commit_of_library, hardware, versions

RESULT = Path(__file__).parent / "results" / "speed.json"
Loss = Callable[[Tensor, Tensor], Tensor]
SIZES = {2**5: 100, 2**8: 50, 2**11: 10, 2**14: 10, 2**17: 7, 2**20: 5}  # items: repetitions
KINDS = ("binary", "six levels", "continuous")
QUADRATIC_UP_TO = 2**11
PARTS = ("loss", "train", "encode")


def quadratic(scores: Tensor, labels: Tensor) -> Tensor:
    """The form in which the loss was published: all differences, 1e12 less where no order is demanded."""
    differences = scores[:, None] - scores[None, :] - (labels[:, None] >= labels[None, :]).to(scores) * 1e12
    return torch.cat([scores.new_zeros(1), differences.flatten()]).logsumexp(0)


def their_loss() -> Loss:
    """Sentence-transformers' CoSENT, of scores."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.losses import CoSENTLoss as Theirs

    theirs = Theirs(cast("SentenceTransformer", nn.Identity()), scale=1.0, similarity_fct=lambda a, _: a)
    return lambda scores, labels: theirs.compute_loss_from_embeddings([scores, scores], labels)


def labels_of(kind: str, n: int, generator: torch.Generator) -> Tensor:
    """Labels ``[n]``, float32: ``binary``, ``six levels`` or ``continuous``."""
    drawn = torch.rand(n, generator=generator)
    return {"binary": (drawn < 0.4).float(), "six levels": (6 * drawn).floor() / 5, "continuous": drawn}[kind]


def _clock() -> float:
    """Seconds of this processor, which other programs do not lengthen; with a GPU those of the clock on the wall."""
    return time.perf_counter() if torch.cuda.is_available() else time.process_time()


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(loss: Loss, scores: Tensor, labels: Tensor) -> tuple[float, float]:
    """Time of forward and backward, and the value."""
    scores = scores.detach().requires_grad_()
    _wait()
    begun = _clock()
    value = loss(scores, labels)
    value.backward()
    _wait()
    return _clock() - begun, float(value.detach())


def sort_seconds(labels: Tensor) -> float:
    """Time of sorting the labels, the floor under every form that sorts."""
    column = labels.numpy() if labels.device.type == "cpu" else labels
    _wait()
    begun = _clock()
    column.argsort()
    _wait()
    return _clock() - begun


def time_loss(sizes: Mapping[int, int] = SIZES) -> list[dict[str, Any]]:
    """Forward and backward of the loss for every size and kind of labels: a row each."""
    device, generator = "cuda" if torch.cuda.is_available() else "cpu", torch.Generator().manual_seed(0)
    rivals: dict[str, Loss] = {"ours": rank_loss, "unchecked": partial(rank_loss, validate=False)}
    rivals |= {"theirs": their_loss(), "quadratic": quadratic}
    rows = []
    for n, repetitions in sizes.items():
        for kind in KINDS:
            scores = (4 * torch.randn(n, generator=generator)).to(device)
            labels = labels_of(kind, n, generator).to(device)
            timed = {name: loss for name, loss in rivals.items() if n <= QUADRATIC_UP_TO or name != "quadratic"}
            values = [seconds(loss, scores, labels)[1] for loss in timed.values()]
            if not np.allclose(values, values[0], rtol=1e-4):
                raise RuntimeError(f"the forms disagree for {n} items with {kind} labels: {values}")
            times, forms = np.zeros((repetitions, len(timed))), list(timed.values())
            for turn in range(repetitions):  # in any order: the second of two alike finds the caches warm
                for column in np.random.default_rng(turn).permutation(len(forms)):
                    times[turn, column] = seconds(forms[column], scores, labels)[0]
            row: dict[str, Any] = {"items": n, "labels": kind, "repetitions": repetitions}
            row |= {f"{name}_s": float(np.median(times[:, i])) for i, name in enumerate(timed)}
            row["sort_s"] = float(np.median([sort_seconds(labels) for _ in range(repetitions)]))
            row |= {"theirs/ours": spread(times[:, 2] / times[:, 0])}
            rows.append(row | {"theirs/unchecked": spread(times[:, 2] / times[:, 1])})
    return rows


def spread(ratios: Any) -> list[float]:
    """Lower quartile, median, upper quartile."""
    return [round(float(each), 3) for each in np.quantile(ratios, (0.25, 0.5, 0.75))]


def paired(ours: Callable[[], object], theirs: Callable[[], object], work: int, repetitions: int) -> dict[str, Any]:
    """Both timed in turns, after a first time that does not count; ``work`` per second of each, and the ratios.

    One that returns a number of seconds has measured itself.
    """
    times = np.zeros((repetitions + 1, 2))
    for turn in range(repetitions + 1):
        for column, call in enumerate((ours, theirs)):
            begun = _clock()
            own = call()
            times[turn, column] = own if isinstance(own, float) else _clock() - begun
    median = np.median(times[1:], axis=0)
    rates = {f"{name}_per_s": round(work / float(s), 1) for name, s in zip(("ours", "theirs"), median, strict=True)}
    return rates | {"theirs/ours": spread(times[1:, 1] / times[1:, 0]), "repetitions": repetitions}


def their_model(name: str, encoder: Any) -> Any:
    """The same model for sentence-transformers: the same texts give the same vectors."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding, Transformer
    from tokenizers import Tokenizer, models

    if name == "minilm":
        from cosent_lib.encoders.pretrained import minilm_folder

        transformer = Transformer(str(minilm_folder()[0]), max_seq_length=256)
        return SentenceTransformer(modules=[transformer, Pooling(384)], device="cpu")

    class Static(StaticEmbedding):
        """Their embedding bag over our features."""

        def preprocess(self, inputs: Any, prompt: str | None = None, **_: Any) -> dict[str, Tensor]:
            ids = encoder.tokenize(inputs)
            offsets = torch.from_numpy(np.cumsum([0] + [len(each) for each in ids[:-1]]))
            return {"input_ids": torch.tensor([i for each in ids for i in each]), "offsets": offsets}

    bag = Static(Tokenizer(models.WordLevel({"a": 0}, unk_token="a")), encoder.weight.detach().clone())
    return SentenceTransformer(modules=[bag], device="cpu")


def real_pairs() -> tuple[str, Any]:
    """Name and training pairs of STS-B en, of texts of many lengths; of the built-in corpus where it is absent."""
    try:
        return "stsb_en", load_pairs("stsb_en", "train")
    except DataUnavailable:
        return "builtin", load_pairs("builtin", "train")


def time_training(name: str, batch: int, steps: int, repetitions: int) -> dict[str, Any]:
    """``steps`` of training by both, from the texts on: same model, pairs, batch, threads, Adam and rate.

    Of ``static`` ours trains with sparse gradients (SparseAdam), which their trainer cannot: it has AdamW.
    """
    import datasets
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import CoSENTLoss as Theirs

    task, pairs = real_pairs()
    pairs = pairs.select(range(batch * steps))
    encoder = load_encoder(name, [*pairs["sentence1"][:], *pairs["sentence2"][:]])
    model = their_model(name, encoder)
    first = pairs["sentence1"][:8]
    torch.testing.assert_close(encoder.encode(first), model.encode(first, convert_to_tensor=True), rtol=1e-4, atol=1e-5)
    config = TrainingConfig(batch_size=batch, max_steps=steps, precision="fp32", device="cpu", progress=False)
    config = TrainingConfig(**{**config.__dict__, "max_grad_norm": None, "weight_decay": 0.0, "learning_rate": 1e-5})
    theirs_pairs = datasets.Dataset.from_dict({k: pairs[k][:] for k in ("sentence1", "sentence2", "score")})
    arguments = SentenceTransformerTrainingArguments(
        output_dir="unused", per_device_train_batch_size=batch, max_steps=steps, learning_rate=1e-5, warmup_steps=0.1,
        max_grad_norm=0.0, save_strategy="no", logging_strategy="no", report_to="none", use_cpu=True, disable_tqdm=True,
    )  # fmt: skip

    def theirs() -> float:  # without setting the trainer up, which takes seconds
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True, weight_decay=0.0)
        with redirect_stdout(StringIO()):
            trainer = SentenceTransformerTrainer(
                model, arguments, theirs_pairs, loss=Theirs(model), optimizers=cast("Any", (optimiser, None))
            )
            begun = _clock()
            trainer.train()
            return _clock() - begun

    found = paired(partial(train, encoder, CoSENTLoss(20.0), pairs, config), theirs, batch * steps, repetitions)
    return {"encoder": name, "task": task, "batch": batch, "steps": steps} | found


def time_encoding(name: str, count: int, repetitions: int) -> dict[str, Any]:
    """``count`` texts to vectors by both, 64 at a time."""
    task, pairs = real_pairs()
    texts = [*pairs["sentence1"][:], *pairs["sentence2"][:]]
    encoder = load_encoder(name, texts)
    model, some = their_model(name, encoder), texts[:count]
    found = paired(
        partial(encoder.encode, some, 64),
        partial(model.encode, some, batch_size=64, show_progress_bar=False),
        count,
        repetitions,
    )
    return {"encoder": name, "task": task, "texts": count} | found


def measure_speed(parts: Sequence[str], say: Callable[[str], None], small: bool = False) -> dict[str, Any]:
    """Time what is asked for, on one thread; a dictionary for JSON. ``small``: a trial of seconds."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    found: dict[str, Any] = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "hardware": hardware()}
    found |= {"versions": versions(), "commit": commit_of_library()[0], "threads": 1}
    jobs: dict[str, list[Callable[[], Any]]] = {
        "train": [partial(time_training, "static", 64, *((3, 2) if small else (60, 5)))],
        "encode": [partial(time_encoding, "static", *((64, 2) if small else (3000, 7)))],
    }
    if not small:
        jobs["train"].append(partial(time_training, "minilm", 32, 4, 5))
        jobs["encode"].append(partial(time_encoding, "minilm", 256, 5))
    for part in parts:
        found[part] = time_loss({32: 3} if small else SIZES) if part == "loss" else [job() for job in jobs[part]]
        for row in found[part]:
            say(
                ", ".join(
                    f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()
                )
            )
    return found


def record_speed(found: Mapping[str, Any], path: Path = RESULT) -> None:
    """Write the result; parts that were not measured now are kept from the file, if they are of the same machine."""
    kept = read_json(path) if path.is_file() else {}
    if kept.get("hardware") != found["hardware"]:
        kept = {}
    with replacing(path) as file:
        file.write(json.dumps({**kept, **found}, indent=1) + "\n")


def recorded_speed(path: Path = RESULT) -> dict[str, Any]:
    """What was measured last."""
    return cast("dict[str, Any]", read_json(path))
