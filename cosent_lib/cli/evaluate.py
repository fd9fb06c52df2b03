"""The commands evaluate and scale."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cosent_lib.cli.layout import aligned, metrics_table
from cosent_lib.cli.options import (
    RangeOption,
    SourceOption,
    TaskArgument,
    check_trained,
    examples,
    is_untrained,
    score_limits,
)

if TYPE_CHECKING:  # torch
    from cosent_lib.ranking.scale import ScaleReport

commands = typer.Typer()
EncoderArgument = Annotated[
    str,
    typer.Argument(
        help="Folder of a trained encoder; minilm or a hub id; or static or small, as training on TASK begins with it; "
        "with cross: before it (but static), a cross-encoder."
    ),
]
ProgressOption = Annotated[bool, typer.Option(help="Show progress bars.")]


@commands.command(
    "evaluate",
    epilog=examples(
        "cosent",
        "evaluate runs/lcqmc lcqmc --threshold-split validation",
        "evaluate minilm stsb_en --split validation",
        "evaluate minilm csv:my.tsv",
    ),
)
def evaluate_encoder(
    encoder: EncoderArgument,
    task: TaskArgument,
    split: Annotated[
        str | None, typer.Option(help="Which pairs to evaluate on; test, or all of a single file, unless given.")
    ] = None,
    threshold_split: Annotated[
        str | None, typer.Option(help="Fit the decision threshold here: adds accuracy and F1 (labels 0 and 1).")
    ] = None,
    source: SourceOption = "auto",
    score_range: RangeOption = None,
    progress: ProgressOption = True,
) -> None:
    """Evaluate an encoder by how its cosines order the pairs of TASK."""
    from cosent_lib.data.load import load_pairs
    from cosent_lib.evaluation.evaluate import check_other_pairs, evaluate

    split, limits = split or _usual_split(task, "test"), score_limits(score_range)
    pairs = load_pairs(task, split, source, score_range=limits)
    fitting = None if threshold_split is None else load_pairs(task, threshold_split, source, score_range=limits)
    if fitting is not None:
        check_other_pairs(pairs, fitting, f"--threshold-split {threshold_split}")  # before an encoder is loaded
    loaded, known = _loaded(encoder, task, source, limits)
    metrics = evaluate(loaded, pairs, fitting, progress=progress)
    typer.echo(f"{known} on {task} {split}: {len(pairs)} pairs")
    typer.echo(metrics_table({split: metrics}))


@commands.command(epilog=examples("cosent", "scale static builtin", "scale minilm csv:my.tsv --score-range 0,5"))
def scale(
    encoder: EncoderArgument,
    task: TaskArgument,
    split: Annotated[
        str | None, typer.Option(help="Which pairs to look at; validation, or all of a single file, unless given.")
    ] = None,
    source: SourceOption = "auto",
    score_range: RangeOption = None,
    progress: ProgressOption = True,
) -> None:
    """Say which scale λ CoSENT should train this encoder with, and why, from its cosines on validation pairs.

    Ask before training: the cosines of a trained encoder are what that training, with its λ, made of them.
    """
    import torch

    from cosent_lib.data.columns import pair_columns
    from cosent_lib.data.load import load_pairs
    from cosent_lib.evaluation.evaluate import cosine_scores
    from cosent_lib.ranking.scale import scale_report

    split, limits = split or _usual_split(task, "validation"), score_limits(score_range)
    pairs = load_pairs(task, split, source, score_range=limits)
    loaded, known = _loaded(encoder, task, source, limits)
    if getattr(loaded, "reads_pairs", False):
        raise ValueError(f"encoder {encoder!r} gives scores of pairs, whose λ is 1: scale is for encoders of vectors")
    cosines = cosine_scores(loaded, pairs, progress=progress)
    report = scale_report(torch.from_numpy(cosines), torch.from_numpy(pair_columns(pairs).labels))
    typer.echo(f"{known} on {task} {split}: {len(pairs)} pairs")
    typer.echo("\n".join([*_trained_with(Path(encoder)), *_reasons(report)]))


def _loaded(encoder: str, task: str, source: str, limits: tuple[float, float] | None) -> tuple[Any, str]:
    """An encoder, and in words what it is: ``static`` and ``small`` as `cosent train TASK` begins with them."""
    from cosent_lib.data.load import load_pairs, split_names
    from cosent_lib.encoders.load import load_encoder

    if not is_untrained(encoder):
        return load_encoder(encoder), encoder
    if "train" not in split_names(task):
        check_trained(encoder)
    pairs = load_pairs(task, "train", source, score_range=limits)
    loaded = load_encoder(encoder, [*pairs["sentence1"][:], *pairs["sentence2"][:]])
    return loaded, f"{encoder} (untrained, its vocabulary from the training pairs, seed 0)"


def _trained_with(folder: Path) -> list[str]:
    """Say which λ a saved encoder was trained with, where its record tells: its cosines are what that made of them."""
    from cosent_lib.encoders.base import CONFIG_FILE

    if not (folder / CONFIG_FILE).is_file():
        return []
    try:
        loss = json.loads((folder / "record.json").read_text(encoding="utf-8"))["resolved"]["loss"]
        scales = {name: value for name, value in loss.items() if name.endswith("scale") and not isinstance(value, bool)}
        what = ", ".join(f"{name} {value:.3g}" for name, value in scales.items())
        how = f"trained by {loss['class']}" + (f" with {what}" if what else "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        how = "perhaps trained before; no record.json says with which λ"
    return [f"{folder} was {how}. Its cosines are what came of that: for a new training ask the untrained encoder."]


def _usual_split(task: str, name: str) -> str:
    """The split of a command's habit, or ``all`` where a ``csv:`` task is a single file."""
    from cosent_lib.data.load import split_names

    return "all" if task.startswith("csv:") and split_names(task) == ("all",) else name


def _reasons(report: ScaleReport) -> list[str]:
    """Say which λ and why."""
    said = []
    if math.isinf(report.scale):
        said.append("λ: no finite one is best, for no pair is in wrong order: the larger λ, the smaller the loss here.")
        said.append("These pairs cannot choose; harder or more pairs could. Until then the customary value will do.")
    else:
        said.append(f"λ = {report.scale:.3g}: where log(Σ/P), a bound on how much stands in wrong order, is least.")
        if report.interval is not None:
            low, high = (f"{end:.3g}".replace("inf", "∞") for end in report.interval)
            said.append(f"Other samples of as many pairs would say {low} to {high} (95 % bootstrap interval).")
    lines = [["λ", "log(Σ/P)", "pairs in wrong order", "effective share of pairs"]]
    for scale, bound in report.log_bounds.items():
        says = f"at most {100 * math.exp(bound):.3g} %" if bound < 0 else "the bound says nothing"
        kind = " (least)" if scale == report.scale else " (customary)"
        share = f"{100 * report.effective_shares[scale]:.3g} %"
        lines.append([f"{scale:.3g}{kind}", f"{bound:.3f}", says, share])
    said += [aligned(lines), "effective share: the pairs among which the pull is spread; few mean that the worst rule."]
    halves = [f"label > {cut:g}: {half:.3g}" for cut, half in report.half_slopes.items()]
    said.append(f"half the slope of a logistic regression on the cosine, another way to a λ: {', '.join(halves)}")
    if math.isfinite(report.scale):
        said.append(f"to train with it: --loss cosent --scale {report.scale:.3g}")
    return said
