"""What training does with validation pairs: a look before the first step, scales, rows of a watch."""

import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from training_kit import PAIRS as WORDS
from training_kit import TinyEncoder, quiet, static

from cosent_lib.data.load import load_pairs
from cosent_lib.encoders.load import load_encoder
from cosent_lib.evaluation.evaluate import cosine_scores
from cosent_lib.evaluation.metrics import UndefinedMetric
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


def unknown(count: int, seed: int = 0) -> dict[str, list]:
    """Pairs of words that no training text has."""
    rng = np.random.default_rng(seed)
    texts = [["".join(rng.choice(list("ßþðæ"), 3)) for _ in range(count)] for _ in range(2)]
    return {"sentence1": texts[0], "sentence2": texts[1], "score": [0.0, 1.0] * (count // 2)}


def stopped(encoder: Any, pairs: Any, **settings: Any) -> str:
    """The message of a run that is stopped before its first step."""
    loss = make_loss("cosine_squared", encoder)
    loss.forward = None  # called in the first step
    with pytest.raises(UndefinedMetric) as caught:
        train(encoder, loss, WORDS, quiet(**settings), pairs)
    return str(caught.value)


def test_validation_texts_without_a_known_word_are_refused_before_the_first_step(tmp_path) -> None:
    pairs = unknown(300)
    pairs["sentence1"][7] = WORDS["sentence1"][0]
    message = stopped(static(WORDS), pairs, output_dir=tmp_path)
    assert message == (
        "validation: all 300 cosines equal 0 before the first step, and training cannot change that: the encoder "
        "knows no word of 599 of the 600 texts, at least one of every pair; expected texts like those its vocabulary "
        "is from"
    )
    assert list(tmp_path.iterdir()) == []


def test_validation_pairs_of_the_same_tokens_are_refused_before_the_first_step() -> None:
    texts = [f"cat {number % 3} dog" for number in range(10)]
    same = {"sentence1": texts, "sentence2": [text.upper() for text in texts], "score": [0.0, 1.0] * 5}
    assert "10 cosines equal 1 before" in (message := stopped(static(WORDS), same))
    assert message.endswith("both texts of every pair are the same tokens to the encoder")


def test_one_known_pair_among_many_is_enough() -> None:
    pairs = unknown(300)
    pairs["sentence1"][7], pairs["sentence2"][7] = WORDS["sentence1"][0], WORDS["sentence2"][0]
    encoder = static(WORDS)
    assert train(encoder, make_loss("cosent", encoder), WORDS, quiet(), pairs).steps == 13


def test_an_encoder_that_training_can_pull_apart_is_warned_of_and_trained() -> None:
    encoder = TinyEncoder(dropout=0)
    with torch.no_grad():
        encoder.letters[:] = encoder.letters[:1]  # all letters alike
    pairs = {"sentence1": ["ab", "cd"], "sentence2": ["ef", "gh"], "score": [0, 1]}
    with pytest.warns(UserWarning, match="validation: all 2 cosines equal 1 before the first step") as seen:
        assert train(encoder, make_loss("cosine_squared", encoder), WORDS, quiet(), pairs).best_metrics
    assert seen[0].filename == __file__


def test_the_look_ahead_reads_a_few_pairs_only() -> None:
    encoder = TinyEncoder()
    encoded = []
    encode = encoder.encode

    def counting(texts: list[str], **options: Any) -> torch.Tensor:
        encoded.append(len(texts))
        return encode(texts, **options)

    encoder.encode = counting  # type: ignore[method-assign]
    many = {name: column * 10 for name, column in WORDS.items()}
    many["sentence1"] = [f"{text} {number}" for number, text in enumerate(many["sentence1"])]
    train(encoder, make_loss("cosent", encoder), WORDS, quiet(), many)
    assert len(encoded) == 2
    assert encoded[0] <= 64 < 2000 <= encoded[1]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (None, "a mapping from names to numbers, such as {'mean': 0.5}; got None"),
        ([0.5], r"got \[0.5\]"),
        (0.5, "got 0.5"),
        ({3: 0.5}, "got the name 3"),
        ({"step": 1}, "got the name 'step'"),
        ({"mean": "high"}, "got 'high' as 'mean'"),
        ({"mean": torch.ones(2)}, r"got tensor\(\[1., 1.\]\) as 'mean'"),
    ],
)
def test_a_watch_that_gives_no_row_is_refused_before_the_first_step(row: Any, message: str) -> None:
    encoder = TinyEncoder()
    loss = make_loss("cosent", encoder)
    loss.forward = None
    with pytest.raises(ValueError, match=message):
        train(encoder, loss, WORDS, quiet(), watch=lambda *_: row)


def test_numbers_of_any_kind_are_a_row_and_survive_a_checkpoint(tmp_path) -> None:
    row = {"a": np.float32(0.5), "b": torch.tensor(0.25), "c": 3, "d": None, "e": np.int64(2), "f": Fraction(1, 8)}
    encoder = TinyEncoder()
    config = quiet(max_steps=2, output_dir=tmp_path)
    watched = train(encoder, make_loss("cosent", encoder), WORDS, config, watch=lambda *_: row).watched
    assert watched.iloc[-1].to_dict() == {"step": 2, "a": 0.5, "b": 0.25, "c": 3, "d": None, "e": 2, "f": 0.125}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = train(encoder, make_loss("cosent", encoder), WORDS, config, resume_from=tmp_path, watch=lambda *_: row)
    assert again.watched.equals(watched)
