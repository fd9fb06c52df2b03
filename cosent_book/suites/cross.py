"""The suite of the chapter on cross-encoders: losses over scores, on MiniLM's transformer."""

from collections.abc import Callable, Iterator
from typing import Any

from cosent_book.suites.rows import Row
from cosent_lib.runs.run import Run

RATES = (5e-5, 1.5e-4)
VECTOR_RATES = (2e-5, 6e-5)  # its vectors are trained already
SEEDS = (0, 1, 2)


def cross() -> Iterator[Row]:
    """MiniLM on STS-B en, reading both texts of a pair or one at a time: two rates for each loss, two epochs.

    A run took 14 to 26 minutes on a busy core. Looked at on validation each half epoch; a best step that is the last is
    marked.
    """
    training: dict[str, Any] = {"epochs": 2, "batch_size": 32, "evaluation_steps": 90}
    contenders: list[tuple[str, str, str, dict[str, Any]]] = [
        ("cross-entropy", "cross:minilm", "bce", {}),
        ("CoSENT on scores", "cross:minilm", "score_cosent", {"scale": 1.0}),
        ("two vectors, CoSENT with λ suggested", "minilm", "cosent", {"scale": "suggested"}),
        ("squared error", "cross:minilm", "mse", {}),
        ("RankNet on scores", "cross:minilm", "score_ranknet", {"scale": 1.0}),
        ("CoSENT on scores, λ = 5", "cross:minilm", "score_cosent", {"scale": 5.0}),
        ("two vectors, squared error", "minilm", "cosine_squared", {}),
    ]
    for label, encoder, loss, options in contenders:
        runs = tuple(
            Run(
                suite="cross", task="stsb_en", encoder=encoder, loss=loss, loss_options=options,
                training=training | {"learning_rate": rate},
            )
            for rate in (RATES if encoder != "minilm" else VECTOR_RATES)
        )  # fmt: skip
        yield Row(label=label, candidates=runs, seeds=SEEDS, dear=True)


CROSS_SUITES: dict[str, Callable[..., Iterator[Row]]] = {"cross": cross}
