"""The central table: every loss with the same effort, trained until validation stops improving.

Eight trials a row: four learning rates at the customary dial and four values of the dial at the best rate, or eight
rates where there is no dial; more where a best lies at an edge (`Search`).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cosent_book.suites.rows import Row
from cosent_book.suites.search import Ladder, Search
from cosent_lib.runs.run import Run

SEEDS = (0, 1, 2, 3, 4)
# Twenty epochs at most, six of LCQMC, which is looked at twice an epoch; three looks without a new best end a run.
STATIC: dict[str, dict[str, Any]] = {
    "stsb_en": {"epochs": 20, "patience": 3},
    "stsb_zh": {"epochs": 20, "patience": 3},
    "bq": {"epochs": 20, "patience": 3},
    "atec": {"epochs": 20, "patience": 3},
    "lcqmc": {"epochs": 6, "patience": 3, "evaluation_steps": 1843},
}
_ALL_RATES = (3.125e-4, 6.25e-4, 1.25e-3, 2.5e-3, 5e-3, 1e-2, 2e-2, 4e-2, 8e-2, 0.16, 0.32)
FOUR_RATES = Ladder("learning_rate", _ALL_RATES, _ALL_RATES[3:7])
EIGHT_RATES = Ladder("learning_rate", _ALL_RATES, _ALL_RATES[1:9])
_ALL_SCALES = (0.3125, 0.625, 1.25, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0)
SCALES = Ladder("scale", _ALL_SCALES, (2.5, 5.0, 10.0, 40.0))  # beside the customary 20
_ALL_MARGINS = (-0.1, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
MARGINS = Ladder("margin", _ALL_MARGINS, (0.4, 0.5, 0.6, 0.8))  # beside the customary 0.7
_ALL_DISTANCES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0)
DISTANCES = Ladder("margin", _ALL_DISTANCES, (0.3, 0.4, 0.6, 0.8))  # beside the customary 0.5

Contender = tuple[str, str, Mapping[str, Any], Ladder | None]


def _contenders(task: str) -> list[Contender]:
    """Label, loss, its customary options, and the ladder of its dial; the telling ones first."""
    found: list[Contender] = [
        ("CoSENT, λ = 20", "cosent", {"scale": 20.0}, None),
        ("CoSENT, λ followed", "cosent", {"scale": "followed"}, None),
        ("CoSENT, λ suggested", "cosent", {"scale": "suggested"}, None),
        ("Sentence-BERT, 2 classes", "sbert", {"num_labels": 2}, None),
        ("squared cosine", "cosine_squared", {}, None),
        ("RankNet, λ tuned", "ranknet", {"scale": 20.0}, SCALES),
        ("cosine with margin", "cosine_margin", {"margin": 0.7}, MARGINS),
        ("power mean, κ = −0.3", "power_mean", {"scale": 20.0, "exponent": -0.3}, SCALES),
        ("CoSENT, λ tuned", "cosent", {"scale": 20.0}, SCALES),
        ("contrastive", "contrastive", {"margin": 0.5}, DISTANCES),
        ("power mean, κ = −1", "power_mean", {"scale": 20.0, "exponent": -1.0}, SCALES),
        ("power mean, κ = 1", "power_mean", {"scale": 20.0, "exponent": 1.0}, SCALES),
        ("CoSENT, λ learned", "cosent", {"learn_scale": True}, None),
        ("linear cosine", "cosine_linear", {}, None),
        ("AnglE, scale tuned", "angle", {"scale": 20.0}, SCALES),
        ("in-batch negatives, scale tuned", "mnrl", {"scale": 20.0}, SCALES),
    ]
    if task.startswith("stsb"):
        found.insert(4, ("Sentence-BERT, 6 classes", "sbert", {"num_labels": 6}, None))
    return found


def table() -> Iterator[Row]:
    """Every loss on every set that has a training split, encoder `static`; five seeds."""
    for task, training in STATIC.items():
        for label, loss, options, dial in _contenders(task):
            run = Run(
                suite="table", task=task, encoder="static", loss=loss, loss_options=options, training=training
            )  # fmt: skip
            ladders = (EIGHT_RATES,) if dial is None else (FOUR_RATES, dial)
            yield Search(label=label, candidates=(run,), seeds=SEEDS, ladders=ladders)


# The pretrained encoder of the Chinese sets: half an hour of a core a run. At most three epochs, two looks an epoch.
E5_TASKS: dict[str, tuple[int, dict[str, Any]]] = {  # steps from look to look, what is changed
    "stsb_zh": (82, {}),
    "bq": (148, {"take_validation": 2000, "take_test": 4000}),
    "atec": (376, {"take_validation": 2000, "take_test": 4000}),
    "lcqmc": (500, {"take": 32_000, "take_validation": 2000, "take_test": 4000}),
}
E5_RATES = (3e-5, 6e-5)
E5_SEEDS = (0, 1, 2)


def e5() -> Iterator[Row]:
    """The losses of the published table and their rivals on a pretrained encoder in a narrow cone; two rates each."""
    contenders: list[tuple[str, str, dict[str, Any]]] = [
        ("CoSENT, λ = 20", "cosent", {"scale": 20.0}),
        ("Sentence-BERT, 2 classes", "sbert", {"num_labels": 2}),
        ("squared cosine", "cosine_squared", {}),
        ("CoSENT, λ suggested", "cosent", {"scale": "suggested"}),
        ("RankNet, λ = 20", "ranknet", {"scale": 20.0}),
        ("CoSENT, λ followed", "cosent", {"scale": "followed"}),
        ("Sentence-BERT, 6 classes", "sbert", {"num_labels": 6}),
        ("power mean, κ = −0.3, λ = 20", "power_mean", {"scale": 20.0, "exponent": -0.3}),
        ("cosine with margin", "cosine_margin", {"margin": 0.7}),
    ]
    for task, (steps, alter) in E5_TASKS.items():
        for label, loss, options in contenders:
            if options.get("num_labels") == 6 and task != "stsb_zh":
                continue
            training = {"epochs": 3, "batch_size": 32, "evaluation_steps": steps, "patience": 3}
            runs = tuple(
                Run(
                    suite="e5", task=task, encoder="e5", loss=loss, loss_options=options, alter=alter,
                    training=training | {"learning_rate": rate}, judge=("test", "pawsx/test"),
                )
                for rate in E5_RATES
            )  # fmt: skip
            yield Row(label=label, candidates=runs, seeds=E5_SEEDS, dear=True)


MINILM_RATES = Ladder("learning_rate", (5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4), (1e-5, 2e-5, 5e-5, 1e-4))
MINILM_SCALES = Ladder("scale", (0.3125, 0.625, 1.25, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0), (1.25, 2.5, 5.0, 10.0))


def minilm_grid() -> Iterator[Row]:
    """MiniLM on STS-B en: losses at four rates, the ranking losses with λ as well; at most three epochs."""
    training = {"epochs": 3, "batch_size": 32, "evaluation_steps": 60, "patience": 3}
    contenders: list[Contender] = [
        ("CoSENT, λ tuned", "cosent", {"scale": 20.0}, MINILM_SCALES),
        ("squared cosine", "cosine_squared", {}, None),
        ("CoSENT, λ suggested", "cosent", {"scale": "suggested"}, None),
        ("Sentence-BERT, 6 classes", "sbert", {"num_labels": 6}, None),
        ("RankNet, λ tuned", "ranknet", {"scale": 20.0}, MINILM_SCALES),
        ("CoSENT, λ = 20", "cosent", {"scale": 20.0}, None),
        ("cosine with margin", "cosine_margin", {"margin": 0.7}, None),
    ]
    for label, loss, options, dial in contenders:
        run = Run(
            suite="minilm_grid", task="stsb_en", encoder="minilm", loss=loss, loss_options=options, training=training
        )  # fmt: skip
        ladders = (MINILM_RATES,) if dial is None else (MINILM_RATES, dial)
        yield Search(label=label, candidates=(run,), seeds=(0, 1, 2), ladders=ladders, dear=True)


CENTRAL_SUITES: dict[str, Callable[..., Iterator[Row]]] = {"table": table, "e5": e5, "minilm_grid": minilm_grid}
