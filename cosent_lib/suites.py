"""The suites of runs that the book reports: task × encoder × loss × options × seeds, as readable declarations.

To add an experiment, declare it here and call ``python -m cosent_lib benchmark SUITE``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cosent_lib.records import Run

Losses = Sequence[tuple[str, Mapping[str, Any]]]

# All losses with the defaults that their papers or posts give.
ALL_LOSSES: Losses = tuple(
    (name, {})
    for name in (
        "cosine_linear", "cosine_squared", "cosine_margin", "sbert", "cosent", "ranknet", "angle", "mnrl"
    )
)  # fmt: skip


def grid(
    suite: str,
    *,
    tasks: Sequence[str],
    encoder: str,
    losses: Losses,
    seeds: Sequence[int],
    encoder_options: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    also_judge: Sequence[str] = (),
) -> Iterator[Run]:
    """Every task × loss × seed, in this order, with one encoder and one training configuration."""
    for task in tasks:
        for loss, options in losses:
            for seed in seeds:
                yield Run(
                    suite=suite,
                    task=task,
                    encoder=encoder,
                    encoder_options=encoder_options or {},
                    loss=loss,
                    loss_options=options,
                    training=training or {},
                    seed=seed,
                    also_judge=tuple(also_judge),
                )


def spine() -> Iterator[Run]:
    """What the chapters on the ranking loss and on CoSENT show of real data, each loss with its customary settings."""
    yield from grid("spine", tasks=["lcqmc"], encoder="static", losses=ALL_LOSSES, seeds=range(5))
    graded = [*ALL_LOSSES, ("sbert", {"num_labels": 6})]  # grades 0 to 5 as classes
    yield from grid(
        "spine", tasks=["stsb_en", "stsb_zh"], encoder="static", losses=graded, seeds=range(5), training={"epochs": 5}
    )


def minilm() -> Iterator[Run]:
    """A pretrained encoder: squared error and CoSENT, three settings each, of which validation chooses one."""
    for scale in (20.0, 10.0, 5.0):
        yield from _minilm("cosent", {"scale": scale}, 2e-5, (0,))
    for rate in (1e-5, 2e-5, 5e-5):
        yield from _minilm("cosine_squared", {}, rate, (0,))
    # What validation chose with seed 0, and the customary λ, with further seeds.
    for seed in (1, 2):
        yield from _minilm("cosent", {"scale": 5.0}, 2e-5, (seed,))
        yield from _minilm("cosine_squared", {}, 5e-5, (seed,))
    yield from _minilm("cosent", {"scale": 20.0}, 2e-5, (1,))


def _minilm(loss: str, options: Mapping[str, Any], rate: float, seeds: Sequence[int]) -> Iterator[Run]:
    training = {"epochs": 1, "batch_size": 32, "learning_rate": rate}
    yield from grid(
        "minilm", tasks=["stsb_en"], encoder="minilm", losses=[(loss, options)], seeds=seeds, training=training
    )


def builtin() -> Iterator[Run]:
    """The built-in corpus, hard against random training negatives, judged on one binary and one graded test."""
    yield from grid(
        "builtin",
        tasks=["builtin", "builtin_random"],
        encoder="static",
        encoder_options={"dim": 64},
        losses=ALL_LOSSES,
        seeds=range(5),
        training={"max_steps": 600},
        also_judge=("builtin_graded/test",),
    )


SUITES: dict[str, Callable[[], Iterator[Run]]] = {"builtin": builtin, "spine": spine, "minilm": minilm}


def suite_runs(suite: str, **wanted: Any) -> list[Run]:
    """The runs of a suite in their declared order, or those whose fields equal ``wanted``.

    Example: ``suite_runs("spine", task="lcqmc", encoder="static")``.

    Raises:
        ValueError: An unknown suite or field, or a choice that leaves nothing.
    """
    if suite not in SUITES:
        raise ValueError(f"unknown suite {suite!r}, expected one of: {', '.join(SUITES)}")
    runs = list(SUITES[suite]())
    for name, value in wanted.items():
        if name not in Run.__dataclass_fields__:
            raise ValueError(f"a run has no field {name!r}, expected one of: {', '.join(Run.__dataclass_fields__)}")
        runs = [run for run in runs if getattr(run, name) == value]
    if not runs:
        raise ValueError(f"suite {suite!r} has no run with {wanted}")
    return runs
