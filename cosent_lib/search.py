"""Files of texts → files of vectors, and exact search in them; neither file needs to fit into memory."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from cosent_lib.data.files import MalformedFile, MalformedRow, kind_of, lines_of, rows_of, undecoded
from cosent_lib.encoders.base import SentenceEncoder

CHUNK = 16  # batches that are encoded, written and held in memory at once
SEARCHED = 8192  # vectors compared with the query at once


def read_texts(path: Path, column: str | None = None) -> Iterator[str]:
    r"""Yield the texts of a file one by one: a line each, or a column of a ``.tsv`` or ``.csv``; all also as ``.gz``.

    Lines end at ``\n`` or ``\r\n``; empty lines at the end of the file are no texts.

    Raises:
        MalformedRow: an empty text, bytes that are not UTF-8, a wrong number of fields.
        MalformedFile: a broken gzip file, wrong quotation marks, a header without ``column``.
        ValueError: no such file; ``column`` is missing for a table or given for another file.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file of texts")
    if (kind_of(path) in (".tsv", ".csv")) != (column is not None):
        problem = "a table: name its column of texts with --column" if column is None else "no .tsv or .csv: no columns"
        raise ValueError(f"{path} is {problem}")
    for number, text in lines_of(path) if column is None else _column(path, column):
        if wrong := undecoded(text):
            raise MalformedRow(str(path), number, "bytes that are not UTF-8", wrong, "text encoded as UTF-8")
        if not text or text.isspace():
            raise MalformedRow(str(path), number, "empty text", text, "a text that is not only white space")
        yield text


def _column(path: Path, column: str) -> Iterator[tuple[int, str]]:
    """Yield the line where each row begins and its field of that name."""
    rows = rows_of(path)
    names = [name.strip() for name in next(rows)[1]]
    if names.count(column) != 1:
        raise MalformedFile(str(path), f"the first line must name the column {column!r} once, it holds {names!r}")
    for number, fields in rows:
        if len(fields) != len(names):
            expected = f"{len(names)} ({', '.join(names)})"
            raise MalformedRow(str(path), number, f"{len(fields)} field(s)", "\t".join(fields), expected)
        yield number, fields[names.index(column)]


def unfinished(output: Path) -> list[Path]:
    """The files that interrupted calls of `encode_file` left beside ``output``."""
    return [path for path in output.parent.glob("*.part") if path.name.startswith(f"{output.name}.")]


def encode_file(
    encoder: SentenceEncoder,
    texts: Path,
    output: Path,
    *,
    column: str | None = None,
    batch_size: int = 256,
    normalize: bool = False,
    dtype: str = "float32",
    resume: bool = False,
    progress: bool = False,
) -> tuple[int, int]:
    """Encode a file of texts (`read_texts`) into an ``.npy`` file of vectors ``[texts, dim]``, in the file's order.

    The file is read twice: once to check and count every text, once to encode. Vectors are appended to
    ``OUTPUT.KEY.part``, renamed at the end; KEY is a hash of texts, encoder and options, so that ``resume`` continues
    only what is the same, and ends with the same bytes (on the same machine). Not through a memory map: on a full disk
    that would end in a bus error.

    Returns:
        How many vectors, and how many of them are zero (an encoder that knows nothing in the text).

    Raises:
        ValueError: bad texts or none, an output that exists or has no room on the disk, something unfinished beside it
            (or, with ``resume``, nothing, or another), a vector that is not finite in ``dtype``.
        OSError: writing failed; ``resume`` goes on once it can.
    """
    if output.exists():
        raise ValueError(f"{output} exists; delete it or name another output")
    options, kind = (batch_size, normalize, dtype), np.dtype(dtype)
    if (left := unfinished(output)) and not resume:
        raise ValueError(f"{left[0]} was left by an interrupted run: go on with --resume, or delete it")
    rows, key = _counted(encoder, read_texts(texts, column), repr(options), progress)
    if not rows:
        raise MalformedFile(str(texts), "no texts")
    part = output.with_name(f"{output.name}.{key}.part")
    if resume and part not in left:
        there = f"{left[0]} is of other texts, another encoder or other options" if left else "no unfinished file"
        raise ValueError(f"{output}: nothing to resume: {there}")
    output.parent.mkdir(parents=True, exist_ok=True)
    needed = rows * encoder.dim * kind.itemsize - (part.stat().st_size if resume else 0)
    if needed > (free := shutil.disk_usage(output.parent).free):
        raise ValueError(f"{output} needs {needed / 1e6:.3g} MB more; its disk has {free / 1e6:.3g} MB")
    with part.open("r+b" if resume else "xb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": (rows, encoder.dim)}
        np.lib.format.write_array_header_1_0(file, header)
        start, size, width = file.tell(), batch_size * CHUNK, encoder.dim * kind.itemsize
        done = (file.seek(0, os.SEEK_END) - start) // (width * size) * size  # whole chunks only
        file.truncate(file.seek(start + done * width))
        waiting = islice(read_texts(texts, column), done, None)
        with tqdm(total=rows, initial=done, desc="encode", unit="text", disable=not progress) as bar:
            while chunk := list(islice(waiting, size)):
                file.write(_vectors(encoder, chunk, *options).data)
                bar.update(len(chunk))
                done += len(chunk)
        os.fsync(file.fileno())
    if done != rows:
        raise ValueError(f"{texts} changed while it was encoded: {rows} texts, then {done}; delete {part}")
    zero = sum(int((~block.any(axis=1)).sum()) for _, block in _blocks(part))
    part.replace(output)
    return rows, zero


