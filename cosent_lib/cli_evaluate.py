"""The command evaluate."""

from typing import Annotated

import typer

from cosent_lib.cli_options import RangeOption, SourceOption, TaskArgument, examples, score_limits
from cosent_lib.printing import metrics_table

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "evaluate runs/lcqmc lcqmc --threshold-split validation", "evaluate minilm stsb_en --split validation"
    )
)
def evaluate(
    encoder: Annotated[str, typer.Argument(help="Folder of a trained encoder; or minilm, or a hub id.")],
    task: TaskArgument,
    split: Annotated[str, typer.Option(help="Which pairs to judge on.")] = "test",
    threshold_split: Annotated[
        str | None, typer.Option(help="Fit the decision threshold here: adds accuracy and F1 (labels 0 and 1).")
    ] = None,
    source: SourceOption = "auto",
    score_range: RangeOption = None,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """Judge an encoder by how its cosines order the pairs of TASK."""
    from cosent_lib.data import load_pairs
    from cosent_lib.encoders import load_encoder
    from cosent_lib.evaluation import evaluate as judge

    limits = score_limits(score_range)
    pairs = load_pairs(task, split, source, score_range=limits)
    fitting = None if threshold_split is None else load_pairs(task, threshold_split, source, score_range=limits)
    metrics = judge(load_encoder(encoder), pairs, fitting, progress=progress)
    typer.echo(f"{encoder} on {task} {split}: {len(pairs)} pairs")
    typer.echo(metrics_table({split: metrics}))
