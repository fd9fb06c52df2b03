"""The command train."""

import os
import sys
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from cosent_lib.cli.defaults import MOST_EPOCHS, PATIENCE, with_defaults
from cosent_lib.cli.layout import metrics_table
from cosent_lib.cli.options import (
    Interrupted,
    RangeOption,
    SourceOption,
    TaskArgument,
    examples,
    given,
    named,
    score_limits,
)

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "cosent",
        "train builtin --output runs/first",
        "train lcqmc --loss cosent --scale 20 --epochs 1 --output runs/lcqmc",
        "train csv:my_pairs --score-range 0,5 --output runs/mine",
    )
)
def train(
    task: TaskArgument,
    output: Annotated[
        Path,
        typer.Option(
            help="Folder for the trained encoder and its record.json. While it trains, checkpoints are in a folder "
            "beside it, OUTPUT.checkpoints."
        ),
    ],
    encoder: Annotated[
        str,
        typer.Option(
            help="static, small, minilm, a folder, or a hub id: owner/name; with cross: "
            "before it (but static), a cross-encoder, for the losses bce, mse, score_cosent, score_ranknet."
        ),
    ] = "static",
    loss: Annotated[
        str,
        typer.Option(
            help="cosine_linear, cosine_squared, cosine_margin, contrastive, sbert, cosent, ranknet, "
            "power_mean, angle or mnrl, or a sum such as cosent+mnrl; of a cross-encoder bce, mse, score_cosent or "
            "score_ranknet."
        ),
    ] = "cosent",
    scale: Annotated[
        str | None,
        typer.Option(
            help="The λ of ranking losses, or the word suggested: computed from the untrained encoder's cosines on the "
            "validation pairs (default: suggested for cosent and ranknet where it can be, else 20)."
        ),
    ] = None,
    margin: Annotated[float | None, typer.Option(help="Margin of cosine_margin or cosent.")] = None,
    loss_option: Annotated[
        list[str] | None,
        typer.Option(help="Any other option of the loss, name=value; repeat for more: num_labels=6, learn_scale=true."),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help=f"Passes over the training pairs (default: until validation stops improving, at most {MOST_EPOCHS})."
        ),
    ] = None,
    max_steps: Annotated[int | None, typer.Option(help="Stop after so many steps, whatever the epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pairs in a batch (default 64).")] = None,
    batches: Annotated[
        str | None,
        typer.Option(help="shuffled (default), or levels: each batch gets its share of every label, also rare ones."),
    ] = None,
    accumulation_steps: Annotated[
        int | None,
        typer.Option(
            help="Batches whose gradients are added up to one step (default 1), where memory is short. Not a larger "
            "batch for a ranking loss: it compares pairs within a batch only."
        ),
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Default: what suits the encoder.")] = None,
    evaluation_steps: Annotated[
        int | None, typer.Option(help="Validate after every so many steps (default: after each epoch).")
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            help=f"Stop after so many validations in a row without a new best (default: {PATIENCE}; never, where "
            "--epochs or --max-steps is given)."
        ),
    ] = None,
    checkpoint_steps: Annotated[
        int | None, typer.Option(help="Write a checkpoint after every so many steps (default: after each epoch).")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run that was stopped; give all other options as they were.")
    ] = False,
    seed: Annotated[int, typer.Option(help="The same seed gives the same run.")] = 0,
    source: SourceOption = "auto",
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32, bf16 or fp16.")] = None,
    score_range: RangeOption = None,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """Train an encoder on TASK, keep the best state by validation, report test once.

    How long, and with which λ, is chosen where it is not given; the first line says what was chosen and why.

    Started by torchrun or accelerate launch as several processes, it is one run whose batch is that many times larger.

    Ctrl-C saves where it is; the same command and --resume goes on from there as if it had never been stopped. After a
    crash it goes on from the last checkpoint. The checkpoints are removed when the run is finished.
    """
    from cosent_lib.errors import own_rank
    from cosent_lib.files import claimed
    from cosent_lib.runs.perform import check_settings
    from cosent_lib.runs.run import Run

    place = output.resolve()
    saving = place.with_name(f"{place.name}.checkpoints")
    _check_places(output, saving)
    training: dict[str, Any] = {"epochs": epochs, "max_steps": max_steps, "batch_size": batch_size, "batches": batches}
    training |= {"accumulation_steps": accumulation_steps, "learning_rate": learning_rate, "patience": patience}
    training |= {"evaluation_steps": evaluation_steps, "device": device, "precision": precision}
    settings: dict[str, Any] = {"task": task, "source": source, "encoder": encoder, "loss": loss, "seed": seed}
    settings |= {"training": given(training), "score_range": score_limits(score_range)}
    options = named(loss_option or [], given({"scale": _scale(scale), "margin": margin}))
    run = Run(suite="command_line", **settings, loss_options=options)
    check_settings(run)
    # One process of a run holds the claim: those of a launcher work on the same output.
    with claimed(place.with_name(f"{place.name}.lock")) if own_rank() == 0 else nullcontext(True) as ours:
        if not ours:
            raise ValueError(f"--output {output}: another process is training into it; wait for it, or take another")
        _check_checkpoints(saving, resume)
        _carry_out(run, output, saving, resume, progress, checkpoint_steps)


