"""Retrieval by hand and against brute force."""

import math

import numpy as np
import pytest
from evaluation_kit import FixedEncoder

from cosent_lib.evaluation.evaluate import evaluate_retrieval

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


def test_equal_vectors_tie_whatever_the_chunk() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 97))
    names = [f"t{i}" for i in range(64)]
    vectors = {name: (one if i % 2 else other * 3.0**i).tolist() for i, name in enumerate(names)}  # of two directions
    pairs = {"sentence1": names[:-2], "sentence2": names[2:], "score": [1.0] * 62}
    found = [evaluate_retrieval(FixedEncoder(vectors), pairs, chunk=chunk) for chunk in (1, 2, 7, 64)]
    assert found == [found[0]] * 4
    # 31 others share a text's direction; its one or two partners stand behind all that are none
    assert found[0]["recall@10"] == 0
    assert found[0]["mrr"] == pytest.approx((4 * 1 / 31 + 60 * 1 / 30) / 64)
