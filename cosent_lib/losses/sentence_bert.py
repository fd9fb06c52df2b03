"""Sentence-BERT's loss: a classifier over two vectors and what lies between them (Chapter 7)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosent_lib.losses.base import PairLoss

FEATURES = ("u", "v", "|u-v|", "u*v")  # what Sentence-BERT's classifier may look at


class SoftmaxLoss(PairLoss):
    """Sentence-BERT: cross-entropy of a linear classifier on features of u and v.

    Classes are labels·(num_labels − 1) rounded, halves up: with two classes, 1 means label ≥ ½.

    Args:
        dim: length of a sentence vector.
        num_labels: number of classes, at least 2.
        features: any of ``"u"``, ``"v"``, ``"|u-v|"``, ``"u*v"``, concatenated in this order.
        seed: of the classifier's initial weights; torch's global random state is left alone.

    Raises:
        ValueError: for fewer than two classes, or unknown features.

    Source: Reimers & Gurevych 2019 (arXiv 1908.10084), "classification objective"; Chapter 7.
    """

    def __init__(
        self, dim: int, num_labels: int = 2, features: Sequence[str] = ("u", "v", "|u-v|"), seed: int = 0
    ) -> None:
        super().__init__()
        if num_labels < 2:
            raise ValueError(f"num_labels must be at least 2, got {num_labels}")
        unknown = [feature for feature in features if feature not in FEATURES]
        if unknown or not features:
            raise ValueError(f"features must be some of {', '.join(FEATURES)}, got {list(features)}")
        self.num_labels, self.features = num_labels, tuple(features)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.classifier = nn.Linear(dim * len(self.features), num_labels)

    def logits(self, u: Tensor, v: Tensor) -> Tensor:
        """Return the classifier's scores, ``[batch, num_labels]``."""
        parts = {"u": u, "v": v, "|u-v|": (u - v).abs(), "u*v": u * v}
        return self.classifier(torch.cat([parts[feature] for feature in self.features], dim=-1))

    def classes(self, labels: Tensor) -> Tensor:
        """Return the class of each label in [0, 1], ``[batch]`` of int64."""
        return (labels.float() * (self.num_labels - 1) + 0.5).floor().long()

    @torch.no_grad()
    def predict(self, u: Tensor, v: Tensor) -> Tensor:
        """Return the likeliest class of each pair, ``[batch]`` of int64."""
        return self.logits(u, v).argmax(-1)

    def compute(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        """See the class."""
        return F.cross_entropy(self.logits(u, v).float(), self.classes(labels))
