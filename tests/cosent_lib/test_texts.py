"""One rule for what a text is, wherever texts come in; and what is said of texts that an encoder cuts."""

import copy
import csv
import warnings

import pandas as pd
import pytest
import torch
from training_kit import PAIRS, TinyEncoder, quiet

from cosent_lib.data.columns import pair_columns
from cosent_lib.data.files import Checker, MalformedRow
from cosent_lib.data.load import load_pairs
from cosent_lib.encoders.load import load_encoder
from cosent_lib.evaluation.evaluate import cosine_scores, evaluate
from cosent_lib.losses.make import make_loss
from cosent_lib.search import encode_file, search_file
from cosent_lib.texts import TextsCutWarning, check_text, fault_of
from cosent_lib.training.train import train

# Nothing shows in these: spaces, controls, zero-width signs, fillers, selectors, and mixtures of them
EMPTY = ["", " ", "\t", "\u3000", "\u200b", "\ufeff", "\u2060", "\u00ad", "\x00", "\x1b", "\u202e", "\u3164",
         "\u115f\u1160", "\u2800", "\ufe0f", "\u034f", "\U000e0100", "\U000e0041", " \u200d\u200b \u3000"]  # fmt: skip
HALVES = ["\ud83d", "a \udc00", "caf\udce9"]
OTHER = [None, 3, 1.5, float("nan"), b"bytes", ["list"]]
# and these are texts, though something invisible stands in some of them
GOOD = [
    "a",
    "\u200ba\ufeff",
    "?",
    "重",
    "e\u0301",
    "\u0301",
    "👍\ufe0f",
    "👩\u200d👩",
    "0",
    "\ufffd",
    "ﷺ",
    "two\nlines",
    "a\x00b",
]
FILED = [text for text in EMPTY if text not in ("", "\t") and "\x00" not in text]


@pytest.mark.parametrize("text", EMPTY)
def test_what_shows_nothing_is_no_text(text):
    expected = "a text that is not only white space or invisible characters"
    assert fault_of("it", text) == ("it is empty", expected)
    with pytest.raises(ValueError, match=r"it is empty: got '.*', expected a text that is not only white space"):
        check_text("it", text)


def test_other_things_and_halves_of_characters_are_no_texts():
    assert {fault_of("it", thing)[0] for thing in OTHER} == {"it is not a text"}
    assert {fault_of("it", text)[0] for text in HALVES} == {"it holds half a character"}


