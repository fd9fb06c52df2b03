"""What a finished run leaves in its record."""

import numpy as np

from cosent_lib.runs import outcome


def test_history_is_thinned_with_first_and_last():
    import pandas as pd

    steps = np.arange(1, 1234)
    frame = pd.DataFrame({"step": steps, "loss": steps / 7, "inversion_bound": np.nan})
    thin = outcome._thinned(frame)
    assert len(thin["step"]) == 200
    assert (thin["step"][0], thin["step"][-1]) == (1, 1233)
    assert thin["loss"] == [float(f"{step / 7:.6g}") for step in thin["step"]]
