"""What a finished run leaves in its record."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
from runs import make_run

from cosent_book.runner import failure_record
from cosent_lib.data.load import load_pairs


def test_history_is_thinned_with_first_and_last():
    steps = np.arange(1, 1234)
    history = pd.DataFrame({"step": steps, "loss": steps / 7, "inversion_bound": np.nan})
    error = SimpleNamespace(history=history)
    record = failure_record(make_run(), {"train": load_pairs("builtin", "test")}, error)
    kept = record.history["step"]
    assert len(kept) == 200
    assert (kept[0], kept[-1]) == (1, 1233)
    assert {*np.diff(kept)} == {6, 7}  # at even distances
    assert record.history["loss"] == [float(f"{step / 7:.6g}") for step in kept]
    assert record.history["inversion_bound"] == [None] * 200
    assert record.steps == 1233
    assert record.failure == str(error)
