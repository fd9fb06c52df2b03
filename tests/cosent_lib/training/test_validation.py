"""Scales that training computes from validation pairs: before the first step, and at each look."""

import numpy as np
import pytest
import torch

from cosent_lib.data.load import load_pairs
from cosent_lib.encoders.load import load_encoder
from cosent_lib.evaluation.evaluate import cosine_scores
from cosent_lib.losses.make import make_loss
from cosent_lib.losses.order import CoSENTLoss, PairwiseLogisticLoss
from cosent_lib.ranking.scale import suggest_scale
from cosent_lib.training.errors import TrainingInterrupted
from cosent_lib.training.setup import TrainingConfig
from cosent_lib.training.train import train

PAIRS = load_pairs("builtin_graded", "train").select(range(600))
VALIDATION = load_pairs("builtin_graded", "validation").select(range(200))
LABELS = np.asarray(VALIDATION["score"][:])
QUIET = TrainingConfig(epochs=3, batch_size=100, progress=False, device="cpu", learning_rate=2e-3)


def encoder():
    return load_encoder("static", [*PAIRS["sentence1"][:], *PAIRS["sentence2"][:]], dim=16)


def fitting(of, objective: str = "cosent") -> float:
    return suggest_scale(cosine_scores(of, VALIDATION), LABELS, objective)


@pytest.mark.parametrize(("loss", "objective"), [(CoSENTLoss, "cosent"), (PairwiseLogisticLoss, "ranknet")])
def test_suggested_is_computed_once_from_the_untrained_encoder(loss, objective: str) -> None:
    trained, untrained, suggested = encoder(), encoder(), loss("suggested")
    result = train(trained, suggested, PAIRS, QUIET, VALIDATION)
    assert suggested.scale == fitting(untrained, objective)
    given = train(encoder(), loss(fitting(untrained, objective)), PAIRS, QUIET, VALIDATION)
    assert result.history.equals(given.history)


def test_followed_is_computed_anew_at_each_look_and_the_best_keeps_its_own() -> None:
    scales: list[float] = []

    def watch(of, loss) -> dict[str, float | None]:
        scales.append(loss.scale)
        return {"fits": fitting(of)}

    followed = CoSENTLoss("followed")
    result = train(encoder(), followed, PAIRS, QUIET, VALIDATION, watch=watch)
    fits = result.watched["fits"].tolist()
    assert scales == [fits[0], *fits[:-1]]  # a look trains on with what the look before it gave
    assert len(set(scales)) == 3
    best = result.evaluations["step"].tolist().index(result.best_step)
    assert followed.scale == fits[best]


def test_a_followed_run_that_is_resumed_ends_with_the_same_bits(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, loss = encoder(), CoSENTLoss("followed")
    expected = train(whole, loss, PAIRS, QUIET, VALIDATION)
    config = TrainingConfig(**{**vars(QUIET), "output_dir": tmp_path})

    def stop(of, _) -> dict[str, float | None]:
        calls.append(1)
        if len(calls) == 3:  # at the second look
            raise KeyboardInterrupt
        return {}

    calls: list[int] = []
    with pytest.raises((KeyboardInterrupt, TrainingInterrupted)):
        train(encoder(), CoSENTLoss("followed"), PAIRS, config, VALIDATION, watch=stop)
    again, resumed = encoder(), CoSENTLoss("followed")
    result = train(again, resumed, PAIRS, config, VALIDATION, resume_from=tmp_path)
    assert result.history.equals(expected.history)
    assert resumed.scale == loss.scale
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), whole.parameters(), strict=True))


def test_a_rule_of_a_part_of_a_sum() -> None:
    of, loss = encoder(), make_loss("cosent+mnrl", None, cosent_scale="suggested")
    untrained = fitting(of)
    train(of, loss, PAIRS, QUIET, VALIDATION)
    assert loss.options()["cosent_scale"] == untrained


def test_what_cannot_be_computed_is_said_before_the_first_step() -> None:
    with pytest.raises(ValueError, match="scale 'followed' is computed from validation pairs"):
        train(encoder(), CoSENTLoss("followed"), PAIRS, QUIET)
    turned = VALIDATION.to_pandas().assign(score=1 - LABELS)
    with pytest.raises(ValueError, match="do not follow the labels") as caught:
        train(encoder(), CoSENTLoss("suggested"), PAIRS, QUIET, turned)
    assert "before the first step" in caught.value.__notes__[0]


def test_a_scale_that_is_followed_survives_a_look_at_which_none_is_best() -> None:
    loss = CoSENTLoss("followed")
    loss.scale = 7.0
    assert loss.fit_scale(torch.tensor([0.9, 0.1]), torch.tensor([0, 1])) == 7.0
