"""Loading pairs: every source, every kind of bad input and the message it gets."""

import csv
import gzip
import hashlib
import math
import warnings
from pathlib import Path

import datasets
import pytest

from cosent_lib.data import corpus
from cosent_lib.data.files import MalformedFile, MalformedRow, SkippedRowsWarning
from cosent_lib.data.load import fingerprint, load_pairs, origin, split_names
from cosent_lib.data.tasks import TASKS, DataUnavailable

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


# --- real data -------------------------------------------------------------------------------------------------------

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


# --- built-in tasks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [task for task in TASKS if TASKS[task].builtin])
def test_builtin_rows_are_the_corpus_scaled(task, monkeypatch):
    monkeypatch.setenv("COSENT_DATA_DIR", "nowhere")  # auto takes no notice of it for generated tasks
    highest = 3 if task == "builtin_graded" else 1
    expected = [(a, b, score / highest) for a, b, score in corpus.generate(task, "validation")]
    assert rows(load_pairs(task, "validation")) == expected
    assert split_names(task) == corpus.SPLITS[task]


def test_origin_of_a_builtin_split_is_its_checksum():
    assert origin(load_pairs("builtin", "test")) == f"builtin {corpus.CHECKSUMS['builtin', 'test']}"


# --- what a file may look like ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("name", ["p.tsv", "p.csv", "p.tsv.gz", "p.csv.gz"])
def test_line_ends_byte_order_mark_and_gzip(tmp_path, ending, mark, last, name):
    comma = "," if ".csv" in name else "\t"
    lines = [comma.join(row) for row in (["sentence1", "sentence2", "score"], ["a", "b", "1"], ["c", "d", "0.25"])]
    content = mark + (ending.join(lines) + ending * last).encode()
    path = write(tmp_path / name, gzip.compress(content) if name.endswith(".gz") else content)
    assert rows(load(path)) == [("a", "b", 1.0), ("c", "d", 0.25)]


def test_a_text_may_hold_what_unicode_calls_a_line_break(tmp_path):
    odd = "a\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\rb"
    path = write(tmp_path / "p.tsv", f"{HEADER}{odd}\tb\t1\nc\td\tno\n")
    with pytest.raises(MalformedRow, match="line 3"):
        load(path)
    assert rows(load(write(path, f"{HEADER}{odd}\tb\t1\n"))) == [(odd, "b", 1.0)]


def test_tsv_knows_no_quotation(tmp_path):
    path = write(tmp_path / "p.tsv", f'{HEADER}"a\tb" said\t1\n"c\t""d""\t0\n')
    assert rows(load(path)) == [('"a', 'b" said', 1.0), ('"c', '""d""', 0.0)]


