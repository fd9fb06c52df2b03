"""Tasks from the hub: pinned, checked, and named where they cannot be had."""

import datasets
import pytest
from data_files import rows

from cosent_lib.data.files import MalformedFile, MalformedRow, SkippedRowsWarning
from cosent_lib.data.load import load_pairs, origin
from cosent_lib.data.tasks import TASKS, DataUnavailable


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
