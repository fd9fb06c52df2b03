"""The files of results: whoever is killed, writes at the same time or merges, every finished record is there once."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pytest

from cosent_book import store
from cosent_book.schema import DamagedRecord

FORK = multiprocessing.get_context("fork")
DATE = "2026-01-01T00:00:00+00:00"


def values(**others: Any) -> dict[str, Any]:
    return {"date": DATE, "score": 0.1 + 0.2, **others}


def lines(folder: Path) -> list[str]:
    """The suite's file as it stands."""
    path = store.file_of("s", folder)
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *folder.rglob("*")]
    }


def test_what_is_added_is_what_is_read_in_the_order_of_keys(tmp_path: Path) -> None:
    for key in ("b", "a", "c"):
        store.add("s", key, values(nested={"z": [1, None], "a": key}), tmp_path)
    found = store.read("s", tmp_path)
    assert list(found) == ["a", "b", "c"]
    place, read = found["b"]
    assert read == values(nested={"z": [1, None], "a": "b"})
    assert place == f"{tmp_path / 's.jsonl'}:2"
    assert [json.loads(line)["key"] for line in lines(tmp_path)] == ["a", "b", "c"]
    assert store.read("other", tmp_path) == {}


def test_the_text_depends_on_the_records_alone(tmp_path: Path) -> None:
    for order, folder in (("abc", tmp_path / "one"), ("cab", tmp_path / "two")):
        for key in order:
            store.add("s", key, dict(sorted(values(x=key).items(), reverse=order == "cab")), folder)
    assert lines(tmp_path / "one") == lines(tmp_path / "two")
    assert "0.30000000000000004" in lines(tmp_path / "one")[0]  # nothing rounded


def test_separators_within_a_text_do_not_end_a_line(tmp_path: Path) -> None:
    odd = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\rh\ni"
    store.add("s", "a", values(text=odd), tmp_path)
    store.add("s", "b", values(), tmp_path)
    assert store.read("s", tmp_path)["a"][1]["text"] == odd
    assert store.read("s", tmp_path)["b"][0].endswith("s.jsonl:2")


def test_lines_that_are_kept_stay_as_they_are(tmp_path: Path) -> None:
    by_hand = '{"date" : "2026", "key":"a",  "x": 1.50}'
    store.file_of("s", tmp_path).write_text(by_hand + "\n", encoding="utf-8")
    store.add("s", "b", values(), tmp_path)
    assert lines(tmp_path)[0] == by_hand


def test_whether_a_record_is_there(tmp_path: Path) -> None:
    store.add("s", "ab", values(text="a", quoted='"b"', names={"c": "d"}), tmp_path)
    assert [key for key in ("ab", "a", "b", "c", "d", "abc", "") if store.holds("s", key, tmp_path)] == ["ab"]
    assert not store.holds("other", "ab", tmp_path)


def test_a_record_in_the_spool_is_read_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(store, "fold", lambda *_: None)
        store.add("s", "a", values(), tmp_path)
    assert lines(tmp_path) == []
    assert store.read("s", tmp_path)["a"][1] == values()
    assert store.holds("s", "a", tmp_path)
    assert store.read("other", tmp_path) == {}


# ------------------------------------------------------------------------------------------------- a key twice


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_records_with_one_key_the_earlier_counts_and_the_next_added_drops_the_other(
    tmp_path: Path, turned: bool
) -> None:
    early, late = (json.dumps({"key": "b", "date": f"2026-0{month}-01", "x": 9 - month}) for month in (1, 2))
    pair = [late, early] if turned else [early, late]
    store.file_of("s", tmp_path).write_text("\n".join(pair) + "\n", encoding="utf-8")
    assert store.read("s", tmp_path)["b"][1] == {"date": "2026-01-01", "x": 8}
    assert lines(tmp_path) == pair  # reading writes nothing
    store.add("s", "a", values(), tmp_path)
    assert lines(tmp_path)[1:] == [early]


def test_of_two_records_of_one_date_the_same_counts_in_every_order(tmp_path: Path) -> None:
    pair = [json.dumps({"key": "a", "date": DATE, "x": x}) for x in (1, 2)]
    found = []
    for order in (pair, pair[::-1]):
        store.file_of("s", tmp_path).write_text("\n".join(order) + "\n", encoding="utf-8")
        found.append(store.read("s", tmp_path)["a"][1])
    assert found[0] == found[1]


