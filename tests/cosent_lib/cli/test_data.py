"""The command data: what it counts, against a count by hand, and what it says of a reader's own file."""

import itertools
import math

import numpy as np
import pytest

from cosent_lib.data.columns import COLUMNS
from cosent_lib.data.load import load_pairs
from cosent_lib.encoders.load import load_encoder
from cosent_lib.evaluation.metrics import spearman_ceiling
from cosent_lib.evaluation.report import Overlap, advice, overlap, share_without_order, summarise

HEADER = "sentence1\tsentence2\tscore\n"


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + "".join("\t".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    return path


def columns(*rows):
    return dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))


# ------------------------------------------------------------------------------------------------------------ counts


def test_counts_by_hand():
    found = summarise(
        columns(("a", "b", 1.0), ("b", "a", 0.0), ("a", "b", 1.0), ("c", "d", 1.0), ("d", "c", 1.0), ("c", "c", 0.0))
    )
    assert found.rows == 6
    assert found.labels == {1.0: 4, 0.0: 2}
    assert found.repeated == 3  # b a, a b again, d c
    assert found.contradictory == 1  # a with b
    assert found.tied == (6 + 1) / 15
    assert found.ceiling == spearman_ceiling([1, 0, 1, 1, 1, 0])


def test_counts_of_a_real_split_against_pandas(data_dir, monkeypatch):
    monkeypatch.setenv("COSENT_DATA_DIR", str(data_dir))
    pairs = load_pairs("stsb_zh", "train")
    frame = pairs.to_pandas()
    frame["pair"] = [tuple(sorted(texts)) for texts in zip(frame.sentence1, frame.sentence2, strict=True)]
    found = summarise(pairs)
    assert found.repeated == frame.pair.duplicated().sum() > 0
    assert found.contradictory == (frame.groupby("pair").score.nunique() > 1).sum() > 0
    y = frame.score.to_numpy()[:1500]
    head = summarise(pairs.select(range(1500)))
    assert head.tied == pytest.approx((y[:, None] == y)[np.triu_indices(1500, 1)].mean())


def test_overlap_by_hand():
    train = columns(("a", "b", 1.0), ("c", "d", 0.0))
    test = columns(("b", "a", 0.0), ("a", "e", 1.0), ("e", "f", 1.0), ("b", "a", 0.0))
    assert overlap(train, test) == Overlap(pairs=1, sentences=0.5)  # of a, b, e, f: a and b
    assert overlap(test, train) == Overlap(pairs=1, sentences=0.5)  # of a, b, c, d: a and b
    assert overlap(train, columns(("x", "y", 1.0))) == Overlap(0, 0)


@pytest.mark.parametrize("labels", [[0] * 7 + [1] * 2, [0] * 3 + [0.5] * 3 + [1] * 3, [0] * 9])
@pytest.mark.parametrize("batch", [2, 3, 100])
def test_share_of_batches_without_order_by_listing_all(labels, batch):
    batches = list(itertools.combinations(labels, min(batch, len(labels))))
    expected = np.mean([len(set(drawn)) == 1 for drawn in batches])
    counts = summarise(columns(*(("a", str(i), float(label)) for i, label in enumerate(labels)))).labels
    assert share_without_order(counts, batch) == pytest.approx(expected, abs=1e-15)


def test_advice_names_what_the_counts_mean():
    rows = [("a", str(i), 0.0) for i in range(990)] + [("b", str(i), 1.0) for i in range(10)]
    text = " ".join(advice(summarise(columns(*rows, ("1", "a", 1.0)))))
    share = math.comb(990, 64) / math.comb(1001, 64)
    assert "1.1 % of the labels are 1" in text
    assert "right in 98.9 %" in text
    assert f"{100 * share:.1f} % hold one label only" in text
    assert "Take larger batches" in text
    assert "more than one label: 1." in text
    assert "repeat the texts of an earlier row: 1." in text
    assert f"Spearman of {spearman_ceiling([0] * 990 + [1] * 11):.3f} at most" in text
    assert advice(summarise(columns(("a", "b", 1.0), ("c", "d", 1.0))))[0].startswith("All 2 labels are equal")


# -------------------------------------------------------------------------------------------------------- the command


def test_data_task_shows_each_split_and_what_splits_share(call, tmp_path):
    write(tmp_path / "train.tsv", ("a", "b", 1), ("c", "d", 0), ("d", "c", 1))
    write(tmp_path / "test.tsv", ("b", "a", 0), ("e", "f", 1))
    code, out, _ = call("data", f"csv:{tmp_path}")
    assert code == 0
    cells = [line.split() for line in out.splitlines()]
    assert cells[1] == ["train", "3", "0:", "33.3", "%", "1:", "66.7", "%", "0.8660", "33.3", "%", "1", "1"]
    assert cells[2] == ["test", "2", "0:", "50.0", "%", "1:", "50.0", "%", "1.0000", "0.0", "%", "0", "0"]
    assert ["test", "in", "train", "1", "50.0", "%"] in cells


