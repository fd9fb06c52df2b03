"""The commands evaluate and scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from cosent_lib.cli.layout import aligned, metrics_table
from cosent_lib.cli.options import RangeOption, SourceOption, TaskArgument, examples, score_limits

if TYPE_CHECKING:  # torch
    from cosent_lib.ranking.scale import ScaleReport

commands = typer.Typer()
EncoderArgument = Annotated[str, typer.Argument(help="Folder of a trained encoder; or minilm, or a hub id.")]
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
    from cosent_lib.encoders.load import load_encoder
    from cosent_lib.evaluation.evaluate import check_other_pairs, evaluate

    split, limits = split or _usual_split(task, "test"), score_limits(score_range)
    pairs = load_pairs(task, split, source, score_range=limits)
    fitting = None if threshold_split is None else load_pairs(task, threshold_split, source, score_range=limits)
    if fitting is not None:
        check_other_pairs(pairs, fitting, f"--threshold-split {threshold_split}")  # before an encoder is loaded
    metrics = evaluate(load_encoder(encoder), pairs, fitting, progress=progress)
    typer.echo(f"{encoder} on {task} {split}: {len(pairs)} pairs")
    typer.echo(metrics_table({split: metrics}))


@commands.command(epilog=examples("cosent", "scale minilm stsb_en", "scale runs/mine csv:my.tsv --score-range 0,5"))
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
    """Say which scale λ CoSENT should train this encoder with, and why, from its cosines on validation pairs."""
    import torch

    from cosent_lib.data.columns import pair_columns
    from cosent_lib.data.load import load_pairs
    from cosent_lib.encoders.load import load_encoder
    from cosent_lib.evaluation.evaluate import cosine_scores
    from cosent_lib.ranking.scale import scale_report

    split = split or _usual_split(task, "validation")
    pairs = load_pairs(task, split, source, score_range=score_limits(score_range))
    cosines = cosine_scores(load_encoder(encoder), pairs, progress=progress)
    report = scale_report(torch.from_numpy(cosines), torch.from_numpy(pair_columns(pairs).labels))
    typer.echo(f"{encoder} on {task} {split}: {len(pairs)} pairs")
    typer.echo("\n".join(_reasons(report)))


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
