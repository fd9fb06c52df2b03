"""The suites of the chapter on order beyond two labels: grades made coarser, NLI, and pairs that have a query.

All with the encoder `static`. In `grades` and `nli` every loss tries the same three rates, a factor of four apart, with
the first seed, and trains until validation has not improved for three looks, ten epochs at most.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

from cosent_book.suites.rows import Row
from cosent_lib.runs.run import Run

SEEDS = (0, 1, 2)
RATES = (2.5e-3, 1e-2, 4e-2)
TRAINING: dict[str, Any] = {"epochs": 10, "patience": 3}


def _row(
    suite: str, task: str, label: str, loss: str, options: Mapping[str, Any], alter: Mapping[str, Any], **others: Any
) -> Row:
    """A row with the rate chosen on validation; each candidate is judged at once, which saves a run of the best."""
    runs = tuple(
        Run(
            suite=suite, task=task, encoder="static", loss=loss, loss_options=options, alter=alter,
            training=TRAINING | {"learning_rate": rate}, **others,
        )
        for rate in RATES
    )  # fmt: skip
    return Row(label=label, candidates=runs, seeds=SEEDS, dear=True)


def grades() -> Iterator[Row]:
    """STS-B with fewer grades in training and validation, judged by all the grades of test.

    Two grades part the scores at 2.5, six are the whole numbers; more than six has only the English set.
    """
    for task, levels in (("stsb_zh", (6, 3, 2)), ("stsb_en", (0, 6, 3, 2))):
        for count in levels:  # 0: as they are
            alter = {"levels": count} if count else {}
            name = f"{count} grades" if count else "all grades"
            yield _row("grades", task, f"CoSENT, {name}", "cosent", {"scale": "suggested"}, alter)
            yield _row("grades", task, f"squared cosine, {name}", "cosine_squared", {}, alter)
            if count:
                yield _row("grades", task, f"Sentence-BERT, {name}", "sbert", {"num_labels": count}, alter)


def nli() -> Iterator[Row]:
    """OCNLI in three orders, and a classifier of three classes; chosen by entailment against the rest on validation.

    Along training the STS-B zh pairs are watched, of which nothing is trained on.
    """
    entailed = {"validation_places": [0, 0, 1]}
    rows: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
        ("CoSENT, E > N > C", "cosent", {"scale": "suggested"}, {}),
        ("Sentence-BERT, 3 classes", "sbert", {"num_labels": 3}, {}),
        ("CoSENT, E > C > N", "cosent", {"scale": "suggested"}, {"places": [1, 0, 2]}),
        ("CoSENT, E > {N, C}", "cosent", {"scale": "suggested"}, {"places": [0, 0, 1]}),
    ]
    places = ("stsb_zh/validation", "stsb_zh/test")
    for label, loss, options, alter in rows:
        yield _row(
            "nli", "ocnli", label, loss, options, alter | entailed, watch=("test:order", *places),
            judge=("test", *places),
        )  # fmt: skip


def segments() -> Iterator[Row]:
    """OCNLI compared across all premises or only within each, at three λ and one rate, ten epochs, all seeds.

    Nothing is chosen here: what is best depends on whether all pairs are to be in order or those of each premise, so
    both are watched along training, on validation and on test.
    """
    for scale, (name, alter) in product((1.25, 5.0, 20.0), (("across", {}), ("within", {"query": "sentence1"}))):
        run = Run(
            suite="segments", task="ocnli", encoder="static", loss="cosent", loss_options={"scale": scale},
            alter=alter, training={"epochs": 10, "learning_rate": 1e-2}, watch=("order", "test:order"),
        )  # fmt: skip
        yield Row(label=f"{name}, λ = {scale:g}", candidates=(run,), seeds=SEEDS)


GRADED_SUITES: dict[str, Callable[..., Iterator[Row]]] = {"grades": grades, "nli": nli, "segments": segments}
