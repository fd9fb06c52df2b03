"""Recorded runs in tables."""

import math

import pytest
from runs import make_record, make_run

from cosent_book.figures.common import mean_interval
from cosent_lib.runs import perform as benchmark


def test_frame_has_labels_metrics_and_options():
    made = [make_record(make_run(loss_options={"scale": 5.0})), make_record(make_run(loss="sbert", seed=1))]
    frame = benchmark.to_frame(made)
    assert frame["loss"].tolist() == ["cosent scale=5.0", "sbert"]
    assert frame["loss_name"].tolist() == ["cosent", "sbert"]
    assert frame["loss_scale"].tolist()[0] == 5
    assert math.isnan(frame["loss_scale"][1])
    assert frame["test_spearman"].tolist() == [1 / 3, 1 / 3]
    assert frame["test_auc"].isna().all()  # null in the file
    assert frame["train_seconds"].tolist() == [1.5, 1.5]


def spearman(run, validation, test):
    return make_record(run, metrics={"validation": {"spearman": validation}, "test": test and {"spearman": test}})


def test_table_shows_mean_and_t_interval_over_seeds():
    made = [spearman(make_run(seed=seed), 0.9, value) for seed, value in enumerate((0.70, 0.72, 0.77))]
    made.append(spearman(make_run(loss="sbert"), 0.5, None))
    lines = benchmark.table(benchmark.rows_of(made)).splitlines()
    assert len(lines) == 4
    mean, half = mean_interval([0.70, 0.72, 0.77])
    assert f"{mean:.4f} ± {half:.4f}" in lines[2]
    assert "0.9000 ± 0.0000" in lines[2]
    assert "| 3 " in lines[2]
    assert "0.5000 –" in lines[3]
    assert "undefined" in lines[3]
    assert len({len(line) for line in lines}) == 1  # aligned
    assert benchmark.table(benchmark.rows_of(made)) == benchmark.table(benchmark.rows_of(made))


def test_table_keeps_runs_apart_that_differ_in_anything_but_the_seed():
    made = [spearman(make_run(), 0.1, 0.2), spearman(make_run(training={"max_steps": 9}), 0.3, 0.4)]
    body = benchmark.table(benchmark.rows_of(made)).splitlines()[2:]
    assert [("0.2000" in line, "0.4000" in line) for line in body] == [(True, False), (False, True)]
    assert "max_steps=9" in body[1]


def test_csv_table_can_be_read_back():
    import csv
    import io

    made = [spearman(make_run(task="csv:a,b", seed=seed), 0.5, 0.5 + seed / 10) for seed in range(2)]
    (row,) = csv.DictReader(io.StringIO(benchmark.table(benchmark.rows_of(made), "csv")))
    assert row["task"] == "csv:a,b"
    assert float(row["test spearman"]) == 0.55
    assert float(row["test half width"]) == pytest.approx(mean_interval([0.5, 0.6])[1], abs=1e-4)


def test_table_refuses_another_format():
    with pytest.raises(ValueError, match="'html'"):
        benchmark.table([], "html")
