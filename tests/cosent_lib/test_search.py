"""The commands encode and search: files of any size, every mistake named before the first vector, exact results."""

import copy
import csv
import gzip
import json
import os
import shutil
import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import pytest
import torch

from cosent_lib import search as encoding
from cosent_lib import vectors as stored_vectors
from cosent_lib.cli import main as cli
from cosent_lib.data.files import MalformedFile, MalformedRow
from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.encoders.load import load_encoder
from cosent_lib.encoders.static import Vocabulary
from cosent_lib.search import encode_file, read_texts, search_file, unfinished
from cosent_lib.texts import TextsCutWarning

WORDS = ["cancel", "renew", "gym", "loan", "ticket", "my", "the", "please", "today", "online", "重", "新"]
RNG = np.random.default_rng(0)
TEXTS = [" ".join(RNG.choice(WORDS, size=RNG.integers(1, 12))) for _ in range(203)]


class Counting(SentenceEncoder):
    """Stands for an encoder: a text's vector is made of its bytes; remembers how many texts a call had."""

    dim, name = 256, "counting"

    def __init__(self, dim=256, stop_at=None, error=KeyboardInterrupt):
        super().__init__()
        self.dim, self.stop_at, self.error, self.calls = dim, stop_at, error, []

    def settings(self):
        return {"dim": self.dim}

    def tokenize(self, texts):
        return [[len(text)] for text in texts]

    def encode(self, texts, batch_size=256):
        if len(self.calls) == self.stop_at:
            raise self.error
        self.calls.append(len(texts))
        codes = torch.tensor([[len(text), *text.encode()[:3].ljust(3)] for text in texts], dtype=torch.float32)
        return codes.repeat(1, self.dim // 4)


@pytest.fixture(scope="module")
def static():
    return load_encoder("static", TEXTS, dim=24)


@pytest.fixture(scope="module")
def folder(static, tmp_path_factory):
    place = tmp_path_factory.mktemp("encoder") / "static"
    static.save(place)
    return place


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(encoding, "CHUNK", 2)
    monkeypatch.setattr(stored_vectors, "SEARCHED", 7)


@pytest.fixture
def texts(tmp_path):
    return write(tmp_path / "texts.txt", TEXTS)


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


# --------------------------------------------------------------------------------------------------- encode


def test_file_holds_what_encode_gives(call, folder, static, texts, tmp_path, small_chunks):
    code, out, err = call("encode", folder, texts, "--output", tmp_path / "new" / "v.npy", "--batch-size", 8)
    assert code == 0
    assert "203 vectors" in out
    assert "203/203" in err  # the progress bar
    found = np.load(tmp_path / "new" / "v.npy")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, static.encode(TEXTS).numpy())
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["v.npy", "v.npy.json"]


def test_transformer_too_though_its_batches_are_padded_otherwise(texts, tmp_path, small_chunks):
    encoder = load_encoder("small", TEXTS)
    few = write(tmp_path / "few.txt", TEXTS[:40])
    assert encode_file(encoder, few, tmp_path / "v.npy", batch_size=5) == (40, 0)
    np.testing.assert_allclose(np.load(tmp_path / "v.npy"), encoder.encode(TEXTS[:40]).numpy(), atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_normalized_and_float16(call, folder, static, texts, tmp_path, dtype):
    words = ["encode", folder, texts, "--output", tmp_path / "v.npy", "--normalize", "--dtype", dtype, "--no-progress"]
    assert call(*words)[::2] == (0, "")
    found = np.load(tmp_path / "v.npy")
    assert found.dtype == dtype
    expected = static.encode(TEXTS).double().numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-6 if dtype == "float32" else 5e-4)


def test_zero_vectors_stay_zero_and_are_counted(call, folder, tmp_path):
    unknown = write(tmp_path / "t.txt", ["cancel gym", "xyzzy", "qqq"])
    code, out, err = call("encode", folder, unknown, "--output", tmp_path / "v.npy", "--normalize", "--no-progress")
    assert (code, err) == (0, "2 of them say nothing: the encoder knows nothing in these texts\n")
    assert "3 vectors" in out
    np.testing.assert_allclose(np.linalg.norm(np.load(tmp_path / "v.npy"), axis=1), [1, 0, 0], atol=1e-6)


