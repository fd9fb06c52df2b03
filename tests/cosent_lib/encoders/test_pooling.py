"""Pooling by hand and by index, and the cheapest cut into lengths."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from encoder_kit import TEXTS
from torch import Tensor

from cosent_lib.encoders.load import load_encoder
from cosent_lib.encoders.pooling import POOLINGS, length_buckets, pool
from cosent_lib.encoders.pretrained import TransformerEncoder


@pytest.fixture
def states() -> tuple[Tensor, ...]:
    """Four hidden states (embedding output, three layers), two texts of 2 and 3 tokens, width 2; padding is 100s."""
    layers = [torch.arange(12.0).reshape(2, 3, 2) * (k + 1) for k in range(4)]
    for layer in layers:
        layer[0, 2] = 100.0
    return tuple(layers)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [  # tokens of the last layer: (0,4) (8,12) and (24,28) (32,36) (40,44); of layer 1: half of it
        ("cls", [[0.0, 4.0], [24.0, 28.0]]),
        ("mean", [[4.0, 8.0], [32.0, 36.0]]),
        ("max", [[8.0, 12.0], [40.0, 44.0]]),
        ("first_last_mean", [[3.0, 6.0], [24.0, 27.0]]),
    ],
)
def test_pooling_by_hand(states: tuple[Tensor, ...], pooling: str, expected: list[list[float]]) -> None:
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert pool(states, mask, pooling).tolist() == expected


def test_pooling_is_computed_in_float32() -> None:
    states = [torch.full((1, 300, 1), 1.0, dtype=torch.bfloat16), torch.full((1, 300, 1), 1.0, dtype=torch.bfloat16)]
    states[-1][0, 0] = 2.0
    mask = torch.ones(1, 300)
    mean = pool(states, mask, "mean")  # 301/300, which bfloat16 would round to 1
    assert mean.dtype == torch.float32
    torch.testing.assert_close(mean, torch.tensor([[301 / 300]]))


def test_unknown_pooling_lists_what_there_is(checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="unknown pooling 'sum', expected one of: cls, mean, max, first_last_mean"):
        load_encoder(str(checkpoint), pooling="sum")


def test_hidden_state_1_is_the_first_layer_and_minus_1_the_last(bert: TransformerEncoder) -> None:
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: seen.update({name: output[0] if isinstance(output, tuple) else output})

    bert.model.embeddings.register_forward_hook(keep("embeddings"))
    bert.model.encoder.layer[0].register_forward_hook(keep("first"))
    bert.model.encoder.layer[-1].register_forward_hook(keep("last"))
    bert.configure(pooling="first_last_mean")
    vector = bert([TEXTS[0]])[0]
    first, last, embeddings = (seen[name][0].mean(dim=0) for name in ("first", "last", "embeddings"))
    torch.testing.assert_close(vector, (first + last) / 2)
    assert (vector - (embeddings + last) / 2).abs().max() > 1e-2  # the other convention is told apart


def test_every_pooling_by_index_of_the_hidden_states(bert: TransformerEncoder) -> None:
    ids = bert.tokenize([TEXTS[3]])
    states = bert.model(torch.tensor(ids), output_hidden_states=True).hidden_states
    expected = {
        "cls": states[-1][:, 0],
        "mean": states[-1].mean(dim=1),
        "max": states[-1].amax(dim=1),
        "first_last_mean": (states[1] + states[-1]).mean(dim=1) / 2,
    }
    assert set(expected) == set(POOLINGS)
    for pooling, vector in expected.items():
        bert.configure(pooling=pooling)
        torch.testing.assert_close(bert.embed(ids), vector)


@pytest.mark.parametrize("overhead", [0, 3, 10, 1000])
def test_length_buckets_are_the_cheapest_of_all_cuts(overhead: int) -> None:
    lengths = [2, 2, 3, 5, 5, 6, 9, 9, 14]

    def cost(slices: list[tuple[int, int]]) -> int:
        return sum((end - start) * lengths[end - 1] + overhead for start, end in slices)

    places = range(1, len(lengths))
    chosen = [cuts for k in range(len(lengths)) for cuts in itertools.combinations(places, k)]
    all_slices = [list(itertools.pairwise([0, *cuts, len(lengths)])) for cuts in chosen]
    found = length_buckets(lengths, overhead)
    assert [number for start, end in found for number in range(start, end)] == list(range(len(lengths)))
    assert cost(found) == min(map(cost, all_slices))


def test_length_buckets_keep_equal_lengths_together() -> None:
    assert length_buckets([7] * 50, 0) == [(0, 50)]
    assert length_buckets([3], 100) == [(0, 1)]
