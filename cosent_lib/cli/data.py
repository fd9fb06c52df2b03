"""The commands data and data check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from cosent_lib.cli.layout import aligned, label_shares
from cosent_lib.cli.options import RangeOption, SourceOption, examples, score_limits

if TYPE_CHECKING:  # scipy
    from collections.abc import Mapping

    from cosent_lib.data.columns import Pairs
    from cosent_lib.evaluation.report import Summary

SHOWN = 20  # malformed rows that are listed
WORDS = (
    "ceiling: the largest Spearman that untied scores can reach. ties: pairs of rows with equal labels, which demand "
    "no order. repeated: rows whose two texts, in either order, stood together before. contradictory: pairs of texts "
    "with more than one label. seen before: pairs and sentences that another split has."
)


class _ShowUnlessCheck(TyperGroup):
    """Takes what follows ``data`` for the arguments of its command ``show``, unless it names a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not {*args[:1]} & {*self.commands, "--help"}:
            args = ["show", *args]
        return super().parse_args(ctx, args)


commands = typer.Typer()
EXAMPLES = examples("cosent", "data", "data lcqmc", "data check my.tsv --score-range 0,5")
data = typer.Typer(cls=_ShowUnlessCheck, epilog=EXAMPLES)
commands.add_typer(data, name="data", help="List the tasks, say what a task's splits hold, or check your own file.")


@data.command()
def show(
    task: Annotated[str | None, typer.Argument(help="A task to describe; without it, the names of all.")] = None,
    source: SourceOption = "auto",
    score_range: RangeOption = None,
) -> None:
    """List the tasks, or say what a task's splits hold (the word show can be left out)."""
    from cosent_lib.data.load import load_pairs, split_names
    from cosent_lib.data.tasks import TASKS

    if task is None:
        rows = [[name, item.language, ", ".join(item.splits), item.description] for name, item in TASKS.items()]
        typer.echo(aligned([["task", "language", "splits", "what it is"], *rows]))
        return
    limits = score_limits(score_range)
    _show({split: load_pairs(task, split, source, score_range=limits) for split in split_names(task)})


@data.command()
def check(
    file: Annotated[Path, typer.Argument(help="Your .tsv or .csv (or .gz of it), or a folder of SPLIT.tsv.")],
    score_range: RangeOption = None,
    encoder: Annotated[
        str | None, typer.Option(help="Say how many texts it would cut: minilm, small, a folder or a hub id.")
    ] = None,
) -> None:
    """Check every row of your own file, or of each split of a folder (exit code 2 for malformed rows, or none)."""
    from cosent_lib.data.load import check_own

    limits = score_limits(score_range)
    checked = check_own(str(file), limits)
    for checker in checked.values():
        verdict = f"{len(checker.bad)} malformed" if checker.bad else "all well formed"
        verdict = verdict if checker.columns["score"] or checker.bad else "nothing to train or evaluate on"
        typer.echo(f"{checker.path}: {len(checker.columns['score']) + len(checker.bad)} rows, {verdict}")
        for error in checker.bad[:SHOWN]:
            typer.echo("  " + str(error).removeprefix(f"{checker.path}: "))
        if len(checker.bad) > SHOWN:
            typer.echo(f"  and {len(checker.bad) - SHOWN} more")
        if limits is None and any("out of range" in error.problem for error in checker.bad):
            typer.echo("  Scores other than 0 to 1 need their range, for example --score-range 0,5")
    typer.echo()
    if good := {split: checker.columns for split, checker in checked.items() if checker.columns["score"]}:
        _show(good, advise=True)
        _show_cut(encoder, good)
    if any(checker.bad or not checker.columns["score"] for checker in checked.values()):
        raise typer.Exit(2)


def _show(splits: Mapping[str, Pairs], advise: bool = False) -> None:
    """Print counts a split, what the splits share, and advice."""
    from cosent_lib.evaluation.report import advice, summarise

    summaries = {split: summarise(pairs) for split, pairs in splits.items()}
    typer.echo(aligned(_summary_lines(summaries)))
    if len(splits) > 1:
        typer.echo("\n" + aligned(_overlap_lines(splits)))
    typer.echo("\n" + WORDS)
    for split, summary in summaries.items() if advise else ():
        typer.echo("\n" + "\n".join([f"{split}:", *(f"- {line}" for line in advice(summary))]))


def _show_cut(name: str | None, splits: Mapping[str, Pairs]) -> None:
    """Say of each split how many texts the encoder cuts; a fresh one has its vocabulary from the first split."""
    from cosent_lib.encoders.load import load_encoder
    from cosent_lib.texts import words_for_cut

    if name is None:
        return
    both = {split: [*pairs["sentence1"], *pairs["sentence2"]] for split, pairs in splits.items()}
    distinct = {split: list(dict.fromkeys(texts)) for split, texts in both.items()}
    encoder = load_encoder(name, next(iter(distinct.values())))
    typer.echo()
    for split, texts in distinct.items():
        cut = encoder.count_cut(texts)
        whole = f"{name} reads all {len(texts)} distinct texts whole"
        typer.echo(f"{split}: {words_for_cut(encoder, cut, len(texts), 'distinct texts') if cut else whole}")


def _summary_lines(summaries: Mapping[str, Summary]) -> list[list[str]]:
    """Lay out summaries as the cells of a table, split by split."""
    lines = [["split", "rows", "share of each label", "ceiling", "ties", "repeated", "contradictory"]]
    for split, item in summaries.items():
        ceiling = "–" if item.ceiling is None else f"{item.ceiling:.4f}"
        counts = [str(item.repeated), str(item.contradictory)]
        lines.append([split, str(item.rows), label_shares(item.labels), ceiling, f"{100 * item.tied:.1f} %", *counts])
    return lines


def _overlap_lines(splits: Mapping[str, Pairs]) -> list[list[str]]:
    """Lay out what each split shares with each later one."""
    from cosent_lib.evaluation.report import overlap

    lines = [["seen before", "pairs", "share of sentences"]]
    names = list(splits)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            shared = overlap(splits[first], splits[second])
            lines.append([f"{second} in {first}", str(shared.pairs), f"{100 * shared.sentences:.1f} %"])
    return lines