# ------------------------------------------------------------------------------------------------------ killed


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def deadly(function: Callable[..., Any], call: int, after: bool) -> Callable[..., Any]:
    """The function, in which its process dies at the given call, before or after what it does."""
    calls = 0

    def stand_in(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and not after:
            die()
        result = function(*arguments, **named)
        if calls == call:
            die()
        return result

    return stand_in


class HalfFile:
    """A file whose process dies when half of a text is on the disk."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def write(self, text: str) -> None:
        self.file.write(text[: len(text) // 2])
        self.file.flush()
        os.fsync(self.file.fileno())
        die()

    def writelines(self, texts: Iterator[str]) -> None:
        self.write("".join(texts))


def add_and_die(folder: Path, place: str, call: int) -> None:
    replacing, calls = store.replacing, 0

    @contextmanager
    def half(path: Path) -> Iterator[Any]:
        nonlocal calls
        calls += 1
        with replacing(path) as file:
            yield HalfFile(file) if calls == call else file

    if place == "within the write":
        store.replacing = half  # type: ignore[assignment]
    elif place == "before the unlink":
        Path.unlink = deadly(Path.unlink, call, after=False)  # type: ignore[method-assign]
    else:
        os.replace = deadly(os.replace, call, after=place == "after the rename")
    store.add("s", "new", values(), folder)


@pytest.mark.parametrize(
    ("place", "call", "kept"),
    [
        ("within the write", 1, False), ("before the rename", 1, False), ("after the rename", 1, True),
        ("within the write", 2, True), ("before the rename", 2, True), ("after the rename", 2, True),
        ("before the unlink", 1, True),
    ],
)  # fmt: skip
def test_kill_at_every_stage_loses_nothing_finished_and_doubles_nothing(
    tmp_path: Path, place: str, call: int, kept: bool
) -> None:
    """The first call writes the spool's file, the second the suite's; finished is what came into the spool."""
    store.add("s", "old", values(), tmp_path)
    process = FORK.Process(target=add_and_die, args=(tmp_path, place, call))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL  # it did die there
    expected = {"old", "new"} if kept else {"old"}
    assert store.read("s", tmp_path).keys() == expected
    store.add("s", "next", values(), tmp_path)
    assert [json.loads(line)["key"] for line in lines(tmp_path)] == sorted({*expected, "next"})
    assert [path.name for path in tmp_path.iterdir() if path.name != ".spool"] == ["s.jsonl"]
    assert not list((tmp_path / ".spool").glob("*.json"))


def add_many(folder: Path, name: str, count: int, done: Any = None) -> None:
    for number in range(count):
        key = f"{name}{number:03}"
        store.add("s", key, values(padding="x" * 2000), folder)
        if done is not None:
            done.send(key)


def test_kill_at_random_moments_loses_no_record_that_was_added(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    added: set[str] = set()
    for name in "abcde":
        ours, theirs = FORK.Pipe(duplex=False)
        process = FORK.Process(target=add_many, args=(tmp_path, name, 10_000, theirs))
        process.start()
        theirs.close()
        added.add(ours.recv())
        time.sleep(generator.uniform(0, 0.1))
        process.kill()
        process.join()
        while ours.poll():
            try:
                added.add(ours.recv())
            except EOFError:
                break
        found = store.read("s", tmp_path).keys()
        assert added <= found
        assert len(found) <= len(added) + "abcde".index(name) + 1  # and of the last one's fate nobody was told
    store.add("s", "z", values(), tmp_path)
    keys = [json.loads(line)["key"] for line in lines(tmp_path)]
    assert keys == sorted({*found, "z"})


def test_two_writers_lose_nothing_and_a_reader_sees_records_only_come(tmp_path: Path) -> None:
    writers = [FORK.Process(target=add_many, args=(tmp_path, name, 25)) for name in "ab"]
    for writer in writers:
        writer.start()
    seen: set[str] = set()
    while any(writer.is_alive() for writer in writers):
        now = set(store.read("s", tmp_path))
        assert seen <= now
        seen = now
    assert [writer.exitcode for writer in writers] == [0, 0]
    expected = [f"{name}{number:03}" for name in "ab" for number in range(25)]
    assert list(store.read("s", tmp_path)) == expected
    assert [json.loads(line)["key"] for line in lines(tmp_path)] == expected


# ------------------------------------------------------------------------------------------------------- claims


def hold(folder: Path, told: Any) -> None:
    with store.claimed("s", "a", folder) as mine:
        told.send(mine)
        time.sleep(60)


def test_a_run_is_claimed_once_and_a_killed_process_loses_its_claim(tmp_path: Path) -> None:
    ours, theirs = FORK.Pipe(duplex=False)
    other = FORK.Process(target=hold, args=(tmp_path, theirs))
    other.start()
    assert ours.recv() is True
    with store.claimed("s", "a", tmp_path) as mine, store.claimed("s", "b", tmp_path) as another:
        assert (mine, another) == (False, True)
    other.kill()
    other.join()
    with store.claimed("s", "a", tmp_path) as mine:
        assert mine
    assert not list((tmp_path / ".spool").glob("*.lock"))


# ------------------------------------------------------------------------------------------------------- merges


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with this one's ``.gitattributes`` and a suite of four records."""
    root = Path(store.__file__).parents[1]
    shutil.copy(root / ".gitattributes", tmp_path)
    git(tmp_path, "init", "--initial-branch=main")
    for key in ("b", "d", "f", "h"):
        store.add("s", key, values(), results(tmp_path))
    commit(tmp_path)
    return tmp_path


def results(repository: Path) -> Path:
    return repository / "cosent_book" / "results"


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", folder, *who, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def commit(folder: Path) -> None:
    git(folder, "add", ".gitattributes", "cosent_book/results/s.jsonl")
    git(folder, "commit", "-m", "records")


def test_two_branches_that_each_added_records_merge(repository: Path) -> None:
    folder = results(repository)
    early, late = ({"date": f"2026-0{month}-01", "score": month} for month in (1, 2))
    for branch, keys, twice in (("one", "acx", late), ("two", "egz", early)):
        git(repository, "checkout", "-b", branch, "main")
        for key in keys:
            store.add("s", key, values(), folder)
        for key in ("both1", "both2"):  # the same runs on both branches, with other results
            store.add("s", key, twice, folder)
        store.add("s", "both3", values(), folder)  # and one with the same result
        commit(repository)
    git(repository, "merge", "--no-edit", "one")
    found = store.read("s", folder)
    assert list(found) == sorted([*"abcdefghxz", "both1", "both2", "both3"])
    assert found["both1"][1] == found["both2"][1] == early
    assert len(lines(folder)) > len(found)  # the merge kept both
    store.add("s", "next", values(), folder)
    assert [json.loads(line)["key"] for line in lines(folder)] == sorted([*found, "next"])
    assert store.read("s", folder)["both1"][1] == early


# ------------------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[:-9], "its JSON cannot be read"),
        (lambda text: "", "its JSON cannot be read"),
        (lambda text: "<<<<<<< HEAD", "its JSON cannot be read"),
        (lambda text: text.replace("0.30000000000000004", "NaN"), "NaN is not JSON"),
        (lambda text: "[" * 100_000, "its JSON cannot be read"),
        (lambda text: f"[{text}]", "expected a JSON object"),
        (lambda text: text.replace('"date"', '"day"'), "expected a JSON object with the texts 'key' and 'date'"),
        (lambda text: text.replace('"key": "b"', '"key": 7'), "with the texts 'key' and 'date'"),
    ],
)
def test_a_damaged_line_is_named_and_stays(tmp_path: Path, damage: Callable[[str], str], message: str) -> None:
    for key in "abc":
        store.add("s", key, values(), tmp_path)
    path = store.file_of("s", tmp_path)
    texts = lines(tmp_path)
    path.write_text("\n".join([texts[0], damage(texts[1]), texts[2]]) + "\n", encoding="utf-8")
    before = path.read_bytes()
    with pytest.raises(DamagedRecord) as caught:
        store.read("s", tmp_path)
    assert str(caught.value).startswith(f"{path}:2: not a record, ")
    assert message in str(caught.value)
    with pytest.raises(DamagedRecord):
        store.add("s", "d", values(), tmp_path)
    assert path.read_bytes() == before
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")  # mended
    assert list(store.read("s", tmp_path)) == ["a", "b", "c", "d"]  # what was added meanwhile is not lost


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    store.file_of("s", tmp_path).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DamagedRecord, match=r"s\.jsonl: not text"):
        store.read("s", tmp_path)


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add("s", "a", values(), tmp_path)
    before = store.file_of("s", tmp_path).read_bytes()

    def full(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        store.add("s", "b", values(), tmp_path)
    assert store.file_of("s", tmp_path).read_bytes() == before
    assert not list((tmp_path / ".spool").glob("*.json"))


# ------------------------------------------------------------------------------------------------------ reading


def test_reading_writes_nothing(tmp_path: Path) -> None:
    """An installed wheel lies where nobody may write: no lock, no folder, no cache beside the records."""
    store.file_of("s", tmp_path).write_text(json.dumps({"key": "a", **values()}) + "\n", encoding="utf-8")
    tmp_path.chmod(0o555)
    before = snapshot(tmp_path)
    assert list(store.read("s", tmp_path)) == ["a"]
    assert store.holds("s", "a", tmp_path)
    assert store.read("other", tmp_path) == {}
    store.fold("s", tmp_path)  # with nothing in the spool
    assert snapshot(tmp_path) == before
    assert store.read("s", tmp_path / "nowhere") == {}
    assert not (tmp_path / "nowhere").exists()


def test_a_second_fold_touches_nothing(tmp_path: Path) -> None:
    store.add("s", "a", values(), tmp_path)
    before = snapshot(tmp_path)
    store.fold("s", tmp_path)
    assert snapshot(tmp_path) == before
