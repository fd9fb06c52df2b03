"""Files of texts → files of vectors, and exact search in them; neither file needs to fit into memory.

Beside its vectors, ``v.npy``, `encode_file` leaves ``v.npy.json``: which encoder and which texts they are of.
"""

import hashlib
import math
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from cosent_lib.data.files import MalformedFile, MalformedRow, kind_of, lines_of, rows_of, undecoded
from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.errors import check_gives_vectors, check_number, choose
from cosent_lib.texts import check_text, fault_of, silent_about_cut, warn_of_cut
from cosent_lib.vectors import beside, blocks, check_vectors, said_of, write_beside

CHUNK = 16  # batches that are encoded, written and held in memory at once
NO_TEXT = (".json", ".jsonl", ".ndjson", ".parquet", ".xlsx", ".xls", ".npy", ".npz", ".pkl", ".zip", ".safetensors")
DTYPES = ("float32", "float16", "float64")
LOST = 0.01  # share of a vector's length by which it may change when it is written


def read_texts(path: Path, column: str | None = None) -> Iterator[str]:
    r"""Yield the texts of a file one by one: a line each, or a column of a ``.tsv`` or ``.csv``; all also as ``.gz``.

    Lines end at ``\n`` or ``\r\n``; empty lines at the end of the file are no texts.

    Raises:
        MalformedRow: an empty text, bytes that are not UTF-8, a wrong number of fields.
        MalformedFile: a broken gzip file, wrong quotation marks, a header without ``column``, JSON and the like.
        ValueError: no such file; ``column`` is missing for a table or given for another file.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file of texts")
    if (kind_of(path) in (".tsv", ".csv")) != (column is not None):
        problem = "a table: name its column of texts with --column" if column is None else "no .tsv or .csv: no columns"
        raise ValueError(f"{path} is {problem}")
    if kind_of(path) in NO_TEXT:
        expected = "expected a text a line, or a .tsv or .csv and its column"
        raise MalformedFile(str(path), f"this is a {kind_of(path)} file; {expected}")
    for number, text in lines_of(path) if column is None else _column(path, column):
        if wrong := undecoded(text):
            raise MalformedRow(str(path), number, "bytes that are not UTF-8", wrong, "text encoded as UTF-8")
        if fault := fault_of("the text", text):
            raise MalformedRow(str(path), number, fault[0], text, fault[1])
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

    The file is read twice: once to check and count every text, once to encode. A `TextsCutWarning` says after the first
    reading how many texts the encoder cuts. Vectors are appended to
    ``OUTPUT.KEY.part``, renamed at the end; KEY is a hash of texts, encoder and options, so that ``resume`` continues
    only what is the same, and ends with the same bytes (on the same machine); chunks whose digests, in
    ``OUTPUT.KEY.part.sums``, say that they were damaged are encoded again, with a warning. Not through a memory map: on
    a full disk that would end in a bus error. ``OUTPUT.json`` then says what the vectors are of, for `search_file`.

    Returns:
        How many vectors, and how many of them say nothing (`SentenceEncoder.count_unknown`).

    Raises:
        ValueError: bad options, bad texts or none, an output that exists, cannot be or has no room on the disk,
            something unfinished beside it (or, with ``resume``, nothing, or another), a vector that ``dtype`` cannot
            hold.
        OSError: writing failed; ``resume`` goes on once it can.
    """
    check_gives_vectors(encoder)
    check_number("batch_size", batch_size, "a whole number of at least 1", 1, math.inf, whole=True)
    choose("dtype", dtype, DTYPES)
    left, options = unfinished(output), (batch_size, normalize, dtype)
    _check_output(output, left, resume)
    found = _checked(encoder, read_texts(texts, column), batch_size * CHUNK, progress)
    if not found.rows:
        raise MalformedFile(str(texts), "no texts")
    kind = np.dtype(dtype)
    key = hashlib.sha256(f"{options} {encoder.fingerprint()} {found.digest}".encode()).hexdigest()[:12]
    part = output.with_name(f"{output.name}.{key}.part")
    if resume and part not in left:
        there = f"{left[0]} is of other texts, another encoder or other options" if left else "no unfinished file"
        raise ValueError(f"{output}: nothing to resume: {there}")
    output.parent.mkdir(parents=True, exist_ok=True)
    needed = found.rows * encoder.dim * kind.itemsize - (part.stat().st_size if resume else 0)
    if needed > (free := shutil.disk_usage(output.parent).free):
        raise ValueError(f"{output} needs {needed / 1e6:.3g} MB more; its disk has {free / 1e6:.3g} MB")
    warn_of_cut(encoder, found.cut, found.rows)
    try:
        with silent_about_cut():
            _write(encoder, part, read_texts(texts, column), found.rows, options, progress)
    except ValueError:  # of the texts or their vectors: no resumption could finish it
        part.unlink(missing_ok=True)
        _sums(part).unlink(missing_ok=True)
        raise
    write_beside(encoder, part, output, {"texts": found.digest, "normalized": normalize})
    part.replace(output)
    _sums(part).unlink(missing_ok=True)
    return found.rows, found.unknown


