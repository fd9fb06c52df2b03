"""What every exercise is tried with: right answers, wrong ones with a word of their hint, and ways that are forbidden.

A new exercise needs a line here; a test says so.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from cosent_book.comparisons import mean_interval
from cosent_book.geometry import geometry
from cosent_book.measurements.pairs import bigram_overlap
from cosent_lib import cosine_scores, multilabel_loss, rank_loss
from cosent_lib.evaluation.metrics import spearman_ceiling


@dataclass(frozen=True)
class Trial:
    """One exercise: a right answer, others that are right too, wrong ones with a part of what they are told."""

    right: Any
    also: Sequence[Any] = ()
    wrong: Sequence[tuple[Any, str]] = ()
    forbidden: Sequence[tuple[Callable[..., Any], str]] = ()
    kind: str = field(default="")


# --- chapter 1


def dial(x: torch.Tensor, scale: float) -> torch.Tensor:
    z = scale * x
    m = z.max()
    return (m + torch.log((z - m).exp().mean())) / scale


def dial_in_numpy(x: torch.Tensor, scale: float) -> Any:
    z = scale * x.numpy()
    return (z.max() + np.log(np.exp(z - z.max()).mean())) / scale


def dial_that_overflows(x: torch.Tensor, scale: float) -> torch.Tensor:
    return torch.log((scale * x).exp().mean()) / scale


def dial_by_logsumexp(x: torch.Tensor, scale: float) -> torch.Tensor:
    return (torch.logsumexp(scale * x, 0) - math.log(len(x))) / scale


def smooth_maximum(x: torch.Tensor, scale: float) -> torch.Tensor:
    return dial_by_logsumexp(x, scale)


def dial_by_a_helper(x: torch.Tensor, scale: float) -> torch.Tensor:
    return smooth_maximum(x, scale)


# --- chapter 2


def shifted(scores: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return multilabel_loss(scores + (1 - 2 * targets) * weights.log(), targets)


def shifted_ranking(scores: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    moved = torch.cat([scores + (1 - 2 * targets) * weights.log(), torch.zeros(1)])
    return rank_loss(moved, torch.cat([targets, torch.tensor([0.5])]))


def written_out(scores: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    wrong = (weights * scores.exp())[targets == 0].sum()
    right = (weights * (-scores).exp())[targets == 1].sum()
    return torch.log1p(wrong) + torch.log1p(right)


def unweighted(scores: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return multilabel_loss(scores, targets)


def middle(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    wrong, right = scores[targets == 0], scores[targets == 1]
    return (torch.logsumexp(wrong, 0) - torch.logsumexp(-right, 0)) / 2


# --- chapter 3


def weighted_ranking(scores: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    low, high = scores + weights.log(), scores - weights.log()
    terms = (low[:, None] - high[None, :])[labels[:, None] < labels[None, :]]
    return torch.logsumexp(torch.cat([torch.zeros(1), terms]), 0)


def within_queries(scores: torch.Tensor, labels: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    sums = [torch.expm1(rank_loss(scores[query == q], labels[query == q])) for q in query.unique()]
    return torch.log1p(torch.stack(sums).sum())


def mean_over_queries(scores: torch.Tensor, labels: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    return rank_loss(scores, labels, segments=query)


# --- chapters 4 and 5


def own_pairs(pairs: Any) -> list[float]:
    y = np.array([label for _, _, label in pairs])
    shared = np.array([bigram_overlap(a, b) for a, b, _ in pairs])
    return [max(y.mean(), 1 - y.mean()), spearman_ceiling(y), *(np.median(shared[y == label]) for label in (1, 0))]


def share_of_ones(pairs: Any) -> list[float]:
    return [float(np.mean([label for _, _, label in pairs])), *own_pairs(pairs)[1:]]


def uniformity(cosines: torch.Tensor) -> torch.Tensor:
    return torch.logsumexp(4 * cosines, 0) - 4 - math.log(len(cosines))


def own_encoder(encode: Any, texts: list[str]) -> tuple[float, float, float]:
    together = encode(texts)
    alone = torch.cat([encode([text]) for text in texts])
    found = geometry(together.numpy())
    worst = torch.cosine_similarity(alone, together, dim=1).min()
    return found["mean_cosine"], found["effective_dimension"], float(worst)


def trusting(encode: Any, texts: list[str]) -> tuple[float, float, float]:
    return (*own_encoder(encode, texts)[:2], 1.0)


# --- chapters 6 and 7


def equal_weights(c: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (1 - c[y == 1]).mean() / 2 + (1 + c[y == 0]).mean() / 2


def limit_of_ranking(c: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return rank_loss(1e-6 * c, y)


def two_medians(encoder: Any, pairs: Any) -> tuple[float, float]:
    scores = np.array(pairs["score"])
    second = list(pairs["sentence2"])
    shuffled = {
        "sentence1": list(pairs["sentence1"]),
        "sentence2": second[7:] + second[:7],
        "score": scores.tolist(),
    }
    hard = np.median(cosine_scores(encoder, pairs)[scores < 0.5])
    return float(hard), float(np.median(cosine_scores(encoder, shuffled)))


def farther_apart(u: torch.Tensor, v: torch.Tensor, y: torch.Tensor) -> float:
    d = (u - v).abs()
    return float((d[y == 1].mean(0) > d[y == 0].mean(0)).double().mean())


# --- chapters 8 to 13


def smallest_batch(p: float) -> int:
    n = 1
    while p**n + (1 - p) ** n > 0.01:
        n += 1
    return n


def comparison(a: Any, b: Any) -> tuple[float, float, int]:
    return (*mean_interval(np.subtract(b, a)), 16 * len(a))


def share_of_push(z: Any, wrong: Any, k: float) -> float:
    weight = (1 + np.exp(z)) ** k / (1 + np.exp(-z))
    return float(weight[wrong].sum() / weight.sum())


def three_kinds(matrix: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return rank_loss(matrix.flatten(), torch.diag(labels + 1).flatten())


def by_query(scores: Any, labels: Any, queries: Any) -> float:
    shares = []
    for name in set(queries):
        s, y = scores[queries == name], labels[queries == name]
        demanded = y[:, None] < y
        if demanded.any():
            shares.append((s[:, None] < s)[demanded].mean())
    return float(np.mean(shares))


def over_pairs(scores: Any, labels: Any, queries: Any) -> float:
    return float((scores[:, None] < scores)[(labels[:, None] < labels) & (queries[:, None] == queries)].mean())


def false_negatives(keys: Any, n: int) -> float:
    total = len(keys)
    alone = [k * math.comb(total - k, n - 1) / math.comb(total - 1, n - 1) for k in Counter(keys).values()]
    return 1 - sum(alone) / total


# --- chapter 14


def streamed(chunks: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    low = sum(s[y == 0].exp().sum() for s, y in chunks)
    high = sum((-s[y == 1]).exp().sum() for s, y in chunks)
    return torch.log1p(torch.as_tensor(low * high))


TRIALS = {
    "ask-1-equal": Trial(1.79, wrong=[(1.609, "the 1 before"), (6, "logarithm"), (0, "are level"), (3, "is 1")]),
    "ask-1-share": Trial(0.685, also=["about 65 %", 70], wrong=[(0.2, "terms differ"), (1, "something too")]),
    "ex-1-by-hand": Trial(
        [0.693, 0.167, 0.333, -0.5],
        wrong=[([0.693, 1 / 6, 1 / 3, 0.5], "subtract 1 there"), ([1, 0, 0, 0], "1/3 and 2/3"), ([0.693], "holds 1")],
    ),
    "ex-1-misrouted": Trial(1090, also=[1090.6, "1,090", 1091], wrong=[(756, "log 2 of it"), (258, "true number")]),
    "ex-1-negative": Trial(
        dial,
        also=[dial_in_numpy],
        wrong=[(dial_that_overflows, "take out the largest"), (lambda x, scale: x.max(), "take out the largest")],
        forbidden=[(dial_by_logsumexp, "without logsumexp"), (dial_by_a_helper, "without logsumexp")],
    ),
    "ex-1-gap": Trial(
        lambda gap, n: n / (n + math.exp(gap) - 1),
        also=[lambda gap, n: torch.tensor(n / (n + math.expm1(gap)))],
        wrong=[(lambda gap, n: n / (n + math.exp(gap)), "lose a 1"), (lambda gap, n: 0.1, "solve")],
    ),
    "ex-1-scale": Trial("equal", also=["the same"], wrong=[("smaller", "very scores"), ("larger", "by which weights")]),
    "ask-2-push": Trial(99, wrong=[(297, "three are right"), (100, "in all"), (1, "own account"), (5, "gets ½")]),
    "ex-2-by-hand": Trial(
        1.322, wrong=[(math.log(1.75), "demands of their own"), (math.log(3), "AB is missing"), (3.75, "logarithm")]
    ),
    "ex-2-predict": Trial("shrink", also=["Shrinks"], wrong=[("grow", "at the end"), ("Stay", "convex")]),
    "ex-2-weights": Trial(
        shifted,
        also=[shifted_ranking],
        wrong=[(unweighted, "log w")],
        forbidden=[(written_out, "a single call of multilabel_loss or rank_loss")],
    ),
    "ex-2-threshold": Trial(
        middle,
        also=[lambda scores, targets: middle(scores, targets).numpy()],
        wrong=[(lambda scores, targets: scores.mean(), "A = B"), (lambda scores, targets: 0.069, "A = B")],
    ),
    "ask-3-auc": Trial(0.75, also=["75 %", 75], wrong=[(0.25, "wrong order"), (1, "below 0.6"), (0.1, "four couples")]),
    "ask-3-push": Trial(0.64, also=["60 %"], wrong=[(0.273, "pushed alike"), (1, "still pushed"), (0.1, "above 1")]),
    "ex-3-by-hand": Trial(1.386, wrong=[(math.log(4 / 3), "turned"), (1.0986, "1 is missing"), (4, "logarithm")]),
    "ex-3-predict": Trial(
        0.9361, also=[0.94, "94 %", 0.9361 * 100], wrong=[(0.0639, "that is right"), (0.926, "not e"), (6.4, "right")]
    ),
    "ex-3-heaps": Trial(8.88, also=[8.9], wrong=[(17.75, "half of it"), (20, "densities")]),
    "ex-3-weights": Trial(
        weighted_ranking,
        wrong=[(lambda s, y, w: rank_loss(s, y), "no difference"), (lambda s, y, w: rank_loss(s * w, y), "twice")],
    ),
    "ex-3-queries": Trial(
        within_queries,
        wrong=[
            (lambda s, y, q: rank_loss(s, y), "different queries"),
            (mean_over_queries, "not a mean"),
            (lambda s, y, q: 0.0, "add up"),
        ],
    ),
    "ask-4-random": Trial("random", wrong=[("labelled", "tell apart"), ("Both", "in one part")]),
    "ask-4-offer": Trial(
        "layers",
        also=["Layers"],
        wrong=[("short", "a little"), ("both", "the search"), ("neither", "a gain in the other")],
    ),
    "ex-4-issue": Trial(0.9965, also=["99.65 %"], wrong=[(0.93, "divide by the ceiling"), (0.993, "2 AUC")]),
    "ex-4-leak": Trial(0.489, also=[0.49, 48.9, "49 %"], wrong=[(0.506, "mixture"), (0.204, "neither")]),
    "ex-4-size": Trial(6978, also=[7000, "6,978", 6500.0], wrong=[(3080, "four times"), (1361, "root")]),
    "ex-4-own": Trial(own_pairs, wrong=[(share_of_ones, "either label")]),
    "ask-5-cone": Trial("rise", also=["rises"], wrong=[("fall", "decimals"), ("Level", "nothing by that")]),
    "ask-5-scale": Trial("5", also=[5, 5.0], wrong=[("20", "suggest_scale"), (20, "suggest_scale")]),
    "ex-5-floor": Trial(40.2, also=[40], wrong=[(8.04, "room"), (20, "solve for")]),
    "ex-5-common": Trial(
        "distance",
        wrong=[("cosine", "far away"), ("inner product", "same"), ("Inner-Product", "same"), ("none", "differ")],
    ),
    "ex-5-uniformity": Trial(
        uniformity, wrong=[(lambda c: torch.logsumexp(4 * c, 0) - 4, "a mean, not a sum"), (torch.mean, "2 - 2 cos")]
    ),
    "ex-5-own": Trial(own_encoder, wrong=[(trusting, "of its own")]),
    "ask-6-four": Trial(-1, also=["-1", -1.0], wrong=[(0.25, "straight line"), (1, "other end"), (0, "at an end")]),
    "ask-6-floor": Trial(
        0.5,
        also=["0.5", torch.tensor(0.5)],
        wrong=[(0.333, "opposite"), (0.667, "orthogonal"), (-0.5, "that is r"), (0.9, "add up to nothing")],
    ),
    "ex-6-seven": Trial(
        [[1, 0.7, 1], [-1, 0.3, 0.5]],
        also=[[1, 0.7, 1, -1, 0.3, 0.5]],
        wrong=[([1, 0.7, 1, -1, 0.3, 0], "where does it stop"), ([1, 1, 1, -1, 0, 0.5], "one half")],
    ),
    "ex-6-parts": Trial(0.817, also=["81.7 %"], wrong=[(0.833, "cannot all"), (0.667, "cannot all"), (0.6, "adds r")]),
    "ex-6-equal": Trial(
        equal_weights,
        wrong=[
            (lambda c, y: (y * (1 - c) + (1 - y) * (1 + c)).mean(), "half the mean"),
            (lambda c, y: 0.5, "gradient"),
        ],
        forbidden=[(limit_of_ranking, "without rank_loss")],
    ),
    "ex-6-own": Trial(
        two_medians,
        wrong=[
            (lambda encoder, pairs: two_medians(encoder, pairs)[::-1], "other way round"),
            (lambda encoder, pairs: (two_medians(encoder, pairs)[0],) * 2, "shift"),
            (lambda encoder, pairs: (0.78, 0.14), "below one half"),
        ],
    ),
    "ask-7-sign": Trial("positive", also=["Positive"], wrong=[("negative", "the closer one")]),
    "ask-7-warm": Trial("below", also=["Below"], wrong=[("above", "copies")]),
    "ask-7-start": Trial("no", also=["No"], wrong=[("yes", "first step")]),
    "ex-7-radius": Trial(0.996, also=["99.6 %"], wrong=[(2.65, "of it"), (0.9, "is 1/2")]),
    "ex-7-warm": Trial(
        (False, True),
        also=[[False, True], np.array([False, True]), torch.tensor([0, 1]), "False, True", ("no", "Yes"), (0.0, 1.0)],
        wrong=[((True, True), "enough for a classifier"), ((False, False), "exceptions"), ((True,), "holds 1")],
        kind="truths",
    ),
    "ex-7-natural": Trial("above", wrong=[("below", "closer"), ("between", "with a little")]),
    "ex-7-own": Trial(
        farther_apart,
        wrong=[(lambda u, v, y: 1 - farther_apart(u, v, y), "are closer"), (lambda u, v, y: 2 / 3, "coordinate")],
    ),
    "ask-8-spread": Trial(20, also=["20"], wrong=[(0.2, "larger"), (2, "product"), (40, "ten times")]),
    "ex-8-product": Trial(
        0.759,
        wrong=[(0.127, "tied pair"), (math.log(2 + math.exp(2)), "turned"), (1.036, "scaled by 10"), (2, "terms")],
    ),
    "ex-8-accumulate": Trial(0.5, also=["50 %", 50], wrong=[(0.25, "one half"), (1, "lost")]),
    "ex-8-flip": Trial("cosent", also=["CoSENT"], wrong=[("RankNet", "whole gradient")]),
    "ex-8-cone": Trial(2.77, wrong=[(7.696, "square of k"), (8.696, "1 + k"), (3, "factor")]),
    "ex-8-own": Trial(smallest_batch, wrong=[(lambda p: 8 if p == 0.5 else 371, "balanced"), (lambda p: 8, "n = 8")]),
    "ex-9-single": Trial(
        [0.24, 0.057], also=[(24, 6), "24 %, 6 %"], wrong=[([0.159, 0.013], "both runs"), ([0, 0], "off")]
    ),
    "ex-9-four": Trial(0.51, wrong=[(1.03, "halve"), (0, "largest is shown"), (2, "simulate")]),
    "ex-9-own": Trial(
        comparison, wrong=[(lambda a, b: comparison(b, a), "b - a"), (lambda a, b: (0.03, 0.0248, 48), "b - a")]
    ),
    "ex-10-pull": Trial([54.6, 1.96, 0.0707], wrong=[([54.6, 0.982, 0.0177], "tied pair"), ([1, 1, 1], "kappa 1")]),
    "ex-10-limit": Trial(0.064, also=["6.4 %", 6.4], wrong=[(0.127, "balanced"), (0.3, "try some")]),
    "ex-10-own": Trial(share_of_push, wrong=[(lambda z, wrong, k: wrong.mean(), "weights of all")]),
    "ask-11-mean": Trial(-1.2, also=["-1.2"], wrong=[(0, "nothing compares"), (0.5, "equally hard")]),
    "ex-11-merge": Trial(
        [19, 7, 15], wrong=[([19, 15, 7], "other way round"), ([28, 7, 15], "same grade"), ([8, 2, 2], "two grades")]
    ),
    "ex-11-distances": Trial(
        [False, True, False, True, True, False],
        wrong=[
            ([False, True, False, True, True, True], "any pair's loss"),
            ([False, True, True, True, True, False], "which class is 0.6"),
            ([True] * 6, "what enters"),
        ],
        kind="truths",
    ),
    "ex-11-three-kinds": Trial(
        three_kinds, wrong=[(lambda m, y: rank_loss(m.flatten(), torch.diag(y).flatten()), "three levels")]
    ),
    "ex-11-own": Trial(by_query, wrong=[(over_pairs, "mean over pairs"), (lambda s, y, q: 0.5, "first the share")]),
    "ex-12-passes": Trial(
        [10_200, 2_000_000],
        wrong=[([10_000, 2_000_000], "of their own"), ([20_200, 2_000_000], "already"), ([1, 2], "each pair")],
    ),
    "ex-12-angle": Trial(0.62, also=["0.62"], wrong=[(0.81, "square"), (0.8, "add up"), (0, "twice the angle")]),
    "ex-12-constant": Trial(
        [True, True, False, False], wrong=[([True] * 4, "two scores"), ([False] * 4, "score alone")], kind="truths"
    ),
    "ex-12-differences": Trial(
        lambda s, t: 2 * (s - t).var(),
        wrong=[
            (lambda s, t: ((s - t) ** 2).mean(), "pair by pair"),
            (lambda s, t: 2 * (s - t).var(correction=0), "with itself"),
            (lambda s, t: (s - t).abs().mean(), "any two errors"),
        ],
    ),
    "ex-13-turn": Trial(
        [0, 1.414], wrong=[([1.414, 0], "other way round"), ([0.707, 0.707], "cosines"), ([1, 1], "45")]
    ),
    "ex-13-floor": Trial(0.173, wrong=[(1.386, "over 32"), (0.0433, "not one"), (0, "equal score")]),
    "ex-13-one": Trial(0.277, wrong=[(5.545, "20 times smaller"), (1, "sum there")]),
    "ex-13-own": Trial(false_negatives, wrong=[(lambda keys, n: 1 / 6, "are drawn")]),
    "ex-14-by-hand": Trial(
        6.909, also=["6.91"], wrong=[(1001, "logarithm"), (13.8155, "not each"), (20.723, "thousandth")]
    ),
    "ex-14-predict": Trial(10, also=["10"], wrong=[(12, "nobody asks"), (2, "all machines"), (6, "each level")]),
    "ex-14-stream": Trial(
        streamed,
        wrong=[
            (
                lambda chunks: sum((s[y == 0].exp().sum() * (-s[y == 1]).exp().sum()).log1p() for s, y in chunks),
                "two sums",
            ),
            (lambda chunks: torch.tensor(0.0), "two sums"),
        ],
        forbidden=[(lambda chunks: rank_loss(*map(torch.cat, zip(*chunks, strict=True))), "rank_loss")],
    ),
}
