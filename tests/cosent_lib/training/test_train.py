"""The training loop against a hand-written one: accumulation, the best by validation, patience, the same bits again."""

import math
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from training_kit import PAIRS, VALIDATION, Spoil, TinyEncoder, make_pairs, quiet, same, static, weights

from cosent_lib.evaluation.evaluate import evaluate
from cosent_lib.losses.make import make_loss
from cosent_lib.losses.order import CoSENTLoss
from cosent_lib.ranking.rank_loss import inversion_bound
from cosent_lib.training.batches import Batches
from cosent_lib.training.train import train


@pytest.mark.parametrize("max_grad_norm", [0.05, None])
def test_the_loop_is_the_plain_one(max_grad_norm: float | None) -> None:
    config = quiet(epochs=2, warmup_ratio=0.2, weight_decay=0.1, max_grad_norm=max_grad_norm)
    ours, reference = TinyEncoder(dropout=0), TinyEncoder(dropout=0)
    loss = make_loss("cosent", ours)
    result = train(ours, loss, PAIRS, config)

    batches = Batches(reference, PAIRS, 16, seed=0)
    optimizer = torch.optim.AdamW(reference.parameters(), lr=1e-2, weight_decay=0.1)
    values, total = [], 2 * math.ceil(200 / 16)
    for step in range(1, total + 1):
        rows = batches.at(step)[0].rows
        optimizer.param_groups[0]["lr"] = 1e-2 * (step / 6 if step <= 6 else (total - step + 1) / (total - 6))
        texts = [[PAIRS[side][row] for row in rows] for side in ("sentence1", "sentence2")]
        u, v = (reference.embed(reference.tokenize(column)) for column in texts)
        value = loss(u, v, torch.tensor([PAIRS["score"][row] for row in rows]))
        optimizer.zero_grad()
        value.backward()
        if max_grad_norm:
            nn.utils.clip_grad_norm_(reference.parameters(), max_grad_norm)
        optimizer.step()
        values.append(value.item())
    np.testing.assert_allclose(result.history["loss"], values, rtol=1e-4)
    for a, b in zip(weights(ours), weights(reference), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_both_columns_go_through_the_encoder_at_once_and_texts_are_tokenised_once() -> None:
    encoder = TinyEncoder()
    train(encoder, make_loss("cosine_squared", encoder), PAIRS, quiet(epochs=2))
    assert Counter(encoder.tokenized) == Counter({*PAIRS["sentence1"], *PAIRS["sentence2"]})
    assert encoder.embedded == 2 * ([32] * 12 + [16])


def test_history_says_what_happened() -> None:
    encoder = static(PAIRS)
    result = train(encoder, make_loss("cosent", encoder), PAIRS, quiet(max_steps=30, warmup_ratio=0.1))
    history = result.history
    assert list(history.columns) == ["step", "epoch", "loss", "inversion_bound", "learning_rate"]
    assert history["step"].tolist() == list(range(1, 31))
    assert history["epoch"].tolist() == [1] * 13 + [2] * 13 + [3] * 4  # max_steps goes on through epochs
    assert history["learning_rate"].max() == 1e-2
    assert history["learning_rate"].iloc[[0, -1]].tolist() == pytest.approx([1e-2 / 3, 1e-2 / 27])
    batches = Batches(encoder, PAIRS, 16, 0)
    for step, value, bound in zip(history["step"], history["loss"], history["inversion_bound"], strict=True):
        (batch,) = batches.at(step)
        ones = int(batch.labels.sum())
        demanded = ones * (len(batch.rows) - ones)
        assert bound == pytest.approx(math.expm1(value) / demanded if demanded else math.nan, nan_ok=True)
    assert (result.steps, result.best_step, dict(result.best_metrics)) == (30, 30, {})
    assert len(result.evaluations) == 0
    assert result.seconds > 0


def test_other_losses_have_no_inversion_bound() -> None:
    encoder = static(PAIRS)
    result = train(encoder, make_loss("cosine_squared", encoder), PAIRS, quiet(max_steps=3))
    assert result.history["inversion_bound"].isna().all()


def test_nothing_to_train_is_an_error() -> None:
    encoder = static(PAIRS)
    encoder.parameter_groups = lambda *_: []  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="nothing to train: encoder 'static'"):
        train(encoder, make_loss("cosent", encoder), PAIRS, quiet())