def _sums(part: Path) -> Path:
    """Where the digests of the chunks of ``part`` are."""
    return part.with_name(f"{part.name}.sums")


def _check_output(output: Path, left: Sequence[Path], resume: bool) -> None:
    """Refuse what cannot be written, or would be replaced or left lying."""
    there = next(place for place in output.absolute().parents if place.exists())
    if not there.is_dir():
        raise ValueError(f"{output}: {there} is a file, not a folder")
    if links := [place for place in (output, beside(output)) if place.is_symlink()]:
        raise ValueError(f"{links[0]} is a link, which would be replaced; delete it or name another output")
    if output.exists():
        raise ValueError(f"{output} exists; delete it or name another output")
    if beside(output).exists():
        said_of(output)  # raises unless it is one of ours, left when its vectors were deleted
    if left and not resume:
        raise ValueError(f"{left[0]} was left by an interrupted run: go on with --resume, or delete it")


class _Texts(NamedTuple):
    """What is known of a file of texts before any is encoded."""

    rows: int
    cut: int  # longer than the encoder reads
    unknown: int  # in which the encoder knows nothing
    digest: str


def _checked(encoder: SentenceEncoder, texts: Iterator[str], size: int, progress: bool) -> _Texts:
    """Check, count and digest every text."""
    rows, cut, unknown, digest = 0, 0, 0, hashlib.sha256()
    waiting = iter(tqdm(texts, desc="check", unit="text", delay=1, disable=not progress))
    while chunk := list(islice(waiting, size)):
        token_ids = encoder.tokenize(chunk)
        cut += encoder.count_cut(chunk, token_ids)
        unknown += encoder.count_unknown(chunk, token_ids)
        rows += len(chunk)
        for text in chunk:
            _add(digest, text)
    return _Texts(rows, cut, unknown, digest.hexdigest())


def _add(digest: Any, text: str) -> None:
    """Add a text to a digest of texts in their order; its length says where it ends."""
    digest.update(f"{len(text)} {text}".encode())


def _write(
    encoder: SentenceEncoder, part: Path, texts: Iterator[str], rows: int, how: tuple[int, bool, str], progress: bool
) -> None:
    """Encode what ``part`` lacks yet, whole chunks of ``how[0] * CHUNK`` texts at a time."""
    kind, size = np.dtype(how[2]), how[0] * CHUNK
    if not part.exists():
        _sums(part).write_bytes(b"")
    with part.open("r+b" if part.exists() else "x+b") as file, _sums(part).open("a+b", buffering=0) as sums:
        header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": (rows, encoder.dim)}
        np.lib.format.write_array_header_1_0(file, header)
        done = min(_whole_chunks(file, sums, encoder.dim * kind.itemsize * size) * size, rows)
        waiting = islice(texts, done, None)
        with tqdm(total=rows, initial=done, desc="encode", unit="text", disable=not progress) as bar:
            while chunk := list(islice(waiting, size)):
                file.write(data := _vectors(encoder, chunk, *how).data)
                file.flush()
                sums.write(hashlib.sha256(data).digest())  # after the vectors: of what is written only
                bar.update(len(chunk))
                done += len(chunk)
        os.fsync(file.fileno())
    if done != rows:
        raise ValueError(f"the file of texts changed while it was encoded: {rows} texts, then {done}; begin again")


