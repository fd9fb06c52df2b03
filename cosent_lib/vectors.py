"""Files of vectors, and what stands beside them: of which encoder and which texts they are."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.files import read_json, replacing
from cosent_lib.version import __version__

FORMAT = "cosent_lib.vectors"
FORMAT_VERSION = 2
SEARCHED = 8192  # vectors read at once


def blocks(path: Path) -> Iterator[tuple[int, NDArray[np.floating]]]:
    """Yield the vectors of an ``.npy`` file in float64, and the number of the first of each block."""
    for start in range(0, len(mapped(path)), SEARCHED):  # mapped afresh: pages of one map would add up in memory
        yield start, np.lib.format.open_memmap(path, mode="r")[start : start + SEARCHED].astype(np.float64)


def mapped(path: Path) -> NDArray[np.floating]:
    """The vectors of an ``.npy`` file, read where they are looked at."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file of vectors")
    try:
        stored = np.lib.format.open_memmap(path, mode="r")
    except ValueError as error:
        raise ValueError(f"{path} is not a whole .npy file: {error}") from error
    if stored.ndim != 2 or stored.dtype.kind != "f":
        raise ValueError(f"{path} holds {stored.dtype} {list(stored.shape)}; expected floats [texts, dim]")
    return stored


def _measures(path: Path) -> dict[str, Any]:
    """Size, numbers and digest of a file of vectors, by which it is known again (a second for each gigabyte)."""
    stored = mapped(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"rows": stored.shape[0], "dim": stored.shape[1], "dtype": str(stored.dtype), "sha256": digest}


def beside(vectors: Path) -> Path:
    """The file that says what vectors are of."""
    return vectors.with_name(f"{vectors.name}.json")


def said_of(vectors: Path) -> dict[str, Any]:
    """What stands beside vectors; ``ValueError`` where that is not what this version of encode writes."""
    path = beside(vectors)
    said = read_json(path)
    if (found := (said.get("format"), said.get("format_version"))) != (FORMAT, FORMAT_VERSION):
        raise ValueError(
            f"{path} is not what encode writes beside its vectors: it says {found}, expected "
            f"{(FORMAT, FORMAT_VERSION)}; encode the texts anew, to another file"
        )
    return said


def write_beside(encoder: SentenceEncoder, written: Path, vectors: Path, more: Mapping[str, Any]) -> None:
    """Write beside ``vectors``, which are still called ``written``, what they are of."""
    head = {"format": FORMAT, "format_version": FORMAT_VERSION, "written_by": f"cosent_lib {__version__}"}
    of = {"encoder": str(getattr(encoder, "name", "")), "fingerprint": encoder.fingerprint()}
    with replacing(beside(vectors)) as file:
        file.write(json.dumps({**head, **of, **more, **_measures(written)}, indent=2, ensure_ascii=False) + "\n")


def check_vectors(encoder: SentenceEncoder, vectors: Path, unchecked: bool) -> str | None:
    """Refuse vectors of another encoder; return the digest of their texts, None where nothing is known of them."""
    measures = _measures(vectors)
    if not beside(vectors).exists():
        if unchecked:
            return None
        raise ValueError(
            f"{vectors} has no {beside(vectors).name} beside it, which says of what encoder and texts it is: encode "
            "the texts anew, or search it as it is with unchecked=True (--unchecked)"
        )
    said = said_of(vectors)
    if any(said.get(name) != value for name, value in measures.items()):
        raise ValueError(f"{vectors} is not the file that {beside(vectors)} was written for: encode the texts anew")
    if said.get("fingerprint") != (mine := encoder.fingerprint()):
        theirs, name = str(said.get("fingerprint"))[:12], getattr(encoder, "name", "")
        raise ValueError(
            f"{vectors} was made by another encoder than this one, or before it was trained further: {theirs} "
            f"({said.get('encoder')}), not {mine[:12]} ({name}); encode the texts anew with this one"
        )
    return str(said.get("texts"))
