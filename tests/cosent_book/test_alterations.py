"""Training pairs changed on purpose: what is changed, what is left alone, and what is refused."""

from dataclasses import replace

import pytest
from datasets import Dataset

from cosent_book.alterations import CHANGES, LEAKS, altered, judged_on_fewer, leaked
from cosent_book.carry_out import altered_splits, carry_out
from cosent_lib.data.load import fingerprint, load_pairs, origin
from cosent_lib.runs.perform import load_splits
from cosent_lib.runs.run import Run

COLUMNS = ("sentence1", "sentence2", "score")


def rows_of(pairs: Dataset) -> list[tuple[str, str, float]]:
    return list(zip(*(pairs[name][:] for name in COLUMNS), strict=True))


@pytest.fixture(scope="module")
def pairs() -> Dataset:
    return load_pairs("builtin", "validation")


@pytest.fixture(scope="module")
def graded() -> Dataset:
    return load_pairs("builtin_graded", "validation")


def test_without_changes_the_pairs_themselves_come_back(pairs: Dataset) -> None:
    assert altered(pairs, {}, seed=0) is pairs


def test_take_draws_rows_without_replacement(pairs: Dataset) -> None:
    taken = rows_of(altered(pairs, {"take": 100}, seed=0))
    assert len(taken) == len(set(taken)) == 100
    assert set(taken) < set(rows_of(pairs))
    assert taken != rows_of(pairs)[:100]


def test_the_draws_depend_on_the_seed_and_on_nothing_else(pairs: Dataset) -> None:
    changes = {"flip": 0.3, "negatives": "random"}
    first, again, other = (rows_of(altered(pairs, changes, seed)) for seed in (1, 1, 2))
    assert first == again != other
    # the flips are those of flips alone: each change has its own stream
    flips = [row[2] for row in rows_of(altered(pairs, {"flip": 0.3}, seed=1))]
    assert [row[2] for row in first] == flips


def test_random_negatives_change_the_second_sentence_of_negatives_only(pairs: Dataset) -> None:
    before, after = rows_of(pairs), rows_of(altered(pairs, {"negatives": "random"}, seed=0))
    seconds = {row[1] for row in before}
    for (first, second, label), (new_first, new_second, new_label) in zip(before, after, strict=True):
        assert (first, label) == (new_first, new_label)
        assert (second == new_second) == (label == 1)
        assert new_second in seconds
        assert new_second != new_first


def test_random_pairs_make_a_third_level_below_the_two(pairs: Dataset) -> None:
    before, after = rows_of(pairs), rows_of(altered(pairs, {"random": 0.5}, seed=0))
    assert len(after) == len(before) + len(before) // 2
    assert [(a, b, (1 + y) / 2) for a, b, y in before] == after[: len(before)]
    added = after[len(before) :]
    assert {y for _, _, y in added} == {0.0}
    assert not {(a, b) for a, b, _ in added} & {(a, b) for a, b, _ in before}


def test_flip_turns_about_its_share_of_the_labels(pairs: Dataset) -> None:
    before, after = rows_of(pairs), rows_of(altered(pairs, {"flip": 0.2}, seed=3))
    turned = [a != b for a, b in zip(before, after, strict=True)]
    n = len(before)
    assert abs(sum(turned) / n - 0.2) < 4 * (0.2 * 0.8 / n) ** 0.5
    assert all(b[2] == 1 - a[2] for a, b, was in zip(before, after, turned, strict=True) if was)


def test_flip_turns_grades_upside_down(graded: Dataset) -> None:
    after = altered(graded, {"flip": 1}, seed=0)
    assert after["score"][:] == [1 - y for y in graded["score"][:]]


def test_binarise_cuts_above_its_number(graded: Dataset) -> None:
    after = altered(graded, {"binarise": 1 / 3}, seed=0)
    assert after["score"][:] == [float(y > 1 / 3) for y in graded["score"][:]]
    assert set(after["score"][:]) == {0.0, 1.0}


def test_changes_are_made_in_the_listed_order_however_they_are_given(graded: Dataset) -> None:
    one = altered(graded, {"take": 200, "binarise": 0.5, "negatives": "random"}, seed=0)
    other = altered(graded, {"negatives": "random", "binarise": 0.5, "take": 200}, seed=0)
    assert rows_of(one) == rows_of(other)
    assert list(CHANGES) == ["take", "binarise", "negatives", "random", "flip"]


