"""The training loop against a hand-written one, and everything that can stop it."""

import json
import math
import multiprocessing
import os
import signal
import sys
import warnings
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cosent_lib.encoders.static import StaticEncoder
from cosent_lib.evaluation.evaluate import evaluate
from cosent_lib.losses.make import make_loss
from cosent_lib.ranking.rank_loss import inversion_bound
from cosent_lib.training import checkpoints
from cosent_lib.training import train as training
from cosent_lib.training.batches import Batch, Batches, strata
from cosent_lib.training.errors import NonFiniteLoss, OutOfMemory, TrainingInterrupted
from cosent_lib.training.setup import Objective, TrainingConfig, learning_rate_factor, make_optimizers
from cosent_lib.training.train import train

WORDS = ["cat", "dog", "bird", "fish", "tree", "rock", "rain", "snow", "wind", "fire", "iron", "gold"]


def make_pairs(count: int, seed: int = 0, levels: int = 2) -> dict[str, list]:
    """Sentences of four words; the label says how many words the two share (0 … 4)."""
    rng = np.random.default_rng(seed)
    first = [rng.choice(WORDS, 4, replace=False) for _ in range(count)]
    second = [np.where(rng.random(4) < rng.random(), words, rng.choice(WORDS, 4)) for words in first]
    shared = np.array([len({*a} & {*b}) for a, b in zip(first, second, strict=True)])
    labels = (shared >= 3).astype(float) if levels == 2 else shared / 4
    return {"sentence1": [" ".join(a) for a in first], "sentence2": [" ".join(b) for b in second],
            "score": labels.tolist()}  # fmt: skip


class TinyEncoder(nn.Module):
    """A dense encoder of letters with dropout; notes what it is asked."""

    name, default_learning_rate, dim = "tiny", 1e-2, 8

    def __init__(self, seed: int = 0, dropout: float = 0.1) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.letters = nn.Parameter(torch.randn(27, self.dim, generator=generator))
        self.turn = nn.Parameter(torch.randn(self.dim, self.dim, generator=generator))
        self.dropout = nn.Dropout(dropout)
        self.tokenized: list[str] = []
        self.embedded: list[int] = []

    @property
    def device(self) -> torch.device:
        return self.turn.device

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        self.tokenized += texts
        return [[max(ord(letter) - 96, 0) for letter in text] for text in texts]

    def embed(self, token_ids: list[list[int]]) -> Tensor:
        self.embedded.append(len(token_ids))
        flat = torch.tensor([number for ids in token_ids for number in ids], device=self.device)
        starts = torch.tensor([0, *np.cumsum([len(ids) for ids in token_ids])[:-1]], device=self.device)
        means = nn.functional.embedding_bag(flat, self.letters, starts, mode="mean")
        return self.dropout(torch.tanh(means @ self.turn))

    def encode(self, texts: list[str], batch_size: int = 256, progress: bool = False) -> Tensor:
        mode = self.training
        self.eval()
        with torch.no_grad():
            vectors = self.embed(self.tokenize(texts)).cpu()
        self.train(mode)
        return vectors

    def parameter_groups(self, learning_rate: float | None = None, weight_decay: float = 0.01) -> list[dict[str, Any]]:
        rate = learning_rate or self.default_learning_rate
        return [{"params": [self.letters, self.turn], "lr": rate, "weight_decay": weight_decay, "sparse": False}]


def static(pairs: dict[str, list], dim: int = 16) -> StaticEncoder:
    return StaticEncoder.from_texts([*pairs["sentence1"], *pairs["sentence2"]], dim=dim)


def quiet(**settings: Any) -> TrainingConfig:
    return TrainingConfig(**{"progress": False, "device": "cpu", "batch_size": 16, **settings})


def weights(*modules: nn.Module) -> list[Tensor]:
    return [value.detach().cpu().clone() for module in modules for value in module.state_dict().values()]


def same(left: list[Tensor], right: list[Tensor]) -> bool:
    return len(left) == len(right) and all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


PAIRS, VALIDATION = make_pairs(200, seed=1), make_pairs(80, seed=2)

# --- the loop --------------------------------------------------------------------------------------------------------


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


