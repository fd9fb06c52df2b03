"""Loading pairs: every source, and the message where there is none."""

import gzip
import hashlib
import math

import datasets
import pytest
from data_files import GOOD, HEADER, load, rows, write

from cosent_lib.data import corpus
from cosent_lib.data.files import MalformedRow
from cosent_lib.data.load import fingerprint, load_pairs, origin, split_names
from cosent_lib.data.tasks import TASKS, DataUnavailable

COUNTS = {  # README of the data
    "atec": (24_061, 20_000, 20_000),
    "bq": (9_402, 10_000, 10_000),
    "lcqmc": (235_881, 8_759, 12_500),
    "pawsx": (None, 1_971, 2_000),
    "stsb_zh": (5_191, 1_452, 1_361),
    "stsb_en": (5_724, 1_497, 1_379),
    "ocnli": (8_983, 1_002, 2_950),
}


@pytest.mark.parametrize("task", COUNTS)
def test_real_data_has_the_rows_its_readme_counts(data_dir, monkeypatch, task):
    monkeypatch.setenv("COSENT_DATA_DIR", str(data_dir))
    for split, count in zip(("train", "validation", "test"), COUNTS[task], strict=True):
        if count is None:
            assert split not in TASKS[task].splits
            continue
        pairs = load_pairs(task, split)
        assert len(pairs) == count
        assert pairs.column_names == ["sentence1", "sentence2", "score"]
        assert pairs.features["score"].dtype == "float64"
        scores = pairs[:]["score"]
        assert (min(scores), max(scores)) == (0, 1)
        assert str(data_dir) not in origin(pairs)


def test_real_labels_have_the_shares_its_readme_tells(data_dir, monkeypatch):
    monkeypatch.setenv("COSENT_DATA_DIR", str(data_dir))
    for task, split, share in [("atec", "train", 0.22), ("atec", "test", 0.18), ("bq", "test", 0.5)]:
        scores = load_pairs(task, split)[:]["score"]
        assert set(scores) == {0, 1}
        assert sum(scores) / len(scores) == pytest.approx(share, abs=0.01)
    assert set(load_pairs("stsb_zh", "test")["score"]) == {grade / 5 for grade in range(6)}
    assert set(load_pairs("ocnli", "test")["score"]) == {0, 0.5, 1}


def test_real_texts_are_the_bytes_of_the_file(data_dir, monkeypatch):
    monkeypatch.setenv("COSENT_DATA_DIR", str(data_dir))
    lines = (data_dir / "bq" / "validation.tsv").read_bytes().split(b"\n")[1:-1]  # holds U+0008 and doubled quotes
    expected = [tuple(line.decode().split("\t")) for line in lines]
    assert [(a, b, f"{score:g}") for a, b, score in rows(load_pairs("bq", "validation"))] == expected


def test_pawsx_train_is_not_there_and_nothing_takes_its_place(data_dir, monkeypatch):
    monkeypatch.setenv("COSENT_DATA_DIR", str(data_dir))
    with pytest.raises(DataUnavailable, match=r"pawsx/train is not under COSENT_DATA_DIR.*holds test.tsv, validation"):
        load_pairs("pawsx", "train")


@pytest.mark.parametrize("task", [task for task in TASKS if TASKS[task].builtin])
def test_builtin_rows_are_the_corpus_scaled(task, monkeypatch):
    monkeypatch.setenv("COSENT_DATA_DIR", "nowhere")  # auto takes no notice of it for generated tasks
    highest = 3 if task == "builtin_graded" else 1
    expected = [(a, b, score / highest) for a, b, score in corpus.generate(task, "validation")]
    assert rows(load_pairs(task, "validation")) == expected
    assert split_names(task) == corpus.SPLITS[task]


def test_origin_of_a_builtin_split_is_its_checksum():
    assert origin(load_pairs("builtin", "test")) == f"builtin {corpus.CHECKSUMS['builtin', 'test']}"


def test_folder_of_splits(tmp_path):
    write(tmp_path / "train.tsv", HEADER + "a\tb\t1\n")
    write(tmp_path / "test.csv.gz", gzip.compress(b"sentence1,sentence2,score\nc,d,0\n"))
    task = f"csv:{tmp_path}"
    assert rows(load_pairs(task, "train")) == [("a", "b", 1.0)]
    assert rows(load_pairs(task, "test")) == [("c", "d", 0.0)]
    assert split_names(task) == ("train", "test")
    with pytest.raises(
        DataUnavailable, match=r"no file for split 'validation' \(looked .* holds test.csv.gz, train.tsv"
    ):
        load_pairs(task, "validation")


