"""The suites of Part II: what a loss for sentence pairs owes to negatives, margin, λ, batch, noise and encoder."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from cosent_book.suites.rows import Row, dial_row, grid

SEEDS = (0, 1, 2)
# Some seconds a run with the static encoder; for that, of LCQMC's training pairs a quarter is taken.
TRAINING: dict[str, dict[str, Any]] = {
    "atec": {"epochs": 3}, "bq": {"epochs": 5}, "lcqmc": {"epochs": 1}, "stsb_zh": {"epochs": 5},
    "stsb_en": {"epochs": 5}, "builtin": {"max_steps": 600}, "builtin_random": {"max_steps": 600},
}  # fmt: skip
TAKEN = {"lcqmc": {"take": 64_000}}


def _static(suite: str, task: str, loss: str, options: Mapping[str, Any], **others: Any) -> Iterator[Row]:
    """Runs over the seeds with the static encoder and the task's usual training."""
    settings = {
        "training": TRAINING[task], "encoder_options": {"dim": 64} if task.startswith("builtin") else {}, **others
    }  # fmt: skip
    settings["alter"] = {**TAKEN.get(task, {}), **settings.get("alter", {})}
    yield from grid(suite, tasks=[task], encoder="static", losses=[(loss, options)], seeds=SEEDS, **settings)


def negatives() -> Iterator[Row]:
    """Labelled negatives, random ones in their place, and random pairs as a third level, on the same labelled test."""
    losses: list[tuple[str, dict[str, Any]]] = [
        ("cosine_linear", {}), ("cosine_squared", {}), ("cosine_margin", {}), ("sbert", {}), ("cosent", {}),
        ("cosent", {"scale": "suggested"}), ("ranknet", {}),
    ]  # fmt: skip
    # the third set, the largest, for the direct losses and CoSENT
    few = [(name, options) for name, options in losses if name not in ("sbert", "ranknet") and not options]
    places = [*product(("bq", "atec"), losses), *product(("lcqmc",), few)]
    for task, (loss, options) in places:
        kinds: list[dict[str, Any]] = [{}, {"negatives": "random"}]
        if loss in ("cosine_squared", "cosent", "ranknet") and not options:
            kinds.append({"random": 1.0})
        for alter in kinds:
            yield from _static("negatives", task, loss, options, alter=alter, judge=("test", "test:retrieval"))


FEATURES = (
    ("u", "v", "|u-v|"), ("u", "v"), ("|u-v|",), ("u*v",), ("u", "v", "u*v"), ("|u-v|", "u*v"),
    ("u", "v", "|u-v|", "u*v"),
)  # fmt: skip


def sbert() -> Iterator[Row]:
    """Sentence-BERT: its features, its classes, and its classifier beside its cosine along training."""
    steps = {"builtin": 50, "builtin_random": 50, "lcqmc": 250, "atec": 100, "stsb_en": 45}

    def watched(task: str, options: Mapping[str, Any], **others: Any) -> Iterator[Row]:
        training = TRAINING[task] | {"evaluation_steps": steps[task]}
        yield from _static("sbert", task, "sbert", options, training=training, watch=("classifier",), **others)

    for task in ("builtin", "builtin_random"):
        yield from watched(task, {}, judge=("test", "builtin_graded/test"))
    for task in ("atec", "lcqmc"):
        for alter in ({}, {"negatives": "random"}):
            yield from watched(task, {}, alter=alter)
    yield from watched("stsb_en", {})
    for features in FEATURES:
        yield from watched("stsb_en", {"num_labels": 6, "features": features})
        if features != FEATURES[0]:
            yield from watched("builtin", {"features": features}, judge=("test", "builtin_graded/test"))
        if features in FEATURES[1:3]:
            yield from watched("lcqmc", {"features": features})


def lambda_() -> Iterator[Row]:
    """λ swept, computed and learned, for the log of the sum and for the mean of the logs."""
    sets = ("stsb_en", "stsb_zh", "bq", "atec", "lcqmc")
    for task in sets:
        scales: list[dict[str, Any]] = [{"scale": scale} for scale in (2.5, 5.0, 10.0, 20.0, 40.0)]
        for options in [*scales, {"scale": "suggested"}, {"learn_scale": True}]:
            yield from _static("lambda", task, "cosent", options, watch=("scale",))
        for scale in (5.0, 20.0) if task == "stsb_en" else ():
            yield from _static("lambda", task, "ranknet", {"scale": scale})
    losses: list[tuple[str, dict[str, Any]]] = [
        ("cosent", {"scale": 20.0}), ("cosent", {"scale": "suggested"}), ("cosine_squared", {})
    ]  # fmt: skip
    for task in ("stsb_en", "bq"):
        training = {"epochs": 3}
        yield from grid(
            "lambda", tasks=[task], encoder="small", losses=losses, seeds=(0, 1), training=training, watch=("scale",)
        )


