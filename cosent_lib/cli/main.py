"""The commands of ``cosent``; ``--help`` explains each with examples."""

from cosent_lib.cli import data, encode, evaluate, export, train
from cosent_lib.cli.run import make_app, run

app = make_app(
    "cosent",
    "Train, evaluate and use sentence encoders with the losses of the book From Softmax to Ranking.",
    "Every command explains itself: cosent train --help. "
    "Tasks need their files: set COSENT_DATA_DIR to a folder of TASK/SPLIT.tsv, or take builtin, or csv:FOLDER.",
)
for part in (data, train, evaluate, encode, export):
    app.add_typer(part.commands)


def main(arguments: list[str] | None = None) -> int:
    """Run one command of ``cosent`` and return its exit code; see `cosent_lib.cli.run.run`."""
    return run(app, "cosent", arguments, several=("train",))