def test_texts_of_which_a_transformer_knows_no_word_are_counted_and_not_asked_for(call, tmp_path):
    """Their vectors are those of the token for what is unknown: not zero, and all alike."""
    encoder = load_encoder("small", TEXTS, dim=32, layers=1)
    encoder.save(tmp_path / "small")
    few = write(tmp_path / "t.txt", ["cancel gym", "\u2603\u2603", "\u265e", "gym \u2603"])
    code, _, err = call("encode", tmp_path / "small", few, "--output", tmp_path / "v.npy", "--no-progress")
    assert (code, err) == (0, "2 of them say nothing: the encoder knows nothing in these texts\n")
    assert np.load(tmp_path / "v.npy").any(axis=1).all()
    with pytest.raises(ValueError, match="the encoder knows nothing in the query '\u2602'"):
        search_file(encoder, tmp_path / "v.npy", few, "\u2602")


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    """20,000 texts of 2 kB: 40 MB of text, 20 MB of vectors, of which 2 + 2 MB may be there at a time."""
    monkeypatch.setattr(stored_vectors, "SEARCHED", 512)
    large = tmp_path / "large.txt"
    with large.open("w") as file:
        file.writelines(f"{number} {'x' * 2000}\n" for number in range(20_000))
    encoder = Counting()
    tracemalloc.start()
    try:
        assert encode_file(encoder, large, tmp_path / "v.npy", batch_size=64) == (20_000, 0)
        search_file(encoder, tmp_path / "v.npy", large, "1 x")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8e6
    assert max(encoder.calls) == 64 * encoding.CHUNK
    assert (tmp_path / "v.npy").stat().st_size > 20_000 * 256 * 4


def test_file_that_changes_between_the_two_readings(tmp_path, texts, monkeypatch):
    checked = encoding._checked

    def then_cut(*arguments):
        result = checked(*arguments)
        write(texts, TEXTS[:100])
        return result

    monkeypatch.setattr(encoding, "_checked", then_cut)
    with pytest.raises(ValueError, match=r"changed while it was encoded: 203 texts, then 100"):
        encode_file(Counting(4), texts, tmp_path / "v.npy")
    assert [path.name for path in tmp_path.iterdir()] == ["texts.txt"]  # nothing that no resumption could finish


@pytest.mark.parametrize(
    ("values", "dtype", "problem"),
    [
        ([1, 1, float("nan"), 1], "float32", "is not finite in float32"),
        ([1, 1, 1e5, 1], "float16", "is not finite in float16"),
        ([1e-9, 0, 1e-8, 0], "float16", "is too small for float16; take float32, or normalize"),  # all zero there
        ([4e-7, 3e-7, -2e-7, 1e-7], "float16", "is too small for float16"),  # another direction there
    ],
)
def test_vector_that_cannot_be_written_names_its_text(texts, tmp_path, monkeypatch, values, dtype, problem):
    encoder = Counting(4)
    vectors = torch.ones(203, 4)
    vectors[42] = torch.tensor(values)
    vectors[50] = 0  # that is no fault
    monkeypatch.setattr(encoder, "encode", lambda *_: vectors)
    with pytest.raises(ValueError, match=f"{TEXTS[42]}.* {problem}"):
        encode_file(encoder, texts, tmp_path / "v.npy", dtype=dtype)
    assert [path.name for path in tmp_path.iterdir()] == ["texts.txt"]


# --------------------------------------------------------------------------------------------------- resume