def noise() -> Iterator[Row]:
    """A share of the training labels turned round."""
    losses: list[tuple[str, dict[str, Any]]] = [
        ("cosine_squared", {}), ("cosine_margin", {}), ("cosent", {"scale": 20.0}), ("cosent", {"scale": 5.0}),
        ("cosent", {"scale": "suggested"}), ("ranknet", {"scale": 20.0}),
    ]  # fmt: skip
    for task, rate, (loss, options) in product(("builtin", "bq"), (0.0, 0.1, 0.3), losses):
        if task == "builtin" and options.get("scale") == "suggested":
            continue  # its untrained cosines run against the labels, so that none can be suggested
        yield from _static("noise", task, loss, options, alter={"flip": rate} if rate else {})


def batch() -> Iterator[Row]:
    """The size of the batch, each with a learning rate chosen on validation, and batches that hold every level."""
    rates = ("learning_rate", (5e-3, 2e-2))

    def sized(task: str, label: str, size: int, kind: str) -> Row:
        training = {"epochs": {"stsb_en": 5, "atec": 1}[task], "batch_size": size, "batches": kind}
        return dial_row("batch", task, training, label, "cosent", {"scale": 20.0}, rates, SEEDS)

    for task in ("stsb_en", "atec"):
        for size in (512, 128, 32, 8):
            yield sized(task, f"CoSENT, {size}", size, "shuffled")
        for size in (32, 8):
            yield sized(task, f"CoSENT, {size}, by level", size, "levels")


def minilm() -> Iterator[Row]:
    """A pretrained encoder, one epoch of STS-B: λ, squared error at two rates, and the other baselines."""
    scale, squared = "cosent", "cosine_squared"
    for loss, options, rate, seed in (
        (scale, {"scale": 20.0}, 2e-5, 0), (squared, {}, 2e-5, 0), (scale, {"scale": 5.0}, 2e-5, 0),
        (scale, {"scale": "suggested"}, 2e-5, 0), ("sbert", {"num_labels": 6}, 2e-5, 0), (squared, {}, 5e-5, 0),
        (scale, {"scale": "suggested"}, 5e-5, 0), ("cosine_linear", {}, 2e-5, 0), ("cosine_margin", {}, 2e-5, 0),
        # what validation chose with seed 0, and the customary λ, with a further seed
        (scale, {"scale": 20.0}, 2e-5, 1), (scale, {"scale": "suggested"}, 5e-5, 1), (squared, {}, 5e-5, 1),
        ("ranknet", {"scale": 20.0}, 2e-5, 0), (scale, {"scale": 10.0}, 2e-5, 0),
        ("sbert", {"num_labels": 6}, 2e-5, 1), ("cosine_margin", {}, 2e-5, 1), ("ranknet", {"scale": 20.0}, 2e-5, 1),
        ("power_mean", {"scale": 20.0, "exponent": -1.0}, 2e-5, 0),
        ("power_mean", {"scale": 20.0, "exponent": -1.0}, 2e-5, 1),
    ):  # fmt: skip
        yield from _minilm(loss, options, rate, seed)


def _minilm(loss: str, options: Mapping[str, Any], rate: float, seed: int) -> Iterator[Row]:
    training = {"epochs": 1, "batch_size": 32, "learning_rate": rate, "evaluation_steps": 60}
    losses: Sequence[tuple[str, Mapping[str, Any]]] = [(loss, options)]
    watch = ("scale", "geometry")
    yield from grid(
        "minilm", tasks=["stsb_en"], encoder="minilm", losses=losses, seeds=[seed], training=training, watch=watch
    )


SENTENCE_PAIRS: dict[str, Callable[[], Iterator[Row]]] = {
    "minilm": minilm, "negatives": negatives, "sbert": sbert, "lambda": lambda_, "batch": batch,
    "noise": noise,
}  # fmt: skip
