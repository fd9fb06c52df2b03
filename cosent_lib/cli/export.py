"""The command export."""

from pathlib import Path
from typing import Annotated

import typer

from cosent_lib.cli.options import check_trained, examples

commands = typer.Typer()


@commands.command("export", epilog=examples("cosent", "export runs/mine exported", "export minilm exported"))
def export_for_sentence_transformers(
    encoder: Annotated[str, typer.Argument(help="Folder of a trained encoder; or minilm, or a hub id.")],
    folder: Annotated[Path, typer.Argument(help="New folder to write.")],
) -> None:
    """Write an encoder as a folder for sentence-transformers: SentenceTransformer(FOLDER) gives the same vectors.

    With a model card: data, loss, settings and scores, from the record.json of its training where there is one. Needs
    sentence-transformers, which the extra of that name installs.
    """
    from cosent_lib.encoders.base import CONFIG_FILE
    from cosent_lib.encoders.load import ENCODERS, load_encoder
    from cosent_lib.files import read_json

    check_trained(encoder)
    try:
        from cosent_lib.sentence_transformers.export import DamagedRecord, export_encoder
    except ModuleNotFoundError as error:
        raise ValueError(
            f"export needs sentence-transformers ({error}): pip install 'cosent_lib[sentence-transformers]'"
        ) from error
    place = Path(encoder, "record.json")
    saved = encoder not in ENCODERS and Path(encoder, CONFIG_FILE).is_file()  # else a record there is another's
    record = read_json(place) if saved and place.is_file() else None
    try:
        export_encoder(load_encoder(encoder), folder, record)
    except DamagedRecord as error:
        raise ValueError(f"{place}: {error}") from error
    typer.echo(f"saved: {folder} (for sentence-transformers; README.md says what it is)")
