"""The suites of the first comparison: `builtin`, and `main`, one short budget for every loss."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cosent_book.suites.rows import ALL_LOSSES, RATES, SCALES, Row, dial_row, grid
from cosent_lib.runs.run import Run


def builtin() -> Iterator[Row]:
    """The built-in corpus, hard against random training negatives, judged on one binary and one graded test."""
    yield from grid(
        "builtin",
        tasks=["builtin", "builtin_random"],
        encoder="static",
        encoder_options={"dim": 64},
        losses=ALL_LOSSES,
        seeds=range(5),
        training={"max_steps": 600},
        judge=("test", "builtin_graded/test"),
    )


def main() -> Iterator[Row]:
    """Every loss on every set that has a training split, four candidates each, chosen on validation; five seeds.

    A loss with a dial of its own (scale, margin) tries four values of it at the encoder's learning rate; one without
    tries four learning rates. So does CoSENT where its λ is given, suggested or learned.
    """
    graded = {"stsb_zh": 5, "stsb_en": 5, "atec": 1, "bq": 1, "lcqmc": 1}  # epochs; the quick ones first
    for task, epochs in graded.items():
        for label, loss, fixed, dial in _contenders(ordinal=task.startswith("stsb")):
            yield dial_row("main", task, {"epochs": epochs}, label, loss, fixed, dial)
    yield from _small_encoder()


def _small_encoder() -> Iterator[Row]:
    """The same with a BERT of two layers from scratch at its own learning rate, nothing chosen; two seeds.

    It takes minutes where the static encoder takes seconds: of LCQMC's training pairs about a quarter is used.
    """
    for task, epochs in {"atec": 3, "lcqmc": 1, "stsb_en": 3, "stsb_zh": 3, "bq": 5}.items():  # the telling ones first
        rows: list[tuple[str, str, dict[str, Any]]] = [
            ("CoSENT, λ suggested", "cosent", {"scale": "suggested"}),
            ("CoSENT, λ = 20", "cosent", {"scale": 20.0}),
            ("squared cosine", "cosine_squared", {}),
            ("cosine with margin", "cosine_margin", {}),
            ("Sentence-BERT, 2 classes", "sbert", {}),
            ("RankNet, λ = 20", "ranknet", {"scale": 20.0}),
            ("power mean, κ = −1, λ = 20", "power_mean", {"scale": 20.0, "exponent": -1.0}),
        ]
        if task.startswith("stsb"):
            rows.append(("Sentence-BERT, 6 classes", "sbert", {"num_labels": 6}))
        for label, loss, options in rows:
            run = Run(suite="main", task=task, encoder="small", loss=loss, loss_options=options,
                      training={"epochs": epochs}, alter={"take": 64_000} if task == "lcqmc" else {})  # fmt: skip
            yield Row(label=label, candidates=(run,), seeds=(0, 1))


Contender = tuple[str, str, Mapping[str, Any], tuple[str, Sequence[float]]]


def _contenders(ordinal: bool) -> list[Contender]:
    """Rows of `main`: label, loss, its fixed options, and the dial with its four values."""
    rows: list[Contender] = [
        ("linear cosine", "cosine_linear", {}, RATES),
        ("squared cosine", "cosine_squared", {}, RATES),
        ("cosine with margin", "cosine_margin", {}, ("margin", (0.3, 0.5, 0.7, 0.9))),
        ("Sentence-BERT, 2 classes", "sbert", {}, RATES),
        ("CoSENT, λ = 20", "cosent", {"scale": 20.0}, RATES),
        ("CoSENT, λ tuned", "cosent", {}, SCALES),
        ("CoSENT, λ suggested", "cosent", {"scale": "suggested"}, RATES),
        ("CoSENT, λ learned", "cosent", {"learn_scale": True}, RATES),
        ("RankNet, λ tuned", "ranknet", {}, SCALES),
        ("AnglE, scale tuned", "angle", {}, SCALES),
        ("in-batch negatives, scale tuned", "mnrl", {"equal_are_negatives": True}, SCALES),
    ]
    return [*rows[:4], ("Sentence-BERT, 6 classes", "sbert", {"num_labels": 6}, RATES), *rows[4:]] if ordinal else rows


MAIN_SUITES: dict[str, Callable[..., Iterator[Row]]] = {"builtin": builtin, "main": main}
