"""The command data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cosent_lib.cli_options import RangeOption, SourceOption, examples, score_limits
from cosent_lib.printing import aligned

if TYPE_CHECKING:
    from cosent_lib.data_files import Columns

commands = typer.Typer()
SHOWN = 20  # malformed rows that are listed
WORDS = (
    "ceiling: the largest Spearman that untied scores can reach. ties: pairs of rows with equal labels, which demand "
    "no order. repeated: rows whose two texts, in either order, stood together before. contradictory: pairs of texts "
    "with more than one label. seen before: pairs and sentences that another split has."
)


@commands.command(epilog=examples("data", "data lcqmc", "data check my.tsv --score-range 0,5"))
def data(
    task: Annotated[
        str | None, typer.Argument(help="A task to describe, or the word check; without it, the names of all.")
    ] = None,
    file: Annotated[
        Path | None, typer.Argument(help="After check: your .tsv or .csv (or .gz of it), or a folder of SPLIT.tsv.")
    ] = None,
    source: SourceOption = "auto",
    score_range: RangeOption = None,
) -> None:
    """List the tasks, say what a task's splits hold, or check your own file (exit code 2 for malformed rows)."""
    from cosent_lib.data import TASKS, load_pairs, split_names

    if task == "check":
        _check(file, score_limits(score_range))
    elif file is not None:
        raise ValueError(f"unexpected {str(file)!r}; did you mean: python -m cosent_lib data check {file}")
    elif task is None:
        rows = [[name, item.language, ", ".join(item.splits), item.description] for name, item in TASKS.items()]
        typer.echo(aligned([["task", "language", "splits", "what it is"], *rows]))
    else:
        from cosent_lib.data_report import columns_of

        limits = score_limits(score_range)
        _show({split: columns_of(load_pairs(task, split, source, score_range=limits)) for split in split_names(task)})


def _show(splits: "dict[str, Columns]", advise: bool = False) -> None:
    """Print counts a split, what the splits share, and advice."""
    from cosent_lib.data_report import advice, overlap_lines, summarise, summary_lines

    summaries = {split: summarise(columns) for split, columns in splits.items()}
    typer.echo(aligned(summary_lines(summaries)))
    if len(splits) > 1:
        typer.echo("\n" + aligned(overlap_lines(splits)))
    typer.echo("\n" + WORDS)
    for split, summary in summaries.items() if advise else ():
        typer.echo("\n" + "\n".join([f"{split}:", *(f"- {line}" for line in advice(summary))]))


def _check(place: Path | None, limits: tuple[float, float] | None) -> None:
    """Check every row of a file, or of each split of a folder."""
    from cosent_lib.data import check_own

    if place is None:
        raise ValueError("check what? Expected a file: python -m cosent_lib data check my.tsv")
    checked = check_own(str(place), limits)
    for checker in checked.values():
        found = f"{len(checker.bad)} malformed" if checker.bad else "all well formed"
        typer.echo(f"{checker.path}: {len(checker.columns.score) + len(checker.bad)} rows, {found}")
        for error in checker.bad[:SHOWN]:
            typer.echo("  " + str(error).removeprefix(f"{checker.path}: "))
        if len(checker.bad) > SHOWN:
            typer.echo(f"  and {len(checker.bad) - SHOWN} more")
        if limits is None and any("out of range" in error.problem for error in checker.bad):
            typer.echo("  Scores other than 0 to 1 need their range, for example --score-range 0,5")
    typer.echo()
    if good := {split: checker.columns for split, checker in checked.items() if checker.columns.score}:
        _show(good, advise=True)
    if any(checker.bad for checker in checked.values()):
        raise typer.Exit(2)
