"""Files of pairs: how they are read, every kind of damage and the message it gets."""

import csv
import gzip
import warnings

import pytest
from data_files import GOOD, HEADER, load, rows, write

from cosent_lib.data.files import MalformedFile, MalformedRow, SkippedRowsWarning
from cosent_lib.data.load import load_pairs


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


BAD = {
    "missing column": ("a\tb", "2 fields", "a\tb", r"expected 3 \(sentence1, sentence2, score\)"),
    "one field": ("word", "1 field", "word", "expected 3"),
    "too many": ("a\tb\t1\t2", "4 fields", "a\tb\t1\t2", "expected 3"),
    "empty line": ("", "1 field", "", "expected 3"),
    "empty first": ("\tb\t1", "sentence1 is empty", "", "expected a text"),
    "blank second": ("a\t \u3000\t1", "sentence2 is empty", " \u3000", "expected a text that is not only white space"),
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
        pairs = load_pairs(f"csv:{path}", "all", on_error="skip")
    assert rows(pairs) == [("a cat", "a tiger", 0.5)] * 2
    message = str(caught[0].message)
    assert message.startswith(f"{path}: skipped {len(bad)} of {len(bad) + 2} rows: line 3 (2 fields); line 4 (1 field)")
    listed = [f"line {3 + i} ({problem})" for i, (_, problem, *_) in enumerate(BAD.values())]
    assert all(text in message for text in listed[:10])
    assert not any(text in message for text in listed[10:])
    assert f"; and {len(bad) - 10} more; another range is told by score_range=(lowest, highest)" in message
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


# ---------------------------------------------------------------------------------- scores that need to be told a range

TELLS = "score_range=(lowest, highest), on the command line --score-range"


@pytest.mark.parametrize("score", ["4", "-1", "5", "100"])
@pytest.mark.parametrize("name", ["p.tsv", "p.csv.gz"])
def test_a_score_of_another_range_is_told_how_ranges_are_given(tmp_path, name, score):
    content = f"{HEADER}{GOOD}a\tb\t{score}\n".replace("\t", "," if "csv" in name else "\t").encode()
    path = write(tmp_path / name, gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(
        MalformedRow, match=r"line 3: score out of range: got '.*', expected a number from 0 to 1; "
    ) as e:
        load(path)
    assert TELLS in str(e.value)
    with pytest.warns(SkippedRowsWarning) as caught:
        load(path, on_error="skip")
    assert str(caught[0].message).count(TELLS) == 1


def test_who_gave_a_range_or_cannot_give_one_is_not_told_how(tmp_path, monkeypatch):
    path = write(tmp_path / "lcqmc" / "test.tsv", f"{HEADER}{GOOD}a\tb\t7\n")
    with pytest.raises(MalformedRow, match=r"expected a number from 0 to 5$"):
        load(path, score_range=(0, 5))
    monkeypatch.setenv("COSENT_DATA_DIR", str(tmp_path))
    with pytest.raises(MalformedRow, match=r"expected a number from 0 to 1$"):
        load_pairs("lcqmc", "test")


def test_another_fault_than_the_range_says_nothing_of_ranges(tmp_path):
    path = write(tmp_path / "p.tsv", f"{HEADER}{GOOD}a\tb\tmany\n")
    with pytest.raises(MalformedRow, match=r"score is not a number: got 'many', expected a number from 0 to 1$"):
        load(path)
