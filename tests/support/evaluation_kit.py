"""What tests of evaluation share: an encoder with given vectors, and pairs whose labels its cosines follow."""

import math

import numpy as np
import torch


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
