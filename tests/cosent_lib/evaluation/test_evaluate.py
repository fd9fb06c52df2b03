"""Evaluation against scipy, scikit-learn, brute force and cases worked out by hand."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn import metrics as sk

from cosent_lib.data.columns import pair_columns
from cosent_lib.evaluation.evaluate import cosine_scores, evaluate, evaluate_classifier, evaluate_retrieval
from cosent_lib.evaluation.intervals import bootstrap_difference, bootstrap_interval
from cosent_lib.evaluation.metrics import (
    average_precision,
    concordance,
    pearson,
    score_metrics,
    spearman,
    spearman_ceiling,
)
from cosent_lib.evaluation.thresholds import best_threshold, threshold_metrics

RNG = np.random.default_rng(0)


class FixedEncoder:
    """Texts → given vectors; counts what it is asked to encode."""

    def __init__(self, vectors: dict[str, list[float]]) -> None:
        self.vectors, self.asked = vectors, []

    def encode(self, texts: list[str], batch_size: int = 256, progress: bool = False) -> torch.Tensor:
        self.asked += texts
        return torch.tensor([self.vectors[text] for text in texts], dtype=torch.float32)


def random_task(labels: np.ndarray, seed: int, dim: int = 7) -> tuple[FixedEncoder, dict[str, list]]:
    """Pairs whose second vector is the nearer to the first the higher the label, plus noise."""
    rng = np.random.default_rng(seed)
    u = rng.normal(size=(len(labels), dim))
    v = labels[:, None] * u + rng.normal(size=u.shape)
    texts = [[f"{side}{seed}-{i}" for i in range(len(labels))] for side in "ab"]
    vectors = dict(zip(texts[0], u.tolist(), strict=True)) | dict(zip(texts[1], v.tolist(), strict=True))
    return FixedEncoder(vectors), {"sentence1": texts[0], "sentence2": texts[1], "score": labels.tolist()}


def merged(*tasks: tuple[FixedEncoder, dict[str, list]]) -> FixedEncoder:
    return FixedEncoder({text: vector for encoder, _ in tasks for text, vector in encoder.vectors.items()})


def true_cosines(encoder: FixedEncoder, pairs: dict[str, list]) -> list[float]:
    result = []
    for a, b in zip(pairs["sentence1"], pairs["sentence2"], strict=True):
        u, v = np.float32(encoder.vectors[a]).astype(float), np.float32(encoder.vectors[b]).astype(float)
        result.append(math.fsum(u * v) / math.sqrt(math.fsum(u * u)) / math.sqrt(math.fsum(v * v)))
    return result


# --- metrics of an order ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [2, 3, 6, 1000])
@pytest.mark.parametrize("rounding", [1, 15])
def test_metrics_agree_with_scipy_and_sklearn(levels: int, rounding: int) -> None:
    labels = RNG.integers(0, levels, 500) / (levels - 1)
    scores = (labels + RNG.normal(size=500)).round(rounding)  # one digit: many ties
    found = score_metrics(scores, labels)
    assert found["spearman"] == pytest.approx(stats.spearmanr(scores, labels).statistic, abs=1e-12)
    assert found["pearson"] == pytest.approx(stats.pearsonr(scores, labels).statistic, abs=1e-12)
    if levels == 2:
        assert found["auc"] == pytest.approx(sk.roc_auc_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_concordance_is_the_brute_force_count(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 40))
    labels, scores = rng.integers(0, 4, size), rng.integers(-3, 3, size) / 7
    labels[:2] = 0, 1
    pairs = [(i, j) for i in range(size) for j in range(size) if labels[i] < labels[j]]
    right = sum((scores[i] < scores[j]) + 0.5 * (scores[i] == scores[j]) for i, j in pairs)
    assert concordance(scores, labels) == pytest.approx(right / len(pairs), abs=1e-15)


def test_concordance_of_constant_scores_is_a_half() -> None:
    assert concordance([3.0] * 10, [0, 1] * 5) == 0.5


def test_concordance_stays_exact_for_many_rows() -> None:
    labels = (RNG.random(200_000) < 0.3).astype(float)
    scores = (labels + 2 * RNG.normal(size=labels.size)).round(3)
    assert concordance(scores, labels) == pytest.approx(sk.roc_auc_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize("counts", [(1, 1), (3, 5), (82, 18), (1, 99), (4, 4, 4), (7, 1, 2, 30), (1,) * 9])
def test_ceiling_is_the_spearman_of_the_best_untied_order(counts: tuple[int, ...]) -> None:
    labels = np.repeat(np.linspace(0, 1, len(counts)), counts)
    best = np.arange(labels.size, dtype=float)  # rises with the label, never ties
    assert spearman_ceiling(labels) == pytest.approx(stats.spearmanr(best, labels).statistic, abs=1e-12)


def test_no_untied_order_beats_the_ceiling() -> None:
    labels = [0, 0, 0.5, 1, 1, 1]
    reached = max(stats.spearmanr(order, labels).statistic for order in itertools.permutations(range(6)))
    assert spearman_ceiling(labels) == pytest.approx(reached, abs=1e-12)


def test_ceiling_of_two_labels_has_the_closed_form() -> None:
    n, ones = 1000, 180
    p = ones / n
    expected = math.sqrt(3 * p * (1 - p)) * n / math.sqrt(n**2 - 1)
    assert spearman_ceiling([1] * ones + [0] * (n - ones)) == pytest.approx(expected, abs=1e-14)


def test_spearman_of_two_labels_is_a_rescaled_auc() -> None:
    labels = (RNG.random(300) < 0.3).astype(float)
    scores = labels + RNG.normal(size=300)
    expected = spearman_ceiling(labels) * (2 * concordance(scores, labels) - 1)
    assert spearman(scores, labels) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", [spearman, pearson, concordance])
def test_undefined_metrics_are_errors(metric) -> None:
    with pytest.raises(ValueError, match="undefined: all 3 labels equal 1"):
        metric([1, 2, 3], [1, 1, 1])
    with pytest.raises(ValueError, match=r"labels must be finite.*labels\[1\] = nan"):
        metric([1, 2, 3], [1, np.nan, 1])
    with pytest.raises(ValueError, match=r"scores must be finite.*scores\[2\] = inf"):
        metric([1, 2, np.inf], [1, 0, 1])
    with pytest.raises(ValueError, match=r"one shape \[n\], got \(2,\) and \(3,\)"):
        metric([1, 2], [1, 0, 1])


@pytest.mark.parametrize("metric", [spearman, pearson])
def test_correlations_with_constant_scores_are_errors(metric) -> None:
    with pytest.raises(ValueError, match="undefined: all 3 scores equal 2"):
        metric([2, 2, 2], [1, 0, 1])


def test_concordance_of_two_rows() -> None:
    assert [concordance(scores, [0, 1]) for scores in ([1, 2], [2, 1], [3, 3])] == [1, 0, 0.5]


def test_average_precision_by_hand_ties_called_together() -> None:
    # 0.9 | 0.7 0.7 0.7 | 0.2: recall rises at 0.9 (1 of 3, precision 1) and at 0.7 (3 of 3, precision 3/4)
    assert average_precision([0.9, 0.7, 0.7, 0.7, 0.2], [1, 1, 0, 1, 0]) == pytest.approx(1 / 3 + 2 / 3 * 3 / 4)
    assert average_precision([1, 1, 1, 1], [1, 0, 0, 0]) == 0.25  # all tied: the share of ones


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_the_sum_over_cuts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, scores = np.array([0, 1, *rng.integers(0, 2, 60)]), rng.integers(-9, 9, 62) / 7
    area, reached = 0.0, 0.0
    for cut in sorted(set(scores), reverse=True):
        called = scores >= cut
        recall = labels[called].sum() / labels.sum()
        area, reached = area + (recall - reached) * labels[called].mean(), recall
    assert average_precision(scores, labels) == pytest.approx(area, abs=1e-14)
    assert score_metrics(scores, labels)["average_precision"] == average_precision(scores, labels)


def test_average_precision_is_for_two_labels() -> None:
    assert "average_precision" not in score_metrics([1, 2, 3], [0, 0.5, 1])
    with pytest.raises(ValueError, match="average precision needs labels 0 and 1"):
        average_precision([1, 2, 3], [0, 0.5, 1])
    with pytest.raises(ValueError, match="undefined: all 2 labels equal 0"):
        average_precision([1, 2], [0, 0])


# --- thresholds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
@pytest.mark.parametrize("seed", range(15))
def test_threshold_is_the_best_of_all_rules(metric: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 30))
    labels, scores = rng.integers(0, 2, size), rng.integers(-4, 4, size) / 3
    labels[0] = 1
    judge = {"accuracy": sk.accuracy_score, "f1": sk.f1_score}[metric]
    rules = [scores >= cut for cut in (-np.inf, *scores, np.inf)]
    best = max(judge(labels, rule) for rule in rules)
    found = best_threshold(scores, labels, metric)
    assert found.value == pytest.approx(best, abs=1e-15)
    assert judge(labels, scores >= found.threshold) == pytest.approx(best, abs=1e-15)
    assert threshold_metrics(scores, labels, found.threshold)[metric] == pytest.approx(best, abs=1e-15)


def test_threshold_lies_half_way_and_never_tears_ties() -> None:
    assert best_threshold([0.1, 0.2, 0.6, 0.9], [0, 0, 1, 1]) == (pytest.approx(0.4), 1.0)
    tied = best_threshold([0.2, 0.5, 0.5, 0.5, 0.9], [0, 1, 1, 0, 1])
    assert tied == (pytest.approx(0.35), 0.8)  # the tied zero goes with its tied ones


def test_threshold_at_the_ends_is_finite() -> None:
    ones, zeros = best_threshold([0.3, 0.1], [1, 1]), best_threshold([0.3, 0.1], [0, 0])
    assert ones == (0.1, 1.0)
    assert zeros == (np.nextafter(0.3, 1), 1.0)


def test_threshold_between_neighbouring_floats_separates_them() -> None:
    low = 0.5
    high = float(np.nextafter(low, 1))
    found = best_threshold([low, high], [0, 1])
    assert found.value == 1
    assert low < found.threshold <= high


def test_threshold_refuses_what_it_cannot_judge() -> None:
    with pytest.raises(ValueError, match=r"labels 0 and 1, but labels\[1\] is 0.5"):
        best_threshold([1, 2], [0, 0.5])
    with pytest.raises(ValueError, match=r"scores\[0\] is nan"):
        best_threshold([np.nan, 2], [0, 1])
    with pytest.raises(ValueError, match="F1 is undefined"):
        best_threshold([1, 2], [0, 0], "f1")
    with pytest.raises(ValueError, match="metric must be one of accuracy, f1, got 'mcc'"):
        best_threshold([1, 2], [0, 1], "mcc")
    with pytest.raises(ValueError, match="one shape"):
        best_threshold([], [])


# --- bootstrap -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", [pearson, spearman])
def test_bootstrap_is_the_percentile_interval_of_rows_drawn_together(metric) -> None:
    x = RNG.normal(size=60)
    y = x + RNG.normal(size=60)
    found = bootstrap_interval(x, y, metric, resamples=300, confidence=0.9, seed=5)
    generator = np.random.default_rng(5)
    drawn = [generator.integers(0, 60, 60) for _ in range(300)]
    low, high = np.quantile([metric(x[rows], y[rows]) for rows in drawn], [0.05, 0.95])
    assert found == pytest.approx((metric(x, y), low, high), abs=1e-12)


def test_bootstrap_difference_is_paired() -> None:
    labels = (RNG.random(400) < 0.5).astype(float)
    good = labels + RNG.normal(size=400)
    shifted = bootstrap_difference(good, 2 * good + 1, labels, spearman, resamples=50)
    assert shifted == pytest.approx((0, 0, 0), abs=1e-12)  # same order in every resample
    worse = good + 0.7 * RNG.normal(size=400)
    paired = bootstrap_difference(good, worse, labels, spearman, resamples=200)
    alone = bootstrap_interval(good, labels, spearman, resamples=200)
    assert paired.estimate == pytest.approx(spearman(good, labels) - spearman(worse, labels), abs=1e-12)
    assert paired.high - paired.low < alone.high - alone.low


def test_bootstrap_refuses_bad_arguments() -> None:
    with pytest.raises(ValueError, match="at least two rows, got 1"):
        bootstrap_interval([1], [1], pearson)
    with pytest.raises(ValueError, match=r"confidence in \(0, 1\), got 10 and 95"):
        bootstrap_interval([1, 2], [1, 2], pearson, resamples=10, confidence=95)
    with pytest.raises(ValueError, match="columns of one shape"):
        bootstrap_interval([1, 2, 3], [1, 2], pearson)
    with pytest.raises(ValueError, match="undefined: all 2 labels"):
        bootstrap_interval([1, 2], [0, 1], pearson, resamples=50)


# --- pairs and encoders ----------------------------------------------------------------------------------------------


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
        ({"sentence1": ["a", 3]}, "data: sentence1 of row 1 is not a text but 3"),
        ({"score": [0, 5]}, r"data: score must lie in \[0, 1\], but row 1 has 5.0 \(1 such rows\)"),
        ({"score": [math.nan, 1]}, "data: score must lie in .* row 0 has nan"),
        ({"score": ["x", 1]}, "data: score is not a column of numbers"),
        ({"score": [1]}, "data: columns of 2, 2 and 1 rows"),
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
    with pytest.raises(ValueError, match="not finite for 1 pairs, first of row 0"):
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
    found = evaluate(merged(*tasks), tasks[0][1], tasks[1][1])
    assert set(found) == {"spearman", "pearson", "auc", "ceiling"}


def test_evaluate_refuses_what_would_mislead() -> None:
    encoder, pairs = random_task(np.array([0.0, 1.0] * 10), seed=1)
    with pytest.raises(ValueError, match="other data"):
        evaluate(encoder, pairs, pairs)
    with pytest.raises(ValueError, match="both be graded"):
        evaluate(encoder, pairs, dict(pairs, score=[0, 0.5] * 10))
    asked = len(encoder.asked)
    with pytest.raises(ValueError, match="undefined: all 20 labels equal 1"):
        evaluate(encoder, dict(pairs, score=[1.0] * 20))
    assert len(encoder.asked) == asked  # before anything was encoded
    same = FixedEncoder({text: [1.0, 2.0] for text in encoder.vectors})
    with pytest.raises(ValueError, match=r"undefined: all 20 scores equal 1\.0"):
        evaluate(same, pairs)


# --- the classifier's own view ---------------------------------------------------------------------------------------


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


# --- retrieval -------------------------------------------------------------------------------------------------------

PLANE = {name: [math.cos(math.radians(angle)), math.sin(math.radians(angle))] for name, angle in
         {"a": 0, "b": 10, "c": 15, "d": 50, "e": 96, "f": 180}.items()}  # fmt: skip


def test_retrieval_by_hand() -> None:
    # positives a–c, c–d, e–f; b only ever a negative: it stands in the corpus but asks nothing
    pairs = {"sentence1": list("acbe"), "sentence2": list("cdaf"), "score": [1, 0.5, 0.2, 1]}
    found = evaluate_retrieval(FixedEncoder(PLANE), pairs, ks=(1, 2, 3))
    # neighbours, nearest first:  a: b C d e f | c: b A D e f | d: C b e a f | e: d c F b a (84° before 86°) | f: E d …
    # first hit at rank:          a 2, c 2, d 1, e 3, f 1
    assert found == pytest.approx(
        {
            "mrr": (1 / 2 + 1 / 2 + 1 + 1 / 3 + 1) / 5,
            "recall@1": (0 + 0 + 1 + 0 + 1) / 5,
            "recall@2": (1 + 1 / 2 + 1 + 0 + 1) / 5,
            "recall@3": (1 + 1 + 1 + 1 + 1) / 5,
            "queries": 5,
            "corpus": 6,
        }
    )


def test_retrieval_against_brute_force() -> None:
    rng = np.random.default_rng(4)
    names = [f"t{i}" for i in range(40)]
    encoder = FixedEncoder({name: rng.normal(size=3).tolist() for name in names})
    first, second = rng.choice(names, 90), rng.choice(names, 90)
    pairs = {"sentence1": first.tolist(), "sentence2": second.tolist(), "score": rng.integers(0, 2, 90).tolist()}
    mates: dict[str, set[str]] = {}
    for a, b, label in zip(*pairs.values(), strict=True):
        if label and a != b:
            mates.setdefault(a, set()).add(b)
            mates.setdefault(b, set()).add(a)
    corpus = sorted({*first, *second})
    unit = {name: np.float32(v) / np.linalg.norm(np.float32(v)) for name, v in encoder.vectors.items()}
    reciprocal, recall = [], []
    for query, wanted in mates.items():
        order = sorted((name for name in corpus if name != query), key=lambda name: -unit[query] @ unit[name])
        reciprocal.append(1 / (1 + min(order.index(name) for name in wanted)))
        recall.append(len(wanted & set(order[:5])) / len(wanted))
    found = evaluate_retrieval(encoder, pairs, ks=(5,), chunk=7)
    assert found["mrr"] == pytest.approx(np.mean(reciprocal), abs=1e-12)
    assert found["recall@5"] == pytest.approx(np.mean(recall), abs=1e-12)
    assert (found["queries"], found["corpus"]) == (len(mates), len(corpus))


def test_retrieval_counts_ties_against_the_encoder() -> None:
    same = FixedEncoder({text: [1.0, 0.0] for text in "abcd"})
    pairs = {"sentence1": ["a", "c"], "sentence2": ["b", "d"], "score": [1, 0]}
    assert evaluate_retrieval(same, pairs, ks=(2, 3)) == pytest.approx(
        {"mrr": 1 / 3, "recall@2": 0, "recall@3": 1, "queries": 2, "corpus": 4}
    )


def test_retrieval_refuses_what_it_cannot_rank() -> None:
    encoder = FixedEncoder(PLANE)
    with pytest.raises(ValueError, match="no pair of two different texts is labelled"):
        evaluate_retrieval(encoder, {"sentence1": ["a", "b"], "sentence2": ["a", "c"], "score": [1, 0]})
    with pytest.raises(ValueError, match="ks must be whole numbers of at least 1, got \\(0,\\)"):
        evaluate_retrieval(encoder, {"sentence1": ["a"], "sentence2": ["b"], "score": [1]}, ks=(0,))
