"""The suites of the chapters on the table and on the family: the dial, flipped labels, the family, protocol, paper."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from cosent_book.suites.rows import RATES, SCALES, Row, dial_row, grid
from cosent_lib.runs.run import Run

SEEDS = (0, 1, 2)
EPOCHS = {"stsb_zh": 5, "stsb_en": 5, "bq": 1, "atec": 1, "lcqmc": 1}  # as in the suite `main`
EXPONENTS = (-1.0, 1.0, -0.3, 0.3)


def dial() -> Iterator[Row]:
    """The exponent κ of the power mean, each with a λ chosen on validation; κ = 0 is `main`'s RankNet."""
    for task, exponent in product(EPOCHS, EXPONENTS):
        label, fixed = f"power mean, κ = {exponent:g}".replace("-", "−"), {"exponent": exponent}
        yield dial_row("dial", task, {"epochs": EPOCHS[task]}, label, "power_mean", fixed, ("scale", SCALES[1]))


def flips() -> Iterator[Row]:
    """A share of the training labels turned round, at one λ, so that κ alone differs; and two losses beside it."""
    losses: list[tuple[str, dict[str, Any]]] = [
        *(("power_mean", {"scale": 20.0, "exponent": exponent}) for exponent in (-1.0, 0.0, 1.0)),
        ("cosent", {"scale": "suggested"}), ("cosine_squared", {}),
    ]  # fmt: skip
    places: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "bq": ({"epochs": 5}, {}), "stsb_zh": ({"epochs": 5}, {}), "lcqmc": ({"epochs": 1}, {"take": 64_000})
    }  # fmt: skip
    for (task, (training, taken)), rate, loss in product(places.items(), (0.0, 0.1, 0.2, 0.3), losses):
        alter = taken | ({"flip": rate} if rate else {})
        yield from grid(
            "flips", tasks=[task], encoder="static", losses=[loss], seeds=SEEDS, training=training, alter=alter
        )
    # the built-in corpus, whose labels are right and whose hard negatives are hard; none can be suggested there
    for rate, loss in product((0.0, 0.1, 0.2, 0.3), losses[:3]):
        yield from grid(
            "flips", tasks=["builtin"], encoder="static", encoder_options={"dim": 64}, losses=[loss], seeds=SEEDS,
            training={"max_steps": 600}, alter={"flip": rate} if rate else {}, judge=("test", "builtin_graded/test"),
        )  # fmt: skip


# The family: label, loss, its options as a function of the one number that is tuned. In-batch negatives in the usual
# form, in which an answer that stands twice in a batch is a negative of itself.
Member = tuple[str, str, Callable[[float], dict[str, Any]]]
FAMILY: tuple[Member, ...] = (
    ("CoSENT", "cosent", lambda scale: {"scale": scale}),
    ("CoSENT without the 1", "cosent", lambda scale: {"scale": scale, "flat": True}),
    ("power mean, κ = −1", "power_mean", lambda scale: {"scale": scale, "exponent": -1.0}),
    ("AnglE's angle", "angle", lambda scale: {"scale": scale}),
    ("in-batch negatives", "mnrl", lambda scale: {"scale": scale, "equal_are_negatives": True}),
    (
        "CoSENT + in-batch",
        "cosent+mnrl",
        lambda scale: {"cosent_scale": scale, "mnrl_scale": 20.0, "mnrl_equal_are_negatives": True},
    ),
    ("CoSENT + angle", "cosent+angle", lambda scale: {"cosent_scale": scale, "angle_scale": scale}),
    (
        "CoSENT + in-batch + angle",
        "cosent+mnrl+angle",
        lambda scale: {
            "cosent_scale": scale,
            "angle_scale": scale,
            "mnrl_scale": 20.0,
            "mnrl_equal_are_negatives": True,
        },
    ),
)


def family() -> Iterator[Row]:
    """CoSENT, its relatives and their sums, one number tuned on validation each; ranking of pairs and retrieval."""
    places: dict[str, dict[str, Any]] = {
        "stsb_en": {}, "bq": {}, "atec": {}, "lcqmc": {"take": 64_000}, "stsb_zh": {}
    }  # fmt: skip
    for (task, alter), (label, loss, options) in product(places.items(), FAMILY):
        runs = [
            Run(
                suite="family", task=task, encoder="static", loss=loss, loss_options=options(scale), alter=alter,
                training={"epochs": EPOCHS[task]}, judge=("test", "test:retrieval"),
            )
            for scale in SCALES[1]
        ]  # fmt: skip
        yield Row(label=label, candidates=tuple(runs), seeds=SEEDS)


def protocol() -> Iterator[Row]:
    """What a careless protocol gains or costs: choosing on test, leaked pairs, weak baselines, split-up batches."""
    yield from _handicaps("small", ("stsb_en", "stsb_zh"), {"epochs": 3}, (0, 1))
    # as in the suite `minilm`, which has the mean with six classes and with CoSENT
    training = {"epochs": 1, "batch_size": 32, "learning_rate": 2e-5, "evaluation_steps": 60}
    for pooling, loss, options in (
        ("cls", "sbert", {"num_labels": 6}), ("cls", "cosent", {"scale": "suggested"}), ("mean", "sbert", {}),
        ("cls", "sbert", {}),
    ):  # fmt: skip
        losses: list[tuple[str, dict[str, Any]]] = [(loss, options)]
        yield from grid(
            "protocol", tasks=["stsb_en"], encoder="minilm", losses=losses, seeds=[0], training=training,
            encoder_options={"pooling": pooling},
        )  # fmt: skip
    yield from _accumulated()
    yield from _leaked()
    yield from _looking_at_test()


