"""Labels changed in their meaning: which splits are changed, how, and what is refused."""

import pytest
from datasets import Dataset

from cosent_book.carry_out import altered_splits, carry_out
from cosent_book.relabelling import nearest, relabelled
from cosent_lib.data.load import load_pairs
from cosent_lib.runs.run import Run


@pytest.fixture(scope="module")
def splits() -> dict[str, Dataset]:
    return {name: load_pairs("builtin_graded", name) for name in ("train", "validation", "test")}


def test_fewer_levels_hold_for_train_and_validation_and_not_for_test(splits: dict[str, Dataset]) -> None:
    coarse = relabelled(splits, {"levels": 2})
    for name in ("train", "validation"):
        fine = splits[name]["score"][:]
        assert coarse[name]["score"][:] == [float(label >= 0.5) for label in fine]
        assert coarse[name]["sentence2"][:] == splits[name]["sentence2"][:]
    assert coarse["test"] is splits["test"]
    assert relabelled(splits, {"levels": 4})["train"]["score"][:] == pytest.approx(splits["train"]["score"][:])


def test_levels_are_the_classes_of_sentence_bert() -> None:
    import torch

    from cosent_lib import SoftmaxLoss

    labels = [place / 50 for place in range(51)]
    for count in (2, 3, 6):
        classes = SoftmaxLoss(4, num_labels=count).classes(torch.tensor(labels, dtype=torch.float64)).tolist()
        assert nearest(labels, count) == pytest.approx([each / (count - 1) for each in classes])


def test_places_put_labels_in_another_order(splits: dict[str, Dataset]) -> None:
    fine = splits["train"]["score"][:]
    placed = relabelled(splits, {"places": [1, 0, 2, 2], "validation_places": [0, 0, 0, 1]})
    turned = {0.0: 0.5, 1 / 3: 0.0, 2 / 3: 1.0, 1.0: 1.0}
    assert placed["train"]["score"][:] == [turned[label] for label in fine]
    assert placed["validation"]["score"][:] == [float(label == 1) for label in splits["validation"]["score"][:]]
    assert placed["test"] is splits["test"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"levels": 1}, "levels must be a whole number of at least 2"),
        ({"places": [0, 1]}, "places must hold a place for each of 4 labels"),
        ({"places": [1, 2, 3, 4]}, "the lowest 0"),
        ({"query": "score"}, "query must be sentence1 or sentence2, got 'score'"),
    ],
)
def test_what_does_not_fit_is_refused(splits: dict[str, Dataset], changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        relabelled(splits, changes)


def test_a_run_compares_within_its_query_and_watches_another_set() -> None:
    training = {"max_steps": 6, "batch_size": 32, "device": "cpu", "evaluation_steps": 3}
    place = "builtin_graded/validation"
    runs = [
        Run(
            suite="trial", task="builtin", encoder="static", encoder_options={"dim": 8}, loss="cosent",
            training=training, alter=alter, watch=("test:order", place), judge=("test", place),
        )
        for alter in ({"take": 500}, {"take": 500, "query": "sentence1"})
    ]  # fmt: skip
    across, within = (carry_out(run, progress=False)[0] for run in runs)
    assert across.history != within.history
    for record in (across, within):
        kept = next(each for each in record.watched if each["step"] == record.best_step)
        assert kept["test_spearman"] == record.metrics["test"]["spearman"]
        assert kept[f"{place}_spearman"] == record.metrics[place]["spearman"]
    seen = altered_splits(runs[1], {name: load_pairs("builtin", name) for name in ("train", "validation")})
    assert seen["train"]["query"][:] == seen["train"]["sentence1"][:]
    assert "query" not in seen["validation"].column_names