def _counted(encoder: SentenceEncoder, texts: Iterator[str], options: str, progress: bool) -> tuple[int, str]:
    """Check every text; return their number and a hash of texts, encoder and options."""
    rows, digest = 0, hashlib.sha256(f"{options} {json.dumps(encoder.settings())}".encode())
    for tensor in encoder.state_dict().values():
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    for text in tqdm(texts, desc="check", unit="text", delay=1, disable=not progress):
        digest.update(f"{text}\n".encode())
        rows += 1
    return rows, digest.hexdigest()[:12]


def _vectors(
    encoder: SentenceEncoder, texts: Sequence[str], batch_size: int, normalize: bool, dtype: str
) -> NDArray[np.floating]:
    vectors = encoder.encode(texts, batch_size).numpy()
    if normalize:
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        vectors = vectors / np.where(lengths == 0, 1, lengths)
    with np.errstate(over="ignore"):  # too large for float16: told by the next line
        written = np.ascontiguousarray(vectors, dtype=dtype)
    if (wrong := np.flatnonzero(~np.isfinite(written).all(axis=1))).size:
        raise ValueError(f"the vector of {texts[wrong[0]][:80]!r} is not finite in {dtype}")
    return written


def _blocks(path: Path) -> Iterator[tuple[int, NDArray[np.floating]]]:
    """Yield the vectors of an ``.npy`` file in float64, and the number of the first of each block."""
    try:
        stored = np.lib.format.open_memmap(path, mode="r")
    except ValueError as error:
        raise ValueError(f"{path} is not a whole .npy file: {error}") from error
    if stored.ndim != 2 or stored.dtype.kind != "f":
        raise ValueError(f"{path} holds {stored.dtype} {list(stored.shape)}; expected floats [texts, dim]")
    for start in range(0, len(stored), SEARCHED):  # mapped afresh: pages of one map would add up in memory
        yield start, np.lib.format.open_memmap(path, mode="r")[start : start + SEARCHED].astype(np.float64)


def search_file(
    encoder: SentenceEncoder, vectors: Path, texts: Path, query: str, *, column: str | None = None, k: int = 5
) -> list[tuple[float, str]]:
    """Cosine and text of the ``k`` vectors nearest to the query's; exact, equal cosines in the file's order.

    Raises:
        ValueError: vectors that are no ``[n, encoder.dim]`` finite floats, another number of texts than of vectors
            (or what `read_texts` raises), a query without a vector.
    """
    wanted = encoder.encode([query])[0].numpy().astype(np.float64)
    if not (length := np.linalg.norm(wanted)):
        raise ValueError(f"the encoder knows nothing in the query {query!r}: its vector is zero")
    rows, cosines, total = np.empty(0, dtype=np.int64), np.empty(0), 0
    for total, block in _blocks(vectors):
        if block.shape[1] != encoder.dim or not np.isfinite(block).all():
            raise ValueError(f"{vectors}: expected finite vectors of {encoder.dim} numbers, got {block.shape[1]}")
        lengths = np.linalg.norm(block, axis=1) * length
        cosines = np.append(cosines, block @ wanted / np.where(lengths == 0, 1, lengths))
        rows = np.append(rows, np.arange(total, total + len(block)))
        best = np.lexsort((rows, -cosines))[:k]
        rows, cosines, total = rows[best], cosines[best], total + len(block)
    hits, count = dict.fromkeys(rows.tolist(), ""), 0
    for count, text in enumerate(read_texts(texts, column), start=1):
        if count - 1 in hits:
            hits[count - 1] = text
    if count != total:
        raise ValueError(f"{texts} has {count} texts, {vectors} {total} vectors; expected the file that was encoded")
    return list(zip(cosines.tolist(), hits.values(), strict=True))