def test_csv_quotation_round_trip_against_the_csv_module(tmp_path):
    texts = ['he said "no"', "a, b", "two\nlines", "two\r\nlines", "tab\there", " space "]
    with (tmp_path / "p.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["sentence1", "sentence2", "score"])
        writer.writerows([text, "other", 1] for text in texts)
    assert [row[0] for row in rows(load(tmp_path / "p.csv"))] == texts


def test_lines_are_counted_where_a_csv_row_begins(tmp_path):
    path = write(tmp_path / "p.csv", 'sentence1,sentence2,score\n"a\nb\nc",d,1\ne,f,x\n')
    with pytest.raises(MalformedRow) as caught:
        load(path)
    assert caught.value.line == 5


def test_columns_are_found_by_name_and_label_stands_for_score(tmp_path):
    path = write(tmp_path / "p.tsv", "label\tid\tsentence2\tsentence1\n1\t7\tb\ta\n")
    assert rows(load(path)) == [("a", "b", 1.0)]


def test_scores_are_scaled_by_the_range(tmp_path):
    path = write(tmp_path / "p.tsv", f"{HEADER}a\tb\t1\nc\td\t5\ne\tf\t2\ng\th\t1e0\ni\tj\t 3.0 \n")
    assert [row[2] for row in rows(load(path, score_range=(1, 5)))] == [0, 1, 0.25, 0, 0.5]


# --- malformed rows --------------------------------------------------------------------------------------------------

BAD = {
    "missing column": ("a\tb", "2 fields", "a\tb", r"expected 3 \(sentence1, sentence2, score\)"),
    "one field": ("word", "1 field", "word", "expected 3"),
    "too many": ("a\tb\t1\t2", "4 fields", "a\tb\t1\t2", "expected 3"),
    "empty line": ("", "1 field", "", "expected 3"),
    "empty first": ("\tb\t1", "empty sentence1", "", "expected a text"),
    "blank second": ("a\t \u3000\t1", "empty sentence2", " \u3000", "expected a text that is not only white space"),
    "no number": ("a\tb\tyes", "score is not a number", "yes", "expected a number from 0 to 1"),
    "no score": ("a\tb\t", "score is not a number", "", "expected a number from 0 to 1"),
    "underscore": ("a\tb\t0_1", "score is not a number", "0_1", "expected a number"),
    "full width": ("a\tb\t１", "score is not a number", "１", "expected a number"),
    "nan": ("a\tb\tNaN", "score is NaN", "NaN", "expected a number from 0 to 1"),
    "infinite": ("a\tb\t-inf", "score is infinite", "-inf", "expected a number from 0 to 1"),
    "overflow": ("a\tb\t1e999", "score is infinite", "1e999", "expected a number from 0 to 1"),
    "above": ("a\tb\t1.5", "score out of range", "1.5", "expected a number from 0 to 1"),
    "below": ("a\tb\t-0.1", "score out of range", "-0.1", "expected a number from 0 to 1"),
}


@pytest.mark.parametrize("kind", BAD)
def test_malformed_row_names_file_line_value_and_what_was_expected(tmp_path, kind):
    row, problem, value, expected = BAD[kind]
    path = write(tmp_path / "pairs.tsv", f"{HEADER}{GOOD}{row}\n{GOOD}")
    with pytest.raises(MalformedRow, match=expected) as caught:
        load(path)
    error = caught.value
    assert str(error).startswith(f"{path}: line 3: {problem}: got {value!r}, expected ")
    assert (error.path, error.line, error.value, error.problem) == (str(path), 3, value, problem)
    assert isinstance(error, ValueError)


@pytest.mark.parametrize("name", ["p.tsv", "p.csv"])
def test_undecodable_bytes_are_named_with_their_line(tmp_path, name):
    content = (HEADER + GOOD + GOOD).replace("\t", "," if name == "p.csv" else "\t").encode()
    content = content.replace(b"a tiger", b"caf\xe9", 2).replace(b"caf\xe9", b"a tiger", 1)  # latin-1 in line 3
    path = write(tmp_path / name, content)
    with pytest.raises(
        MalformedRow, match=r"line 3: bytes that are not UTF-8: got b'caf\\xe9', expected text enc"
    ) as e:
        load(path)
    assert e.value.value == b"caf\xe9"
    with pytest.warns(SkippedRowsWarning, match="skipped 1 of 2 rows: line 3"):
        assert len(load(path, on_error="skip")) == 1


def test_a_long_value_is_cut_in_the_message_and_whole_in_the_error(tmp_path):
    path = write(tmp_path / "p.tsv", f"{HEADER}a\tb\t{'9' * 500}x\n")
    with pytest.raises(MalformedRow) as caught:
        load(path)
    assert len(str(caught.value)) < len(str(path)) + 200
    assert caught.value.value == "9" * 500 + "x"


def test_csv_rows_are_checked_too(tmp_path):
    path = write(tmp_path / "p.csv", "sentence1,sentence2,score\na,b,1\n\nc,d\n")
    with pytest.raises(MalformedRow, match="line 3: 0 fields: got '', expected 3"):
        load(path)


def test_skip_says_how_many_and_which(tmp_path):
    bad = [row for row, *_ in BAD.values()]
    path = write(tmp_path / "p.tsv", HEADER + GOOD + "".join(f"{row}\n" for row in bad) + GOOD)
    with pytest.warns(SkippedRowsWarning) as caught:
        pairs = load(path, on_error="skip")
    assert rows(pairs) == [("a cat", "a tiger", 0.5)] * 2
    message = str(caught[0].message)
    assert message.startswith(f"{path}: skipped {len(bad)} of {len(bad) + 2} rows: line 3 (2 fields); line 4 (1 field)")
    listed = [f"line {3 + i} ({problem})" for i, (_, problem, *_) in enumerate(BAD.values())]
    assert all(text in message for text in listed[:10])
    assert not any(text in message for text in listed[10:])
    assert message.endswith(f"and {len(bad) - 10} more")
    assert caught[0].filename == __file__  # the warning points at who loads, not into the library


def test_skip_is_silent_when_all_is_well(tmp_path):
    path = write(tmp_path / "p.tsv", HEADER + GOOD)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(load(path, on_error="skip")) == 1


def test_skip_leaves_an_error_when_nothing_is_left(tmp_path):
    path = write(tmp_path / "p.tsv", HEADER + "a\tb\tx\n")
    with pytest.raises(MalformedFile, match=r"all 1 rows are malformed: line 2 \(score is not a number\)"):
        load(path, on_error="skip")


# --- malformed files -------------------------------------------------------------------------------------------------

WHOLE = gzip.compress((HEADER + GOOD * 1000).encode())
FILES = {
    "empty": ("p.tsv", b"", "the file is empty"),
    "blank": ("p.tsv", b"\n\n", "the file is empty"),
    "only a mark": ("p.csv", b"\xef\xbb\xbf", "the file is empty"),
    "only a header": ("p.tsv", HEADER.encode(), "no rows"),
    "only a csv header": ("p.csv", b"sentence1,sentence2,score\n", "no rows"),
    "no header": ("p.tsv", GOOD.encode(), r"first line must name .* no sentence1, no sentence2, no score \(or label\)"),
    "header lacks": (
        "p.tsv",
        b"sentence1\tscore\na\t1\n",
        r"must name the columns.*; no sentence2 in \['sentence1', 's",
    ),
    "semicolons": ("p.csv", b"sentence1;sentence2;score\na;b;1\n", "separated by a comma; no sentence1"),
    "commas in tsv": ("p.tsv", b"sentence1,sentence2,score\na,b,1\n", "separated by a tab; no sentence1"),
    "score and label": ("p.tsv", b"sentence1\tsentence2\tscore\tlabel\na\tb\t1\t0\n", "score and label both exist"),
    "twice": (
        "p.tsv",
        b"sentence1\tsentence1\tsentence2\tscore\na\tb\tc\t1\n",
        "column sentence1 occurs more than once",
    ),
    "truncated": ("p.tsv.gz", WHOLE[: len(WHOLE) // 2], "not a whole gzip file"),
    "trailer cut": ("p.tsv.gz", WHOLE[:-4], "not a whole gzip file"),
    "damaged": ("p.tsv.gz", WHOLE[:30] + b"\0\0\0\0" + WHOLE[34:], "not a whole gzip file"),
    "not gzip": ("p.tsv.gz", HEADER.encode(), "not a whole gzip file"),
    "gzip unnamed": ("p.tsv", WHOLE, "gzip-compressed but not named .gz"),
    "utf-16": ("p.tsv", (HEADER + GOOD).encode("utf-16"), "the text is UTF-16; save it as UTF-8"),
    "unclosed": ("p.csv", b'sentence1,sentence2,score\na,b,1\n"c,d,1\ne,f,1\n', "row that begins in line 3 is not CSV"),
    "after quote": ("p.csv", b'sentence1,sentence2,score\n"a" b,c,1\n', "row that begins in line 2 is not CSV"),
}


@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize("kind", FILES)
def test_malformed_file_is_an_error_whatever_on_error_says(tmp_path, kind, on_error):
    name, content, message = FILES[kind]
    path = write(tmp_path / name, content)
    with pytest.raises(MalformedFile, match=message) as caught:
        load(path, on_error=on_error)
    assert str(caught.value).startswith(f"{path}: ")
    assert not isinstance(caught.value, MalformedRow)


# --- csv: places -----------------------------------------------------------------------------------------------------


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
    write(tmp_path / "train.tsv.gz", WHOLE)
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


# --- folder of data sets ---------------------------------------------------------------------------------------------


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


# --- hub (no network: what it would deliver is put in its place) -----------------------------------------------------


def hub_delivers(monkeypatch, delivered: datasets.Dataset) -> list[tuple]:
    """Let `load_dataset` return `delivered`; the list receives what it was asked for."""
    asked: list[tuple] = []

    def load_dataset(name, config, *, split, revision):
        asked.append((name, config, split, revision))
        return delivered

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.delenv("COSENT_DATA_DIR", raising=False)
    return asked


def test_hub_is_asked_for_a_pinned_revision(monkeypatch):
    delivered = datasets.Dataset.from_dict({"sentence1": ["a", "c"], "sentence2": ["b", "d"], "score": [5, 1]})
    asked = hub_delivers(monkeypatch, delivered)
    pairs = load_pairs("stsb_zh", "test")
    assert asked == [("C-MTEB/STSB", None, "test", TASKS["stsb_zh"].hub.revision)]
    assert rows(pairs) == [("a", "b", 1.0), ("c", "d", 0.2)]
    assert origin(pairs) == f"hub C-MTEB/STSB@{TASKS['stsb_zh'].hub.revision} test"


def test_hub_scores_may_have_a_range_of_their_own(monkeypatch):
    delivered = datasets.Dataset.from_dict({"sentence1": ["a"], "sentence2": ["b"], "score": [0.76]})
    hub_delivers(monkeypatch, delivered)
    assert rows(load_pairs("stsb_en", "train")) == [("a", "b", 0.76)]


def test_hub_class_labels_are_read_by_name(monkeypatch):
    names = ["neutral", "entailment", "contradiction"]
    features = datasets.Features(
        {
            "sentence1": datasets.Value("string"),
            "sentence2": datasets.Value("string"),
            "label": datasets.ClassLabel(names=names),
        }
    )
    content = {"sentence1": ["a", "b", "c"], "sentence2": ["x", "y", "z"], "label": [0, 1, 2]}
    asked = hub_delivers(monkeypatch, datasets.Dataset.from_dict(content, features=features))
    pairs = load_pairs("ocnli", "test")
    assert asked == [("clue/clue", "ocnli", "validation", TASKS["ocnli"].hub.revision)]
    assert pairs["score"][:] == [0.5, 1.0, 0.0]


def test_a_cached_copy_of_another_commit_does_not_stand_in(monkeypatch):
    other = "0123456789abcdef0123456789abcdef01234567"
    checksums = {f"hf://datasets/C-MTEB/BQ@{other}/data/x.parquet": {}}
    content = {"sentence1": ["a"], "sentence2": ["x"], "score": [0]}
    hub_delivers(
        monkeypatch, datasets.Dataset.from_dict(content, info=datasets.DatasetInfo(download_checksums=checksums))
    )
    with pytest.raises(DataUnavailable, match=f"bq/test cannot be had .*the copy on this machine is of commit {other}"):
        load_pairs("bq", "test")


def test_hub_rows_are_checked(monkeypatch):
    features = datasets.Features(
        {"sentence1": datasets.Value("string"), "sentence2": datasets.Value("string"), "label": datasets.ClassLabel(2)}
    )
    content = {"sentence1": ["a", "b", None], "sentence2": ["x", "y", "z"], "label": [0, -1, 1]}
    hub_delivers(monkeypatch, datasets.Dataset.from_dict(content, features=features))
    with pytest.raises(
        MalformedRow, match=r"hub google-research-datasets/paws-x@\S+ zh test: line 2: score out of range"
    ):
        load_pairs("pawsx", "test")
    message = r"skipped 2 of 3 rows: line 2 .*; line 3 \(sentence1 is not a text\)"
    with pytest.warns(SkippedRowsWarning, match=message) as caught:
        assert rows(load_pairs("pawsx", "test", on_error="skip")) == [("a", "x", 0.0)]
    assert caught[0].filename == __file__


def test_hub_with_other_columns_is_an_error(monkeypatch):
    hub_delivers(monkeypatch, datasets.Dataset.from_dict({"text1": ["a"], "text2": ["b"], "score": [1]}))
    with pytest.raises(MalformedFile, match=r"no column sentence1, sentence2 among \['text1', 'text2', 'score'\]"):
        load_pairs("bq", "test", "hub")


def test_hub_out_of_reach_says_what_where_and_the_other_ways(monkeypatch):
    def load_dataset(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.delenv("COSENT_DATA_DIR", raising=False)
    with pytest.raises(DataUnavailable) as caught:
        load_pairs("lcqmc", "test")
    message = str(caught.value)
    for part in (
        "lcqmc/test",
        "C-MTEB/LCQMC at 17f9b0",
        "ConnectionError: no network",
        "put lcqmc/test.tsv",
        "built-in",
    ):
        assert part in message
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_split_that_the_hub_lacks(monkeypatch):
    monkeypatch.delenv("COSENT_DATA_DIR", raising=False)
    with pytest.raises(
        DataUnavailable, match=r"ocnli/validation is not on the hub. Ways to go on: put ocnli/validation.tsv"
    ):
        load_pairs("ocnli", "validation")


@pytest.mark.parametrize("task", [task for task in TASKS if TASKS[task].hub])
def test_hub_table_is_whole(task):
    hub = TASKS[task].hub
    assert set(hub.splits) <= {"train", "validation", "test"}
    assert {"train", "test"} <= set(hub.splits)
    assert len(hub.revision) == 40
    assert int(hub.revision, 16)


# --- fingerprint -----------------------------------------------------------------------------------------------------


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
