"""Chapter 5: from sentences to vectors."""

import math
import zlib
from collections.abc import Callable

import numpy as np
import torch

from cosent_book.exercises.kinds import Case, Exercise, function, number, word
from cosent_book.geometry import geometry

_TEXTS = ["a", "two words", "the order has not come", "please cancel my plan for next month", "an app", "pay later"]


def _alone(texts: list[str]) -> torch.Tensor:
    """Vectors that depend on a text alone."""
    rows = [np.random.default_rng(zlib.crc32(text.encode())).normal(0.5, 1, 12) for text in texts]
    return torch.from_numpy(np.array(rows))


def _leaking(texts: list[str]) -> torch.Tensor:
    """Vectors that know their neighbours in the batch."""
    return _alone(texts) + 0.7 * _alone(texts)[:1] * (len(texts) > 1)


def _encoders() -> list[Case]:
    made: list[Case] = []
    for encode in (_alone, _leaking):
        found = geometry(encode(_TEXTS).numpy())
        together, alone = encode(_TEXTS), torch.cat([encode([text]) for text in _TEXTS])
        worst = torch.cosine_similarity(together, alone, dim=1).min()
        made.append(((encode, list(_TEXTS)), [found["mean_cosine"], found["effective_dimension"], float(worst)]))
    return made


def _uniformities() -> list[Case]:
    made: list[Case] = []
    for count in (3, 40):
        c = torch.from_numpy(np.random.default_rng(count).uniform(-1, 1, count))
        made.append(((c,), (-2 * (2 - 2 * c)).exp().mean().log()))
    return made


_sum_only: Callable[[torch.Tensor], torch.Tensor] = lambda c: torch.logsumexp(4 * c, 0) - 4  # noqa: E731

EXERCISES: dict[str, Exercise] = {
    "ask-5-cone": word(
        "rise",
        {
            "fall": "the cosines are all near 1 from state 1 on: can there be an order in the decimals?",
            "level": "each layer lets a token look at all others: does it learn nothing by that?",
        },
        aliases=("rises", "rising"),
    ),
    "ask-5-scale": word("5", {"20": "which of the two is near what `suggest_scale` says?"}, aliases=("λ = 5", "5.0")),
    "ex-5-floor": number(
        5 * math.log(31 / math.expm1(0.01)),
        "e^0.01 - 1 = 31 e^(-0.2 lambda); solve for lambda",
        within=0.4,
        near=[(math.log(31 / math.expm1(0.01)), "divide by the room that the cosines have, 0.2")],
    ),
    "ex-5-common": word(
        "distance",
        {
            "cosine": "seen from far away, how large is the angle between two points?",
            "inner product": "the longest part of both vectors is the same: what does it add to their product?",
            "none": "the vectors still differ: in what does a small angle between them show?",
        },
        aliases=("the distance",),
    ),
    "ex-5-uniformity": function(
        "answer(cosines)",
        _uniformities,
        "for unit vectors the squared distance is 2 - 2 cos",
        near=[(_sum_only, "a mean, not a sum: subtract the logarithm of the number of pairs")],
    ),
    "ex-5-own": function(
        "answer(encode, texts)",
        _encoders,
        "geometry(...) has the first two; encode each text in a list of its own for the third, and take the smallest",
        within=1e-3,
    ),
}
