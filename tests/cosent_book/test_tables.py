"""Recorded runs in tables; published results as published."""

import csv
import io
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from runs import make_record, make_run
from scipy import stats

from cosent_book import published
from cosent_book.comparisons import mean_interval
from cosent_book.frames import to_frame
from cosent_book.tables import (
    Labelled,
    decimals,
    difference_table,
    percent,
    published_table,
    show,
    table,
    with_half_width,
)
from cosent_lib.runs.record import Record
from cosent_lib.runs.run import Run


def judged(run: Run, validation: float, test: float | None) -> Record:
    """A record with these Spearmans; None: no test result."""
    return make_record(run, metrics={"validation": {"spearman": validation}, "test": test and {"spearman": test}})


def over_seeds(values: list[float | None], **changes: Any) -> list[Record]:
    return [judged(make_run(seed=seed, **changes), 0.5, value) for seed, value in enumerate(values)]


def test_frame_has_labels_metrics_and_options() -> None:
    made = [make_record(make_run(loss_options={"scale": 5.0})), make_record(make_run(loss="sbert", seed=1))]
    frame = to_frame(made)
    assert frame["loss"].tolist() == ["cosent scale=5.0", "sbert"]
    assert frame["loss_name"].tolist() == ["cosent", "sbert"]
    assert frame["loss_scale"].tolist()[0] == 5
    assert math.isnan(frame["loss_scale"][1])
    assert frame["test_spearman"].tolist() == [1 / 3, 1 / 3]
    assert frame["test_auc"].isna().all()  # null in the file
    assert frame["train_seconds"].tolist() == [1.5, 1.5]


def test_table_shows_mean_and_t_interval_over_seeds() -> None:
    made = [judged(make_run(seed=seed), 0.9, value) for seed, value in enumerate((0.70, 0.72, 0.77))]
    rows: list[Labelled] = [("a", made), ("nothing yet", []), ("b", [judged(make_run(loss="sbert"), 0.5, None)])]
    lines = table(rows).splitlines()
    assert len(lines) == 4
    mean, half = mean_interval([0.70, 0.72, 0.77])
    assert f"{mean:.4f} ± {half:.4f}" in lines[2]
    assert "0.9000 ± 0.0000" in lines[2]
    assert "| 3 " in lines[2]
    assert "0.5000 –" in lines[3]
    assert "undefined" in lines[3]
    assert len({len(line) for line in lines}) == 1  # aligned


def test_a_row_says_what_it_was_trained_with() -> None:
    (line,) = table([("a", [judged(make_run(training={"max_steps": 9}), 0.3, 0.4)])]).splitlines()[2:]
    assert "max_steps=9" in line


def test_csv_table_can_be_read_back() -> None:
    made = [judged(make_run(task="csv:a,b", seed=seed), 0.5, 0.5 + seed / 10) for seed in range(2)]
    (row,) = csv.DictReader(io.StringIO(table([("a", made)], "csv")))
    assert row["task"] == "csv:a,b"
    assert float(row["test spearman"]) == 0.55
    assert float(row["test half width"]) == pytest.approx(mean_interval([0.5, 0.6])[1], abs=1e-4)


def test_table_refuses_another_format() -> None:
    with pytest.raises(ValueError, match="'html'"):
        table([], "html")


def compared(rows: list[Labelled], baseline: str = "base") -> dict[str, tuple[float, float]]:
    """Label → difference from the baseline and p, as the table has them."""
    lines = csv.DictReader(io.StringIO(table(rows, "csv", baseline)))
    return {x["loss"]: (float(x[f"test minus {baseline}"]), float(x["p (paired t, Holm)"])) for x in lines}


