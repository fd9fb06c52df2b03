"""Pairs that name their query: only those of one query are compared, and batches keep them together."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from training_kit import TinyEncoder, make_pairs, quiet

from cosent_lib.losses.base import cosine
from cosent_lib.losses.make import make_loss
from cosent_lib.training.batches import Batches
from cosent_lib.training.train import train

QUERIES = {**make_pairs(60, seed=3, levels=5), "query": [f"q{row % 9}" for row in range(60)]}


def brute_force(scores: torch.Tensor, labels: torch.Tensor, segments: torch.Tensor) -> torch.Tensor:
    """The mean over segments of log(1 + Σ), pair by pair, in float64."""
    values = []
    for segment in segments.unique():
        s, y = scores[segments == segment].double(), labels[segments == segment]
        terms = [s[i] - s[j] for i in range(len(s)) for j in range(len(s)) if y[i] < y[j]]
        if terms:
            values.append(torch.stack([s.new_zeros(()), *terms]).logsumexp(0))
    return torch.stack(values).mean()


@pytest.mark.parametrize("name", ["cosent", "angle", "cosent+mnrl"])
def test_a_loss_of_order_compares_within_segments_alone(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    u, v = torch.randn(2, 24, 6, generator=generator, dtype=torch.float64)
    labels, segments = torch.randint(0, 3, (24,), generator=generator) / 2, torch.arange(24) % 5
    loss = make_loss(name, None)
    value = loss(u, v, labels, segments=segments)
    if name == "angle":
        (a, b), (c, d) = u.chunk(2, -1), v.chunk(2, -1)
        score = ((a * c + b * d + b * c - a * d).sum(-1) / u.norm(dim=1) / v.norm(dim=1)).abs()
    else:
        score = cosine(u, v)
    want = brute_force(20 * score, labels, segments)
    if name == "cosent+mnrl":
        want = want + make_loss("mnrl", None)(u, v, labels)
    torch.testing.assert_close(value, want, rtol=1e-10, atol=0)
    assert abs(float(value - loss(u, v, labels))) > 0.1


def test_a_training_step_is_the_loss_within_queries() -> None:
    encoder = TinyEncoder(dropout=0.0)
    u, v = encoder.encode(QUERIES["sentence1"]), encoder.encode(QUERIES["sentence2"])
    numbers = torch.tensor([int(query[1:]) for query in QUERIES["query"]])
    want = brute_force(20 * cosine(u, v), torch.tensor(QUERIES["score"]), numbers)
    result = train(encoder, make_loss("cosent", encoder), QUERIES, quiet(batch_size=60, max_steps=1))
    assert result.history["loss"].tolist() == pytest.approx([float(want)], rel=1e-5)
    assert np.isnan(result.history["inversion_bound"][0])  # the loss is a mean over queries: no bound of pairs


def test_batches_keep_the_pairs_of_a_query_together_and_have_every_pair_once() -> None:
    batches = Batches(TinyEncoder(), QUERIES, 16, seed=1, by_query=True)
    orders = []
    for epoch in range(2):
        found = [batch for step in range(1, 5) for batch in batches.at(4 * epoch + step)]
        rows = [row for batch in found for row in batch.rows]
        numbers = torch.cat([batch.segments for batch in found]).tolist()
        assert sorted(rows) == list(range(60))
        assert sum(a != b for a, b in pairwise(numbers)) == 8  # nine queries, one after the other
        assert [QUERIES["query"][row] for row in rows] == [f"q{number}" for number in numbers]
        orders.append(list(dict.fromkeys(numbers)))
    assert orders[0] != orders[1]


def test_what_would_compare_across_queries_is_refused() -> None:
    encoder = TinyEncoder()
    for name in ("ranknet", "power_mean"):
        with pytest.raises(ValueError, match="compares all pairs of a batch, not those of one query alone"):
            train(encoder, make_loss(name, encoder), QUERIES, quiet(max_steps=1))
    with pytest.raises(ValueError, match="flat is not computed query by query"):
        train(encoder, make_loss("cosent", encoder, flat=True), QUERIES, quiet(max_steps=1))
    with pytest.raises(ValueError, match="batches='levels' deals pairs out by label"):
        train(encoder, make_loss("cosent", encoder), QUERIES, quiet(max_steps=1, batches="levels"))
    lacking = {**QUERIES, "query": [None, *QUERIES["query"][1:]]}
    with pytest.raises(ValueError, match="query of row 0 is None"):
        train(encoder, make_loss("cosent", encoder), lacking, quiet(max_steps=1))


def test_a_loss_of_targets_passes_queries_over() -> None:
    encoder, other = TinyEncoder(dropout=0.0), TinyEncoder(dropout=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with_queries = train(encoder, make_loss("cosine_squared", encoder), QUERIES, quiet(max_steps=3))
    plain = {name: column for name, column in QUERIES.items() if name != "query"}
    without = train(other, make_loss("cosine_squared", other), plain, quiet(max_steps=3))
    assert with_queries.history.equals(without.history)
