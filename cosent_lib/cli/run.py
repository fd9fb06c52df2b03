"""How a command line ends: exit codes, one line for a user's mistake, one for each warning."""

import io
import sys
import warnings
from collections.abc import Callable
from typing import Any

import typer

from cosent_lib.cli.options import Interrupted
from cosent_lib.errors import CosentError, check_launch, check_one_process, own_rank


def run(app: typer.Typer, name: str, arguments: list[str] | None = None, several: tuple[str, ...] = ()) -> int:
    """Run one command and return its exit code: 0, 2 for a user's mistake, 130 for an interrupt.

    A mistake is one line on stderr; ``--debug``, wherever it stands, shows the traceback instead.

    Args:
        app: the commands.
        name: what the user typed to get here, for help pages.
        arguments: without the program's name; those of this process unless given.
        several: commands that several processes of a launcher may carry out together; rank 0 speaks for all of them,
            others only of errors.
    """
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    words = [word for word in given if word != "--debug"]
    kept = "what was finished before is saved, the running part is not"
    for stream in (sys.stdout, sys.stderr):  # an output that has no λ or no 中 gets its code instead of an error
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        (check_launch if words[:1] and words[0] in several else check_one_process)()
        with warnings.catch_warnings():
            warnings.showwarning = _once_in_one_line()
            code = app(words, prog_name=name, standalone_mode=False)
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
        rank = f"rank {own_rank()}: " if own_rank() else ""
        typer.echo(f"error: {rank}{_message(error)}", err=True)
        return 2
    if code == 130 and own_rank() == 0:
        typer.echo(f"interrupted: {kept}", err=True)
    return code if isinstance(code, int) else 0


def make_app(name: str, purpose: str, epilog: str) -> typer.Typer:
    """Make an application with the option ``--debug`` and no commands yet.

    Args:
        name: of the program.
        purpose: a sentence for its help page.
        epilog: what stands below the list of commands there.
    """
    plain: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}
    app = typer.Typer(name=name, help=purpose, epilog=epilog, no_args_is_help=True, **plain)

    @app.callback(help=purpose)
    def options(debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error.")) -> None:
        """Nothing to do here: `run` reads ``--debug`` wherever it stands."""

    return app


def _message(error: Exception) -> str:
    """The message of an error with the notes that were added on its way, in one line."""
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    return " ".join("; ".join([message, *getattr(error, "__notes__", [])]).split())


def _once_in_one_line() -> Callable[..., None]:
    """Show a warning as one line, and the same one never again."""
    said = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        if (line := " ".join(str(message).split())) not in said and own_rank() == 0:
            said.add(line)
            typer.echo(f"warning: {line}", err=True)

    return show


def _is_users(error: Exception) -> bool:
    """Whether an error comes from what the user asked for or gave, and its message is all there is to say."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, (CosentError, ValueError, OSError)) or "ClickException" in kinds