def _whole_chunks(file: BinaryIO, sums: Any, size: int) -> int:
    """How many chunks stand behind the header as they were written; both files end there afterwards."""
    start, whole = file.tell(), 0
    sums.seek(0)
    while (told := sums.read(32)) and hashlib.sha256(file.read(size)).digest() == told:
        whole += 1
    if len(told) == 32:
        said = f"{file.name} is not as it was written: from chunk {whole + 1} on, its texts are encoded again"
        warnings.warn(said, stacklevel=4)
    file.truncate(file.seek(min(start + whole * size, file.seek(0, os.SEEK_END))))
    sums.truncate(whole * 32)
    return whole


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
    lost = np.linalg.norm(written.astype(np.float64) - vectors, axis=1)
    if (wrong := np.flatnonzero(lost > LOST * np.linalg.norm(vectors.astype(np.float64), axis=1))).size:
        raise ValueError(f"the vector of {texts[wrong[0]][:80]!r} is too small for {dtype}; take float32, or normalize")
    return written


def search_file(
    encoder: SentenceEncoder,
    vectors: Path,
    texts: Path,
    query: str,
    *,
    column: str | None = None,
    k: int = 5,
    unchecked: bool = False,
) -> list[tuple[float, str]]:
    """Cosine and text of the ``k`` vectors nearest to the query's; exact, equal cosines in the file's order.

    What `encode_file` wrote beside the vectors must name this very encoder and these texts in this order. With
    ``unchecked``, vectors without that file are searched too.

    Raises:
        ValueError: vectors that are no ``[n, encoder.dim]`` finite floats, of another encoder or without a word of
            whose they are, other texts than were encoded (or what `read_texts` raises), a query in which the encoder
            knows nothing, a ``k`` below 1.
    """
    check_gives_vectors(encoder)
    check_text("the query", query)
    check_number("k", k, "a whole number of at least 1", 1, math.inf, whole=True)
    digest = check_vectors(encoder, vectors, unchecked)
    wanted = encoder.encode([query])[0].numpy().astype(np.float64)
    if encoder.count_unknown([query]) or not np.linalg.norm(wanted):
        raise ValueError(f"the encoder knows nothing in the query {query!r}: its vector says nothing")
    rows, cosines, total = _nearest(vectors, wanted, k)
    hits, count, read = dict.fromkeys(rows.tolist(), ""), 0, hashlib.sha256()
    for count, text in enumerate(read_texts(texts, column), start=1):
        _add(read, text)
        if count - 1 in hits:
            hits[count - 1] = text
    if count != total:
        raise ValueError(f"{texts} has {count} texts, {vectors} {total} vectors; expected the file that was encoded")
    if digest not in (None, read.hexdigest()):
        raise ValueError(f"{texts} does not hold the texts of {vectors} in their order; expected the file as encoded")
    return list(zip(cosines.tolist(), hits.values(), strict=True))


def _nearest(vectors: Path, wanted: NDArray[np.float64], k: int) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    """Rows and cosines of the ``k`` vectors nearest to ``wanted``, and how many vectors there are."""
    rows, cosines, total = np.empty(0, dtype=np.int64), np.empty(0), 0
    for total, block in blocks(vectors):
        if block.shape[1] != wanted.size or not np.isfinite(block).all():
            raise ValueError(f"{vectors}: expected finite vectors of {wanted.size} numbers, got {block.shape[1]}")
        lengths = np.linalg.norm(block, axis=1) * np.linalg.norm(wanted)
        cosines = np.append(cosines, block @ wanted / np.where(lengths == 0, 1, lengths))
        rows = np.append(rows, np.arange(total, total + len(block)))
        best = np.lexsort((rows, -cosines))[:k]
        rows, cosines, total = rows[best], cosines[best], total + len(block)
    return rows, cosines, total
