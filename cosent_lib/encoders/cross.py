"""The cross-encoder: a transformer that reads both texts of a pair together and gives one number."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Self

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
    position_limit,
)
from cosent_lib.encoders.threads import suited_threads
from cosent_lib.errors import check_number, first_line
from cosent_lib.texts import count_cut, warn_of_cut

PLAIN = {"add_special_tokens": False, "return_attention_mask": False, "return_token_type_ids": False}


class CrossEncoder(TransformerEncoder):
    """Pairs of texts → scores ``[n]``, logits that any number can be; a text alone has no vector.

    A Hugging Face model for sequence classification with one output. What is saved is also a folder that
    sentence-transformers' ``CrossEncoder`` reads (its ``predict`` puts a sigmoid on the score unless told otherwise).
    Each text of a pair has half of the ``max_length`` tokens, special ones taken off: what a text is cut to does not
    depend on its partner.

    Source: Chapter 12.
    """

    kind: ClassVar[str] = "cross"
    saved_options: ClassVar[dict[str, type]] = {"source": str, "max_length": int}
    reads_pairs: ClassVar[bool] = True
    default_learning_rate = 1e-4  # more than for vectors: the head is new

    def __init__(self, model: Any, tokenizer: Any, *, name: str, source: str, max_length: int | None = None):
        super().__init__(model, tokenizer, name=name, source=source, max_length=max_length)
        self._template = self._read_template()

    @classmethod
    def over(cls, encoder: TransformerEncoder, seed: int = 0) -> Self:
        """A cross-encoder that starts from the transformer of ``encoder``; head and pooler are drawn from ``seed``."""
        known = encoder.model.config.to_dict()
        config = type(encoder.model.config).from_dict(
            {name: value for name, value in known.items() if name not in ("id2label", "label2id")} | {"num_labels": 1}
        )
        with torch.random.fork_rng(devices=[]):  # the global generator is the reader's
            torch.default_generator.manual_seed(seed)
            model = AutoModelForSequenceClassification.from_config(config)
        body = getattr(model, model.base_model_prefix)
        missing = body.load_state_dict(encoder.model.state_dict(), strict=False).missing_keys
        if drawn := [name for name in missing if not name.startswith("pooler.")]:
            raise ValueError(f"{encoder.name!r}: no cross-encoder can be made of it, it lacks {drawn[0]!r}")
        source = f"{encoder.source}, head of seed {seed}"
        made = cls(model, encoder.tokenizer, name=f"cross:{encoder.name}", source=source, max_length=encoder.max_length)
        made.default_learning_rate = max(encoder.default_learning_rate, cls.default_learning_rate)
        return made

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token numbers without special ones, each text cut to its half of a pair."""
        texts = checked_texts(texts)
        if not texts:
            return []
        rows: list[list[int]] = self.tokenizer(texts, truncation=True, max_length=self.text_length, **PLAIN)[
            "input_ids"
        ]
        return rows

    def count_cut(self, texts: Sequence[str], token_ids: Sequence[Sequence[int]] | None = None) -> int:
        """How many texts have more tokens than half a pair has room for."""
        token_ids = self.tokenize(texts) if token_ids is None else token_ids
        full = [text for text, ids in zip(texts, token_ids, strict=True) if len(ids) >= self.text_length]
        whole = self.tokenizer(full, verbose=False, **PLAIN)["input_ids"] if full else []
        return sum(len(ids) > self.text_length for ids in whole)

    def score(self, first: Sequence[Sequence[int]], second: Sequence[Sequence[int]]) -> Tensor:
        """Scores ``[n]`` with gradient, of pairs of token numbers as ``tokenize`` gives them; n may be 0."""
        if not first:
            return torch.zeros(0, device=self.device)
        start, middle, end = self._template
        pairs = [[*start, *a, *middle, *b, *end] for a, b in zip(first, second, strict=True)]
        heads = [len(start) + len(a) + len(middle) for a in first]  # where the second text begins
        order = sorted(range(len(pairs)), key=lambda i: len(pairs[i]))
        overhead = BUCKET_OVERHEAD.get(self.device.type, BUCKET_OVERHEAD_ELSEWHERE)
        scores = [
            self._run_pairs([pairs[i] for i in order[low:high]], [heads[i] for i in order[low:high]])
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
        """No text has a vector: a ``TypeError``."""
        raise TypeError(
            f"{self.name!r} is a cross-encoder: it scores pairs (predict) and has no vector for a text, so it cannot "
            "encode, search or be trained on a loss over vectors"
        )

    @property
    def text_length(self) -> int:
        """How many tokens each text of a pair may have."""
        return (self.max_length - self.tokenizer.num_special_tokens_to_add(pair=True)) // 2

    def _read_template(self) -> tuple[list[int], list[int], list[int]]:
        """The special tokens before, between and after two texts, read off a pair that the tokenizer has built."""
        a, b = ([int(i) for i in self.tokenizer(text, **PLAIN)["input_ids"]] for text in ("a", "b"))
        whole = [int(i) for i in self.tokenizer("a", "b")["input_ids"]]
        for start in range(len(whole)):
            for middle in range(start + len(a), len(whole)):
                if whole[start : start + len(a)] == a and whole[middle : middle + len(b)] == b and a and b:
                    return whole[:start], whole[start + len(a) : middle], whole[middle + len(b) :]
        raise ValueError(f"the tokenizer of {self.name!r} does not build pairs of two texts")

    def _run_pairs(self, rows: list[list[int]], heads: list[int]) -> Tensor:
        """One bucket, padded on the right to its longest row; ``heads`` says where the second text begins."""
        tensors = [torch.tensor(row, dtype=torch.long) for row in rows]
        ids = torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=self.tokenizer.pad_token_id or 0)
        place = torch.arange(ids.shape[1])
        lengths = torch.tensor([len(row) for row in rows])[:, None]
        inputs = {"input_ids": ids, "attention_mask": (place < lengths).long()}
        if "token_type_ids" in self.tokenizer.model_input_names:
            inputs["token_type_ids"] = ((place >= torch.tensor(heads)[:, None]) & (place < lengths)).long()
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
    where: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(name, **where)
    except (OSError, ValueError):
        return None  # whoever reads it as an encoder says what is wrong
    if not any(kind.endswith("ForSequenceClassification") for kind in config.architectures or ()):
        return None
    if config.num_labels != 1:
        raise EncoderUnavailable(f"{name!r} classifies into {config.num_labels} labels; a cross-encoder has one output")
    try:
        model, tokenizer = read_checkpoint(name, revision=revision, scoring=True)
    except Exception as error:  # of whatever class: damaged files bring about many
        raise EncoderUnavailable(f"cannot load {name!r} as a cross-encoder: {first_line(error)}") from error
    longest = min(tokenizer.model_max_length, position_limit(config), 512) if max_length is None else max_length
    return CrossEncoder(model, tokenizer, name=Path(name).name, source=f"checkpoint {name}", max_length=longest)