def test_interrupted_and_resumed_gives_the_same_bytes(call, folder, texts, tmp_path, small_chunks, monkeypatch):
    output = tmp_path / "v.npy"
    words = ["encode", folder, texts, "--output", output, "--batch-size", 8, "--no-progress"]
    assert call(*words)[0] == 0
    whole = output.read_bytes()
    output.unlink()
    with monkeypatch.context() as patched:
        loaded, calls = load_encoder(str(folder)), []
        encode = loaded.encode

        def stopped(*given):
            calls.append(given)
            if len(calls) == 4:
                raise KeyboardInterrupt
            return encode(*given)

        loaded.encode = stopped
        patched.setattr("cosent_lib.encoders.load.load_encoder", lambda name: loaded)
        code, _, err = call(*words)
    assert code == 130
    assert err == "interrupted: the vectors so far are kept: the same call with --resume goes on\n"
    assert not output.exists()
    code, _, err = call(*words)
    assert code == 2
    assert "left by an interrupted run: go on with --resume, or delete it" in err
    assert call(*words, "--resume")[0] == 0
    assert output.read_bytes() == whole
    assert unfinished(output) == []


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")])
def test_running_out_of_memory_is_one_line_that_says_what_to_change(call, texts, tmp_path, monkeypatch, error):
    monkeypatch.setattr("cosent_lib.cli.encode._loaded", lambda name: Counting(4, stop_at=1, error=error))
    monkeypatch.setattr(encoding, "CHUNK", 2)
    code, _, err = call("encode", "any", texts, "--output", tmp_path / "v.npy", "--batch-size", 8, "--no-progress")
    (left,) = unfinished(tmp_path / "v.npy")
    advice = f"delete {left.name} and call again with a smaller --batch-size than 8"
    assert (code, err) == (2, f"error: out of memory while encoding: {advice}\n")


def test_an_error_of_another_kind_is_not_called_a_lack_of_memory(call, texts, tmp_path, monkeypatch):
    broken = RuntimeError("shapes do not fit")
    monkeypatch.setattr("cosent_lib.cli.encode._loaded", lambda name: Counting(4, stop_at=0, error=broken))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        call("encode", "any", texts, "--output", tmp_path / "v.npy", "--no-progress")


def interrupted(texts, output, stop_at):
    """The bytes of a whole run, and the file that one leaves that is stopped before that chunk."""
    encode_file(Counting(4), texts, output, batch_size=16)
    whole = output.read_bytes()
    output.unlink()
    with pytest.raises(KeyboardInterrupt):
        encode_file(Counting(4, stop_at=stop_at), texts, output, batch_size=16)
    (part,) = unfinished(output)
    return whole, part


def test_killed_after_any_byte_it_resumes_to_the_same_bytes(texts, tmp_path, small_chunks):
    output, options = tmp_path / "v.npy", {"batch_size": 16}
    whole, part = interrupted(texts, output, 6)
    sums = encoding._sums(part)
    told = sums.read_bytes()
    header, chunk = 128, 32 * 16  # bytes
    for size in [0, 1, 127, 128, 129, header + chunk - 1, header + chunk, header + 3 * chunk + 5, len(whole)]:
        done = max(0, size - header) // chunk
        part.write_bytes(whole[:size])
        sums.write_bytes(told[: 32 * done + size % 32])
        encoder = Counting(4)
        encode_file(encoder, texts, output, **options, resume=True)
        assert output.read_bytes() == whole
        assert sum(encoder.calls) == 203 - done * 32  # whole chunks are not made again
        assert not sums.exists()
        output.rename(part)