def test_the_origin_is_kept_and_the_pairs_are_left_alone(pairs: Dataset) -> None:
    before = rows_of(pairs)
    assert origin(altered(pairs, {"flip": 0.5}, seed=0)) == origin(pairs)
    assert rows_of(pairs) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shuffle": 1}, "unknown change of the training pairs 'shuffle', expected some of: take, binarise, negatives"),
        ({"take": 0}, "take must be a whole number from 1 to 1500"),
        ({"take": 1501}, "take must be a whole number from 1 to 1500, the number of training pairs, got 1501"),
        ({"take": True}, "take must be a whole number"),
        ({"flip": 1.5}, "flip must be a number from 0 to 1, got 1.5"),
        ({"flip": "half"}, "flip must be a number from 0 to 1, got 'half'"),
        ({"random": 0}, "random must be a positive number"),
        ({"negatives": "hard"}, "negatives must be 'random', got 'hard'"),
        ({"binarise": 1}, "binarise=1 leaves one level"),
    ],
)
def test_what_makes_no_sense_is_refused(pairs: Dataset, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        altered(pairs, changes, seed=0)


def test_random_negatives_need_two_levels(graded: Dataset) -> None:
    with pytest.raises(ValueError, match=r"needs labels 0 and 1, and there is 0\.333333; binarise them first"):
        altered(graded, {"negatives": "random"}, seed=0)


def test_too_few_texts_to_draw_from_are_an_error() -> None:
    pairs = Dataset.from_dict({"sentence1": ["a", "b"], "sentence2": ["c", "c"], "score": [0.0, 1.0]})
    with pytest.raises(ValueError, match="no second sentence but 'c' was found among 2 pairs"):
        altered(pairs, {"negatives": "random"}, seed=0)


# --- pairs of validation and test in the training set


@pytest.fixture(scope="module")
def splits() -> dict[str, Dataset]:
    return {split: load_pairs("builtin", split) for split in ("train", "validation", "test")}


def test_without_leaks_the_splits_are_the_same_objects(splits: dict[str, Dataset]) -> None:
    found = leaked(splits, {"flip": 0.1, "take": 5}, seed=0)
    assert found.keys() == splits.keys()
    assert all(found[name] is splits[name] for name in splits)


def test_leaked_pairs_stand_in_train_and_the_others_make_the_unseen_test(splits: dict[str, Dataset]) -> None:
    found = leaked(splits, {"leak_validation": 100, "leak_test": 250}, seed=0)
    train, validation, test = (rows_of(splits[name]) for name in ("train", "validation", "test"))
    after = rows_of(found["train"])
    assert after[: len(train)] == train
    from_validation, from_test = after[len(train) : len(train) + 100], after[len(train) + 100 :]
    assert len(from_test) == 250
    assert len(set(test)) == len(test)  # so that rows can be told apart
    assert len(set(from_validation)) == 100
    assert set(from_validation) < set(validation)
    assert len(set(from_test)) == 250
    unseen = rows_of(found["test_unseen"])
    assert not set(unseen) & set(from_test)
    assert set(unseen) | set(from_test) == set(test)
    assert unseen == [row for row in test if row not in set(from_test)]  # in the order of the test split
    assert from_test != test[:250]  # drawn
    for name in ("validation", "test"):
        assert found[name] is splits[name]
    assert set(found) == {"train", "validation", "test", "test_unseen"}


def test_only_validation_leaks_where_only_that_is_asked_for(splits: dict[str, Dataset]) -> None:
    found = leaked(splits, {"leak_validation": 100}, seed=0)
    assert set(found) == set(splits)
    assert len(found["train"]) == len(splits["train"]) + 100


def test_leaks_depend_on_the_seed_and_each_has_its_own_draws(splits: dict[str, Dataset]) -> None:
    def drawn(changes: dict, seed: int) -> list:
        return rows_of(leaked(splits, changes, seed)["train"])[len(splits["train"]) :]

    both = {"leak_validation": 100, "leak_test": 250}
    assert drawn(both, 1) == drawn(both, 1) != drawn(both, 2)
    assert drawn(both, 1)[100:] == drawn({"leak_test": 250}, 1)
    assert set(LEAKS) & set(CHANGES) == set()


def test_the_training_pairs_keep_their_origin_and_the_splits_are_left_alone(splits: dict[str, Dataset]) -> None:
    before = {name: fingerprint(pairs) for name, pairs in splits.items()}
    found = leaked(splits, {"leak_test": 250}, seed=0)
    assert origin(found["train"]) == origin(splits["train"])
    assert origin(found["test_unseen"]) == origin(splits["test"])
    assert {name: fingerprint(pairs) for name, pairs in splits.items()} == before


@pytest.mark.parametrize("count", [0, -1, 3000, 2.5, True, "all", None])
def test_a_leak_of_an_impossible_size_is_refused(splits: dict[str, Dataset], count: object) -> None:
    assert len(splits["test"]) == 3000
    with pytest.raises(ValueError, match=r"leak_test must be a whole number from 1 to 2999, got "):
        leaked(splits, {"leak_test": count}, seed=0)


def test_a_leak_from_a_split_that_is_not_loaded_is_refused(splits: dict[str, Dataset]) -> None:
    only = {name: splits[name] for name in ("train", "validation")}
    with pytest.raises(ValueError, match="leak_test needs the test split, and the run does not load it"):
        leaked(only, {"leak_test": 5}, seed=0)
    candidate = make_leaking_run(judge=())
    with pytest.raises(ValueError, match="leak_test needs the test split"):
        carry_out(candidate, progress=False)


def make_leaking_run(**changes: object) -> Run:
    settings = {
        "suite": "trial", "task": "builtin", "encoder": "static", "encoder_options": {"dim": 8}, "loss": "cosent",
        "training": {"max_steps": 4, "batch_size": 32, "device": "cpu"},
        "alter": {"leak_validation": 100, "leak_test": 250},
    }  # fmt: skip
    return Run(**(settings | changes))


def test_a_run_with_leaks_judges_the_unseen_pairs_beside_all() -> None:
    run = make_leaking_run(alter={"leak_validation": 100, "leak_test": 250, "flip": 0.25})
    record = carry_out(run, progress=False)[0]
    plain = load_splits(run)
    assert record.data["train"]["rows"] == len(plain["train"]) + 350
    assert record.data["test_unseen"]["rows"] == 2750
    for name in ("validation", "test"):  # as they are without leaks
        assert record.data[name]["sha256"] == fingerprint(plain[name])
    assert {"spearman", "accuracy"} <= set(record.metrics["test_unseen"])
    assert record.metrics["test_unseen"]["spearman"] != record.metrics["test"]["spearman"]
    # the other changes are made to all training pairs, leaked ones among them
    seen = altered_splits(run, plain)
    added = seen["train"]["score"][:][len(plain["train"]) :]
    unchanged = altered_splits(make_leaking_run(), plain)["train"]["score"][:][len(plain["train"]) :]
    assert 0.1 < sum(a != b for a, b in zip(added, unchanged, strict=True)) / 350 < 0.4
    assert "leak_test=250 leak_validation=100" in str(run)


# ------------------------------------------------------------------------------------------- judged on fewer pairs


def test_judged_on_fewer_pairs_are_the_same_for_every_seed_and_in_their_order(splits: dict[str, Dataset]) -> None:
    run = Run(suite="trial", task="builtin", encoder="static", loss="cosent", alter={"take_test": 50})
    fewer = altered_splits(run, splits)
    assert rows_of(fewer["validation"]) == rows_of(splits["validation"])
    assert rows_of(fewer["train"]) == rows_of(splits["train"])
    kept, whole = rows_of(fewer["test"]), rows_of(splits["test"])
    assert len(kept) == 50
    assert kept == [row for row in whole if row in set(kept)]
    assert kept != whole[:50]
    assert kept == rows_of(altered_splits(replace(run, seed=3), splits)["test"])
    assert origin(fewer["test"]) == origin(splits["test"])
    assert fingerprint(fewer["test"]) != fingerprint(splits["test"])
    assert len(rows_of(judged_on_fewer(splits, {"take_validation": 20})["validation"])) == 20


@pytest.mark.parametrize("count", [1, 10**6, 2.5])
def test_an_impossible_number_to_judge_on_is_refused(splits: dict[str, Dataset], count: object) -> None:
    with pytest.raises(ValueError, match="take_test must be a whole number from 2 to"):
        judged_on_fewer(splits, {"take_test": count})
    assert judged_on_fewer({"train": splits["train"]}, {"take_test": count}).keys() == {"train"}  # nothing to cut
