"""Runs as they are declared: every setting changes the key, and nothing that is no setting gets in."""

import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from runs import SMALL, make_run

from cosent_lib.runs import run as records


def test_key_is_readable_and_the_same_in_every_process():
    run = make_run(loss_options={"scale": 5.0}, seed=3)
    assert re.fullmatch(r"builtin-static-cosent_scale_5\.0-seed3-[0-9a-f]{10}", run.key)
    code = (
        "from cosent_lib.runs.run import Run; print(Run(suite='other', task='builtin', encoder='static', loss='cosent',"
        "training={'device': 'cpu', 'batch_size': 16, 'max_steps': 4}, loss_options={'scale': 5.0}, seed=3).key)"
    )
    env = os.environ | {"PYTHONHASHSEED": "77"}
    assert subprocess.check_output([sys.executable, "-c", code], text=True, env=env).strip() == run.key


@pytest.mark.parametrize(
    "change",
    [
        {"task": "lcqmc"}, {"encoder": "minilm"}, {"encoder_options": {"dim": 8}}, {"loss": "sbert"},
        {"loss_options": {"scale": 5.0}}, {"training": {}}, {"training": SMALL | {"batch_size": 8}}, {"seed": 1},
        {"source": "hub"}, {"score_range": (0, 5)},
    ],
)  # fmt: skip
def test_every_setting_changes_the_key(change):
    assert make_run(**change).key != make_run().key


def test_key_of_a_path_is_a_file_name():
    key = make_run(task="csv:/some where/../数据/{split}.tsv", encoder="owner/name").key
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", key)
    assert not key.startswith(".")


def test_run_refuses_what_is_not_a_setting():
    with pytest.raises(ValueError, match="seed"):
        make_run(training={"seed": 1})
    with pytest.raises(ValueError, match=r"Run\.loss_options\.scale"):
        make_run(loss_options={"scale": object()})


def test_run_is_not_changed_by_its_makers_dictionary():
    options = {"scale": 5.0}
    run = make_run(loss_options=options)
    key = run.key
    options["scale"] = 7.0
    assert run.key == key


def test_values_become_plain_json():
    given = {"a": np.float32(0.5), "b": torch.tensor(2), "c": (1, math.nan, math.inf), "d": np.bool_(True), "e": None}
    assert records.json_value(given) == {"a": 0.5, "b": 2, "c": [1, None, None], "d": True, "e": None}


def test_a_setting_that_is_no_finite_number_is_refused_not_replaced_by_the_default():
    with pytest.raises(ValueError, match="learning_rate must be a finite number, got nan"):
        make_run(training={"learning_rate": math.nan})
    with pytest.raises(ValueError, match="scale must be a finite number, got inf"):
        make_run(loss_options={"scale": math.inf})
