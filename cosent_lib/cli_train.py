"""The command train."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from cosent_lib.cli_options import RangeOption, SourceOption, TaskArgument, examples, given, named, score_limits
from cosent_lib.printing import metrics_table

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "train builtin --output runs/first",
        "train lcqmc --loss cosent --scale 20 --output runs/lcqmc",
        "train csv:my_pairs --score-range 0,5 --output runs/mine",
    )
)
def train(
    task: TaskArgument,
    output: Annotated[Path, typer.Option(help="Folder for the trained encoder and its record.json.")],
    encoder: Annotated[str, typer.Option(help="static, minilm, a folder, or a hub id such as owner/name.")] = "static",
    loss: Annotated[
        str, typer.Option(help="cosine_linear, cosine_squared, cosine_margin, sbert, cosent, ranknet, angle or mnrl.")
    ] = "cosent",
    scale: Annotated[float | None, typer.Option(help="The λ of ranking losses (default: the loss's own, 20).")] = None,
    margin: Annotated[float | None, typer.Option(help="Margin of cosine_margin or cosent.")] = None,
    loss_option: Annotated[
        list[str] | None,
        typer.Option(
            help="Any other option of the loss, as name=value; repeat for more: num_labels=6, learn_scale=true."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training pairs (default 1).")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Stop after so many batches.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pairs in a batch (default 64).")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Default: what suits the encoder.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same run.")] = 0,
    source: SourceOption = "auto",
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32, bf16 or fp16.")] = None,
    score_range: RangeOption = None,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """Train an encoder on TASK, keep the best state by validation, report test once."""
    from cosent_lib.benchmark import Run, perform

    _check_output(output)
    training = {"epochs": epochs, "max_steps": max_steps, "batch_size": batch_size, "learning_rate": learning_rate}
    run = Run(
        suite="command_line",
        task=task,
        source=source,
        encoder=encoder,
        loss=loss,
        loss_options=given({"scale": scale, "margin": margin}) | named(loss_option or []),
        training=given(training | {"device": device, "precision": precision}),
        seed=seed,
        score_range=score_limits(score_range),
    )
    _finish(output, *perform(run, progress=progress))


def _finish(output: Path, record: Any, trained: Any) -> None:
    """Save a trained encoder with its record, and say how good it is."""
    from cosent_lib.records import to_json, write_atomically

    trained.save(output)
    write_atomically(output / "record.json", to_json(record))
    typer.echo(f"{record.run}: {record.steps} steps, best at {record.best_step}, {record.wall_time_s['train']:.1f} s")
    typer.echo(metrics_table({split: metrics for split, metrics in record.metrics.items() if metrics}))
    typer.echo(f"saved: {output} (the encoder; settings and metrics in record.json)")


def _check_output(output: Path) -> None:
    """Refuse, before anything is trained, a place where the encoder could not be saved."""
    if output.is_file() or (output.is_dir() and any(output.iterdir()) and not (output / "encoder.json").is_file()):
        raise ValueError(f"--output {output}: exists and holds no saved encoder; name a new or empty folder")
    there = next(place for place in (output, *output.absolute().parents) if place.exists())
    if not there.is_dir():
        raise ValueError(f"--output {output}: {there} is a file, not a folder")
    if not os.access(there, os.W_OK):
        raise ValueError(f"--output {output}: {there} cannot be written to")