def test_comparison_is_the_paired_t_test_over_common_seeds_within_a_task() -> None:
    base = over_seeds([0.70, 0.71, 0.73])
    rows: list[Labelled] = [
        ("base", base),
        ("other", over_seeds([0.72, 0.74, 0.745, 0.9], loss="sbert")),
        ("elsewhere", over_seeds([0.1, 0.2, 0.3], task="lcqmc", loss="sbert")),
    ]
    found = compared(rows)
    assert found["other"][0] == pytest.approx(np.mean([0.02, 0.03, 0.015]), abs=1e-4)
    p = stats.ttest_rel([0.72, 0.74, 0.745], [0.70, 0.71, 0.73]).pvalue
    assert found["other"][1] == pytest.approx(p, rel=0.05)  # two digits are shown
    assert np.isnan([*found["base"], *found["elsewhere"]]).all()
    with pytest.raises(ValueError, match="no row is called 'bass'"):
        table(rows, baseline="bass")


def test_p_is_adjusted_for_the_rows_of_a_task() -> None:
    rows: list[Labelled] = [
        ("base", over_seeds([0.70, 0.71, 0.73])),
        ("a", over_seeds([0.72, 0.74, 0.745], loss="sbert")),
    ]
    alone = compared(rows)["a"][1]
    more = compared([*rows, ("b", over_seeds([0.72, 0.70, 0.74], loss="mnrl"))])["a"][1]
    assert more == pytest.approx(2 * alone, rel=0.1)


def test_an_undefined_result_is_not_compared() -> None:
    rows: list[Labelled] = [
        ("base", over_seeds([0.70, 0.71, 0.73])),
        ("failed", over_seeds([0.72, None, 0.745], loss="sbert")),
        ("one seed", over_seeds([0.75], loss="mnrl")),
    ]
    found = compared(rows)
    assert np.isnan(found["failed"]).all()
    assert found["one seed"][0] == pytest.approx(0.05)
    assert math.isnan(found["one seed"][1])
    without_base = compared([("base", over_seeds([None, 0.7])), ("a", over_seeds([0.7, 0.8], loss="sbert"))])
    assert np.isnan(without_base["a"]).all()


def test_two_baselines_on_one_task_are_refused() -> None:
    twice: list[Labelled] = [("base", over_seeds([0.7, 0.8])), ("base", over_seeds([0.6, 0.8], alter={"flip": 0.1}))]
    with pytest.raises(ValueError, match="same seed"):
        table(twice, baseline="base")


def test_published_rows_are_complete_and_average_as_published() -> None:
    means = {"BERT + CoSENT": 68.19, "Sentence-BERT": 61.74, "RoBERTa + CoSENT": 68.85, "Sentence-RoBERTa": 62.80}
    for row in published.PUBLISHED:
        assert set(row.spearman) == set(published.TASKS)
        if row.trained_on == published.OWN and row.method in means:
            assert np.mean(list(row.spearman.values())) == pytest.approx(means[row.method], abs=0.006)
    text = published_table(["lcqmc", "stsb_en"])
    assert "78.69" in text
    assert "–" in text
    assert len({len(line) for line in text.splitlines()}) == 1


def test_published_accuracies_belong_to_published_models() -> None:
    own = {row.method for row in published.PUBLISHED if row.trained_on == published.OWN}
    assert {row.method for row in published.ACCURACY} < own
    means = {"BERT + CoSENT": 83.00, "Sentence-BERT": 80.04, "RoBERTa + CoSENT": 83.38, "Sentence-RoBERTa": 81.09}
    for row in published.ACCURACY:  # the post prints means beside them
        assert np.mean(list(row.accuracy.values())) == pytest.approx(means[row.method], abs=0.006)


def test_published_cross_encoders_average_as_published() -> None:
    found = [np.mean(list(row.spearman.values())) for row in published.CROSS]
    assert found == pytest.approx([66.77, 67.10, 68.14, 68.06], abs=0.006)
    assert all(tuple(row.spearman) == published.CROSS_TASKS for row in published.CROSS)


# --- a data frame as a table of the book

FRAME = pd.DataFrame(
    {"loss": ["CoSENT", "<b>&"], "gain": [-0.01234, -0.00001], "pairs": [20_000, -3], "test": ["0.5 ± 0.1", "–"]}
)