@pytest.mark.parametrize("damage", ["a byte", "zeros", "the end is gone", "no digests"])
def test_vectors_that_were_damaged_meanwhile_are_made_again_and_that_is_said(texts, tmp_path, small_chunks, damage):
    output, options = tmp_path / "v.npy", {"batch_size": 16}
    whole, part = interrupted(texts, output, 4)
    data, third = bytearray(part.read_bytes()), 128 + 2 * 32 * 16  # where the third chunk begins
    if damage == "no digests":
        encoding._sums(part).unlink()
    elif damage == "the end is gone":
        del data[third + 100 :]
    elif damage == "zeros":
        data[third:] = bytes(len(data) - third)
    else:
        data[third + 100] ^= 1
    part.write_bytes(data)
    encoder = Counting(4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        encode_file(encoder, texts, output, **options, resume=True)
    assert output.read_bytes() == whole
    assert sum(encoder.calls) == (203 if damage == "no digests" else 203 - 2 * 32)
    said = ["part is not as it was written: from chunk 3 on, its texts are encoded again"] * (damage != "no digests")
    assert [str(each.message).partition(f"{output.name}.")[2].partition(".")[2] for each in caught] == said


def test_only_the_same_is_resumed(texts, tmp_path):
    output = tmp_path / "v.npy"
    with pytest.raises(ValueError, match="nothing to resume: no unfinished file"):
        encode_file(Counting(4), texts, output, resume=True)
    with pytest.raises(KeyboardInterrupt):
        encode_file(Counting(4, stop_at=0), texts, output)
    other = write(tmp_path / "other.txt", [*TEXTS[:-1], "another text"])
    retrained = Counting(4)
    retrained.register_parameter("weight", torch.nn.Parameter(torch.ones(2)))
    for encoder, file, options in [
        (Counting(4), other, {}),
        (Counting(8), texts, {}),
        (retrained, texts, {}),
        (Counting(4), texts, {"normalize": True}),
        (Counting(4), texts, {"dtype": "float16"}),
        (Counting(4), texts, {"batch_size": 8}),
    ]:
        with pytest.raises(ValueError, match="is of other texts, another encoder or other options"):
            encode_file(encoder, file, output, resume=True, **options)
    assert encode_file(Counting(4), texts, output, resume=True) == (203, 0)


def test_full_disk_is_told_before_encoding(call, folder, texts, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10_000)
    monkeypatch.setattr("cosent_lib.search.shutil.disk_usage", lambda _: usage)
    code, _, err = call("encode", folder, texts, "--output", tmp_path / "v.npy", "--no-progress")
    assert code == 2
    assert "v.npy needs 0.0195 MB more; its disk has 0.01 MB" in err
    assert not unfinished(tmp_path / "v.npy")


@pytest.mark.skipif(os.name == "nt", reason="limits the size of files by setrlimit")
def test_disk_that_fills_up_leaves_what_resume_continues(folder, static, texts, tmp_path):
    output = tmp_path / "v.npy"
    words = ["encode", str(folder), str(texts), "--output", str(output), "--batch-size", "8", "--no-progress"]
    limited = "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))"
    code = f"import resource, sys; {limited}\nfrom cosent_lib.cli.main import main; sys.exit(main({words!r}))"
    # without coverage in it, whose own file would meet the limit
    own = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=own)
    assert done.returncode == 2
    assert "--resume goes on" in done.stderr
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert cli.main([*words, "--resume"]) == 0
    np.testing.assert_array_equal(np.load(output), static.encode(TEXTS).numpy())


# --------------------------------------------------------------------------------------------- files of texts