def test_data_of_a_builtin_task_has_every_split(call):
    code, out, _ = call("data", "builtin")
    assert code == 0
    splits = [line.split()[0] for line in out.splitlines()[1:4]]
    assert splits == ["train", "validation", "test"]
    assert "test in train" in out


def test_check_lists_malformed_rows_and_ends_with_two(call, tmp_path):
    path = write(tmp_path / "my.tsv", ("a", "b", 5), ("", "b", 1), ("c", "d", "many"), ("e", 2), ("g", "h", 0))
    code, out, err = call("data", "check", path, "--score-range", "0,5")
    assert (code, err) == (2, "")
    assert out.splitlines()[:4] == [
        f"{path}: 5 rows, 3 malformed",
        "  line 3: sentence1 is empty: got '', expected a text that is not only white space or invisible characters",
        "  line 4: score is not a number: got 'many', expected a number from 0 to 5",
        "  line 5: 2 fields: got 'e\\t2', expected 3 (sentence1, sentence2, score)",
    ]
    assert ["all", "2", "0:", "50.0"] in [line.split()[:4] for line in out.splitlines()]  # the good rows


def test_check_lists_twenty_and_counts_the_rest(call, tmp_path):
    path = write(tmp_path / "my.tsv", *(("a", "b", "x") for _ in range(25)))
    code, out, _ = call("data", "check", path)
    lines = out.splitlines()
    assert (code, lines[0], lines[21:]) == (2, f"{path}: 25 rows, 25 malformed", ["  and 5 more", ""])
    assert [line.split(":")[0] for line in lines[1:21]] == [f"  line {n}" for n in range(2, 22)]


def test_check_of_a_good_file_gives_advice_and_ends_with_zero(call, tmp_path):
    rows = [(f"a{i}", f"b{i}", int(i % 4 == 0)) for i in range(200)]
    code, out, err = call("data", "check", write(tmp_path / "my.tsv", *rows))
    assert (code, err) == (0, "")
    assert "200 rows, all well formed" in out
    assert "25.0 % of the labels are 1" in out
    assert "Of random batches of 64, 0.0 % hold one label only" in out


def test_check_of_a_file_without_rows_is_no_success(call, tmp_path):
    code, out, _ = call("data", "check", write(tmp_path / "my.tsv"))
    assert code == 2
    assert "my.tsv: 0 rows, nothing to train or evaluate on" in out


def test_check_of_a_folder_checks_each_split(call, tmp_path):
    write(tmp_path / "train.tsv", ("a", "b", 1), ("c", "d", 0))
    write(tmp_path / "test.tsv", ("a", "b", 1), ("c", "d", 7))
    code, out, _ = call("data", "check", tmp_path)
    assert code == 2
    assert "train.tsv: 2 rows, all well formed" in out
    assert "test.tsv: 2 rows, 1 malformed" in out
    assert "for example --score-range 0,5" in out
    assert "test in train  1 " in out


@pytest.mark.parametrize("command", ["train", "evaluate", "scale", "data"])
def test_scores_of_another_range_are_told_of_the_option_by_every_command(call, tmp_path, command):
    for split in ("train", "validation", "test"):
        write(tmp_path / f"{split}.tsv", ("a", "b", 4), ("c", "d", 0))
    task = f"csv:{tmp_path}"
    encoder = tmp_path / "encoder"
    load_encoder("static", ["a b c d"]).save(encoder)
    words = {"train": [task, "--output", tmp_path / "run"], "data": [task]}.get(command, [encoder, task])
    code, _, err = call(command, *words)
    assert (code, err.count("\n")) == (2, 1)
    assert "line 2: score out of range: got '4', expected a number from 0 to 1; " in err
    assert "on the command line --score-range" in err
    assert not (tmp_path / "run").exists()


def test_check_says_of_ranges_once(call, tmp_path):
    code, out, _ = call(
        "data", "check", write(tmp_path / "my.tsv", *(("a", str(i), 5) for i in range(9)), ("c", "d", 0))
    )
    assert (code, out.count("--score-range")) == (2, 1)
    assert "line 2: score out of range: got '5', expected a number from 0 to 1\n" in out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["check"], "Missing argument 'file'"),
        (["check", "nowhere.tsv"], "nowhere.tsv"),
        (["lcqmc", "my.tsv"], "unexpected extra argument"),
        (["check", "empty.tsv"], "the file is empty"),
        (["check", "my.xlsx"], "unknown kind of file"),
        (["check", "good.tsv", "--score-range", "5,0"], "score_range"),
    ],
)
def test_mistakes_take_one_line_and_exit_code_two(call, tmp_path, monkeypatch, words, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.tsv").write_text("")
    (tmp_path / "my.xlsx").write_text("PK")
    write(tmp_path / "good.tsv", ("a", "b", 1))
    code, _, err = call("data", *words)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("error: ")
    assert named in err