def test_shown_numbers_have_fixed_digits_a_true_minus_and_thousands() -> None:
    assert repr(show(FRAME, caption="What it shows.")).splitlines() == [
        "What it shows.",
        "loss      gain   pairs       test",
        "CoSENT  −0.012  20,000  0.5 ± 0.1",
        "<b>&     0.000      −3          –",
    ]
    assert "-" not in repr(show(FRAME))


def test_shown_digits_by_column() -> None:
    frame = pd.DataFrame({"a": [1.25], "b": [1.25]})
    assert repr(show(frame, digits={"a": 1})).split() == ["a", "b", "1.2", "1.250"]


def test_shown_values_that_are_missing_or_true() -> None:
    frame = pd.DataFrame({"x": [1.0, math.nan], "y": [None, "word"], "z": [np.bool_(True), False]})
    assert repr(show(frame)).split() == ["x", "y", "z", "1.000", "–", "yes", "–", "word", "no"]


def test_shown_html_is_a_table_that_leaves_colours_to_the_page() -> None:
    page = show(FRAME.set_index("loss"), caption="a < b")._repr_html_()
    assert page.startswith('<table class="shown"><caption>a &lt; b</caption>')
    assert '<th scope="row" style="text-align: left">&lt;b&gt;&amp;</th>' in page
    assert '<td style="text-align: right">−0.012</td>' in page
    assert '<th scope="col" style="text-align: right">gain</th>' in page
    assert "color" not in page
    assert "background" not in page
    assert page == show(FRAME.set_index("loss"), caption="a < b")._repr_html_()


def test_the_index_is_shown_where_it_says_something() -> None:
    assert show(FRAME).names == 0
    assert show(FRAME.set_index(["loss", "pairs"])).names == 2


def test_more_than_six_columns_are_refused() -> None:
    six = pd.DataFrame(np.zeros((1, 6)))
    assert len(show(six).heads) == 6
    with pytest.raises(ValueError, match="7 columns, index included, at most 6"):
        show(six.set_axis(["a row"]))
    with pytest.raises(ValueError, match="in levels"):
        show(pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])))


def test_percent_leaves_out_what_is_missing() -> None:
    assert percent([0.5, math.nan, 0.52]) == "51.0 ± 12.7"
    assert percent([math.nan]) == "–"


def test_a_difference_table_marks_what_passes_either_test() -> None:
    frame = pd.DataFrame(
        {"task": "a", "row": row, "seed": seed, "test_spearman": score + 0.001 * seed * (row == "better")}
        for row, score in (("base", 0.5), ("better", 0.6), ("same", 0.5))
        for seed in range(3)
    )
    alone = frame[frame["seed"] == 0].assign(task="b")
    measured = {"differences": [{"row": "base", "base": "better", "low": -0.2, "high": -0.05}]}
    table = difference_table(
        pd.concat([frame, alone, alone.assign(task="c")[alone["row"] != "base"]]),
        "base", ["better", "same", "absent"], {"a": "A", "b": "B", "c": "C"}, {"a": measured},
    )  # fmt: skip
    assert table.columns.tolist() == ["minus base", "A", "B", "C"]
    assert table["C"].tolist() == ["–", "–", "–"]
    assert table["A"].tolist() == ["+10.1 ± 0.2 *°", "+0.0 ± 0.0 ?", "–"]
    assert table["B"].tolist() == ["+10.0 ?", "+0.0 ?", "–"]


def test_numbers_have_a_true_minus_and_no_negative_zero() -> None:
    assert [decimals(value, 1) for value in (-0.04, 0.04, -1.25, math.nan)] == ["0.0", "0.0", "−1.2", "–"]
    assert decimals(-0.04, 1, signed=True) == "+0.0"
    assert decimals(-1234.5, 1, thousands=True) == "−1,234.5"
    assert with_half_width(-0.5, 0.25, 2, signed=True) == "−0.50 ± 0.25"
    assert with_half_width(0.5, math.nan) == "0.5"