@pytest.mark.parametrize("kind", [static, lambda pairs: TinyEncoder(dropout=0)])
@pytest.mark.parametrize(("batch_size", "accumulation_steps"), [(16, 4), (14, 4), (60, 7)])
def test_accumulated_gradients_are_those_of_the_larger_batch(
    kind: Any, batch_size: int, accumulation_steps: int
) -> None:
    runs = []
    for cut in (
        {"batch_size": batch_size, "accumulation_steps": accumulation_steps},
        {"batch_size": batch_size * accumulation_steps},
    ):
        encoder = kind(PAIRS)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # the mean over pairs needs no warning
            result = train(encoder, make_loss("cosine_squared", encoder), PAIRS, quiet(epochs=3, **cut))
        runs.append((result, weights(encoder)))
    (ours, our_weights), (expected, their_weights) = runs
    assert ours.steps == expected.steps
    np.testing.assert_allclose(ours.history, expected.history, rtol=1e-4)
    for a, b in zip(our_weights, their_weights, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_accumulated_batches_are_each_ranked_on_their_own() -> None:
    encoder, reference = TinyEncoder(dropout=0), TinyEncoder(dropout=0)
    loss = make_loss("cosent", encoder)
    with pytest.warns(UserWarning, match="=3 is not a larger batch for CoSENTLoss: .*raise batch_size") as seen:
        result = train(encoder, loss, PAIRS, quiet(max_steps=5, accumulation_steps=3, learning_rate=1e-9))
    assert seen[0].filename == __file__
    batches = Batches(reference, PAIRS, 16, 0, per_step=3)
    assert [len(batches.at(step)) for step in range(1, 7)] == [3, 3, 3, 3, 1, 3]
    assert [batches.count(step) for step in range(7)] == [0, 3, 6, 9, 12, 13, 16]
    for step in range(1, 6):
        values = [loss(reference.embed(b.first), reference.embed(b.second), b.labels).item() for b in batches.at(step)]
        sizes = [len(batch.rows) for batch in batches.at(step)]
        bounds = [inversion_bound(value, b.labels) for value, b in zip(values, batches.at(step), strict=True)]
        row = result.history.set_index("step").loc[step]
        assert row["loss"] == pytest.approx(np.average(values, weights=sizes), rel=1e-5)
        assert row["inversion_bound"] == pytest.approx(np.mean(bounds), rel=1e-5)


def test_batches_without_order_are_counted_one_by_one() -> None:
    pairs = dict(PAIRS, score=[1.0] * 10 + [0.0] * 190)
    encoder = static(pairs)
    without = sum(len(set(Batches(encoder, pairs, 4, 0).at(step)[0].labels.tolist())) == 1 for step in range(1, 51))
    with pytest.warns(UserWarning, match=rf"{without} of 50 batches"), pytest.warns(UserWarning, match="not a larger"):
        result = train(encoder, make_loss("ranknet", encoder), pairs, quiet(batch_size=4, accumulation_steps=3))
    assert (result.steps, result.batches_without_order) == (17, without)


def test_a_sum_that_ranks_warns_of_accumulation_too() -> None:
    encoder = TinyEncoder()
    with pytest.warns(UserWarning, match="is not a larger batch for SummedLoss"):
        train(encoder, make_loss("cosine_squared+cosent", encoder), PAIRS, quiet(max_steps=1, accumulation_steps=2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss = make_loss("cosine_squared+cosine_margin", encoder)
        train(encoder, loss, PAIRS, quiet(max_steps=1, accumulation_steps=2))


def test_rare_positives_reach_every_batch() -> None:
    pairs = dict(PAIRS, score=[1.0] * 20 + [0.0] * 180)
    results = []
    for batches in ("shuffled", "levels"):
        encoder = static(pairs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if batches == "shuffled" else "error")
            results.append(train(encoder, make_loss("cosent", encoder), pairs, quiet(batches=batches, epochs=3)))
    assert [result.batches_without_order > 0 for result in results] == [True, False]


@pytest.mark.parametrize("metric", ["spearman", "pearson", "auc"])
def test_the_best_step_is_kept(metric: str) -> None:
    encoder = static(PAIRS)
    result = train(encoder, Spoil(), PAIRS, quiet(epochs=3, evaluation_steps=5, selection_metric=metric), VALIDATION)
    assert result.evaluations["step"].tolist() == [5, 10, 15, 20, 25, 30, 35, 39]
    assert result.best_step == result.evaluations.loc[result.evaluations[metric].idxmax(), "step"] == 5
    assert evaluate(encoder, VALIDATION) == dict(result.best_metrics)
    kept = result.evaluations.set_index("step").loc[5]
    assert {name: kept[name] for name in result.best_metrics} == dict(result.best_metrics)
    assert not encoder.training


def test_without_validation_the_last_step_is_kept() -> None:
    kept, last = static(PAIRS), static(PAIRS)
    train(kept, Spoil(), PAIRS, quiet(epochs=2, evaluation_steps=5), VALIDATION)
    train(last, Spoil(), PAIRS, quiet(epochs=2))
    assert evaluate(last, VALIDATION)["spearman"] < evaluate(kept, VALIDATION)["spearman"]


def test_validation_is_once_an_epoch_and_does_not_disturb_training() -> None:
    runs = []
    for validation in (VALIDATION, None):
        encoder = TinyEncoder()  # with dropout: its random numbers must not depend on validating
        result = train(encoder, make_loss("cosent", encoder), PAIRS, quiet(epochs=3), validation)
        runs.append(result)
    assert runs[0].evaluations["step"].tolist() == [13, 26, 39]
    assert runs[0].evaluations["epoch"].tolist() == [1, 2, 3]
    assert runs[0].history["loss"].tolist() == runs[1].history["loss"].tolist()


@pytest.mark.parametrize(
    "name",
    ["cosent", "ranknet", "power_mean", "angle", "cosine_squared", "cosine_margin", "mnrl", "cosent+mnrl",
     "cosent+mnrl+angle", "power_mean+sbert"],
)  # fmt: skip
def test_losses_teach_the_order(name: str) -> None:
    pairs = make_pairs(600, seed=5)
    encoder = static(pairs)
    before = evaluate(encoder, VALIDATION)["spearman"]
    train(encoder, make_loss(name, encoder), pairs, quiet(epochs=4))
    assert evaluate(encoder, VALIDATION)["auc"] > 0.9
    assert evaluate(encoder, VALIDATION)["spearman"] > before


def test_patience_counts_validations_without_a_new_best(tmp_path: Path) -> None:
    encoder = static(PAIRS)
    config = quiet(epochs=3, evaluation_steps=5, patience=3, output_dir=tmp_path, checkpoint_steps=100)
    result = train(encoder, Spoil(), PAIRS, config, VALIDATION)
    assert result.evaluations["step"].tolist() == [5, 10, 15, 20]
    assert (result.steps, result.best_step) == (20, 5)
    assert evaluate(encoder, VALIDATION) == dict(result.best_metrics)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-00000020"]  # as at any other end
    again = train(static(PAIRS), Spoil(), PAIRS, config, VALIDATION, tmp_path)
    assert again.history.equals(result.history)  # a finished run: not a step more


def test_patience_changes_nothing_before_it_ends() -> None:
    encoders = [static(PAIRS) for _ in range(3)]
    runs = [
        train(encoder, make_loss("cosent", encoder), PAIRS, quiet(epochs=6, patience=patience), VALIDATION)
        for encoder, patience in zip(encoders, (None, 100, 1), strict=True)
    ]
    assert runs[0].history.equals(runs[1].history)
    spearman = runs[0].evaluations["spearman"].tolist()
    stop = next((i for i in range(1, 6) if spearman[i] <= max(spearman[:i])), 5)  # the first that is no better
    assert runs[2].steps == 13 * (stop + 1)
    assert runs[2].history.equals(runs[0].history[: runs[2].steps])


def test_patience_without_validation_is_refused() -> None:
    with pytest.raises(ValueError, match="patience counts validations: it needs validation pairs"):
        train(TinyEncoder(), Spoil(), PAIRS, quiet(patience=2))


@pytest.mark.parametrize("kind", [static, lambda pairs: TinyEncoder()])
def test_the_same_call_gives_the_same_bits(kind: Any) -> None:
    runs = []
    for drawn in (0, 7, 0):
        torch.rand(drawn + 1)  # the global generator's state does not matter
        encoder = kind(PAIRS)
        loss = make_loss("sbert", encoder)
        result = train(encoder, loss, PAIRS, quiet(epochs=2, seed=1), VALIDATION)
        runs.append((weights(encoder, loss), result.history, result.evaluations))
    for other in runs[1:]:
        assert same(runs[0][0], other[0])
        assert runs[0][1].equals(other[1])
        assert runs[0][2].equals(other[2])


def test_another_seed_is_another_run() -> None:
    first = train(TinyEncoder(), Spoil(), PAIRS, quiet(seed=1)).history["loss"].tolist()
    assert first != train(TinyEncoder(), Spoil(), PAIRS, quiet(seed=2)).history["loss"].tolist()


def test_global_random_numbers_are_left_alone() -> None:
    state = torch.get_rng_state()
    train(TinyEncoder(), Spoil(), PAIRS, quiet())
    assert torch.equal(state, torch.get_rng_state())


def test_batches_without_order_are_counted_and_reported_once() -> None:
    pairs = dict(PAIRS, score=[1.0] * 10 + [0.0] * 190)
    encoder = static(pairs)
    batches = Batches(encoder, pairs, 4, 0)
    without = sum(len(set(batches.at(step)[0].labels.tolist())) == 1 for step in range(1, 51))
    assert 20 < without < 50
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = train(encoder, make_loss("cosent", encoder), pairs, quiet(batch_size=4))
    messages = [str(warning.message) for warning in caught]
    assert [m for m in messages if "batches" in m] == [m for m in messages if "order" in m or "label" in m]
    assert (
        f"{without} of 50 batches ({without / 50:.1%}) held only one label and taught CoSENTLoss nothing" in messages[0]
    )
    assert caught[0].filename == __file__
    assert result.batches_without_order == without
    assert result.history["loss"].eq(0).sum() == without


def test_losses_that_need_no_order_report_none() -> None:
    pairs = dict(PAIRS, score=[1.0] * 200)
    encoder = static(pairs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert train(encoder, make_loss("cosine_squared", encoder), pairs, quiet()).batches_without_order == 0


@pytest.mark.parametrize(
    ("pairs", "validation", "settings", "message"),
    [
        ({"sentence1": [], "sentence2": [], "score": []}, None, {}, "train_pairs: there are no rows"),
        ({"sentence1": ["a"], "score": [1]}, None, {}, "train_pairs: column sentence2 is missing"),
        (dict(PAIRS, score=[5.0] * 200), None, {}, r"train_pairs: score must lie in \[0, 1\]"),
        (PAIRS, {"sentence1": ["a"], "score": [1]}, {}, "validation: column sentence2 is missing"),
        (PAIRS, dict(VALIDATION, score=[1.0] * 80), {}, "undefined: all 80 validation labels equal 1"),
        (PAIRS, None, {"batch_size": 1}, "CoSENTLoss compares the pairs of a batch: batch_size must be at least 2"),
        (PAIRS, None, {"precision": "fp16"}, "precision 'fp16' needs device 'cuda', got 'cpu'"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(pairs: Any, validation: Any, settings: dict[str, Any], message: str) -> None:
    encoder = static(PAIRS)
    before = weights(encoder)
    with pytest.raises(ValueError, match=message):
        train(encoder, make_loss("cosent", encoder), pairs, quiet(**settings), validation)
    assert same(before, weights(encoder))


def test_batches_that_teach_a_sum_nothing_are_counted() -> None:
    pairs = dict(PAIRS, score=[1.0] * 10 + [0.0] * 190)
    encoder = static(pairs)
    zeros = sum(not any(Batches(encoder, pairs, 4, 0).at(step)[0].labels.tolist()) for step in range(1, 51))
    with pytest.warns(UserWarning, match=rf"{zeros} of 50 batches .* taught SummedLoss nothing"):
        result = train(encoder, make_loss("cosent+mnrl", encoder), pairs, quiet(batch_size=4))
    assert result.batches_without_order == zeros
    moved = result.history[result.history["loss"] != 0]
    assert len(moved) == 50 - zeros


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_training_on_a_gpu_follows_the_cpu(precision: str) -> None:
    runs = {}
    for device in ("cpu", "cuda"):
        encoder = TinyEncoder(dropout=0)
        settings = {"device": device, "precision": precision if device == "cuda" else "fp32", "epochs": 2}
        runs[device] = train(encoder, make_loss("cosent", encoder), PAIRS, quiet(**settings), VALIDATION)
    tolerance = 1e-3 if precision == "fp32" else 0.15
    difference = runs["cuda"].history["loss"] - runs["cpu"].history["loss"]
    assert difference.abs().max() < tolerance
    assert runs["cuda"].best_metrics["auc"] == pytest.approx(runs["cpu"].best_metrics["auc"], abs=0.03)


@pytest.mark.cuda
def test_a_static_encoder_trains_on_a_gpu() -> None:
    encoder = static(PAIRS)
    result = train(encoder, make_loss("cosent", encoder), PAIRS, quiet(device="auto", epochs=8), VALIDATION)
    assert encoder.device.type == "cuda"
    assert result.best_metrics["auc"] > 0.85
    with pytest.raises(ValueError, match="'fp16' cannot train sparse parameters"):
        train(encoder, make_loss("cosent", encoder), PAIRS, quiet(device="cuda", precision="fp16"))


def test_batches_without_a_positive_are_counted_for_in_batch_negatives() -> None:
    pairs = PAIRS | {"score": [0.0] * len(PAIRS["score"])}
    encoder = static(pairs)
    with pytest.warns(UserWarning, match=r"4 of 4 batches \(100.0%\)"):
        result = train(encoder, make_loss("mnrl", encoder), pairs, quiet(max_steps=4))
    assert result.batches_without_order == 4


@pytest.mark.parametrize("name", ["mnrl", "cosent+mnrl"])
def test_the_loss_is_told_which_texts_of_a_batch_are_equal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = {"sentence1": ["a plan", "a bill", "A Plan"], "sentence2": ["the plan", "a plan", "the plan"]}
    pairs |= {"score": [1.0, 0.0, 1.0]}
    encoder = static(pairs)  # to which capital letters are small ones
    loss, told = make_loss(name, encoder), []
    compare = type(loss).compare
    monkeypatch.setattr(type(loss), "compare", lambda self, *given: told.append(given[3]) or compare(self, *given))
    train(encoder, loss, pairs, quiet(max_steps=1))
    rows = Batches(encoder, pairs, 64, 0).at(1)[0].rows
    texts = [(pairs["sentence1"][row].lower(), pairs["sentence2"][row]) for row in rows]
    flat, numbers = [text for pair in texts for text in pair], told[0].flatten().tolist()
    assert told[0].shape == (len(rows), 2)
    assert all((a == b) == (flat[i] == flat[j]) for i, a in enumerate(numbers) for j, b in enumerate(numbers))


@pytest.mark.parametrize("size", [1, 64])
def test_batches_without_a_negative_are_counted_for_in_batch_negatives(size: int) -> None:
    pairs = PAIRS | {"sentence2": ["the one answer"] * len(PAIRS["score"])}
    encoder = static(pairs)
    with pytest.warns(UserWarning, match=r"4 of 4 batches \(100.0%\) held no pair labelled 0.5 or more that has a neg"):
        result = train(encoder, make_loss("mnrl", encoder), pairs, quiet(max_steps=4, batch_size=size))
    assert result.batches_without_order == 4


class Returns(nn.Module):
    """A loss that returns what it is told."""

    def __init__(self, what: Any) -> None:
        super().__init__()
        self.what = what

    def forward(self, u: torch.Tensor, v: torch.Tensor, labels: torch.Tensor) -> Any:
        return self.what(u)


@pytest.mark.parametrize(
    ("what", "got"),
    [
        (lambda u: None, "NoneType"),
        (lambda u: 1.5, "float"),
        (lambda u: u.sum(1), r"shape \[16\]"),
        (lambda u: u.sum().detach(), r"shape \[\]"),
    ],
)
def test_a_loss_that_returns_no_loss_is_named(what: Any, got: str) -> None:
    encoder = static(PAIRS)
    with pytest.raises(TypeError, match=f"Returns: a loss must return one number that depends .*; got {got}"):
        train(encoder, Returns(what), PAIRS, quiet(max_steps=1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoder": None}, "encoder must be Module, not NoneType"),
        ({"loss": "cosent"}, "loss must be Module, not str: 'cosent'"),
        ({"loss": CoSENTLoss}, "loss must be Module, not type"),
        ({"config": {"epochs": 1}}, "config must be TrainingConfig, not dict"),
        ({"watch": 5}, "watch must be a function of encoder and loss, got 5"),
    ],
)
def test_an_argument_of_another_kind_is_named(arguments: dict[str, Any], message: str) -> None:
    encoder = static(PAIRS)
    given = {"encoder": encoder, "loss": make_loss("cosent", encoder), "train_pairs": PAIRS, "config": quiet()}
    with pytest.raises(TypeError, match=message):
        train(**(given | arguments))


def test_training_texts_of_which_no_word_is_known_are_refused() -> None:
    encoder = static(PAIRS)
    strange = {"sentence1": ["ωωω", "ψψψ"], "sentence2": ["χχχ", "φφφ"], "score": [1.0, 0.0]}
    with pytest.raises(ValueError, match=r"train_pairs: 'static' knows no word of any of the 4 texts"):
        train(encoder, make_loss("cosent", encoder), strange, quiet(max_steps=1), VALIDATION)
