"""Statistics of sets of pairs, by hand and by brute force."""

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cosent_book.measurements.pairs import (
    bigram_overlap,
    bigrams,
    compared_scores,
    count_triangles,
    leaks,
    normalised,
    pair_statistics,
    triangles,
)
from cosent_book.measurements.registry import Data
from cosent_lib.data.load import load_pairs
from cosent_lib.encoders.base import EncoderUnavailable
from cosent_lib.encoders.load import load_encoder
from cosent_lib.evaluation.evaluate import evaluate, evaluate_retrieval


class Rows(Data):
    """Splits given as lists of rows, through the same reader as real ones."""

    def __init__(self, folder, **splits):
        super().__init__()
        for split, rows in splits.items():
            lines = ["sentence1\tsentence2\tscore", *("\t".join(map(str, row)) for row in rows)]
            (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.task = f"csv:{folder}"


def test_texts_are_compared_by_their_letters_and_digits() -> None:
    assert normalised("  Wie ｇｅｈｔ's？") == normalised("WIE GEHTS") == "wiegehts"
    assert normalised("？！") == "？！"  # nothing left: the text itself
    assert bigrams("a-B c") == {"ab", "bc"}
    assert bigrams("利") == {"利"}


def test_overlap_by_hand() -> None:
    assert bigram_overlap("abcd", "abxd") == 1 / 5  # ab of ab, bc, cd, bx, xd
    assert bigram_overlap("night", "Night!") == 1
    assert bigram_overlap("abc", "xyz") == 0
    assert bigram_overlap("abcd", "bcde") == bigram_overlap("bcde", "abcd")


def test_statistics_of_a_small_set(tmp_path) -> None:
    rows = [("abcd", "abcd!", 1), ("abcd", "ABCD", 0), ("abcd", "wxyz", 0), ("efgh", "efgx", 1)]
    data = Rows(tmp_path, test=8 * rows)  # so that no resample holds one label only
    found = pair_statistics(data, task=data.task, split="test")
    assert found["rows"] == 32
    assert found["labels"] == [[0.0, 16], [1.0, 16]]
    assert found["same_text"] == 0.5
    assert (found["repeated"], found["contradictory"]) == (29, 1)  # up to case and punctuation
    assert found["overlap"]["positives"][2] == pytest.approx((1 + 0.5) / 2)
    assert found["overlap"]["negatives"][2] == pytest.approx(0.5)
    assert found["overlap_auc"][0] == roc_auc_score([1, 0, 0, 1], [1, 1, 0, 0.5])
    assert found["tied"] == pytest.approx(2 * math.comb(16, 2) / math.comb(32, 2))
    assert found["ceiling"] == pytest.approx(math.sqrt(3 / 4) * 32 / math.sqrt(32**2 - 1))
    assert list(data.used) == [f"{data.task}/test"]


def test_random_pairs_are_of_other_rows(tmp_path) -> None:
    rows = [(f"{a}{a}{a}", a + a + ("" if i % 2 else "zz"), i % 2) for i, a in enumerate("abcdefghijklmnopqrstuvwx")]
    data = Rows(tmp_path, test=rows)
    found = pair_statistics(data, task=data.task, split="test")
    assert found["overlap"]["random"] == [0] * 5  # every row shares letters with itself only
    assert found["overlap"]["negatives"] == [1 / 3] * 5
    assert found["overlap"]["positives"] == [1] * 5
    assert found["random_auc"] == 1


def test_a_memory_scores_by_single_sentences(tmp_path) -> None:
    train = [("a b c d", "x", 1), ("a b c d", "y", 1), ("b", "z", 0), ("b", "y", 0)]
    test = [("A B C D", "new", 1), ("b", "other", 0), ("abcd", "x!", 1), ("unknown", "too", 0), ("abce", "xx", 1)]
    data = Rows(tmp_path, train=train, test=8 * test)
    found = leaks(data, task=data.task)
    assert found["test"] == 40
    assert found["seen"] == pytest.approx([2 / 5, 2 / 5, 1 / 5])
    assert found["near"] == pytest.approx(1 / 5)  # abcd with x
    # shares with the overall one half as a further observation: abcd 5/6, b 1/6, x 3/4, unknown 1/2
    scores = [5 / 6 + 1 / 2, 1 / 6 + 1 / 2, 5 / 6 + 3 / 4, 1, 1]
    assert found["memory_auc"][0] == pytest.approx(roc_auc_score([1, 0, 1, 0, 1], scores))
    assert found["by_seen"] == [1.0, None]
    assert found["far_auc"] == pytest.approx(roc_auc_score([1, 0, 0, 1], [5 / 6 + 1 / 2, 1 / 6 + 1 / 2, 1, 1]))
    assert list(data.used) == [f"{data.task}/train", f"{data.task}/test"]


def brute_triangles(labels):
    texts = sorted({text for pair in labels for text in pair})
    counts = {"111": 0, "110": 0, "100": 0, "000": 0}
    for a, b, c in itertools.combinations(texts, 3):
        three = [labels.get(pair) for pair in ((a, b), (a, c), (b, c))]
        if None not in three:
            counts["".join(str(int(y)) for y in sorted(three, reverse=True))] += 1
    return counts


def test_triangles_against_brute_force() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        pairs = [pair for pair in itertools.combinations("abcdefghij", 2) if generator.random() < 0.5]
        labels = {pair: float(generator.integers(2)) for pair in pairs}
        assert count_triangles(labels) == brute_triangles(labels)


def test_contradictory_pairs_are_left_out_of_triangles(tmp_path) -> None:
    sides = [("a", "b", 1), ("b", "c", 1), ("C!", "a", 0)]
    data = Rows(tmp_path, train=[*sides, ("x", "y", 1), ("y", "x", 0), ("a", "A", 1)], test=[("b", "a", 1)])
    found = triangles(data, task=data.task, splits=["train", "test"])
    assert found["triangles"] == {"111": 0, "110": 1, "100": 0, "000": 0}
    assert (found["pairs"], found["repeated"], found["contradictory"]) == (4, 2, 1)
    assert found["disagreement"] == 0.5  # of x, y the two rows differ, of a, b they agree

    data = Rows(tmp_path, train=[*sides, ("b", "a", 0)])
    found = triangles(data, task=data.task, splits=["train"])
    assert sum(found["triangles"].values()) == 0


def test_compared_scores_are_those_of_the_encoder(tmp_path) -> None:
    try:
        encoder = load_encoder("minilm")
    except EncoderUnavailable:
        pytest.skip("MiniLM is not installed")
    builtin = load_pairs("builtin_graded", "test")[:]
    rows = list(zip(*(builtin[name][:40] for name in ("sentence1", "sentence2", "score")), strict=True))
    data = Rows(tmp_path, test=rows)
    found = compared_scores(data, task=data.task, split="test")
    pairs = load_pairs(data.task, "test")
    assert evaluate(encoder, pairs)["spearman"] == pytest.approx(
        np.corrcoef(*map(_ranks, (found["scores"]["minilm"], found["labels"])))[0, 1], abs=1e-3
    )
    retrieval = evaluate_retrieval(encoder, pairs)
    assert np.mean(1 / np.array(found["ranks"]["minilm"])) == pytest.approx(retrieval["mrr"])
    assert len(found["ranks"]["minilm"]) == retrieval["queries"]
    assert found["corpus"] == retrieval["corpus"]
    assert set(found["scores"]) == {"minilm", "short", "layers", "overlap"}
    assert np.corrcoef(found["scores"]["minilm"], found["scores"]["short"])[0, 1] > 0.9


def _ranks(values):
    from scipy.stats import rankdata

    return rankdata(values)