def test_lines_end_at_newlines_only(tmp_path):
    path = tmp_path / "t.txt"
    path.write_bytes("\ufeffone\r\ntwo\u2028still two\x0b\x85\n three \r\n\r\n\n".encode())
    assert list(read_texts(path)) == ["one", "two\u2028still two\x0b\x85", " three "]
    (tmp_path / "t.txt.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert list(read_texts(tmp_path / "t.txt.gz")) == list(read_texts(path))
    path.write_bytes(b"no newline at the end")
    assert list(read_texts(path)) == ["no newline at the end"]


def test_columns_of_tables(tmp_path):
    rows = [["id", "text", "note"], ["1", 'say "yes", please', "a"], ["2", "two\nlines", ""], ["3", "\u2028x", "c"]]
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    assert list(read_texts(tmp_path / "t.csv", "text")) == [row[1] for row in rows[1:]]
    write(tmp_path / "t.tsv", ["text\tid \r", 'say "yes\t1', '"\t2'])  # quotation marks mean nothing in .tsv
    assert list(read_texts(tmp_path / "t.tsv", "text")) == ['say "yes', '"']
    assert list(read_texts(tmp_path / "t.tsv", "id")) == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "content", "column", "message"),
    [
        ("t.txt", b"one\n\nthree\n", None, r"t\.txt: line 2: the text is empty"),
        ("t.txt", b"one\ntwo\n \t\n", None, r"line 3: the text is empty: got ' \\t'"),
        ("t.txt", b"one\nM\xfcnchen\n", None, r"line 2: bytes that are not UTF-8: got b'M\\xfcnchen"),
        ("t.txt", "one\ntwo\n".encode("utf-16"), None, r"the text is UTF-16; save it as UTF-8"),
        ("t.txt", gzip.compress(b"one\n", mtime=0), None, r"gzip-compressed but not named \.gz"),
        ("t.txt.gz", gzip.compress(b"one\n" * 99, mtime=0)[:-5], None, r"not a whole gzip file"),
        ("t.txt.gz", b"one\n", None, r"not a whole gzip file"),
        ("t.txt", b"", None, r"t\.txt: the file is empty"),
        ("t.txt", b"\n\r\n", None, r"t\.txt: the file is empty"),
        ("t.txt", b"one\n", "text", r"t\.txt is no \.tsv or \.csv: no columns"),
        ("T.TSV", b"text\tid\none\t1\n", None, r"T\.TSV is a table: name its column of texts with --column"),
        ("t.jsonl", b'{"text": "one"}\n', None, r"t\.jsonl: this is a \.jsonl file; expected a text a line, or"),
        ("t.json.gz", b"[]", None, r"this is a \.json file; expected a text a line"),
        ("t.tsv", b"text\tid\none\t1\n", None, r"t\.tsv is a table: name its column of texts with --column"),
        ("t.tsv", b"text\tid\none\t1\n", "texts", r"must name the column 'texts' once, it holds \['text', 'id'\]"),
        ("t.tsv", b"text\ttext\none\t1\n", "text", r"must name the column 'text' once"),
        ("t.tsv", b"text\tid\none\t1\ntwo\n", "text", r"line 3: 1 field\(s\): got 'two', expected 2 \(text, id\)"),
        ("t.tsv", b"text\tid\n\t1\n", "text", r"line 2: the text is empty"),
        ("t.tsv", b"text\tid\n\none\t1\n", "text", r"line 2: 1 field\(s\)"),
        ("t.tsv", b"text\tid\n", "text", r"no texts"),
        ("t.tsv", b"", "text", r"t\.tsv: the file is empty"),
        ("t.csv", b'text,id\n"a\nb",1\none,1,2\n', "text", r"line 4: 3 field\(s\)"),
        ("t.csv", b'text,id\none,1\n"two,2\n', "text", r"the row that begins in line 3 is not CSV"),
        ("t.csv", b"text,id\none,1\nM\xfcnchen,2\n", "text", r"line 3: bytes that are not UTF-8"),
    ],
)
def test_what_is_wrong_with_a_file_is_named_before_anything_is_encoded(tmp_path, name, content, column, message):
    path = tmp_path / name
    path.write_bytes(content)
    encoder = Counting(4)
    with pytest.raises(ValueError, match=message) as caught:
        encode_file(encoder, path, tmp_path / "v.npy", column=column)
    assert "line" not in message or isinstance(caught.value, (MalformedRow, MalformedFile))
    assert encoder.calls == []
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


# --------------------------------------------------------------------------------------------------- search


@pytest.fixture
def stored(static, texts, tmp_path):
    encode_file(static, texts, tmp_path / "v.npy")
    return tmp_path / "v.npy"


@pytest.mark.parametrize("query", ["renew my gym ticket", "新 loan", TEXTS[17]])
@pytest.mark.parametrize("k", [1, 10, 500])
def test_search_is_brute_force(static, stored, texts, small_chunks, query, k):
    vectors, wanted = static.encode(TEXTS).double().numpy(), static.encode([query])[0].double().numpy()
    cosines = vectors @ wanted / np.linalg.norm(vectors, axis=1) / np.linalg.norm(wanted)
    order = sorted(range(203), key=lambda row: (-cosines[row], row))[:k]
    hits = search_file(static, stored, texts, query, k=k)
    np.testing.assert_allclose([cosine for cosine, _ in hits], cosines[order], atol=1e-12)
    assert sorted(text for _, text in hits) == sorted(TEXTS[row] for row in order)
    assert TEXTS[17] != query or hits[0][1] == query