@pytest.mark.parametrize("text", GOOD)
def test_a_text_in_which_something_shows_is_one_everywhere(text, tmp_path):
    assert fault_of("it", text) is None
    with (tmp_path / "p.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["sentence1", "sentence2", "score"], [text, "b", 1]])
    pairs = load_pairs(f"csv:{tmp_path}/p.csv", "all")
    assert pair_columns(pairs).first == [text]
    for name in ("static", "small"):
        encoder = load_encoder(name, ["a b c", "?"])
        assert encoder.encode([text]).shape == (1, 128)
        assert encode_file(encoder, tmp_path / "p.csv", tmp_path / f"{name}.npy", column="sentence1")[0] == 1


# ------------------------------------------------------------------------------------------ wherever texts come in


@pytest.mark.parametrize("text", FILED)
@pytest.mark.parametrize("kind", ["tsv", "csv", "txt"])
def test_files_name_the_line_before_anything_is_encoded(text, kind, tmp_path):
    path, encoder = tmp_path / f"t.{kind}", Refusing()
    rows = [["sentence1", "sentence2", "score"], ["a", "b", "1"], ["c", text, "0"], ["e", "f", "1"]]
    separator = "," if kind == "csv" else "\t"
    lines = [row[1] for row in rows] if kind == "txt" else [separator.join(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(MalformedRow, match="line 3: the text is empty"):
        encode_file(encoder, path, tmp_path / "v.npy", column=None if kind == "txt" else "sentence2")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]  # no .part that nothing could finish
    if kind != "txt":
        with pytest.raises(MalformedRow, match="line 3: sentence2 is empty") as caught:
            load_pairs(f"csv:{path}", "all")
        assert caught.value.value == text


@pytest.mark.parametrize("text", [EMPTY[4], *HALVES, None, float("nan")])
def test_rows_of_the_hub_and_of_tables_in_memory_are_checked_alike(text):
    fault = fault_of("sentence2", text)[0]
    with pytest.raises(MalformedRow, match=f"hub: line 7: {fault}"):
        Checker("hub", (0, 1), "raise").add(7, "a", text, 1)
    columns = {"sentence1": ["a", "b"], "sentence2": ["c", text], "score": [0, 1]}
    for pairs in (columns, pd.DataFrame(columns, dtype=object)):
        with pytest.raises(ValueError, match=f"pairs: {fault.replace('sentence2', 'sentence2 of row 1')}"):
            pair_columns(pairs)
        with pytest.raises(ValueError, match="sentence2 of row 1"):
            evaluate(Refusing(), pairs)


@pytest.mark.parametrize("text", [EMPTY[4], EMPTY[11], *HALVES])
@pytest.mark.parametrize("name", ["static", "small"])
def test_encoders_name_the_position(text, name):
    with pytest.raises(ValueError, match=r"texts\[1\] (is empty|holds half a character)"):
        load_encoder(name, ["a b c", text])
    encoder = load_encoder(name, ["a b c"])
    for method in (encoder.encode, encoder.tokenize, encoder):
        with pytest.raises(ValueError, match=r"texts\[1\] (is empty|holds half a character)"):
            method(["a", text])


@pytest.mark.parametrize("where", ["train_pairs", "validation"])
def test_training_refuses_them_before_the_first_step(where):
    bad = {name: list(column) for name, column in PAIRS.items()}
    bad["sentence1"][199] = "\u200b"
    encoder = TinyEncoder()
    before = copy.deepcopy(encoder.state_dict())
    pairs = {"train_pairs": PAIRS, "validation": PAIRS} | {where: bad}
    with pytest.raises(ValueError, match=f"{where}: sentence1 of row 199 is empty: got '.u200b', expected a text"):
        train(encoder, make_loss("cosent", encoder), pairs["train_pairs"], quiet(), pairs["validation"])
    assert encoder.embedded == []
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())


def test_commands_name_file_and_line(call, tmp_path):
    rows = [f"a {i}\tb {i}\t{i % 2}" for i in range(40)]
    for split in ("train", "validation", "test"):
        (tmp_path / f"{split}.tsv").write_text("\n".join(["sentence1\tsentence2\tscore", *rows]) + "\n")
    bad = tmp_path / "validation.tsv"
    bad.write_text(bad.read_text().replace("a 38\t", "\u200b\t"), encoding="utf-8")
    code, out, _ = call("data", "check", tmp_path)
    assert code == 2
    assert "line 40: sentence1 is empty: got '\\u200b'" in out
    for words in (["train", f"csv:{tmp_path}", "--output", tmp_path / "run"], ["data", f"csv:{tmp_path}"]):
        code, _, err = call(*words)
        assert (code, err.count("\n")) == (2, 1)
        assert f"{bad}: line 40: sentence1 is empty" in err
    assert not (tmp_path / "run").exists()


def test_a_query_is_a_text_too(tmp_path):
    for query in ("\u200b", "\ud800", None):
        with pytest.raises(ValueError, match=r"the query (is|holds)"):
            search_file(Refusing(), tmp_path / "v.npy", tmp_path / "t.txt", query)


class Refusing:
    """An encoder that must not be asked."""

    def __getattr__(self, name):
        raise AssertionError(f"asked for {name}")


# -------------------------------------------------------------------------------------------- texts that are cut

LONG = ["a b c d e", "a b", "c d e a b c", "a b c d e a b c", "d"]  # tokens with the two special ones: 7, 4, 8, 10, 3


@pytest.fixture(scope="module")
def short():
    return load_encoder("small", LONG, dim=32, layers=1, max_length=7)


def test_count_cut_is_exact_at_the_limit(short):
    assert [short.count_cut([text]) for text in LONG] == [0, 0, 1, 1, 0]
    assert short.count_cut(LONG) == short.count_cut(LONG, short.tokenize(LONG)) == 2
    assert short.count_cut([]) == 0
    assert load_encoder("static", LONG).count_cut(LONG) == 0


def test_counting_leaves_the_tokenizer_as_it_was(short, capfd):
    before = short.tokenize(LONG)
    short.count_cut(LONG)
    assert short.tokenize(LONG) == before
    assert capfd.readouterr() == ("", "")  # transformers would warn of long texts itself


def test_encode_says_it_once_a_call_and_only_where_something_is_cut(short):
    with pytest.warns(TextsCutWarning, match=r"2 of 5 texts are longer than the 7 tokens that 'small' reads") as caught:
        short.encode(LONG, batch_size=1)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        short.encode(["a b c d e"])
        load_encoder("static", LONG).encode(LONG)
    with pytest.warns(TextsCutWarning, match="1 of 2 texts"):
        cosine_scores(short, {"sentence1": ["a b"] * 2, "sentence2": [LONG[2]] * 2, "score": [0, 1]})


def test_train_says_it_once_for_training_and_validation_together(short):
    encoder = copy.deepcopy(short)
    pairs = {"sentence1": LONG[:4], "sentence2": ["a", "b", "c", "d"], "score": [0, 1, 0, 1]}
    validation = {"sentence1": [*LONG[2:4], "b a d c a b c"], "sentence2": ["e", "a", "e d"], "score": [1, 0, 1]}
    config = quiet(epochs=3, batch_size=2)
    message = "3 of 11 training and validation texts are longer than the 7 tokens"
    with pytest.warns(TextsCutWarning) as caught:
        train(encoder, make_loss("cosine_squared", encoder), pairs, config, validation)
    assert [str(each.message)[: len(message)] for each in caught if each.category is TextsCutWarning] == [message]
    assert caught[0].filename == __file__
    with pytest.warns(TextsCutWarning, match="2 of 8 training and validation texts"):  # and again in another call
        train(encoder, make_loss("cosine_squared", encoder), pairs, quiet(epochs=1, batch_size=2))


def test_data_check_says_how_many_an_encoder_cuts(call, short, tmp_path):
    short.save(tmp_path / "short")
    for split, texts in (("train", LONG), ("test", LONG[:2])):
        lines = ["sentence1\tsentence2\tscore", *(f"{text}\ta\t{i % 2}" for i, text in enumerate(texts))]
        (tmp_path / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    code, out, err = call("data", "check", tmp_path, "--encoder", tmp_path / "short")
    assert (code, err) == (0, "")
    assert out.splitlines()[-2:] == [
        "train: 2 of 6 distinct texts are longer than the 7 tokens that 'small' reads; the rest of each is cut off",
        f"test: {tmp_path / 'short'} reads all 3 distinct texts whole",
    ]
    for name in ("static", "small"):
        assert (
            f"train: {name} reads all 6 distinct texts whole" in call("data", "check", tmp_path, "--encoder", name)[1]
        )
    assert call("data", "check", tmp_path, "--encoder", "nothing")[::2] == (
        2,
        call("evaluate", "nothing", "builtin")[2],
    )


def test_the_command_train_says_it_once_for_all_splits(call, short, tmp_path):
    short.save(tmp_path / "short")
    for split, texts in (("train", LONG), ("validation", [*LONG, "e e e e e e"]), ("test", ["d d d d d d d", "d"])):
        lines = [f"{text}\ta b c\t{i % 2}" for i, text in enumerate(texts * 4)]
        (tmp_path / f"{split}.tsv").write_text("\n".join(["sentence1\tsentence2\tscore", *lines]) + "\n")
    words = [
        "train",
        f"csv:{tmp_path}",
        "--encoder",
        tmp_path / "short",
        "--output",
        tmp_path / "run",
        "--device",
        "cpu",
    ]
    code, _, err = call(*words, "--epochs", 2, "--batch-size", 8, "--no-progress")
    said = [line for line in err.splitlines() if "longer than" in line]
    message = "warning: 4 of 8 texts of train, validation, test are longer than the 7 tokens that 'small' reads; "
    assert (code, [line[: len(message)] for line in said]) == (0, [message])
