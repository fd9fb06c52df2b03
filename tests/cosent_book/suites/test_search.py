"""The search for settings: which trials it makes, when it goes on, when it ends, and what it chooses."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from runs import make_record

from cosent_book.suites.plan import rows
from cosent_book.suites.search import Ladder, Search
from cosent_lib.runs.run import Run

RATES = Ladder("learning_rate", (1e-3, 2e-3, 4e-3, 8e-3, 16e-3), (2e-3, 4e-3))
SCALES = Ladder("scale", (1.0, 2.0, 4.0, 8.0), (1.0, 4.0))
DECLARED = Run(suite="trial", task="builtin", encoder="static", loss="cosent", loss_options={"scale": 2.0})


def search(*ladders: Ladder) -> Search:
    return Search(label="CoSENT", candidates=(DECLARED,), seeds=(3, 4), ladders=ladders)


def carried_out(row: Search, score: Callable[[Run], float | None]) -> tuple[dict, list[Run]]:
    """Record trials until the row knows no more; returns the records and the trials in the order of their making."""
    recorded: dict = {}
    made = []
    while missing := [run for run in row.trials(recorded) if run.key not in recorded]:
        value = score(missing[0])
        metrics = None if value is None else {"spearman": value}
        recorded[missing[0].key] = make_record(missing[0], metrics={"validation": metrics, "test": None})
        made.append(missing[0])
    return recorded, made


def rates(runs: list[Run]) -> list[float]:
    return [run.training["learning_rate"] for run in runs]


def test_a_best_inside_ends_the_search() -> None:
    row = search(replace(RATES, first=(1e-3, 2e-3, 4e-3)))
    recorded, made = carried_out(row, lambda run: -abs(run.training["learning_rate"] - 2e-3))
    assert rates(made) == [1e-3, 2e-3, 4e-3]
    assert not row.waits(recorded)
    assert row.chosen(recorded) == replace(DECLARED, training={"learning_rate": 2e-3}, seed=3)
    assert [run.seed for run in row.reported(recorded)] == [3, 4]
    assert all(run.judge == ("test",) for run in row.reported(recorded))
    assert row.at_edge(recorded) == []


@pytest.mark.parametrize(
    ("best", "order", "edge"),
    [(16e-3, [2e-3, 4e-3, 8e-3, 16e-3], ["learning_rate"]), (1e-3, [2e-3, 4e-3, 1e-3], ["learning_rate"])],
)
def test_a_best_at_an_edge_is_followed_to_the_end_of_the_ladder(best: float, order: list, edge: list) -> None:
    row = search(RATES)
    recorded, made = carried_out(row, lambda run: -abs(run.training["learning_rate"] - best))
    assert rates(made) == order
    assert row.chosen(recorded).training["learning_rate"] == best
    assert row.at_edge(recorded) == edge


def test_the_dial_is_searched_at_the_best_rate_with_the_customary_value_among_its_trials() -> None:
    row = search(RATES, SCALES)
    recorded, made = carried_out(
        row, lambda run: -abs(run.training["learning_rate"] - 4e-3) - 1e-3 * abs(run.loss_options["scale"] - 3.9)
    )
    assert [(run.loss_options["scale"], run.training["learning_rate"]) for run in made] == [
        (2.0, 2e-3), (2.0, 4e-3), (2.0, 8e-3), (1.0, 4e-3), (4.0, 4e-3), (8.0, 4e-3)
    ]  # fmt: skip
    assert row.chosen(recorded).loss_options == {"scale": 4.0}
    assert all(run.judge == () and run.seed == 3 for run in made)


def test_a_trial_that_failed_is_never_the_best_and_where_all_failed_nothing_is_chosen() -> None:
    row = search(RATES)
    recorded, made = carried_out(row, lambda run: None if run.training["learning_rate"] == 4e-3 else 0.5)
    assert rates(made) == [2e-3, 4e-3, 1e-3]
    assert row.chosen(recorded).training["learning_rate"] == 2e-3
    recorded, made = carried_out(row, lambda run: None)
    assert rates(made) == [2e-3, 4e-3]
    assert row.chosen(recorded) is None
    assert not row.waits(recorded)
    assert row.reported(recorded) == []


def test_nothing_is_chosen_before_the_search_has_ended() -> None:
    row = search(RATES)
    recorded = {row.trials({})[0].key: make_record(row.trials({})[0])}
    assert row.waits(recorded)
    assert row.chosen(recorded) is None


def declared() -> Iterator[Search]:
    yield from (row for row in rows("table") if isinstance(row, Search))


def test_every_row_of_the_table_begins_with_eight_trials() -> None:
    for row in declared():
        trials = sum(len(ladder.first) for ladder in row.ladders)
        assert trials == 8, str(row)
        for ladder in row.ladders:
            at = [ladder.values.index(value) for value in ladder.first]
            customary = ladder.value_of(row.candidates[0])
            at += [ladder.values.index(customary)] if customary is not None else []
            assert sorted(at) == list(range(min(at), max(at) + 1)), f"{row}: a gap among the first of {ladder.name}"
            assert list(ladder.values) == sorted(ladder.values)
