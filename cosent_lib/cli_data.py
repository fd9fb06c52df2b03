"""The command data."""

from typing import Annotated

import typer

from cosent_lib.cli_options import RangeOption, SourceOption, examples, score_limits
from cosent_lib.printing import aligned, label_shares

commands = typer.Typer()


@commands.command(epilog=examples("data", "data lcqmc"))
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
        pairs = load_pairs(task, split, source, score_range=score_limits(score_range))
        lines.append([split, str(len(pairs)), label_shares(pairs["score"][:])])
    typer.echo(aligned(lines))
