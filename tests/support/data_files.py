"""Files of pairs for tests: written, and loaded as a task of one file."""

from pathlib import Path

from cosent_lib.data.load import load_pairs

HEADER = "sentence1\tsentence2\tscore\n"

GOOD = "a cat\ta tiger\t0.5\n"


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows(dataset) -> list[tuple[str, str, float]]:
    columns = dataset[:]
    return list(zip(columns["sentence1"], columns["sentence2"], columns["score"], strict=True))


def load(path: Path, **options):
    return load_pairs(f"csv:{path}", "all", **options)
