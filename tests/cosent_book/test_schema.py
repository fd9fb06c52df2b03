"""Records as JSON values: what comes back is what went in, and damage is named."""

import json

import numpy as np
import pytest
from runs import make_record, make_run

from cosent_book.schema import DamagedRecord, record_of, refuse_constant
from cosent_lib.runs.record import to_json, values_of


def test_a_record_comes_back_from_its_json_as_it_was():
    record = make_record(make_run(score_range=(0, 5), loss_options={"scale": 5.0}))
    text = to_json(record)
    values = json.loads(text, parse_constant=refuse_constant)
    assert record_of(values, "x") == record
    assert list(values) == sorted(values)
    assert text.endswith("}\n")
    assert "0.30000000000000004" in text  # repr: nothing rounded


def test_an_undefined_number_is_null():
    values = values_of(make_record(metrics={"validation": None, "test": {"spearman": np.float64("nan")}}))
    assert values["metrics"] == {"validation": None, "test": {"spearman": None}}
    with pytest.raises(ValueError, match="NaN is not JSON"):
        json.loads('{"steps": NaN}', parse_constant=refuse_constant)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda v: v.pop("metrics"), "field 'metrics' is missing"),
        (lambda v: v.update(note="hi"), "unknown field 'note'"),
        (lambda v: v.update(seed="0"), "field 'seed' must be int, got '0'"),
        (lambda v: v.update(steps=True), "field 'steps' must be int, got True"),
        (lambda v: v.update(best_step="2"), "field 'best_step' must be int or null"),
        (lambda v: v.update(schema_version=99), "field 'schema_version' is 99, this library reads 2"),
        (lambda v: v.update(training={"seed": 1}), "Run.training must not hold seed"),
        (lambda v: v["metrics"].pop("test"), "field 'metrics.test' is missing"),
        (lambda v: v["metrics"]["test"].update(spearman="0.9"), "field 'metrics.test.spearman' must be"),
        (lambda v: v["wall_time_s"].update(train=None), "field 'wall_time_s.train' must be"),
        (lambda v: v["data"]["train"].pop("sha256"), "field 'data.train.sha256' is missing"),
        (lambda v: v["data"].update(test=5), "field 'data.test' must be dict"),
        (lambda v: v["history"]["loss"].append(1.0), "differ in length"),
        (lambda v: v["history"]["loss"].__setitem__(0, "x"), "field 'history.loss[0]' must be"),
    ],
)
def test_damage_is_named(change, expected):
    values = values_of(make_record())
    change(values)
    with pytest.raises(DamagedRecord, match=r"^trial\.jsonl:3: ") as error:
        record_of(values, "trial.jsonl:3")
    assert expected in str(error.value)


@pytest.mark.parametrize("values", [[1], None, "x", 5])
def test_what_is_no_json_object_is_named(values):
    with pytest.raises(DamagedRecord, match=r"^x: not a record, expected a JSON object"):
        record_of(values, "x")
