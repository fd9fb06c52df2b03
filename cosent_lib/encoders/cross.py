"""The cross-encoder: a transformer that reads both texts of a pair together and gives one number."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, NoReturn, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm
from transformers import AutoConfig, AutoModelForSequenceClassification

from cosent_lib.encoders.base import EncoderUnavailable, checked_texts, evaluating
from cosent_lib.encoders.checkpoint import read_checkpoint
from cosent_lib.encoders.pooling import length_buckets
from cosent_lib.encoders.pretrained import (
    BUCKET_OVERHEAD,
    BUCKET_OVERHEAD_ELSEWHERE,
    TransformerEncoder,
    origin_of,
    position_limit,
)
from cosent_lib.encoders.threads import suited_threads
from cosent_lib.errors import NoVectors, check_number, first_line
from cosent_lib.texts import count_cut, warn_of_cut

PLAIN = {"add_special_tokens": False, "return_attention_mask": False, "return_token_type_ids": False}


class Template(NamedTuple):
    """How a tokenizer builds a pair: the special tokens before, between and after, and all token types."""

    start: list[int]
    middle: list[int]
    end: list[int]
    types: tuple[int, int, int, int, int]  # of start, first text, middle, second text, end
    has_types: bool

    @classmethod
    def of(cls, tokenizer: Any, name: str) -> Self:
        """Read off a pair that the tokenizer has built; ``ValueError`` where it does not tell two texts apart."""
        a, b = ([int(i) for i in tokenizer(text, **PLAIN)["input_ids"]] for text in ("a", "b"))
        built = tokenizer("a", "b", return_token_type_ids=True)
        ids, types = [int(i) for i in built["input_ids"]], [int(i) for i in built["token_type_ids"]]
        for start in range(len(ids)):
            for second in range(start + len(a), len(ids)):
                if not a or not b or ids[start : start + len(a)] != a or ids[second : second + len(b)] != b:
                    continue
                cuts = [0, start, start + len(a), second, second + len(b), len(ids)]
                kinds = [set(types[low:high]) or {0} for low, high in pairwise(cuts)]
                start_ids, _, middle, _, end = (ids[low:high] for low, high in pairwise(cuts))
                if all(len(kind) == 1 for kind in kinds) and (middle or kinds[1] != kinds[3]):
                    one = [kind.pop() for kind in kinds]
                    has = "token_type_ids" in tokenizer.model_input_names
                    return cls(start_ids, middle, end, (one[0], one[1], one[2], one[3], one[4]), has)
        raise ValueError(f"the tokenizer of {name!r} puts nothing between the two texts of a pair")

    def joined(self, a: Sequence[int], b: Sequence[int]) -> tuple[list[int], list[int]]:
        """Token numbers and token types of a pair."""
        parts = (self.start, a, self.middle, b, self.end)
        ids = [number for part in parts for number in part]
        return ids, [kind for part, kind in zip(parts, self.types, strict=True) for _ in part]


class CrossEncoder(TransformerEncoder):
    """Pairs of texts → scores ``[n]``, logits that any number can be; a text alone has no vector.

    A Hugging Face model for sequence classification with one output. What is saved is also a folder that
    sentence-transformers' ``CrossEncoder`` reads (its ``predict`` puts a sigmoid on the score unless told otherwise).
    Each text of a pair has half of the ``max_length`` tokens, special ones taken off: what a text is cut to does not
    depend on its partner (sentence-transformers cuts the longer of the two first).

    Source: Chapter 12.
    """

    kind: ClassVar[str] = "cross"
    saved_options: ClassVar[dict[str, type]] = {"source": str, "max_length": int}
    token_options: ClassVar[dict[str, bool]] = PLAIN
    reads_pairs: ClassVar[bool] = True
    default_learning_rate = 1e-4  # more than for vectors: the head is new

    def __init__(self, model: Any, tokenizer: Any, *, name: str, source: str, max_length: int | None = None):
        super().__init__(model, tokenizer, name=name, source=source, max_length=max_length)
        self._template = Template.of(tokenizer, name)

    @classmethod
    def over(cls, encoder: TransformerEncoder, seed: int = 0) -> Self:
        """A cross-encoder that starts from the transformer of ``encoder``; head and pooler are drawn from ``seed``."""
        known = encoder.model.config.to_dict()
        config = type(encoder.model.config).from_dict(
            {name: value for name, value in known.items() if name not in ("id2label", "label2id")} | {"num_labels": 1}
        )
        with torch.random.fork_rng(devices=[]):  # the global generator is the reader's
            torch.default_generator.manual_seed(seed)
            model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
        body = getattr(model, model.base_model_prefix)
        missing = body.load_state_dict(encoder.model.state_dict(), strict=False).missing_keys
        if drawn := [name for name in missing if not name.startswith("pooler.")]:
            raise ValueError(f"{encoder.name!r}: no cross-encoder can be made of it, it lacks {drawn[0]!r}")
        source = f"{encoder.source}, head of seed {seed}"
        made = cls(model, encoder.tokenizer, name=f"cross:{encoder.name}", source=source, max_length=encoder.max_length)
        made.default_learning_rate = max(encoder.default_learning_rate, cls.default_learning_rate)
        return made

    def score(self, first: Sequence[Sequence[int]], second: Sequence[Sequence[int]]) -> Tensor:
        """Scores ``[n]`` with gradient, of pairs of token numbers as ``tokenize`` gives them; n may be 0."""
        pairs, types = [], []
        for a, b in zip(first, second, strict=True):
            ids, kinds = self._template.joined(a, b)
            pairs.append(torch.tensor(ids))
            types.append(torch.tensor(kinds))
        if not pairs:
            return torch.zeros(0, device=self.device)
        order = sorted(range(len(pairs)), key=lambda i: len(pairs[i]))
        overhead = BUCKET_OVERHEAD.get(self.device.type, BUCKET_OVERHEAD_ELSEWHERE)
        scores = [
            self._run_pairs([pairs[i] for i in order[low:high]], [types[i] for i in order[low:high]])
            for low, high in length_buckets([len(pairs[i]) for i in order], overhead)
        ]
        return torch.cat(scores)[torch.tensor(order).argsort().to(self.device)]

    def forward(self, first: Sequence[str], second: Sequence[str]) -> Tensor:  # type: ignore[override]
        """Scores ``[n]`` with gradient, of the pairs of two lists of texts."""
        return self.score(self.tokenize(first), self.tokenize(second))

    @torch.no_grad()
    def predict(
        self, first: Sequence[str], second: Sequence[str], batch_size: int = 256, progress: bool = False
    ) -> NDArray[np.float64]:
        """Scores ``[n]`` without gradient and in eval mode, of the pairs of two lists of texts.

        Texts that are cut are said in a `TextsCutWarning`. ``ValueError`` for an empty text or a non-string, lists of
        different lengths, a batch size below 1.
        """
        check_number("batch_size", batch_size, "a whole number of at least 1", 1, np.inf, whole=True)
        first, second = checked_texts(first, "first"), checked_texts(second, "second")
        if len(first) != len(second):
            raise ValueError(f"pairs are two lists of the same length, got {len(first)} and {len(second)} texts")
        texts = list(dict.fromkeys([*first, *second]))
        tokens = dict(zip(texts, self.tokenize(texts), strict=True))
        warn_of_cut(self, count_cut(self, texts, list(tokens.values())), len(texts), stacklevel=3)
        a, b = [tokens[text] for text in first], [tokens[text] for text in second]
        order = sorted(range(len(a)), key=lambda i: len(a[i]) + len(b[i]))
        scores = np.empty(len(a))
        bar = tqdm(total=len(order), desc="score", unit="pair", disable=not progress)
        with suited_threads(self), evaluating(self), bar:
            for begin in range(0, len(order), batch_size):
                rows = order[begin : begin + batch_size]
                scores[rows] = self.score([a[i] for i in rows], [b[i] for i in rows]).double().cpu().numpy()
                bar.update(len(rows))
        if not np.isfinite(scores).all():
            bad = np.flatnonzero(~np.isfinite(scores))
            raise ValueError(
                f"the cross-encoder's score is not finite for {bad.size} pairs, the first is pair {bad[0]}"
            )
        return scores

    def embed(self, token_ids: Sequence[Sequence[int]]) -> NoReturn:
        """No text has a vector: `NoVectors`."""
        raise NoVectors(self.name)

    def encode(self, texts: Sequence[str], batch_size: int = 256, progress: bool = False) -> NoReturn:
        """No text has a vector: `NoVectors`."""
        raise NoVectors(self.name)

    def configure(self, *, pooling: str | None = None, max_length: int | None = None) -> None:
        """Change truncation; ``ValueError`` for a length without room for two texts, or one the model cannot take."""
        least = self.tokenizer.num_special_tokens_to_add(pair=True) + 2
        if pooling is not None:
            raise ValueError(f"pooling is {pooling!r}; a cross-encoder has none, it reads pairs whole")
        if max_length is not None and max_length < least:
            limit = position_limit(self.model.config)
            expected = f"a whole number from {least} to {limit} (tokens of a pair, special ones included)"
            check_number("max_length", max_length, expected, least, limit, whole=True)
        super().configure(max_length=max_length)

    @property
    def tiny_steps(self) -> bool:  # type: ignore[override]  # of a class elsewhere; here of what it began with
        """Whether a step is so little work that one thread is faster than several, as of `small`."""
        return bool(self.model.config.hidden_size <= 128)

    @property
    def text_length(self) -> int:
        """How many tokens each text of a pair may have."""
        return (self.max_length - self.tokenizer.num_special_tokens_to_add(pair=True)) // 2

    def _run_pairs(self, rows: list[Tensor], types: list[Tensor]) -> Tensor:
        """One bucket, padded on the right to its longest row; ``types`` are its token types."""
        pad = self.model.config.pad_token_id  # the model's own: some look for the last token that is none
        pad = (self.tokenizer.pad_token_id or 0) if pad is None else pad
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)
        lengths = torch.tensor([len(row) for row in rows])
        inputs = {"input_ids": ids, "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long()}
        if self._template.has_types:
            inputs["token_type_ids"] = torch.nn.utils.rnn.pad_sequence(types, batch_first=True)
        output = self.model(**{name: value.to(self.device) for name, value in inputs.items()})
        return output.logits.float()[:, 0]

    def settings(self) -> dict[str, Any]:
        """Name, source, truncation and size."""
        return {name: value for name, value in super().settings().items() if name not in ("pooling", "dim")}

    def _write(self, folder: Path) -> dict[str, Any]:
        return {name: value for name, value in super()._write(folder).items() if name in self.saved_options}

    @classmethod
    def _read(cls, folder: Path, name: str, options: dict[str, Any]) -> Self:
        model, tokenizer = read_checkpoint(str(folder), saved=True, scoring=True)
        return cls(model, tokenizer, name=name, **options)


def load_cross(name: str, max_length: int | None = None, revision: str | None = None) -> CrossEncoder | None:
    """A checkpoint that is a cross-encoder already, in a folder or of the hub; None where ``name`` is none.

    Raises:
        EncoderUnavailable: it is one, but cannot be read whole.
    """
    try:
        config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
    except Exception:  # of whatever class; who reads it as an encoder says what is wrong
        return None
    kinds = config.architectures if isinstance(config.architectures, list) else []
    if not any(isinstance(kind, str) and kind.endswith("ForSequenceClassification") for kind in kinds):
        return None
    if config.num_labels != 1:
        raise EncoderUnavailable(f"{name!r} classifies into {config.num_labels} labels; a cross-encoder has one output")
    try:
        model, tokenizer = read_checkpoint(name, revision=revision, scoring=True)
        longest = min(tokenizer.model_max_length, position_limit(config), 512) if max_length is None else max_length
        title, source = origin_of(name, model, revision)
        return CrossEncoder(model, tokenizer, name=title, source=source, max_length=longest)
    except Exception as error:  # of whatever class: damaged files bring about many
        raise EncoderUnavailable(f"cannot load {name!r} as a cross-encoder: {first_line(error)}") from error
