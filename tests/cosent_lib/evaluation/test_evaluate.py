"""An encoder's cosines and metrics against scipy, scikit-learn and brute force."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from evaluation_kit import FixedEncoder, merged, random_task, true_cosines
from scipy import stats
from sklearn import metrics as sk

from cosent_lib.data.columns import pair_columns
from cosent_lib.evaluation.evaluate import (
    SamePairs,
    cosine_scores,
    evaluate,
    evaluate_classifier,
    evaluate_retrieval,
)
from cosent_lib.losses.sentence_bert import SoftmaxLoss

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("kind", [dict, pd.DataFrame, "dataset"])
def test_pairs_may_be_of_any_table(kind) -> None:
    columns = {"sentence1": ["a", "b"], "sentence2": ["c", "a"], "score": [0, 1.0]}
    if kind == "dataset":
        from datasets import Dataset

        kind = Dataset.from_dict
    first, second, labels = pair_columns(kind(columns))
    assert (first, second) == (["a", "b"], ["c", "a"])
    assert labels.dtype == np.float64
    assert labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": None}, "data: column score is missing; expected sentence1, sentence2, score"),
        ({"sentence1": ["a", 3]}, "data: sentence1 of row 1 is not a text: got 3, expected a text"),
        (
            {"score": [0, 5]},
            r"data: score must lie in \[0, 1\], but row 1 has 5.0 \(1 such rows; .* from 0 to 5\): .*score_range",
        ),
        ({"score": [math.nan, 1]}, "data: score must lie in .* row 0 has nan"),
        ({"score": ["x", 1]}, "data: score is not a column of numbers"),
        ({"score": [1]}, "data: columns of 2, 2 and 1 rows"),
        ({"sentence1": "ab"}, "data: column sentence1 is one string .'ab'.; expected a list"),
        ({"sentence1": [], "sentence2": [], "score": []}, "data: there are no rows"),
    ],
)
def test_bad_pairs_are_named(change: dict, message: str) -> None:
    columns = {"sentence1": ["a", "b"], "sentence2": ["c", "a"], "score": [0, 1]} | change
    with pytest.raises(ValueError, match=message):
        pair_columns({name: column for name, column in columns.items() if column is not None}, "data")


def test_cosines_are_exact_and_each_text_is_encoded_once() -> None:
    encoder, pairs = random_task(RNG.random(50), seed=1)
    pairs = {name: column + column[:20] for name, column in pairs.items()}  # repeated pairs
    scores = cosine_scores(encoder, pairs)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, true_cosines(encoder, pairs), rtol=0, atol=1e-14)
    assert len(encoder.asked) == len(set(encoder.asked)) == 100


def test_cosines_of_more_rows_than_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, pairs = random_task(RNG.random(50), seed=1)
    whole = cosine_scores(encoder, pairs)
    monkeypatch.setattr("cosent_lib.evaluation.evaluate.CHUNK", 7)
    assert (cosine_scores(encoder, pairs) == whole).all()


def test_equal_vectors_tie_at_exactly_one() -> None:
    vectors = {str(i): RNG.normal(size=384).astype(np.float32).tolist() for i in range(200)}
    pairs = {"sentence1": list(vectors), "sentence2": list(vectors), "score": [1.0] * 200}
    assert set(cosine_scores(FixedEncoder(vectors), pairs)) == {1.0}


def test_zero_vectors_have_cosine_zero_and_non_finite_ones_are_refused() -> None:
    pairs = {"sentence1": ["a", "b"], "sentence2": ["b", "b"], "score": [0, 1]}
    assert cosine_scores(FixedEncoder({"a": [0, 0], "b": [3, 4]}), pairs).tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"not finite for 1 texts, the first is .a."):
        cosine_scores(FixedEncoder({"a": [math.nan, 0], "b": [3, 4]}), pairs)


def test_evaluate_against_scipy_and_sklearn() -> None:
    tasks = [random_task((np.random.default_rng(s).random(200) < 0.3).astype(float), seed=s) for s in (1, 2)]
    encoder, (_, test), (_, validation) = merged(*tasks), *tasks
    found = evaluate(encoder, test, validation)
    scores, labels = np.array(true_cosines(encoder, test)), np.array(test["score"])
    other, other_labels = np.array(true_cosines(encoder, validation)), np.array(validation["score"])
    accuracies = {cut: sk.accuracy_score(other_labels, other >= cut) for cut in other}
    f1 = {cut: sk.f1_score(other_labels, other >= cut) for cut in other}
    assert found == pytest.approx(
        {
            "spearman": stats.spearmanr(scores, labels).statistic,
            "pearson": stats.pearsonr(scores, labels).statistic,
            "auc": sk.roc_auc_score(labels, scores),
            "ceiling": stats.spearmanr(np.arange(200), np.sort(labels)).statistic,
            "average_precision": sk.average_precision_score(labels, scores),
            "accuracy": sk.accuracy_score(labels, scores >= found["threshold"]),
            "f1": sk.f1_score(labels, scores >= found["f1_threshold"]),
            "threshold": found["threshold"],
            "f1_threshold": found["f1_threshold"],
            "majority": 1 - labels.mean(),
        },
        abs=1e-12,
    )
    # the thresholds are those of the other data
    assert sk.accuracy_score(other_labels, other >= found["threshold"]) == pytest.approx(max(accuracies.values()))
    assert sk.f1_score(other_labels, other >= found["f1_threshold"]) == pytest.approx(max(f1.values()))


def test_evaluate_graded_pairs_has_no_threshold_metrics() -> None:
    tasks = [random_task(np.random.default_rng(s).integers(0, 6, 100) / 5, seed=s) for s in (1, 2)]
    assert set(evaluate(merged(*tasks), tasks[0][1])) == {"spearman", "pearson", "auc", "ceiling"}
    with pytest.raises(ValueError, match=r"a threshold parts labels 0 and 1, and pairs are graded: leave .* out"):
        evaluate(merged(*tasks), tasks[0][1], tasks[1][1])


def test_evaluate_refuses_what_would_mislead() -> None:
    encoder, pairs = random_task(np.array([0.0, 1.0] * 10), seed=1)
    with pytest.raises(ValueError, match="labels 0 and 1, and threshold_pairs are graded"):
        evaluate(encoder, pairs, dict(pairs, score=[0, 0.5] * 10))
    with pytest.raises(ValueError, match="all 20 labels of threshold_pairs equal 0"):
        evaluate(encoder, pairs, dict(pairs, score=[0] * 20))
    asked = len(encoder.asked)
    with pytest.raises(ValueError, match="undefined: all 20 labels equal 1"):
        evaluate(encoder, dict(pairs, score=[1.0] * 20))
    assert len(encoder.asked) == asked  # before anything was encoded
    same = FixedEncoder({text: [1.0, 2.0] for text in encoder.vectors})
    with pytest.raises(ValueError, match=r"undefined: all 20 scores equal 1\.0"):
        evaluate(same, pairs)


@pytest.mark.parametrize(
    ("again", "shared"),
    [
        (lambda pairs: pairs, 20),
        (lambda pairs: {name: list(column) for name, column in pairs.items()}, 20),
        (pd.DataFrame, 20),
        (lambda pairs: {name: column[::-1] for name, column in pairs.items()}, 20),
        (lambda pairs: pairs | {"sentence1": pairs["sentence2"], "sentence2": pairs["sentence1"]}, 20),
        (lambda pairs: {name: column * 3 for name, column in pairs.items()}, 20),
        (lambda pairs: {name: column[:10] for name, column in pairs.items()}, 10),
        (lambda pairs: {name: column[:2] for name, column in pairs.items()}, 2),
        (lambda pairs: pairs | {"sentence1": pairs["sentence1"][:10] + pairs["sentence2"][:10]}, 10),
    ],
    ids=["itself", "copy", "table", "reversed", "sides", "repeated", "half", "two", "changed"],
)
def test_no_threshold_is_fitted_where_it_is_judged_however_the_pairs_are_handed_over(again, shared) -> None:
    encoder, pairs = random_task(np.array([0.0, 1.0] * 10), seed=1)
    with pytest.raises(
        SamePairs, match=f"threshold_pairs must be other data .* distinct pairs {shared} are among those 20"
    ):
        evaluate(encoder, pairs, again(pairs))
    assert encoder.asked == []


def test_a_few_shared_pairs_do_not_stop_an_evaluation() -> None:
    tasks = [random_task(np.array([0.0, 1.0] * 10), seed=s) for s in (1, 2)]
    mixed = {name: tasks[0][1][name][:4] + tasks[1][1][name][4:] for name in tasks[0][1]}
    assert "threshold" in evaluate(merged(*tasks), tasks[0][1], mixed)


def test_classifier_metrics_are_of_its_predictions() -> None:
    from cosent_lib.losses.sentence_bert import SoftmaxLoss

    labels = RNG.integers(0, 3, 80) / 2
    encoder, pairs = random_task(labels, seed=3)
    loss = SoftmaxLoss(7, num_labels=3)
    u, v = (torch.tensor([encoder.vectors[text] for text in pairs[side]]) for side in ("sentence1", "sentence2"))
    logits = loss.classifier(torch.cat([u, v, (u - v).abs()], dim=1))
    truth, given = (2 * labels).astype(int), logits.argmax(1).numpy()
    expected = sk.accuracy_score(truth, given)
    both = [((truth == k) & (given == k)).sum() for k in range(3)]  # F1 = 2·both/(true + given), class by class
    f1 = np.mean([2 * b / ((truth == k).sum() + (given == k).sum()) for k, b in enumerate(both)])
    assert f1 == pytest.approx(sk.f1_score(truth, given, average="macro"))
    found = evaluate_classifier(encoder, loss, pairs)
    assert found == {
        "accuracy": pytest.approx(expected),
        "macro_f1": pytest.approx(f1),
        "majority": np.bincount(truth).max() / 80,
    }


@pytest.mark.parametrize("ask", [cosine_scores, evaluate, evaluate_retrieval, "classifier"])
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_vectors_that_are_not_finite_are_refused_by_every_evaluation(ask, wrong: float) -> None:
    encoder, pairs = random_task(np.array([0.0, 1.0] * 10), seed=1)
    text = pairs["sentence2"][3]
    encoder.vectors[text] = [wrong, *encoder.vectors[text][1:]]
    if ask == "classifier":
        ask = lambda encoder, pairs: evaluate_classifier(encoder, SoftmaxLoss(len(encoder.vectors[text])), pairs)  # noqa: E731
    with pytest.raises(ValueError, match=f"vectors that are not finite for 1 texts, the first is '{text}'"):
        ask(encoder, pairs)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", ["tiny", "huge"])
def test_lengths_at_the_ends_of_the_numbers_change_no_metric(dtype, size: str) -> None:
    encoder, pairs = random_task(np.array([0.0, 1.0] * 30), seed=1)
    factor = {np.float32: (2.0**-100, 2.0**100), np.float64: (2.0**-900, 2.0**900)}[dtype][size == "huge"]
    scaled = FixedEncoder({text: np.asarray(v, dtype) * dtype(factor) for text, v in encoder.vectors.items()})
    plain = FixedEncoder({text: np.asarray(v, dtype) for text, v in encoder.vectors.items()})
    scaled.encode = lambda texts, **_: np.stack([scaled.vectors[text] for text in texts])  # type: ignore[method-assign]
    plain.encode = lambda texts, **_: np.stack([plain.vectors[text] for text in texts])  # type: ignore[method-assign]
    assert np.array_equal(cosine_scores(scaled, pairs), cosine_scores(plain, pairs))
    assert evaluate_retrieval(scaled, pairs) == evaluate_retrieval(plain, pairs)


@pytest.mark.parametrize("change", [str.upper, lambda t: t + " ", lambda t: t + "\u200b", lambda t: "  " + t])
def test_pairs_that_an_encoder_takes_for_the_same_are_the_same(change) -> None:
    encoder, pairs = random_task(np.array([0.0, 1.0] * 10), seed=1)
    again = {name: list(map(change, pairs[name])) if name != "score" else pairs[name] for name in pairs}
    with pytest.raises(SamePairs, match="of its 20 distinct pairs 20 are among those 20"):
        evaluate(encoder, pairs, again)
