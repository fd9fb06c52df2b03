"""The command line: ``python -m cosent_lib COMMAND``; ``--help`` explains each with examples.

A user's mistake gives one line on stderr and exit code 2, an interrupt 130; ``--debug`` shows the traceback.
"""

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from cosent_lib.printing import aligned, label_shares, metrics_table


def _examples(*calls: str) -> str:
    """Examples for a help page; the mark keeps their lines apart."""
    return "\b\nExamples:\n" + "\n".join(f"  python -m cosent_lib {call}" for call in calls)


app = typer.Typer(
    name="cosent_lib",
    help="Train, evaluate and compare sentence encoders with the losses of the book From Softmax to Ranking.",
    epilog="Every command explains itself: python -m cosent_lib train --help. "
    "Tasks need their files: set COSENT_DATA_DIR to a folder of TASK/SPLIT.tsv, or take builtin, or csv:FOLDER.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

TaskArgument = Annotated[
    str,
    typer.Argument(help="lcqmc, stsb_en, builtin … (all names: python -m cosent_lib data), or csv:FOLDER of your own."),
]
SourceOption = Annotated[str, typer.Option(help="Where pairs come from: auto, dir (COSENT_DATA_DIR), hub, builtin.")]
RangeOption = Annotated[
    str | None, typer.Option(help="Lowest and highest score of a csv: task, such as 0,5. They are scaled to [0, 1].")
]


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Train, evaluate and compare sentence encoders with the losses of the book From Softmax to Ranking."""


@app.command(
    epilog=_examples(
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
        loss_options=_given({"scale": scale, "margin": margin}) | _named(loss_option or []),
        training=_given(training | {"device": device, "precision": precision}),
        seed=seed,
        score_range=_range(score_range),
    )
    _finish(output, *perform(run, progress=progress))


@app.command(
    epilog=_examples(
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

    limits = _range(score_range)
    pairs = load_pairs(task, split, source, score_range=limits)
    fitting = None if threshold_split is None else load_pairs(task, threshold_split, source, score_range=limits)
    metrics = judge(load_encoder(encoder), pairs, fitting, progress=progress)
    typer.echo(f"{encoder} on {task} {split}: {len(pairs)} pairs")
    typer.echo(metrics_table({split: metrics}))


@app.command(epilog=_examples("data", "data lcqmc"))
def data(
    task: Annotated[str | None, typer.Argument(help="A task to describe; without it, the names of all.")] = None,
    source: SourceOption = "auto",
    score_range: RangeOption = None,
) -> None:
    """List the tasks, or say what a task's splits hold: rows and label shares."""
    from cosent_lib.data import TASKS

    if task is None:
        rows = [[name, item.language, ", ".join(item.splits), item.description] for name, item in TASKS.items()]
        typer.echo(aligned([["task", "language", "splits", "what it is"], *rows]))
        return
    from cosent_lib.data import load_pairs, split_names

    lines = [["split", "rows", "share of each label"]]
    for split in split_names(task):
        pairs = load_pairs(task, split, source, score_range=_range(score_range))
        lines.append([split, str(len(pairs)), label_shares(pairs["score"][:])])
    typer.echo(aligned(lines))


@app.command(epilog=_examples("benchmark spine --list", 'benchmark spine --only "lcqmc · static · cosent"'))
def benchmark(
    suite: Annotated[str, typer.Argument(help="Name of a suite, see cosent_lib/suites.py.")],
    only: Annotated[str, typer.Option(help="Only runs whose description contains this text.")] = "",
    list_runs: Annotated[bool, typer.Option("--list", help="Show which runs are recorded; run nothing.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Folder of the records.")] = None,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """Make the records of SUITE that are missing; stop it whenever you like and call it again."""
    from cosent_lib.benchmark import missing_runs, run_missing

    runs = _chosen(suite, only)
    missing = missing_runs(runs, folder)
    if list_runs:
        absent = {run.key for run in missing}
        typer.echo(aligned([["missing" if run.key in absent else "recorded", str(run)] for run in runs]))
    typer.echo(f"{suite}: {len(runs) - len(missing)} of {len(runs)} runs are recorded")
    if not list_runs:
        run_missing(missing, typer.echo, folder, progress)


@app.command(epilog=_examples("table spine", "table spine --format csv > spine.csv"))
def table(
    suite: Annotated[str, typer.Argument(help="Name of a suite, see cosent_lib/suites.py.")],
    form: Annotated[str, typer.Option("--format", help="md or csv.")] = "md",
    only: Annotated[str, typer.Option(help="Only runs whose description contains this text.")] = "",
    folder: Annotated[Path | None, typer.Option(help="Folder of the records.")] = None,
) -> None:
    """Spearman by task, encoder and loss: mean ± half-width of the 95 % t-interval over seeds."""
    from cosent_lib.benchmark import load_records
    from cosent_lib.benchmark import table as make_table

    runs = _chosen(suite, only)
    records = {record.run.key: record for record in load_records(suite, folder)}
    found = [records[run.key] for run in runs if run.key in records]
    typer.echo(make_table(found, form), nl=False)
    if len(found) < len(runs):
        typer.echo(f"{len(runs) - len(found)} of {len(runs)} runs have no record yet", err=True)
    if not only and (others := len(records) - len(found)):
        typer.echo(f"{others} records belong to runs that the suite no longer declares: not shown", err=True)


def _chosen(suite: str, only: str) -> list[Any]:
    from cosent_lib.suites import suite_runs

    runs = [run for run in suite_runs(suite) if only in str(run)]
    if not runs:
        raise ValueError(
            f"no run of suite {suite!r} contains {only!r}; see: python -m cosent_lib benchmark {suite} --list"
        )
    return runs


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


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


def _named(settings: list[str]) -> dict[str, Any]:
    """Settings given as name=value, the value as JSON (6, 0.5, true, ["u", "v"]) or else as text."""
    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise ValueError(f"--loss-option {setting!r}: expected name=value, such as num_labels=6")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    return found


def _range(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--score-range {text!r}: expected two numbers such as 0,5") from None
    return low, high


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 2 for a user's mistake, 130 for an interrupt."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given  # wherever it stands, before or after the command
    words = [word for word in given if word != "--debug"]
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn_in_one_line  # type: ignore[assignment]  # takes the same, and more
            code = app(words, prog_name="python -m cosent_lib", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except Exception as error:
        if debug or not _is_users(error):
            raise
        if type(error).__name__ == "NoArgsIsHelpError":  # no command given: its message is the help page
            typer.echo(error.format_message(), err=True)  # type: ignore[attr-defined]
            return 2
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        typer.echo(f"error: {' '.join(message.split())}", err=True)
        return 2
    if code == 130:
        typer.echo("interrupted: what was finished before is saved, the running part is not", err=True)
    return code if isinstance(code, int) else 0


def _warn_in_one_line(message: Warning | str, *_: Any) -> None:
    typer.echo(f"warning: {' '.join(str(message).split())}", err=True)


def _is_users(error: Exception) -> bool:
    """Whether an error comes from what the user asked for or gave, and its message is all there is to say."""
    names = {kind.__name__ for kind in type(error).__mro__}  # by name: no heavy import for a mistyped option
    return isinstance(error, (ValueError, OSError)) or bool(
        names & {"ClickException", "DataUnavailable", "EncoderUnavailable", "NonFiniteLoss", "RecordMissing"}
    )


if __name__ == "__main__":
    sys.exit(main())
