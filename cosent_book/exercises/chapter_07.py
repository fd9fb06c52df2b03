"""Chapter 7: Sentence-BERT."""

import math

import torch

from cosent_book.exercises.kinds import Case, Exercise, function, number, truths, word

_Z = 0.5 * math.sqrt(32 / (math.pi - 2))


def _pairs() -> list[Case]:
    first = torch.tensor([[2.0, 0, 1], [0, 3, 0], [1, 1, 1]])
    made: list[Case] = [((first, 0 * first, torch.tensor([1, 0, 0])), 2 / 3)]
    generator = torch.Generator().manual_seed(7)
    u, v = torch.randn(2, 40, 16, generator=generator, dtype=torch.float64)
    y = torch.arange(40) % 3 // 2
    d = (u - v).abs()
    return [*made, ((u, v, y), (d[y == 1].mean(0) > d[y == 0].mean(0)).double().mean())]


EXERCISES: dict[str, Exercise] = {
    "ask-7-sign": word(
        "positive",
        {"negative": "that says far apart, so different: is the pair labelled 1 the closer one in the figure?"},
    ),
    "ask-7-warm": word(
        "below",
        {"above": "which rule is easier for a classifier on these pairs, about copies or about meanings?"},
    ),
    "ask-7-start": word(
        "no", {"yes": "in which direction does the first step of Proposition 7.3 push small weights here?"}
    ),
    "ex-7-radius": number(
        (1 + math.erf(_Z / math.sqrt(2))) / 2,
        "(R2 - R1) / (R2 + R1) is 1/2; then the normal distribution function of z",
        share=True,
        near=[(_Z, "z is right; the accuracy is the normal distribution function of it")],
    ),
    "ex-7-warm": truths(
        [False, True],
        "the classifier may prefer a rule without exceptions to one with a few",
        near=[((True, True), "after 60 steps the cosine is mostly right: is mostly enough for a classifier?")],
    ),
    "ex-7-natural": word(
        "above",
        {
            "below": "which of the two kinds is closer before training, on average?",
            "between": "positives are a little closer at the start: what does training do with a little?",
        },
    ),
    "ex-7-own": function(
        "answer(u, v, y)",
        _pairs,
        "the means for each label first; then compare coordinate by coordinate",
        near=[
            (
                lambda u, v, y: 1 - ((u - v).abs()[y == 1].mean(0) > (u - v).abs()[y == 0].mean(0)).double().mean(),
                "that is the share in which the positives are closer",
            )
        ],
    ),
}