def test_equal_cosines_come_in_the_files_order(tmp_path, small_chunks):
    names = write(tmp_path / "t.txt", [f"abc{number:02d}" for number in range(30)])  # Counting sees length and abc only
    encode_file(Counting(4), names, tmp_path / "v.npy")
    hits = search_file(Counting(4), tmp_path / "v.npy", names, "abcde", k=9)
    assert [text for _, text in hits] == [f"abc{number:02d}" for number in range(9)]
    assert hits[0][0] == pytest.approx(1)


def test_search_prints_rank_cosine_text(call, folder, stored, texts):
    code, out, err = call("search", folder, stored, texts, TEXTS[5], "--k", 2)
    assert (code, err) == (0, "")
    header, first, _ = out.splitlines()
    assert header.split() == ["rank", "cosine", "text"]
    assert first.split(maxsplit=2) == ["1", "1.0000", TEXTS[5]]


def test_zero_vectors_have_cosine_zero(static, tmp_path):
    names = write(tmp_path / "t.txt", ["xyzzy", "gym"])
    encode_file(static, names, tmp_path / "v.npy")
    assert search_file(static, tmp_path / "v.npy", names, "gym") == [(pytest.approx(1), "gym"), (0, "xyzzy")]


# ------------------------------------------------------------ vectors say which encoder and texts they are of


def retrained(encoder):
    other = copy.deepcopy(encoder)
    with torch.no_grad():
        next(other.parameters())[0, 0] += 1e-3
    return other


def test_vectors_are_searched_with_their_own_encoder_only(static, stored, texts):
    other = load_encoder("static", TEXTS, dim=24, seed=1)  # of equal length, and it knows the same words
    renamed = copy.deepcopy(static)
    renamed.name = "another name"
    assert search_file(renamed, stored, texts, "gym") == search_file(static, stored, texts, "gym")
    for encoder in (other, retrained(static), load_encoder("static", TEXTS[:3], dim=24)):
        for unchecked in (False, True):
            with pytest.raises(
                ValueError, match=r"v\.npy was made by another encoder than this one.*encode the texts ane"
            ):
                search_file(encoder, stored, texts, "gym", unchecked=unchecked)


def test_one_vocabulary_in_another_order_is_another_encoder(static, stored, texts):
    other = copy.deepcopy(static)
    words = list(other.vocabulary)
    other.vocabulary = Vocabulary([words[1], words[0], *words[2:]])
    with pytest.raises(ValueError, match="another encoder"):
        search_file(other, stored, texts, "gym")


def test_what_a_transformer_does_with_its_tokens_is_part_of_it(texts, tmp_path):
    encoder = load_encoder("small", TEXTS, dim=32, layers=1)
    encode_file(encoder, write(tmp_path / "few.txt", TEXTS[:9]), tmp_path / "v.npy")
    encoder.save(tmp_path / "moved")
    assert search_file(load_encoder(str(tmp_path / "moved")), tmp_path / "v.npy", tmp_path / "few.txt", "gym")
    for change in ({"pooling": "cls"}, {"max_length": 7}):
        other = copy.deepcopy(encoder)
        other.configure(**change)
        with pytest.raises(ValueError, match="another encoder"):
            search_file(other, tmp_path / "v.npy", tmp_path / "few.txt", "gym")


@pytest.mark.parametrize(
    "change",
    [
        lambda texts: texts[::-1],
        lambda texts: [texts[1], texts[0], *texts[2:]],
        lambda texts: [*texts[:-1], "another text"],
        lambda texts: [f"{texts[0]} ", *texts[1:]],
    ],
)
def test_texts_in_another_order_or_other_texts_are_refused(static, stored, tmp_path, change):
    other = write(tmp_path / "other.txt", change(TEXTS))
    for unchecked in (False, True):
        with pytest.raises(ValueError, match=r"other\.txt does not hold the texts of .*v\.npy in their order"):
            search_file(static, stored, other, "gym", unchecked=unchecked)


def test_a_line_break_within_a_text_is_no_other_text(static, tmp_path):
    for name, rows in (("one", ["gym\nloan", "ticket"]), ("two", ["gym", "loan\nticket"])):
        with (tmp_path / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["text"], *([row] for row in rows)])
    encode_file(static, tmp_path / "one.csv", tmp_path / "v.npy", column="text")
    with pytest.raises(ValueError, match="in their order"):
        search_file(static, tmp_path / "v.npy", tmp_path / "two.csv", "gym", column="text")


