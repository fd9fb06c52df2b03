"""The `static` encoder: the mean of learned vectors of characters, words and their neighbours.

It knows nothing at the start and trains in seconds, which makes it the encoder of the book's live experiments.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from cosent_lib.encoders.base import WEIGHTS_FILE, SentenceEncoder, checked_rate, checked_texts, read_weights
from cosent_lib.files import read_json

VOCABULARY_FILE = "vocabulary.json"
# Small against what Adam adds in a few hundred steps of 1e-2. Chosen on validation (LCQMC, STS-B en and zh) between
# 0.02 and 1, with a flat top from 0.15 to 0.3.
INITIAL_DEVIATION = 0.2
# Han, kana and hangul: scripts in which a single character already carries meaning
_CJK = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
_TOKEN = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+|[^\w\s]|_")


def features(text: str) -> list[str]:
    """The features of a text, with repetitions; nothing here is learned.

    The text is normalised (NFKC, case folded) and cut into tokens: each Chinese, Japanese or Korean character,
    each run of other letters and digits, and each punctuation mark. Features are the tokens, each pair of
    neighbours ("天 气", "new york"), and for words of three letters and more their character trigrams with
    the word's ends marked ("#<ca", "#cat", "#at>"), so that "cats" and "cat" share something.

    Example:
        >>> features("A cat")
        ['a', 'cat', 'a cat', '#<ca', '#cat', '#at>']
    """
    tokens = _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold())
    listed = tokens + [f"{first} {second}" for first, second in pairwise(tokens)]
    for token in tokens:
        if len(token) > 2:
            marked = f"<{token}>"
            listed += [f"#{marked[i : i + 3]}" for i in range(len(marked) - 2)]
    return listed


def build_vocabulary(texts: Iterable[str], size: int) -> list[str]:
    """The ``size`` most frequent features of ``texts``; ties go by the feature's own order, not the texts'."""
    counts = Counter(chain.from_iterable(map(features, texts)))
    return sorted(counts, key=lambda feature: (-counts[feature], feature))[:size]


class Vocabulary(dict[str, int]):
    """Features and their numbers, in order. It never changes: copies of an encoder share it, and its memory of texts.

    Raises:
        ValueError: a feature that is no text or comes twice.
    """

    remembered = 1 << 15  # texts, some hundred bytes each: half of a short training is cutting the same texts again

    def __init__(self, listed: Sequence[str]) -> None:
        super().__init__()
        for number, feature in enumerate(listed):
            if not isinstance(feature, str) or self.setdefault(feature, number) != number:
                raise ValueError(f"feature {number} is {feature!r:.60}; expected a text that no feature before it is")
        self.numbers = lru_cache(self.remembered)(self._numbers)

    def _numbers(self, text: str) -> tuple[int, ...]:
        return tuple(number for number in map(self.get, features(text)) if number is not None)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[type[Self], tuple[list[str]]]:
        return type(self), (list(self),)


class StaticEncoder(SentenceEncoder):
    """An embedding bag: a text's vector is the mean of its known features' vectors.

    ``tokenize`` is a small function and a dictionary of our own (``features``), no trained tokenizer. A stock one
    (WordPiece, BPE, Unigram; Han characters alone) cuts a text one way only. Measured against it by validation Spearman
    of CoSENT at λ = 20, three seeds: English loses 0.03 to 0.06 (STS-B; the trigrams make the difference), BQ 0.03;
    characters alone gain 0.02 to 0.03 on STS-B zh and ATEC and draw on LCQMC. With squared error English draws,
    ATEC loses 0.03, BQ 0.01 and STS-B zh gains 0.02. No clear gain, so the features stay.
    Features outside the vocabulary are dropped; a text without any known feature gets the zero vector.
    The gradient is sparse: a step touches only the features of its batch.
    """

    kind: ClassVar[str] = "static"
    saved_options: ClassVar[dict[str, type]] = {"seed": int}
    tiny_steps: ClassVar[bool] = True
    default_learning_rate = 1e-2  # of SparseAdam; a transformer's 2e-5 would learn nothing here

    def __init__(self, vocabulary: Sequence[str], weight: Tensor, seed: int, name: str = "static") -> None:
        super().__init__()
        if weight.ndim != 2 or 0 in weight.shape or not weight.is_floating_point() or not weight.isfinite().all():
            raise ValueError(f"weight is {weight.dtype} {list(weight.shape)}; expected finite floats [features, dim]")
        if len(vocabulary) != len(weight):
            raise ValueError(f"{len(vocabulary)} features but {len(weight)} vectors; expected one vector a feature")
        self.name = name
        self.dim = weight.shape[1]
        self.seed = seed
        self.vocabulary = Vocabulary(vocabulary)
        self.weight = nn.Parameter(weight.float())
        self.eval()

    @classmethod
    def from_texts(cls, texts: Sequence[str], *, dim: int = 128, vocabulary_size: int = 20_000, seed: int = 0) -> Self:
        """A fresh encoder: vocabulary from ``texts``, vectors normal with standard deviation 0.2."""
        if dim < 1 or vocabulary_size < 1:
            raise ValueError(f"dim is {dim} and vocabulary_size {vocabulary_size}; expected both at least 1")
        texts = checked_texts(texts)
        vocabulary = build_vocabulary(texts, vocabulary_size)
        if not vocabulary:
            raise ValueError(f"{len(texts)} texts hold no feature to build a vocabulary from")
        generator = torch.Generator().manual_seed(seed)  # its own: the global one is the reader's
        weight = torch.randn(len(vocabulary), dim, generator=generator) * INITIAL_DEVIATION
        return cls(vocabulary, weight, seed)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Numbers of the known features of each text, with repetitions; may be empty."""
        return list(map(list, map(self.vocabulary.numbers, checked_texts(texts))))

    def embed(self, token_ids: Sequence[Sequence[int]]) -> Tensor:
        """Mean vectors ``[n, dim]``; nothing is padded, so no length buckets are needed."""
        flat = np.fromiter(chain.from_iterable(token_ids), dtype=np.int64)
        starts = [0, *accumulate(map(len, token_ids))][: len(token_ids)]
        # Each distinct feature is looked up once, so that the sparse gradient has one row for it: a batch of 128
        # texts names a feature seven times on average, and the optimiser would have to add those rows up.
        rows, slots = (torch.from_numpy(part).to(self.device) for part in np.unique(flat, return_inverse=True))
        vectors = F.embedding(rows, self.weight, sparse=True)
        return F.embedding_bag(slots, vectors, torch.tensor(starts, dtype=torch.long, device=self.device), mode="mean")

    def count_unknown(self, texts: Sequence[str], token_ids: Sequence[Sequence[int]] | None = None) -> int:
        """How many texts have no known feature: their vectors are zero."""
        return sum(not ids for ids in (self.tokenize(texts) if token_ids is None else token_ids))

    def parameter_groups(self, learning_rate: float | None = None, weight_decay: float = 0.01) -> list[dict[str, Any]]:
        """One sparse group; ``weight_decay`` does not reach it, for SparseAdam has none."""
        rate = checked_rate(learning_rate, self.default_learning_rate)
        return [{"params": [self.weight], "lr": rate, "weight_decay": 0.0, "sparse": True}]

    def settings(self) -> dict[str, Any]:
        """Name, kind, size and seed."""
        own = {"name": self.name, "kind": self.kind, "dim": self.dim, "vocabulary": len(self.vocabulary)}
        return own | {"seed": self.seed, "parameters": self.weight.numel()}

    def _write(self, folder: Path) -> dict[str, Any]:
        save_file({"weight": self.weight.detach().cpu().contiguous()}, folder / WEIGHTS_FILE)
        text = json.dumps(list(self.vocabulary), ensure_ascii=False, indent=0)
        (folder / VOCABULARY_FILE).write_text(text + "\n", encoding="utf-8")
        return {"seed": self.seed}

    @classmethod
    def _read(cls, folder: Path, name: str, options: dict[str, Any]) -> Self:
        weights = read_weights(folder / WEIGHTS_FILE)
        if weights.keys() != {"weight"}:
            raise ValueError(f"{WEIGHTS_FILE} holds {sorted(weights)}; expected one tensor, weight")
        return cls(read_json(folder / VOCABULARY_FILE, list), weights["weight"], options["seed"], name)
