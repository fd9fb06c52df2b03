"""The command line: ``python -m cosent_lib COMMAND``; ``--help`` explains each with examples.

A user's mistake gives one line on stderr and exit code 2, an interrupt 130; ``--debug`` shows the traceback.
"""

import sys
import warnings
from typing import Annotated, Any

import typer

from cosent_lib import cli_data, cli_encode, cli_evaluate, cli_suites, cli_train
from cosent_lib.cli_options import Interrupted

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
for part in (cli_data, cli_train, cli_evaluate, cli_encode, cli_suites):
    app.add_typer(part.commands)


USERS_ERRORS = {
    "ClickException", "DataUnavailable", "EncoderUnavailable", "NonFiniteLoss", "OutOfMemory", "RecordMissing",
    "RunsFailed",
}  # fmt: skip


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Train, evaluate and compare sentence encoders with the losses of the book From Softmax to Ranking."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 2 for a user's mistake, 130 for an interrupt."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given  # wherever it stands, before or after the command
    words = [word for word in given if word != "--debug"]
    kept = "what was finished before is saved, the running part is not"
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn_in_one_line  # type: ignore[assignment]  # takes the same, and more
            code = app(words, prog_name="python -m cosent_lib", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except Interrupted as stop:
        code, kept = 130, str(stop)
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
        typer.echo(f"interrupted: {kept}", err=True)
    return code if isinstance(code, int) else 0


def _warn_in_one_line(message: Warning | str, *_: Any) -> None:
    typer.echo(f"warning: {' '.join(str(message).split())}", err=True)


def _is_users(error: Exception) -> bool:
    """Whether an error comes from what the user asked for or gave, and its message is all there is to say."""
    names = {kind.__name__ for kind in type(error).__mro__}  # by name: no heavy import for a mistyped option
    return isinstance(error, (ValueError, OSError)) or bool(names & USERS_ERRORS)


if __name__ == "__main__":
    sys.exit(main())
