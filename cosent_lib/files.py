"""Files and folders that are written whole or not at all."""

import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO


def read_json(path: Path, kind: type = dict) -> Any:
    """What a JSON file holds: an object, or a list.

    Raises:
        ValueError: it is missing or damaged, or holds something else; names it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged or missing: {error}") from error
    if not isinstance(content, kind):
        raise ValueError(f"{path} holds a {type(content).__name__}; expected a {kind.__name__}")
    return content


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Open a new file that takes the place of ``path`` when the block ends; UTF-8, line ends as given.

    It is written beside its place, flushed to the disk, then renamed: a reader, or a machine that is switched off,
    sees the old state or the whole new file. After an error in the block the old state is left.

    Raises:
        OSError: the folder cannot be made or written to, or the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:80]}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # mkstemp's 0600 would hide a shared file from other users
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Make a new folder, ``.NAME.….tmp`` beside ``path``, that takes the place of ``path`` when the block ends.

    Flushed and renamed as by `replacing`. Between the two renames that put it in the place of an older folder there
    is none; what is there is always whole.

    Raises:
        OSError: the folder cannot be made or written to, or the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name[:80]}.{uuid.uuid4().hex}.tmp")
    old = part.with_suffix(".old")
    part.mkdir()
    try:
        yield part
        for each in [*part.rglob("*"), part]:
            _flush(each)
        if path.exists():
            path.rename(old)
        part.rename(path)
        _flush(path.parent)
    finally:
        for left in (part, old):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def claimed(lock: Path) -> Iterator[bool]:
    """Whether what the file ``lock`` stands for is ours inside the block; a killed process loses its claim.

    Raises:
        OSError: the file's folder cannot be made or written to.
    """
    from filelock import FileLock, Timeout

    made = [folder for folder in lock.parents if not folder.exists()]
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock)
    try:
        held.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        with suppress(OSError):  # Windows does not remove an open file; it is empty and does no harm
            lock.unlink()  # while it is held: nobody else can be inside
        held.release()
        for folder in made:  # into which nothing came
            with suppress(OSError):
                folder.rmdir()


def _flush(path: Path) -> None:
    """Have the operating system write a file or folder to disk now."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