def test_every_epoch_is_another_order_of_all_rows() -> None:
    batches = Batches(TinyEncoder(), PAIRS, 16, seed=3)
    epochs = [[row for step in range(1, 14) for row in batches.at(13 * epoch + step)[0].rows] for epoch in range(3)]
    assert all(sorted(rows) == list(range(200)) for rows in epochs)
    assert len({tuple(rows) for rows in epochs}) == 3
    assert Batches(TinyEncoder(), PAIRS, 16, seed=3).at(30)[0][:3] == batches.at(30)[0][:3]  # entered without replaying
    assert Batches(TinyEncoder(), PAIRS, 16, seed=4).at(30)[0].rows != batches.at(30)[0].rows
    (batch,) = batches.at(30)
    assert batch.labels.tolist() == [PAIRS["score"][row] for row in batch.rows]


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


@pytest.mark.parametrize(
    ("step", "factor"), [(1, 0.1), (5, 0.5), (10, 1.0), (11, 1.0), (12, 89 / 90), (56, 0.5), (100, 1 / 90)]
)
def test_learning_rate_rises_and_falls_linearly(step: int, factor: float) -> None:
    assert learning_rate_factor(step, 100, 0.1) == pytest.approx(factor)


def test_learning_rate_without_and_with_only_warm_up() -> None:
    assert [learning_rate_factor(step, 4, 0) for step in (1, 2, 3, 4)] == [1, 0.75, 0.5, 0.25]
    assert [learning_rate_factor(step, 4, 1) for step in (1, 2, 3, 4)] == [0.25, 0.5, 0.75, 1]


def test_a_constant_rate_stays_after_its_warm_up() -> None:
    assert [learning_rate_factor(step, 10, 0.4, "constant") for step in range(1, 11)] == [0.25, 0.5, 0.75] + [1] * 7
    assert {learning_rate_factor(step, 10, 0, "constant") for step in range(1, 11)} == {1.0}
    encoder = static(PAIRS)
    config = quiet(max_steps=20, warmup_ratio=0.25, schedule="constant", learning_rate=0.03)
    rates = train(encoder, make_loss("cosent", encoder), PAIRS, config).history["learning_rate"].tolist()
    assert rates == pytest.approx([0.006, 0.012, 0.018, 0.024] + [0.03] * 16)
    with pytest.raises(ValueError, match="schedule must be one of linear, constant, got 'cosine'"):
        quiet(schedule="cosine")


# --- optimisers ------------------------------------------------------------------------------------------------------


def test_the_losss_parameters_are_trained_at_their_own_rate() -> None:
    encoder = static(PAIRS)
    loss = make_loss("sbert", encoder)
    before = weights(loss)
    train(encoder, loss, PAIRS, quiet(max_steps=5))
    assert not same(before, weights(loss))

    def rates(**settings: Any) -> list[float]:
        optimizers = make_optimizers(Objective(TinyEncoder(), loss), quiet(**settings))
        return [group["peak_lr"] for group in optimizers[0].param_groups]

    assert rates() == [1e-2, 1e-2]
    assert rates(learning_rate=2e-5) == [2e-5, 1e-3]
    assert rates(learning_rate=2e-5, loss_learning_rate=0.5) == [2e-5, 0.5]


def test_sparse_and_dense_parameters_each_get_their_optimiser() -> None:
    encoder = static(PAIRS)
    optimizers = make_optimizers(Objective(encoder, make_loss("sbert", encoder)), quiet())
    assert [type(optimizer) for optimizer in optimizers] == [torch.optim.SparseAdam, torch.optim.AdamW]
    assert optimizers[0].param_groups[0]["params"] == [encoder.weight]


def test_nothing_to_train_is_an_error() -> None:
    encoder = static(PAIRS)
    encoder.parameter_groups = lambda *_: []  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="nothing to train: encoder 'static'"):
        train(encoder, make_loss("cosent", encoder), PAIRS, quiet())


# --- gradient accumulation -------------------------------------------------------------------------------------------


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


# --- batches with several levels -------------------------------------------------------------------------------------


def dealt(labels: Any, batch_size: int, epoch: int = 0, seed: int = 0) -> list[Batch]:
    texts = [f"text {number}" for number in range(len(labels))]
    pairs = {"sentence1": texts, "sentence2": texts, "score": list(labels)}
    batches = Batches(TinyEncoder(), pairs, batch_size, seed, kind="levels")
    return [batches.at(epoch * batches.per_epoch + step)[0] for step in range(1, batches.per_epoch + 1)]


