"""The commands encode and search."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cosent_lib.cli.layout import aligned
from cosent_lib.cli.options import Interrupted, check_trained, examples

commands = typer.Typer()

EncoderArgument = Annotated[str, typer.Argument(help="Folder of a trained encoder; or minilm, or a hub id.")]
TextsArgument = Annotated[Path, typer.Argument(help="One text a line, or a .tsv or .csv with --column; UTF-8, or .gz.")]
ColumnOption = Annotated[str | None, typer.Option(help="The column of a .tsv or .csv that holds the texts.")]


@commands.command(
    epilog=examples(
        "cosent",
        "encode runs/mine texts.txt --output vectors.npy",
        "encode minilm faq.csv --column question --output faq.npy",
    )
)
def encode(
    encoder: EncoderArgument,
    texts: TextsArgument,
    output: Annotated[Path, typer.Option(help="The .npy file to write: one vector a text, in the file's order.")],
    column: ColumnOption = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts encoded at once.")] = 256,
    normalize: Annotated[bool, typer.Option("--normalize", help="Scale the vectors to length 1.")] = False,
    dtype: Annotated[Literal["float32", "float16"], typer.Option(help="Numbers in the file.")] = "float32",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what an interrupted call left.")] = False,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """Turn a file of texts into a file of vectors; both may be larger than memory. Every text is checked first.

    Beside the vectors stands OUTPUT.json, which says what encoder and texts they are of; search asks for it.
    """
    from cosent_lib.search import encode_file, unfinished
    from cosent_lib.training.errors import is_out_of_memory

    settings: dict[str, Any] = {"batch_size": batch_size, "normalize": normalize, "dtype": dtype}
    settings |= {"column": column, "resume": resume, "progress": progress}
    try:
        rows, unknown = encode_file(_loaded(encoder), texts, output, **settings)
    except (KeyboardInterrupt, OSError) as error:
        if not unfinished(output):
            raise
        kept = "the vectors so far are kept: the same call with --resume goes on"
        raise (OSError(f"{error}; {kept}") if isinstance(error, OSError) else Interrupted(kept)) from error
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        left = "".join(f"delete {part.name} and " for part in unfinished(output))
        advice = f"{left}call again with a smaller --batch-size than {batch_size}"
        raise ValueError(f"out of memory while encoding: {advice}") from error
    length = ", length 1" if normalize else ""
    typer.echo(f"saved: {output} ({rows} vectors, {dtype}{length}), and what they are of in {output.name}.json")
    if unknown:
        typer.echo(f"{unknown} of them say nothing: the encoder knows nothing in these texts", err=True)


@commands.command(epilog=examples("cosent", 'search runs/mine vectors.npy texts.txt "stop my subscription" --k 3'))
def search(
    encoder: EncoderArgument,
    vectors: Annotated[Path, typer.Argument(help="What encode wrote with the same encoder.")],
    texts: TextsArgument,
    query: Annotated[str, typer.Argument(help="Any text.")],
    k: Annotated[int, typer.Option(min=1, help="How many to show.")] = 5,
    column: ColumnOption = None,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Search vectors, too, that nothing says the encoder and texts of.")
    ] = False,
) -> None:
    """Show the texts whose vectors have the largest cosine with the query's; exact, vector by vector."""
    from cosent_lib.search import search_file

    hits = search_file(_loaded(encoder), vectors, texts, query, column=column, k=k, unchecked=unchecked)
    rows = [[str(rank), f"{cosine:.4f}", " ".join(text.split())] for rank, (cosine, text) in enumerate(hits, start=1)]
    typer.echo(aligned([["rank", "cosine", "text"], *rows]))


def _loaded(encoder: str) -> Any:
    """The encoder, on the GPU where there is one."""
    import torch

    from cosent_lib.encoders.load import load_encoder

    check_trained(encoder)
    return load_encoder(encoder).to("cuda" if torch.cuda.is_available() else "cpu")