def test_split_placeholder(tmp_path):
    write(tmp_path / "my_train.tsv", HEADER + "a\tb\t1\n")
    write(tmp_path / "deep" / "test" / "p.tsv", HEADER + "c\td\t0\n")
    assert rows(load_pairs(f"csv:{tmp_path}/my_{{split}}.tsv", "train")) == [("a", "b", 1.0)]
    assert rows(load_pairs(f"csv:{tmp_path}/deep/{{split}}/p.tsv", "test")) == [("c", "d", 0.0)]
    assert split_names(f"csv:{tmp_path}/my_{{split}}.tsv") == ("train",)
    with pytest.raises(DataUnavailable, match=r"no file for split 'test'; .* holds deep, my_train.tsv"):
        load_pairs(f"csv:{tmp_path}/my_{{split}}.tsv", "test")


def test_a_single_file_is_never_train_and_test_at_once(tmp_path):
    path = write(tmp_path / "p.tsv", HEADER + GOOD)
    assert split_names(f"csv:{path}") == ("all",)
    for split in ("train", "test"):
        with pytest.raises(ValueError, match=f"is a single file, so its only split is 'all', not '{split}'"):
            load_pairs(f"csv:{path}", split)


def test_two_files_for_one_split_are_not_chosen_between(tmp_path):
    write(tmp_path / "train.tsv", HEADER + GOOD)
    write(tmp_path / "train.tsv.gz", gzip.compress((HEADER + GOOD).encode()))
    with pytest.raises(ValueError, match=r"several files for one split: .*train.tsv, .*train.tsv.gz; keep one"):
        load_pairs(f"csv:{tmp_path}", "train")


def test_places_that_do_not_exist(tmp_path):
    with pytest.raises(DataUnavailable, match=r"csv:.*/nothing.tsv has no file .* is empty"):
        load(tmp_path / "nothing.tsv")
    with pytest.raises(DataUnavailable, match=r"no file of pairs at .*nothing.* is empty"):
        split_names(f"csv:{tmp_path}/nothing")
    with pytest.raises(ValueError, match=r"p.xlsx: unknown kind of file; expected .tsv, .csv, .tsv.gz, .csv.gz"):
        load(write(tmp_path / "p.xlsx", b"PK"))


@pytest.mark.parametrize("limits", [(1, 1), (5, 0), (0, math.inf), (math.nan, 1)])
def test_score_range_must_be_a_range(tmp_path, limits):
    with pytest.raises(ValueError, match=r"score_range is .*; expected \(lowest, highest\), finite and in this order"):
        load(write(tmp_path / "p.tsv", HEADER + GOOD), score_range=limits)


def test_original_layout(tmp_path, monkeypatch):
    monkeypatch.setenv("COSENT_DATA_DIR", str(tmp_path))
    write(tmp_path / "STS-B" / "STS-B.valid.data", "飞机\t一架飞机\t4\n女孩\t男孩\t1\n")
    write(tmp_path / "LCQMC" / "LCQMC.train.data.gz", gzip.compress("甲\t乙\t1\n".encode()))
    assert rows(load_pairs("stsb_zh", "validation")) == [("飞机", "一架飞机", 0.8), ("女孩", "男孩", 0.2)]
    assert rows(load_pairs("lcqmc", "train", "dir")) == [("甲", "乙", 1.0)]
    write(tmp_path / "BQ" / "BQ.test.data", "甲\t乙\t1\n甲||乙||1\n")
    with pytest.raises(MalformedRow, match=r"BQ.test.data: line 2: 1 field: got '甲\|\|乙\|\|1', expected 3"):
        load_pairs("bq", "test")
    write(tmp_path / "bq" / "test.tsv", HEADER + "甲\t乙\t1\n")
    with pytest.raises(ValueError, match="several files for one split"):
        load_pairs("bq", "test")


def test_declared_range_of_a_task_is_enforced(tmp_path, monkeypatch):
    monkeypatch.setenv("COSENT_DATA_DIR", str(tmp_path))
    write(tmp_path / "ocnli" / "test.tsv", HEADER + "a\tb\t2\nc\td\t3\n")
    with pytest.raises(MalformedRow, match=r"line 3: score out of range: got '3', expected a number from 0 to 2"):
        load_pairs("ocnli", "test")
    with pytest.raises(ValueError, match=r"task 'ocnli' has scores in \(0, 2\); score_range is for csv: tasks"):
        load_pairs("ocnli", "test", score_range=(0, 3))


