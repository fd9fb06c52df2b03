"""The commands benchmark and table."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cosent_lib.cli_options import examples
from cosent_lib.printing import aligned

commands = typer.Typer()


@commands.command(epilog=examples("benchmark spine --list", 'benchmark spine --only "lcqmc · static · cosent"'))
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


@commands.command(epilog=examples("table spine", "table spine --format csv > spine.csv"))
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