@settings(deadline=None, max_examples=150)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=80), st.integers(2, 20), st.integers(0, 3))
def test_each_batch_has_its_share_of_every_level(grades: list[int], batch_size: int, epoch: int) -> None:
    labels = np.array(grades) / 3
    batches = dealt(labels, batch_size, epoch)
    count = math.ceil(len(labels) / batch_size)
    assert len(batches) == count
    assert sorted(row for batch in batches for row in batch.rows) == list(range(len(labels)))
    for level in np.unique(labels):
        share = (labels == level).sum() / count
        held = [int((labels[batch.rows] == level).sum()) for batch in batches]
        assert {*held} <= {math.floor(share), math.ceil(share)}
    several = sum(len(np.unique(labels[batch.rows])) > 1 for batch in batches)
    large = sum(len(batch.rows) > 1 for batch in batches)
    others = len(labels) - np.unique(labels, return_counts=True)[1].max()
    assert several >= min(large, others)  # no order of the rows could give more than one batch a rare pair


def test_graded_labels_are_spread_by_quantiles() -> None:
    labels = np.random.default_rng(0).random(1000) ** 3
    companions = []
    for epoch in (0, 1):
        batches = dealt(labels, 64, epoch)
        assert {len(batch.rows) for batch in batches} == {62, 63}
        edges = np.quantile(labels, np.linspace(0, 1, 17))
        for batch in batches:
            held, _ = np.histogram(labels[batch.rows], edges)
            assert held.min() >= 2  # of 64 pairs, about 4 in each sixteenth
        companions.append({frozenset(batch.rows) for batch in batches})
    assert not companions[0] & companions[1]  # another epoch, other batches


def test_many_levels_become_quantiles_that_keep_equal_labels_together() -> None:
    labels = np.array([0.0] * 50 + [number / 100 for number in range(1, 51)])
    groups = strata(labels, batch_size=32)
    assert set(groups[:50]) == {0}  # the largest first
    assert len(set(groups)) == 5  # of eight quantiles, the equal labels fill three and a half
    assert (np.diff(groups[50:]) >= 0).all()


def test_dealt_batches_are_a_function_of_seed_and_step() -> None:
    labels = PAIRS["score"]
    assert [b.rows for b in dealt(labels, 16, 1)] == [b.rows for b in dealt(labels, 16, 1)]
    assert [b.rows for b in dealt(labels, 16, 1)] != [b.rows for b in dealt(labels, 16, 2)]
    assert [b.rows for b in dealt(labels, 16, 1)] != [b.rows for b in dealt(labels, 16, 1, seed=1)]


def test_rare_positives_reach_every_batch() -> None:
    pairs = dict(PAIRS, score=[1.0] * 20 + [0.0] * 180)
    results = []
    for batches in ("shuffled", "levels"):
        encoder = static(pairs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if batches == "shuffled" else "error")
            results.append(train(encoder, make_loss("cosent", encoder), pairs, quiet(batches=batches, epochs=3)))
    assert [result.batches_without_order > 0 for result in results] == [True, False]


# --- the best by validation ------------------------------------------------------------------------------------------