def test_missing_data_names_task_folder_contents_and_ways(tmp_path, monkeypatch):
    monkeypatch.setenv("COSENT_DATA_DIR", str(tmp_path))
    write(tmp_path / "lcqmc" / "test.tsv", HEADER + GOOD)
    with pytest.raises(DataUnavailable) as caught:
        load_pairs("lcqmc", "train")
    message = str(caught.value)
    for part in ("lcqmc/train", str(tmp_path / "lcqmc"), "holds test.tsv", "put lcqmc/train.tsv", "C-MTEB/LCQMC"):
        assert part in message
    monkeypatch.setenv("COSENT_DATA_DIR", str(tmp_path / "gone"))
    with pytest.raises(DataUnavailable, match=r"stsb_en/test is not under COSENT_DATA_DIR: .*gone is not a folder"):
        load_pairs("stsb_en", "test")
    monkeypatch.delenv("COSENT_DATA_DIR")
    with pytest.raises(DataUnavailable, match="source 'dir' needs COSENT_DATA_DIR, which is not set"):
        load_pairs("stsb_en", "test", "dir")


def test_wrong_names_are_errors_that_list_the_right_ones(tmp_path):
    with pytest.raises(ValueError, match="unknown task 'lqcmc'; expected one of atec, bq, lcqmc"):
        load_pairs("lqcmc", "train")
    with pytest.raises(ValueError, match="'lcqmc' has no split 'dev'; it has train, validation, test"):
        load_pairs("lcqmc", "dev")
    with pytest.raises(ValueError, match="unknown source 'web'; expected one of auto, dir, hub, builtin"):
        load_pairs("lcqmc", "test", "web")
    with pytest.raises(ValueError, match="'builtin' does not come from source 'hub'; expected 'auto' or 'builtin'"):
        load_pairs("builtin", "test", "hub")
    with pytest.raises(ValueError, match="'bq' does not come from source 'builtin'"):
        load_pairs("bq", "test", "builtin")
    with pytest.raises(ValueError, match="is read from its path, so source 'hub' does not apply"):
        load_pairs("csv:x", "all", "hub")
    with pytest.raises(ValueError, match="unknown on_error 'ignore'"):
        load_pairs("builtin", "test", on_error="ignore")


def test_fingerprint_is_of_the_rows_and_their_order_alone(tmp_path):
    path = write(tmp_path / "p.tsv", HEADER + "a\tb\t1\nc\td\t0\n")
    zipped = write(tmp_path / "zipped.tsv.gz", gzip.compress(path.read_bytes()))
    scaled = write(tmp_path / "scaled.csv", "sentence2,sentence1,label\nb,a,5\nd,c,0\n")
    value = fingerprint(load(path))
    assert value == hashlib.sha256(b'["a", "b", 1.0]["c", "d", 0.0]').hexdigest()
    assert value == fingerprint(load(zipped)) == fingerprint(load(scaled, score_range=(0, 5)))
    assert value == fingerprint(load(path).with_format("numpy"))
    for other in ("c\td\t0\na\tb\t1\n", "a\tb\t1\nc\td\t0.1\n", "a\tb\t1\nc\td \t0\n", "a\tb\t1\n"):
        assert fingerprint(load(write(tmp_path / "other.tsv", HEADER + other))) != value


def test_fingerprint_after_selection_is_that_of_the_selected_rows():
    pairs = load_pairs("builtin", "validation")
    expected = datasets.Dataset.from_dict(pairs[3:9])
    assert fingerprint(pairs.select(range(3, 9))) == fingerprint(expected)
    assert fingerprint(pairs.shuffle(seed=1)) != fingerprint(pairs)


def test_a_column_query_is_kept_and_part_of_what_the_data_are(tmp_path):
    lines = ["query\tsentence1\tsentence2\tscore", "gym\ta\tb\t1", "gym\ta\tc\t0", "pool\td\te\t1"]
    (tmp_path / "train.tsv").write_text("\n".join(lines) + "\n")
    (tmp_path / "test.tsv").write_text("\n".join(line.partition("\t")[2] for line in lines) + "\n")
    pairs, without = load_pairs(f"csv:{tmp_path}", "train"), load_pairs(f"csv:{tmp_path}", "test")
    assert pairs["query"][:] == ["gym", "gym", "pool"]
    assert without.column_names == ["sentence1", "sentence2", "score"]
    assert fingerprint(pairs) != fingerprint(without)
    (tmp_path / "train.tsv").write_text("\n".join([*lines, " \td\tf\t0"]) + "\n")
    with pytest.raises(MalformedRow, match="line 5: query is empty"):
        load_pairs(f"csv:{tmp_path}", "train")
