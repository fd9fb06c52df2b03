"""What the README shows and tells is what is there."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_its_picture_is_the_introductions() -> None:
    cells = json.loads((ROOT / "chapters" / "intro.ipynb").read_text(encoding="utf-8"))["cells"]
    drawn = [
        output["data"]["image/svg+xml"] for cell in cells for output in cell.get("outputs", []) if "data" in output
    ]
    assert len(drawn) == 1
    shown = (ROOT / "_static" / "before_after.svg").read_text(encoding="utf-8")
    assert shown == "".join(drawn[0])


def test_every_make_target_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))
    named = set(re.findall(r"(?:`|^ {4})make ([a-z]+)", README, flags=re.M))
    assert {"book", "test"} <= named <= targets


def test_every_path_it_names_exists() -> None:
    for path in re.findall(r"`([\w./-]+(?:/|\.(?:md|cff|txt|py)))`", README):
        if not path.startswith(("runs", "TASK")) and not path.endswith(".tsv"):
            assert (ROOT / path).exists(), path


def test_its_lines_of_python_run() -> None:
    (code,) = re.findall(r"## In Python\n\n((?:(?: {4}.*)?\n)+)", README)
    lines = [line.removeprefix("    ") for line in code.splitlines()]
    quick = "\n".join(lines).replace("TrainingConfig(epochs=2)", "TrainingConfig(max_steps=2, progress=False)")
    names: dict[str, object] = {}
    exec(quick.replace("encoder.encode", "vectors = encoder.encode"), names)
    assert list(names["vectors"].shape) == [1, 128]