class Spoil(nn.Module):
    """Teaches the opposite of the labels, so that the first validation is the best one."""

    def forward(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        return ((2 * labels - 1) * nn.functional.cosine_similarity(u, v)).mean()


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


# --- early stopping --------------------------------------------------------------------------------------------------


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


# --- the same again --------------------------------------------------------------------------------------------------


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


# --- batches without order -------------------------------------------------------------------------------------------


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


# --- a loss that is not finite ---------------------------------------------------------------------------------------


class Explode(nn.Module):
    """The squared cosine loss, infinite from the k-th call on."""

    def __init__(self, call: int) -> None:
        super().__init__()
        self.left = call

    def forward(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        self.left -= 1
        value = (nn.functional.cosine_similarity(u, v) - labels).square().mean()
        return value if self.left > 0 else value * math.inf


def test_an_overflowing_loss_stops_the_run() -> None:
    encoder = static(PAIRS)
    with pytest.raises(NonFiniteLoss) as caught:
        train(encoder, Explode(16), PAIRS, quiet(epochs=2, learning_rate=0.1, warmup_ratio=0))
    error = caught.value
    rows = Batches(encoder, PAIRS, 16, 0).at(16)[0].rows
    assert (error.step, error.epoch, error.rows) == (16, 2, rows)
    assert error.history["step"].tolist() == list(range(1, 16))
    assert np.isfinite(error.history["loss"]).all()
    start = f"the loss is inf at step 16 (epoch 2; training rows {', '.join(map(str, rows[:8]))}, …): "
    assert str(error).startswith(start)
    assert "parameters, vectors and labels are finite, so Explode itself overflowed" in str(error)


@pytest.mark.parametrize("name", ["cosent", "cosine_squared", "sbert"])
def test_texts_without_finite_vector_are_named(name: str) -> None:
    class Broken(TinyEncoder):
        def embed(self, token_ids: list[list[int]]) -> Tensor:
            vectors = super().embed(token_ids)
            wrong = [ids[:3] == self.tokenize(["odd"])[0] for ids in token_ids]
            return vectors.masked_fill(torch.tensor(wrong)[:, None], math.nan)

    pairs = dict(PAIRS, sentence2=[*PAIRS["sentence2"][:-1], "odd one"])
    encoder = Broken()
    with pytest.raises(
        NonFiniteLoss, match=r"not finite for 1 of .* texts .sentence2 of row 199. though all param"
    ) as c:
        train(encoder, make_loss(name, encoder), pairs, quiet())
    assert 199 in c.value.rows


def test_a_diverged_parameter_is_named() -> None:
    class Cliff(nn.Module):
        """A finite value whose gradient is not."""

        def forward(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
            return (u - u.detach()).abs().sqrt().sum() + v.sum()

    with pytest.raises(NonFiniteLoss, match=r"at step 2 .*encoder\.letters is not finite after an earlier update"):
        train(TinyEncoder(), Cliff(), PAIRS, quiet())
    with pytest.raises(NonFiniteLoss, match=r"parameter encoder\.letters is not finite at step 1 .*its update made"):
        train(TinyEncoder(), Cliff(), PAIRS, quiet(max_steps=1))  # noticed though no loss follows


def test_a_value_error_of_the_loss_itself_is_not_hidden() -> None:
    class Picky(nn.Module):
        def forward(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
            raise ValueError("labels must be odd")

    with pytest.raises(ValueError, match="labels must be odd"):
        train(TinyEncoder(), Picky(), PAIRS, quiet())


# --- refused before the first step -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"epochs": None}, "epochs must be a whole number"),
        ({"epochs": 1.5}, "epochs must be a whole number of at least 1, got 1.5"),
        ({"max_steps": 0}, "max_steps must be a whole number of at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"evaluation_steps": -1}, "evaluation_steps must be"),
        ({"learning_rate": 0}, "learning_rate must be positive and finite"),
        ({"learning_rate": math.nan}, "learning_rate must be positive and finite"),
        ({"loss_learning_rate": -1.0}, "loss_learning_rate must be positive"),
        ({"warmup_ratio": 1.1}, r"warmup_ratio must lie in \[0, 1\], got 1.1"),
        ({"weight_decay": -0.1}, "weight_decay must be zero or positive"),
        ({"max_grad_norm": 0}, "max_grad_norm must be positive"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": 2**63}, r"seed must be a whole number of at least 0 and below 2\*\*63, got 9223372036854775808"),
        ({"patience": 0}, "patience must be a whole number of at least 1, got 0"),
        ({"accumulation_steps": 0}, "accumulation_steps must be a whole number of at least 1, got 0"),
        ({"batches": "sorted"}, "batches must be one of shuffled, levels, got 'sorted'"),
        ({"precision": "fp8"}, "precision must be one of auto, fp32, bf16, fp16, got 'fp8'"),
        ({"device": "tpu"}, "device must be one of auto, cpu, cuda, mps, got 'tpu'"),
        ({"selection_metric": "f2"}, "selection_metric must be one of spearman, pearson, auc, got 'f2'"),
        ({"checkpoint_steps": 5}, "checkpoint_steps needs output_dir"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**settings)


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


def test_a_device_that_is_not_there_is_named() -> None:
    missing = "mps" if not torch.backends.mps.is_available() else "cuda"
    with pytest.raises(ValueError, match=f"device '{missing}' is not available here"):
        train(TinyEncoder(), Spoil(), PAIRS, quiet(device=missing))


def test_a_failing_validation_says_when() -> None:
    class Collapse(TinyEncoder):
        def encode(self, texts: list[str], batch_size: int = 256, progress: bool = False) -> Tensor:
            return torch.ones(len(texts), 2)

    with pytest.raises(ValueError, match="undefined: all 80 scores equal") as caught:
        train(Collapse(), Spoil(), PAIRS, quiet(), VALIDATION)
    assert caught.value.__notes__ == ["while validating after step 13"]


def test_the_largest_seed_is_one() -> None:
    assert train(TinyEncoder(), Spoil(), PAIRS, quiet(seed=2**63 - 1, max_steps=2, batches="levels")).steps == 2


# --- out of memory ---------------------------------------------------------------------------------------------------

CPU_ALLOCATOR = "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
NO_MEMORY = [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), MemoryError(),
             RuntimeError(CPU_ALLOCATOR), RuntimeError("MPS backend out of memory")]  # fmt: skip


@pytest.mark.parametrize("failure", NO_MEMORY, ids=lambda error: type(error).__name__)
def test_out_of_memory_says_what_to_change_and_keeps_the_checkpoint(tmp_path: Path, failure: Exception) -> None:
    config = quiet(epochs=3, checkpoint_steps=5, output_dir=tmp_path)
    encoder = TinyEncoder()
    encoder.max_length = 128
    with pytest.raises(OutOfMemory) as caught:
        train(encoder, Press(encoder, call=18, failure=failure), PAIRS, config, VALIDATION)
    kept = tmp_path / "checkpoint-00000015"
    assert (caught.value.step, caught.value.checkpoint, caught.value.__cause__) == (18, kept, failure)
    assert str(caught.value).startswith(
        "out of memory at step 18: take a smaller batch_size (now 16), or an encoder with a smaller max_length (now "
        f"128 tokens). Checkpoint: {kept} is kept, for the same settings where there is more memory. "
    )
    again = TinyEncoder(seed=9)
    loss = Press(again)
    result = train(again, loss, PAIRS, config, VALIDATION, resume_from=tmp_path)
    assert_same_run(again, loss, result, undisturbed(quiet(epochs=3)))


def test_out_of_memory_while_validating() -> None:
    class Large(TinyEncoder):
        def encode(self, texts: list[str], batch_size: int = 256, progress: bool = False) -> Tensor:
            raise MemoryError

    with pytest.raises(OutOfMemory) as caught:
        train(Large(), Spoil(), PAIRS, quiet(), VALIDATION)
    assert caught.value.step == 13
    text = "out of memory while validating after step 13: take a machine with more memory. Checkpoint: none saved."
    assert str(caught.value).startswith(text)


def test_other_runtime_errors_are_left_alone() -> None:
    encoder = TinyEncoder()
    with pytest.raises(RuntimeError, match=r"^shapes$"):
        train(encoder, Press(encoder, call=2, failure=RuntimeError("shapes")), PAIRS, quiet())


# --- stop and go on --------------------------------------------------------------------------------------------------


class Press(nn.Module):
    """Sentence-BERT's loss, which presses Ctrl-C (or fails) in its k-th call."""

    needs_order = False

    def __init__(self, encoder: TinyEncoder, call: int = 0, failure: BaseException | None = None) -> None:
        super().__init__()
        self.inner, self.left, self.failure = make_loss("sbert", encoder), call, failure

    def forward(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        self.left -= 1
        if self.left == 0:
            if self.failure is not None:
                raise self.failure
            os.kill(os.getpid(), signal.SIGINT)
        return self.inner(u, v, labels)


@cache
def undisturbed(config: TrainingConfig) -> tuple[list[Tensor], Any]:
    encoder = TinyEncoder()
    loss = Press(encoder)
    result = train(encoder, loss, PAIRS, config, VALIDATION)
    return weights(encoder, loss), result


def assert_same_run(encoder: nn.Module, loss: nn.Module, result: Any, expected: tuple[list[Tensor], Any]) -> None:
    assert same(weights(encoder, loss), expected[0])
    assert result.history.equals(expected[1].history)
    assert result.evaluations.equals(expected[1].evaluations)
    assert (result.best_step, result.steps) == (expected[1].best_step, expected[1].steps)
    assert dict(result.best_metrics) == dict(expected[1].best_metrics)


def test_ctrl_c_saves_and_the_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    config = quiet(epochs=3, evaluation_steps=7, output_dir=tmp_path / "run")
    encoder = TinyEncoder()
    with pytest.raises(TrainingInterrupted, match="stopped after step 17; go on with resume_from=") as caught:
        train(encoder, Press(encoder, call=17), PAIRS, config, VALIDATION)
    stopped = caught.value
    assert isinstance(stopped, KeyboardInterrupt)
    assert stopped.result.steps == 17  # the step in hand was finished
    assert stopped.checkpoint == tmp_path / "run" / "checkpoint-00000017"
    assert evaluate(encoder, VALIDATION) == dict(stopped.result.best_metrics)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    again = TinyEncoder(seed=9)  # everything comes from the checkpoint
    loss = Press(again)
    result = train(again, loss, PAIRS, config, VALIDATION, resume_from=stopped.checkpoint)
    assert_same_run(again, loss, result, undisturbed(quiet(epochs=3, evaluation_steps=7)))


def test_ctrl_c_without_output_dir_gives_the_best_so_far() -> None:
    encoder = TinyEncoder()
    with pytest.raises(TrainingInterrupted, match="nothing saved, output_dir was not set") as caught:
        train(encoder, Press(encoder, call=15), PAIRS, quiet(epochs=3), VALIDATION)
    assert caught.value.checkpoint is None
    assert evaluate(encoder, VALIDATION) == dict(caught.value.result.best_metrics)


@pytest.mark.parametrize("file", range(6))
def test_a_run_killed_while_saving_goes_on_from_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: int
) -> None:
    class Killed(BaseException):
        pass

    flushes = 0

    def flush(path: Path) -> None:
        nonlocal flushes
        flushes += 1
        if flushes == 5 + file:  # a checkpoint flushes 4 files (5 with a best one) and its folder
            raise Killed

    config = quiet(epochs=3, checkpoint_steps=5, output_dir=tmp_path)
    encoder = TinyEncoder()
    monkeypatch.setattr(checkpoints, "_flush", flush)
    with pytest.raises(Killed):
        train(encoder, Press(encoder), PAIRS, config, VALIDATION)
    monkeypatch.undo()
    found = checkpoints.latest_checkpoint(tmp_path)
    assert found is not None
    again = TinyEncoder(seed=9)
    loss = Press(again)
    result = train(again, loss, PAIRS, config, VALIDATION, resume_from=tmp_path)
    assert_same_run(again, loss, result, undisturbed(quiet(epochs=3)))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-00000039"]  # and nothing half-written is left


def test_new_settings_go_on_bit_for_bit(tmp_path: Path) -> None:
    new = {"epochs": 4, "evaluation_steps": 3, "patience": 3, "accumulation_steps": 2, "batches": "levels"}
    config = quiet(**new, output_dir=tmp_path)
    encoder, again = TinyEncoder(), TinyEncoder(seed=9)
    with pytest.raises(TrainingInterrupted) as caught:
        train(encoder, Press(encoder, call=18), PAIRS, config, VALIDATION)
    assert caught.value.result.steps == 10  # seven steps an epoch, of two batches, the last of one; then three
    loss = Press(again)
    result = train(again, loss, PAIRS, config, VALIDATION, resume_from=tmp_path)
    assert_same_run(again, loss, result, undisturbed(quiet(**new)))


PRELOADED = ["torch._dynamo", "sklearn.metrics", "accelerate", "pytest", "hypothesis", "cosent_lib.training.train"]


def one_life(folder: Path, kill_at: int, reached: Any) -> None:
    """A run in a process of its own, which ends by SIGKILL before the n-th line of loop and checkpoints (0: never).

    A finished run leaves what it gave in ``result.pt``.
    """
    torch.set_num_threads(1)
    lines, files = 0, (training.__file__, checkpoints.__file__)

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal lines
        if frame.f_code.co_filename not in files:
            return None
        lines += event == "line"
        if lines == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    note = training._Loop.note

    def noted(self: Any, batches: list[Batch], values: list[float]) -> None:
        note(self, batches, values)
        reached.value = batches[0].step

    training._Loop.note = noted  # type: ignore[method-assign]
    encoder = static(PAIRS)
    loss = make_loss("cosent", encoder, learn_scale=True)
    config = quiet(epochs=2, evaluation_steps=6, checkpoint_steps=4, output_dir=folder)
    if kill_at:
        sys.settrace(trace)
    found = checkpoints.latest_checkpoint(folder)
    result = train(encoder, loss, PAIRS, config, VALIDATION, found and folder)
    sys.settrace(None)
    tables = [result.history.to_csv(), result.evaluations.to_csv(), dict(result.best_metrics)]
    torch.save([weights(encoder, loss), tables], folder / "result.pt")


@pytest.mark.skipif(os.name == "nt", reason="sends SIGKILL to processes")
def test_a_killed_run_loses_at_most_one_checkpoint_interval(tmp_path: Path) -> None:
    """Twenty kills between two lines of the loop or of saving; the random numbers are seeded, the lines are exact."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    reached, rng = context.Value("i", 0, lock=False), np.random.default_rng(0)

    def live(folder: Path, kill_at: int) -> int:
        folder.mkdir(exist_ok=True)
        reached.value = 0
        process = context.Process(target=one_life, args=(folder, kill_at, reached))
        process.start()
        process.join()
        return process.exitcode

    assert live(tmp_path / "whole", 0) == 0
    whole, tables = torch.load(tmp_path / "whole" / "result.pt")
    kills, finished = [], 0
    while len(kills) < 20 or finished == 0:
        folder = tmp_path / f"run{finished}"
        code = live(folder, int(rng.integers(1, 900)))
        if code == 0:
            assert same(torch.load(folder / "result.pt")[0], whole)
            assert torch.load(folder / "result.pt")[1] == tables
            finished += 1
        else:
            assert code == -signal.SIGKILL
            found = checkpoints.latest_checkpoint(folder)
            kills.append(max(0, reached.value - (int(found.name[-8:]) if found else 0)))
    assert 0 < max(kills) <= 4, kills


def test_a_static_encoder_goes_on_bit_for_bit(tmp_path: Path) -> None:
    config = quiet(epochs=2, checkpoint_steps=5, output_dir=tmp_path)
    whole, stopped, again = (static(PAIRS) for _ in range(3))
    expected = train(whole, make_loss("cosent", whole, learn_scale=True), PAIRS, quiet(epochs=2), VALIDATION)
    loss = make_loss("cosent", stopped, learn_scale=True)
    forward, calls = loss.forward, Counter[str]()

    def failing(*arguments: Tensor) -> Tensor:
        calls["forward"] += 1
        if calls["forward"] == 18:
            raise OSError("power cut")
        return forward(*arguments)

    loss.forward = failing  # type: ignore[method-assign]
    with pytest.raises(OSError, match="power cut"):
        train(stopped, loss, PAIRS, config, VALIDATION)
    result = train(again, make_loss("cosent", again, learn_scale=True), PAIRS, config, VALIDATION, resume_from=tmp_path)
    assert same(weights(again), weights(whole))
    assert result.history.equals(expected.history)


def test_a_sum_goes_on_bit_for_bit_with_its_learned_scales(tmp_path: Path) -> None:
    def made(encoder: nn.Module) -> nn.Module:
        return make_loss("cosent+mnrl+sbert", encoder, cosent_learn_scale=True, mnrl_scale=5.0, mnrl_learn_scale=True)

    whole, stopped, again = TinyEncoder(), TinyEncoder(), TinyEncoder()
    whole_loss, stopped_loss, again_loss = made(whole), made(stopped), made(again)
    expected = train(whole, whole_loss, PAIRS, quiet(epochs=2), VALIDATION)
    config = quiet(epochs=2, checkpoint_steps=5, output_dir=tmp_path)

    def cut(*_: Any) -> dict[str, float]:
        cut.calls = getattr(cut, "calls", 0) + 1
        if cut.calls == 3:  # step 0, the end of the first epoch, the end of the second
            raise OSError("power cut")
        return {}

    with pytest.raises(OSError, match="power cut"):
        train(stopped, stopped_loss, PAIRS, config, VALIDATION, watch=cut)
    result = train(again, again_loss, PAIRS, config, VALIDATION, resume_from=tmp_path)
    assert same(weights(again, again_loss), weights(whole, whole_loss))
    assert result.history.equals(expected.history)
    scales = whole_loss.options()
    assert scales["cosent_scale"] != pytest.approx(20, abs=1e-4)
    assert scales["mnrl_scale"] != pytest.approx(5, abs=1e-4)
    # the losses that were cut off hold scales learned so far: no other setting either
    train(stopped, stopped_loss, PAIRS, config, VALIDATION, resume_from=tmp_path)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cosent+mnrl", {"mnrl_weight": 0.5}, "'mnrl_weight': 2.0.* there, .*'mnrl_weight': 0.5.* now"),
        ("cosent+mnrl", {"mnrl_weight": 2.0, "cosent_scale": 5.0}, "'cosent_scale': 20.0.* there, .*: 5.0.* now"),
        ("cosent+angle", {"angle_weight": 2.0}, "'mnrl_scale'.* there, .*'angle_scale'.* now"),
        ("cosent+mnrl", {"mnrl_weight": 2.0, "cosent_flat": True}, "'cosent_flat': False.* there, .*True.* now"),
    ],
)
def test_a_checkpoint_of_another_sum_is_refused(name: str, options: dict, message: str, tmp_path: Path) -> None:
    config = quiet(output_dir=tmp_path, max_steps=2)
    encoder = TinyEncoder()
    train(encoder, make_loss("cosent+mnrl", encoder, mnrl_weight=2.0), PAIRS, config)
    with pytest.raises(ValueError, match=rf"other settings \(loss_options: .*{message}"):
        train(TinyEncoder(), make_loss(name, encoder, **options), PAIRS, config, resume_from=tmp_path)


def test_batches_that_teach_a_sum_nothing_are_counted() -> None:
    pairs = dict(PAIRS, score=[1.0] * 10 + [0.0] * 190)
    encoder = static(pairs)
    zeros = sum(not any(Batches(encoder, pairs, 4, 0).at(step)[0].labels.tolist()) for step in range(1, 51))
    with pytest.warns(UserWarning, match=rf"{zeros} of 50 batches .* taught SummedLoss nothing"):
        result = train(encoder, make_loss("cosent+mnrl", encoder), pairs, quiet(batch_size=4))
    assert result.batches_without_order == zeros
    moved = result.history[result.history["loss"] != 0]
    assert len(moved) == 50 - zeros


def test_a_finished_run_is_only_read(tmp_path: Path) -> None:
    config = quiet(output_dir=tmp_path)
    encoder, again = TinyEncoder(), TinyEncoder(seed=9)
    loss, other = Press(encoder), Press(again)
    result = train(encoder, loss, PAIRS, config, VALIDATION)
    assert_same_run(
        again, other, train(again, other, PAIRS, config, VALIDATION, tmp_path), (weights(encoder, loss), result)
    )


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    config = quiet(output_dir=tmp_path)
    train(TinyEncoder(), Spoil(), PAIRS, config)
    with pytest.raises(ValueError, match=r"other settings \(batch_size: 16 there, 8 now; seed: 0 there, 5 now\)"):
        train(TinyEncoder(), Spoil(), PAIRS, quiet(batch_size=8, seed=5), resume_from=tmp_path)
    with pytest.raises(ValueError, match=r"other settings \(train_pairs: "):
        train(TinyEncoder(), Spoil(), dict(PAIRS, sentence1=PAIRS["sentence2"]), config, resume_from=tmp_path)
    with pytest.raises(ValueError, match=r"other settings \(loss: 'Spoil' there, 'SoftmaxLoss' now"):
        train(TinyEncoder(), make_loss("sbert", TinyEncoder()), PAIRS, config, resume_from=tmp_path)
    with pytest.raises(ValueError, match="holds a run already: go on with resume_from="):
        train(TinyEncoder(), Spoil(), PAIRS, config)


def test_a_checkpoint_of_other_options_of_the_loss_or_the_encoder_is_refused(tmp_path: Path) -> None:
    config, encoder = quiet(output_dir=tmp_path, max_steps=2), static(PAIRS)
    loss = make_loss("cosent", encoder, scale=5.0, learn_scale=True)
    train(encoder, loss, PAIRS, config)
    assert loss.scale != 5
    train(encoder, loss, PAIRS, config, resume_from=tmp_path)  # a λ that was learned is no other setting
    with pytest.raises(ValueError, match=r"loss_options: \{'scale': 5.0, .*\} there, \{'scale': 20.0, 'mar"):
        train(static(PAIRS), make_loss("cosent", encoder), PAIRS, config, resume_from=tmp_path)
    other = static(PAIRS, dim=8)
    with pytest.raises(ValueError, match=r"other settings \(encoder_options: .*'dim': 16.*'dim': 8"):
        train(other, make_loss("cosent", other, scale=5.0), PAIRS, config, resume_from=tmp_path)


def test_an_unusable_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no checkpoint there"):
        train(TinyEncoder(), Spoil(), PAIRS, quiet(), resume_from=tmp_path / "nowhere")
    train(TinyEncoder(), Spoil(), PAIRS, quiet(output_dir=tmp_path))
    (place,) = tmp_path.glob("checkpoint-*")
    state = (place / "state.json").read_text()
    for text, message in (("{", "is damaged"), (json.dumps({**json.loads(state), "format_version": 9}), "version 9")):
        (place / "state.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            train(TinyEncoder(), Spoil(), PAIRS, quiet(), resume_from=tmp_path)
    (place / "state.json").write_text(state)
    for file in ("optimizers.pt", "parameters.safetensors"):
        whole = (place / file).read_bytes()
        (place / file).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ValueError, match=f"checkpoint .*{place.name} cannot be used"):
            train(TinyEncoder(), Spoil(), PAIRS, quiet(), resume_from=tmp_path)
        (place / file).write_bytes(whole)


# --- on a GPU --------------------------------------------------------------------------------------------------------


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


def test_no_environment_variable_changes_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained() -> list[Tensor]:
        encoder = static(PAIRS)
        train(encoder, make_loss("cosent", encoder), PAIRS, quiet(max_steps=6))
        return weights(encoder)

    plain = trained()
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert same(plain, trained())
