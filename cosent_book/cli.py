"""The command line of the experiments: benchmark, verify, measure, speed and table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cosent_lib.cli.layout import aligned
from cosent_lib.cli.options import examples
from cosent_lib.cli.run import make_app, run

PROGRAM = "python -m cosent_book"
app = make_app(
    "cosent_book",
    "Make, check and tabulate the recorded experiments of the book From Softmax to Ranking.",
    f"Every command explains itself: {PROGRAM} benchmark --help. "
    "Suites need their data: set COSENT_DATA_DIR to a folder of TASK/SPLIT.tsv.",
)

EncoderOption = Annotated[
    str | None,
    typer.Option(
        help="Folder or hub id of an encoder in the place of the suite's own (suite paper).", show_default=False
    ),
]


BENCHMARKS = (
    "benchmark main --list",
    'benchmark main --only "lcqmc · static · cosent"',
    "benchmark paper --encoder google-bert/bert-base-multilingual-cased",
)


@app.command(epilog=examples(PROGRAM, *BENCHMARKS))
def benchmark(
    suite: Annotated[str, typer.Argument(help="Name of a suite, see cosent_book/suites/plan.py.")],
    only: Annotated[str, typer.Option(help="Only runs whose description contains this text.")] = "",
    encoder: EncoderOption = None,
    list_runs: Annotated[bool, typer.Option("--list", help="Show which runs are recorded; run nothing.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Folder of the records.")] = None,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """Make the records of SUITE that are missing; stop it whenever you like and call it again."""
    from cosent_book.records import load_records, missing_runs
    from cosent_book.runner import require_encoders, run_missing
    from cosent_book.suites.plan import plan

    recorded = load_records(suite, folder)
    runs, undecided = plan(suite, recorded, only, encoder)
    _some(suite, only, runs)
    missing = missing_runs(runs, recorded)
    if list_runs:
        absent = {run.key for run in missing}
        typer.echo(aligned([["missing" if run.key in absent else "recorded", str(run)] for run in runs]))
    typer.echo(f"{suite}: {len(runs) - len(missing)} of {len(runs) + undecided} runs are recorded")
    if undecided:
        typer.echo(f"{undecided} of them wait for a choice on validation")
    if not list_runs:
        require_encoders(missing)
        run_missing(suite, lambda recorded: plan(suite, recorded, only, encoder), typer.echo, folder, progress)


@app.command(epilog=examples(PROGRAM, "verify main", 'verify main --count 3 --only "static" --seed 7'))
def verify(
    suite: Annotated[str, typer.Argument(help="Name of a suite, see cosent_book/suites/plan.py.")],
    count: Annotated[int, typer.Option(help="How many records.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    only: Annotated[str, typer.Option(help="Draw among runs whose description contains this text.")] = "",
    folder: Annotated[Path | None, typer.Option(help="Folder of the records.")] = None,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = False,
) -> None:
    """Carry out some recorded runs of SUITE again, drawn at random, and compare; exit code 1 where one differs.

    Data, steps and metrics (to twelve decimal places) are compared; they come out again with the same packages on the
    same kind of processor. The records stay as they are.
    """
    from cosent_book import verification

    drawn = verification.draw(suite, count, seed, only, folder)
    typer.echo(f"{suite}: {len(drawn)} records, drawn with seed {seed}")
    same = 0
    for verdict in verification.verify(drawn, progress):
        verification.report(verdict, typer.echo)
        same += not verdict.differences
    typer.echo(f"{same} of {len(drawn)} runs gave what is recorded")
    if same < len(drawn):
        raise typer.Exit(1)


@app.command(epilog=examples(PROGRAM, "measure --list", "measure pair_statistics"))
def measure(
    name: Annotated[
        str, typer.Argument(help="Name of a measurement, see cosent_book/measurements/registry.py; all by default.")
    ] = "",
    list_only: Annotated[bool, typer.Option("--list", help="Show which are recorded; measure nothing.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Folder of the records.")] = None,
) -> None:
    """Make the records of measurements that are missing; stop it whenever you like and call it again."""
    from cosent_book.measurements.registry import declared, missing_measurements, take

    missing = missing_measurements(name, folder)
    wanted = declared(name)
    typer.echo(f"{len(wanted) - len(missing)} of {len(wanted)} measurements are recorded")
    for number, (which, arguments) in enumerate(missing, start=1):
        typer.echo(f"[{number} of {len(missing)}] {which} {' '.join(f'{k}={v}' for k, v in arguments.items())}")
        if not list_only:
            typer.echo(f"    {take(which, arguments, folder)}")


@app.command(epilog=examples(PROGRAM, "speed", "speed --only loss", "speed --output here.json"))
def speed(
    only: Annotated[str, typer.Option(help="loss, train or encode; all by default.")] = "",
    output: Annotated[Path | None, typer.Option(help="Write the result here, not to cosent_book/results.")] = None,
) -> None:
    """Time loss, training and encoding beside sentence-transformers, in turns; write the ratios with the machine."""
    from cosent_book.speed import PARTS, RESULT, measure_speed, record_speed
    from cosent_lib.errors import choose

    if only:
        choose("part", only, PARTS)
    for part in [only] if only else PARTS:  # each is kept as soon as it is there
        record_speed(measure_speed([part], typer.echo), output or RESULT)


@app.command(epilog=examples(PROGRAM, "table builtin", "table main --baseline 'CoSENT, λ = 20' --published"))
def table(
    suite: Annotated[str, typer.Argument(help="Name of a suite, see cosent_book/suites/plan.py.")],
    form: Annotated[str, typer.Option("--format", help="md or csv.")] = "md",
    only: Annotated[str, typer.Option(help="Only rows whose description contains this text.")] = "",
    baseline: Annotated[str | None, typer.Option(help="A row to compare the others with, by its name.")] = None,
    published: Annotated[bool, typer.Option(help="Published results of the same tasks in a table below.")] = False,
    encoder: EncoderOption = None,
    folder: Annotated[Path | None, typer.Option(help="Folder of the records.")] = None,
) -> None:
    """Spearman by task, encoder and loss: mean ± half-width of the 95 % t-interval over seeds."""
    from cosent_book.records import load_records
    from cosent_book.suites.plan import plan, reported, rows
    from cosent_book.tables import published_table
    from cosent_book.tables import table as make_table

    records = load_records(suite, folder)
    declared = rows(suite, only, encoder)
    _some(suite, only, declared)
    found = [
        (row.label, [records[run.key] for run in reported(row, records, only) if run.key in records])
        for row in declared
    ]
    typer.echo(make_table(found, form, baseline), nl=False)
    if published:
        tasks = list(dict.fromkeys(group[0].run.task for _, group in found if group))
        typer.echo("\n" + published_table(tasks, form), nl=False)
    runs, undecided = plan(suite, records, only, encoder)
    if absent := undecided + sum(run.key not in records for run in runs):
        typer.echo(f"{absent} of {len(runs) + undecided} runs have no record yet", err=True)
    if not only and encoder is None and (others := records.keys() - {run.key for run in runs}):
        typer.echo(f"{len(others)} records belong to runs that the suite no longer declares: not shown", err=True)


def _some(suite: str, only: str, found: Sequence[Any]) -> None:
    if not found:
        raise ValueError(
            f"no run of suite {suite!r} contains {only!r}; see: python -m cosent_book benchmark {suite} --list"
        )


def main(arguments: list[str] | None = None) -> int:
    """Run one command of ``python -m cosent_book`` and return its exit code; see `cosent_lib.cli.run.run`."""
    return run(app, PROGRAM, arguments)