def test_the_same_texts_in_another_kind_of_file_are_the_same(static, stored, tmp_path):
    table = write(tmp_path / "t.tsv", ["id\ttext", *(f"{number}\t{text}" for number, text in enumerate(TEXTS))])
    assert len(search_file(static, stored, table, "gym", column="text")) == 5


def test_another_file_of_vectors_under_the_same_name_is_refused(static, stored, texts):
    vectors = np.load(stored)
    edited = [vectors.copy() for _ in vectors]
    for row, copied in enumerate(edited):
        copied[row, 3] += 1
    whole = (vectors[::-1], vectors[:-1], vectors.astype(np.float64), vectors[:, :-1])
    for other in (*whole, *edited):
        np.save(stored, other)
        with pytest.raises(ValueError, match=r"v\.npy is not the file that .*v\.npy\.json was written for"):
            search_file(static, stored, texts, "gym")


def test_vectors_that_nothing_is_known_of_are_searched_only_when_told(call, folder, static, stored, texts):
    expected = search_file(static, stored, texts, "gym")
    (stored.parent / "v.npy.json").unlink()
    with pytest.raises(ValueError, match=r"v\.npy has no v\.npy\.json beside it.*unchecked=True \(--unchecked\)"):
        search_file(static, stored, texts, "gym")
    assert search_file(static, stored, texts, "gym", unchecked=True) == expected
    assert call("search", folder, stored, texts, "gym")[0] == 2
    assert call("search", folder, stored, texts, "gym", "--unchecked")[0] == 0


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "mine"}', '{"format": "cosent_lib.vectors"}'])
def test_what_encode_did_not_write_is_neither_believed_nor_replaced(static, stored, texts, tmp_path, content):
    for name in ("v.npy.json", "new.npy.json"):
        (tmp_path / name).write_text(content)
    for unchecked in (False, True):
        with pytest.raises(ValueError, match=r"v\.npy\.json (is damaged|holds a list|is not what encode writes)"):
            search_file(static, stored, texts, "gym", unchecked=unchecked)
    encoder = Counting(4)
    with pytest.raises(ValueError, match=r"new\.npy\.json (is damaged|holds a list|is not what encode writes)"):
        encode_file(encoder, texts, tmp_path / "new.npy")
    assert encoder.calls == []
    assert (tmp_path / "new.npy.json").read_text() == content


def test_what_deleted_vectors_left_is_replaced(static, stored, texts, tmp_path):
    stored.unlink()
    encode_file(retrained(static), texts, stored, dtype="float16", normalize=True)
    said = json.loads((tmp_path / "v.npy.json").read_text())
    assert (said["rows"], said["dim"], said["dtype"], said["normalized"]) == (203, 24, "float16", True)
    assert search_file(retrained(static), stored, texts, "gym")


# ---------------------------------------------------------------------------------------- texts that an encoder cuts


def test_how_many_texts_are_cut_is_said_once_before_any_is_encoded(call, texts, tmp_path, small_chunks):
    encoder = load_encoder("small", TEXTS, dim=32, layers=1, max_length=8)
    whole = load_encoder("small", TEXTS, dim=32, layers=1)
    cut = sum(len(ids) > 8 for ids in whole.tokenize(TEXTS))
    assert 0 < cut < 203
    encoder.save(tmp_path / "small")
    words = ["encode", tmp_path / "small", texts, "--output", tmp_path / "v.npy", "--batch-size", 8, "--no-progress"]
    code, _, err = call(*words)
    message = f"{cut} of 203 texts are longer than the 8 tokens that 'small' reads; the rest of each is cut off"
    assert (code, err.count("\n")) == (0, 1)
    assert err.startswith(f"warning: {message}")
    with pytest.warns(TextsCutWarning, match=message) as caught:
        encode_file(encoder, texts, tmp_path / "again.npy", batch_size=8)
    assert len(caught) == 1
    assert caught[0].filename == __file__


