"""The commands encode and search."""

import typer

commands = typer.Typer()