def _looking_at_test() -> Iterator[Row]:
    """All candidates of three rows of `main` with test watched at each validation."""
    rows: list[tuple[str, tuple[str, Sequence[float]]]] = [
        ("cosine_squared", RATES), ("sbert", RATES), ("cosent", SCALES)
    ]  # fmt: skip
    for task, (loss, (name, values)) in product(("stsb_en", "bq", "atec"), rows):
        steps = {"stsb_en": 45, "bq": 30, "atec": 75}[task]
        for value, seed in product(values, SEEDS):
            training: dict[str, Any] = {"epochs": EPOCHS[task], "evaluation_steps": steps}
            options = {} if name == "learning_rate" else {name: value}
            training |= {name: value} if name == "learning_rate" else {}
            yield from grid(
                "protocol", tasks=[task], encoder="static", losses=[(loss, options)], training=training,
                seeds=[seed], watch=("test",),
            )  # fmt: skip


LEAK = {"leak_validation": 7680, "leak_test": 7605}  # as many as a circulating training file of ATEC holds


def _leaked() -> Iterator[Row]:
    """ATEC with as many validation and test pairs in its training set as a circulating file has, and without."""
    losses: list[tuple[str, dict[str, Any]]] = [
        ("cosent", {"scale": "suggested"}), ("sbert", {}), ("cosine_squared", {}), ("ranknet", {})
    ]  # fmt: skip
    for alter in ({}, LEAK):
        yield from grid(
            "protocol", tasks=["atec"], encoder="static", losses=losses, seeds=SEEDS, training={"epochs": 5},
            alter=alter,
        )  # fmt: skip


def _handicaps(encoder: str, tasks: Sequence[str], training: Mapping[str, Any], seeds: Sequence[int]) -> Iterator[Row]:
    """Two classes instead of six, [CLS] instead of the mean: for Sentence-BERT, and for CoSENT beside it."""
    losses: list[tuple[str, dict[str, Any]]] = [
        ("sbert", {"num_labels": 6}), ("sbert", {}), ("cosent", {"scale": "suggested"}), ("cosent", {})
    ]  # fmt: skip
    for task, pooling in product(tasks, ("mean", "cls")):
        options = {"pooling": pooling}
        yield from grid(
            "protocol", tasks=[task], encoder=encoder, losses=losses, seeds=seeds, training=training,
            encoder_options=options,
        )  # fmt: skip


def _accumulated() -> Iterator[Row]:
    """A batch of 128, four of 32 whose gradients are added up, and a batch of 32."""
    losses: list[tuple[str, dict[str, Any]]] = [("cosent", {}), ("cosent", {"scale": 5.0}), ("cosine_squared", {})]
    shapes = ({"batch_size": 128}, {"batch_size": 32, "accumulation_steps": 4}, {"batch_size": 32})
    for task, shape in product(("stsb_en", "atec"), shapes):
        yield from grid(
            "protocol", tasks=[task], encoder="static", losses=losses, seeds=SEEDS,
            training={"epochs": EPOCHS[task], **shape},
        )  # fmt: skip


PAPER_ENCODERS = ("google-bert/bert-base-chinese", "hfl/chinese-roberta-wwm-ext")
PAPER_TASKS = ("stsb_zh", "atec", "bq", "lcqmc")  # of PAWS-X there are no training pairs to be had


def paper(encoders: Sequence[str] = PAPER_ENCODERS) -> Iterator[Row]:
    """BERT and RoBERTa-wwm-ext with the settings of Su's posts, and three losses beside his two.

    [CLS] of the last layer, 64 tokens, 5 epochs of batches of 32, Adam at a constant 2e-5 without decay or clipping;
    Sentence-BERT sees STS-B as two classes (Su 2022, Scientific Spaces 8847, and its code). It needs weights from the
    hub or from folders, and a GPU for its time. The fifth of his sets, PAWS-X, is left out: its training pairs are not
    to be had here. ``encoders`` are folders or hub ids.
    """
    training = {
        "epochs": 5, "batch_size": 32, "learning_rate": 2e-5, "loss_learning_rate": 2e-5, "schedule": "constant",
        "warmup_ratio": 0.0, "weight_decay": 0.0, "max_grad_norm": None,
    }  # fmt: skip
    losses: list[tuple[str, dict[str, Any]]] = [
        ("cosent", {"scale": 20.0}), ("sbert", {}), ("cosent", {"scale": "suggested"}), ("cosine_squared", {}),
        ("ranknet", {"scale": 20.0}), ("power_mean", {"scale": 20.0, "exponent": -1.0}),
    ]  # fmt: skip
    for encoder, seed, task in product(encoders, range(5), PAPER_TASKS):
        yield from grid(
            "paper", tasks=[task], encoder=encoder, losses=losses, seeds=[seed], training=training,
            encoder_options={"pooling": "cls", "max_length": 64},
        )  # fmt: skip


TABLE_SUITES: dict[str, Callable[..., Iterator[Row]]] = {
    "dial": dial, "flips": flips, "family": family, "protocol": protocol, "paper": paper
}  # fmt: skip