def _carry_out(
    run: Any, output: Path, saving: Path, resume: bool, progress: bool, checkpoint_steps: int | None
) -> None:
    """Train, save, remove the checkpoints, and only then say what came out."""
    from cosent_lib.errors import own_rank
    from cosent_lib.runs.perform import load_splits, perform
    from cosent_lib.runs.record import to_json
    from cosent_lib.training.checkpoints import latest_checkpoint, remove_checkpoints

    places: dict[str, Any] = {"output_dir": saving, "resume_from": saving if resume else None}
    try:
        places["splits"] = load_splits(run)
        _warn_of_shared(places["splits"])
        run, chosen = with_defaults(run, places["splits"], progress)
        if chosen and own_rank() == 0:
            _echo(f"chosen: {chosen}")
        record, trained = perform(run, progress=progress, checkpoint_steps=checkpoint_steps, **places)
        if own_rank():  # of several processes the first one saves
            return
        try:
            trained.save(output, {"record.json": to_json(record)})
        except (ValueError, OSError) as error:  # somebody put a file there meanwhile, or the disk is full
            error.add_note(
                f"what was trained is kept in {saving}: put it right, then the same command with --resume saves"
            )
            raise
    except KeyboardInterrupt:
        place = latest_checkpoint(saving)
        how = f"saved in {place}; go on with the same command and --resume" if place else "before anything was saved"
        raise Interrupted(how) from None
    remove_checkpoints(saving)
    if saving.is_dir() and not any(saving.iterdir()):
        saving.rmdir()
    _say(record, output)


def _say(record: Any, output: Path) -> None:
    """How good the encoder is and where it lies."""
    lines = (
        f"{record.run}: {record.steps} steps, best at {record.best_step}, {record.wall_time_s['train']:.1f} s",
        metrics_table({split: metrics for split, metrics in record.metrics.items() if metrics}),
        f"saved: {output} (the encoder; settings and metrics in record.json)",
    )
    _echo("\n".join(lines))


def _echo(text: str) -> None:
    """Print, on stderr where stdout is gone, nowhere where both are: no training is lost for want of a reader."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                typer.echo(text, file=stream)
                return
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # else Python complains again at its end


def _warn_of_shared(splits: dict[str, Any]) -> None:
    """Say which splits are no other data than the training pairs, so that what they say is no evidence."""
    from cosent_lib.evaluation.evaluate import SamePairs, check_other_pairs

    for name in [name for name in splits if name != "train"]:
        try:
            check_other_pairs(splits["train"], splits[name], name, "trained on")
        except SamePairs as error:
            warnings.warn(str(error), stacklevel=2)


def _scale(text: str | None) -> float | str | None:
    """Read ``--scale``."""
    if text is None or text == "suggested":
        return text
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--scale {text!r}: expected a number, or the word suggested") from None


def _check_places(output: Path, saving: Path) -> None:
    """Refuse, before anything is trained, what could not be saved or would replace what this command did not write."""
    from cosent_lib.encoders.base import check_replaceable
    from cosent_lib.training.checkpoints import foreign_entries

    try:
        check_replaceable(output)
    except ValueError as error:
        raise ValueError(f"--output {error}") from error
    there = next(place for place in (output, *output.absolute().parents) if place.exists())
    if not there.is_dir():
        raise ValueError(f"--output {output}: {there} is a file, not a folder")
    if not os.access(there, os.W_OK):
        raise ValueError(f"--output {output}: {there} cannot be written to")
    if saving.exists() and not saving.is_dir():
        raise ValueError(f"{saving} is a file; checkpoints go into a folder of that name: move it, or change --output")
    if foreign := foreign_entries(saving):
        raise ValueError(f"{saving} holds what is no checkpoint: {', '.join(foreign[:5])}; move it, or change --output")


def _check_checkpoints(saving: Path, resume: bool) -> None:
    """Refuse to begin over a run that could be gone on with, and to go on with none."""
    from cosent_lib.training.checkpoints import latest_checkpoint

    checkpoint = latest_checkpoint(saving)
    if resume and checkpoint is None:
        raise ValueError(f"--resume: no checkpoint in {saving}; leave --resume out to begin")
    if checkpoint is not None and not resume:
        raise ValueError(f"{saving} holds an unfinished run: go on with --resume, or delete it to begin again")
