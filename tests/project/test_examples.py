"""Every example that a reader may copy: of Python it is run, of the command line it is one that the program takes.

What needs no real data is run, with its output compared, by ``test_own_task.py`` and ``test_readme.py``.
"""

import doctest
import importlib
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from cosent_book import cli as book_cli
from cosent_lib.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "chapters").glob("*.md"))]
PROGRAMS = {"cosent": app, "python -m cosent_lib": app, "python -m cosent_book": book_cli.app}
IN_USE = {"lcqmc"}  # tasks of the README whose data may not be here: their commands are only read


def commands_of(text: str) -> list[tuple[str, str]]:
    """Program and words of every command: after a ``$``, in ``code`` of one line, in the examples of a help page."""
    found = re.findall(r"^ *\$ (.*)$", text, re.M) + re.findall(r"`([^`\n]+)`", text)
    found += re.findall(r"^ +(.*)$", text.partition("Examples:")[2], re.M)
    split = [
        (program, line.removeprefix(program)) for line in found for program in PROGRAMS if line.startswith(program)
    ]
    return [(program, words) for program, words in split if words.startswith(" ") and words.split()[0][0] != "-"]


def help_pages(program: str) -> list[str]:
    """The epilogue of every command of a program, those of its groups as well."""

    def below(command: Any) -> list[str]:
        own = [command.epilog or ""]
        return own + [page for child in getattr(command, "commands", {}).values() for page in below(child)]

    return below(typer.main.get_command(PROGRAMS[program]))


SHOWN = sorted(
    {found for page in PAGES for found in commands_of(page.read_text(encoding="utf-8"))}
    | {found for program in PROGRAMS for page in help_pages(program) for found in commands_of(page)}
)


def take(program: str, words: list[str]) -> None:
    """Have a program read the words of a command, and do nothing; a command's name alone is only looked up.

    Raises:
        KeyError: it has no such command.
        Exception: an argument or option that the command does not take (a click exception, of whichever click).
    """
    command: Any = typer.main.get_command(PROGRAMS[program])
    while words and hasattr(command, "commands"):
        name, *rest = words
        if name not in command.commands and "show" in command.commands:  # cosent data TASK
            rest, name = words, "show"
        command, words = command.commands[name], rest
    if words:
        command.make_context(command.name, words)


@pytest.mark.parametrize(("program", "words"), SHOWN, ids=[f"{program}{words}" for program, words in SHOWN])
def test_a_command_that_is_shown_is_one_that_the_program_takes(program: str, words: str) -> None:
    take(program, shlex.split(words))


def test_commands_are_found_and_wrong_ones_refused() -> None:
    programs = [program for program, _ in SHOWN]
    assert programs.count("cosent") > 10
    assert "python -m cosent_book" in programs
    wrong = {
        "MissingParameter": ["train", "builtin"],
        "NoSuchOption": ["train", "builtin", "--output", "x", "--lambda", "20"],
        "BadParameter": ["search", "e", "v", "t", "q", "--k", "none"],
    }
    for name, words in wrong.items():
        with pytest.raises(Exception) as caught:  # noqa: PT011 — named below
            take("cosent", words)
        assert type(caught.value).__name__ == name
    with pytest.raises(KeyError):
        take("cosent", ["trian"])


def test_every_block_of_the_readme_is_run_by_a_test_or_needs_what_is_not_here() -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    for block in re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", text, re.M):
        place = text[: text.index(block)].rpartition("\n## ")[2].partition("\n")[0]
        commands = [shlex.split(words) for _, words in commands_of(block)]
        if re.search(r"^ {4}(?:from|import) ", block, re.M):
            assert place in ("In Python", "Your own task"), "test_readme.py and test_own_task.py run Python of these"
        elif commands and place != "Your own task":
            assert all(IN_USE & {*words} for words in commands), f"the commands of {place!r} are run by no test"


WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for house in ("cosent_lib", "cosent_book")
    for path in (ROOT / house).rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_of_docstrings_give_what_they_show(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    importlib.import_module(name)
    outcome = doctest.testmod(sys.modules[name])
    assert outcome.attempted
    assert outcome.failed == 0, capsys.readouterr().out