# ---------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    "options",
    [{"batch_size": bad} for bad in (0, -1, 2.5, True)] + [{"dtype": bad} for bad in ("int8", "bool", "foo", ">f4")],
)
def test_bad_options_are_refused_before_anything_is_read(tmp_path, options):
    encoder = Counting(4)
    with pytest.raises(ValueError, match=r"batch_size must be a whole number of at least 1, got|unknown dtype"):
        encode_file(encoder, tmp_path / "none.txt", tmp_path / "v.npy", **options)


@pytest.mark.parametrize("k", [0, -1, 2.5, True])
def test_search_for_no_hits_is_refused(static, stored, texts, k):
    with pytest.raises(ValueError, match=f"k must be a whole number of at least 1, got {k}"):
        search_file(static, stored, texts, "gym", k=k)


@pytest.mark.parametrize("name", ["v.npy", "v.npy.json"])
@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_never_replaced(texts, tmp_path, name, there):
    target = tmp_path / "target"
    if there:
        target.write_text("years of work")
    (tmp_path / name).symlink_to(target)
    with pytest.raises(ValueError, match=f"{name} is a link, which would be replaced"):
        encode_file(Counting(4), texts, tmp_path / "v.npy")
    assert (tmp_path / name).is_symlink()
    assert target.exists() == there


def test_mistakes_take_one_line_and_exit_code_two(call, folder, stored, texts, tmp_path):
    fewer, new = write(tmp_path / "fewer.txt", TEXTS[:-1]), ["--output", tmp_path / "new.npy"]
    np.save(tmp_path / "wide.npy", np.ones((203, 25), np.float32))
    np.save(tmp_path / "flat.npy", np.ones(203))
    np.save(tmp_path / "nan.npy", np.full((203, 24), np.nan))
    (tmp_path / "cut.npy").write_bytes(stored.read_bytes()[:-1])
    (tmp_path / "dir.npy.json").mkdir()
    for words, named in [
        (["encode", tmp_path / "none", texts, *new], "none"),
        (["encode", "static", texts, *new], "static"),
        (["encode", folder, tmp_path / "none.txt", *new], "none.txt: no such file of texts"),
        (["encode", folder, tmp_path, *new], "no such file of texts"),
        (["encode", folder, texts], "--output"),
        (["encode", folder, texts, "--output", stored], "v.npy exists; delete it or name another output"),
        (["encode", folder, texts, "--output", texts / "v.npy", "--no-progress"], "texts.txt is a file, not a folder"),
        (["encode", folder, texts, "--output", tmp_path / "dir.npy"], "dir.npy.json is damaged or missing: "),
        (["encode", folder, texts, *new, "--batch-size", 0], "--batch-size"),
        (["encode", folder, texts, *new, "--dtype", "int8"], "--dtype"),
        (["encode", folder, texts, *new, "--resume", "--no-progress"], "nothing to resume"),
        (["search", folder, stored, fewer, "gym"], "has 202 texts"),
        (
            ["search", folder, tmp_path / "wide.npy", texts, "gym", "--unchecked"],
            "expected finite vectors of 24 numbers, got 25",
        ),
        (["search", folder, tmp_path / "flat.npy", texts, "gym"], "holds float64 [203]"),
        (["search", folder, tmp_path / "nan.npy", texts, "gym", "--unchecked"], "expected finite vectors"),
        (["search", folder, tmp_path / "cut.npy", texts, "gym"], "is not a whole .npy file"),
        (["search", folder, texts, texts, "gym"], "is not a whole .npy file"),
        (["search", folder, tmp_path / "none.npy", texts, "gym"], "none.npy: no such file of vectors"),
        (["search", folder, tmp_path / "wide.npy", texts, "gym"], "wide.npy has no wide.npy.json beside it"),
        (["search", folder, stored, texts, "xyzzy"], "knows nothing in the query 'xyzzy'"),
        (["search", folder, stored, texts, " "], "the query is empty: got ' '"),
        (["search", folder, stored, texts, "gym", "--k", 0], "--k"),
    ]:
        code, _, err = call(*words)
        assert code == 2, (words, err)
        assert err.count("\n") == 1, (words, err)
        assert err.startswith("error: ")
        assert named in err, (words, err)
    assert not (tmp_path / "new.npy").exists()
