"""What every sentence encoder offers, and how one is written to a folder and read back."""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, ClassVar, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from tqdm.auto import tqdm

from cosent_lib.encoders.threads import suited_threads
from cosent_lib.errors import CosentError, check_number, first_line
from cosent_lib.files import read_json, replacing_folder
from cosent_lib.texts import check_text, fault_of, warn_of_cut
from cosent_lib.version import __version__

FORMAT = "cosent_lib.encoder"
FORMAT_VERSION = 1
CONFIG_FILE = "encoder.json"
WEIGHTS_FILE = "model.safetensors"
# kind in encoder.json -> class that reads it; resolved on demand, so that `static` never imports transformers
KINDS = {
    "static": "cosent_lib.encoders.static:StaticEncoder",
    "small": "cosent_lib.encoders.small:SmallEncoder",
    "transformer": "cosent_lib.encoders.pretrained:TransformerEncoder",
    "cross": "cosent_lib.encoders.cross:CrossEncoder",
}

# what may stand beside an encoder.json that lists no files: versions before the list wrote no others
OLDER_STATIC = (CONFIG_FILE, WEIGHTS_FILE, "record.json", "vocabulary.json")
OLDER_TRANSFORMER = (
    CONFIG_FILE, WEIGHTS_FILE, "record.json", "tokenizer.json", "config.json", "vocab.txt", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "bpe.codes", "sentencepiece.bpe.model",
    "spiece.model", "spm.model", "tokenizer.model", "chat_template.jinja", "generation_config.json",
)  # fmt: skip


class EncoderUnavailable(CosentError, RuntimeError):  # noqa: N818 (as DataUnavailable)
    """The named encoder cannot be had here; the message says why and what would help."""


def checked_texts(texts: Iterable[str], name: str = "texts") -> list[str]:
    """The texts as a list; ``ValueError`` for one that is no text (`fault_of`), which names the first such position."""
    if isinstance(texts, str):
        raise ValueError(f"{name} is one string ({texts[:40]!r}); pass a list of strings")
    if isinstance(texts, Mapping) or hasattr(texts, "columns"):
        raise ValueError(f"{name} is a table, {type(texts).__name__}; pass one of its columns as a list")
    listed = list(texts)
    for position, text in enumerate(listed):
        if fault_of("text", text):
            check_text(f"{name}[{position}]", text)
    return listed


class SentenceEncoder(nn.Module):
    """Texts → vectors ``[n, dim]``, float32 and not normalised (a cosine does not need it).

    Subclasses set ``kind``, ``saved_options``, ``name``, ``dim``, ``default_learning_rate`` and implement ``tokenize``,
    ``embed``, ``parameter_groups``, ``settings``, ``count_unknown``, ``_form`` (unless a ``vocabulary`` is all that
    decides tokens) and the two halves of saving. A loaded encoder is in eval mode.
    """

    kind: ClassVar[str]
    saved_options: ClassVar[dict[str, type]]  # what `_write` returns
    name: str
    dim: int
    default_learning_rate: float
    reads_pairs: ClassVar[bool] = False  # whether it scores pairs instead: see cosent_lib.encoders.cross
    tiny_steps: ClassVar[bool] = False  # of so little work that one thread is faster than several

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """One list of token (or feature) numbers a text. ``ValueError`` for an empty text or a non-string."""
        raise NotImplementedError

    def embed(self, token_ids: Sequence[Sequence[int]]) -> Tensor:
        """Vectors ``[n, dim]`` with gradient, in the order given; n may be 0."""
        raise NotImplementedError

    def parameter_groups(self, learning_rate: float | None = None, weight_decay: float = 0.01) -> list[dict[str, Any]]:
        """Groups for an optimiser: ``params``, ``lr``, ``weight_decay`` and ``sparse``.

        ``sparse`` groups have sparse gradients: they need ``torch.optim.SparseAdam`` (which has no weight
        decay) and no norm clipping. ``learning_rate=None`` takes ``default_learning_rate``.
        """
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """What the encoder is, as JSON-able values, for records."""
        raise NotImplementedError

    def count_cut(self, texts: Sequence[str], token_ids: Sequence[Sequence[int]] | None = None) -> int:
        """How many texts are longer than the encoder reads; none, unless a subclass has a limit.

        ``token_ids``, what ``tokenize`` made of them, saves doing so again.
        """
        return 0

    def count_unknown(self, texts: Sequence[str], token_ids: Sequence[Sequence[int]] | None = None) -> int:
        """How many texts hold nothing that the encoder knows; none, unless a subclass can tell. As `count_cut`."""
        return 0

    def fingerprint(self, weights: bool = True) -> str:
        """SHA-256 of all that decides a vector, not of name or origin; ``weights=False`` leaves the weights out."""
        deciding = {key: value for key, value in self.settings().items() if key not in ("name", "source", "seed")}
        digest = hashlib.sha256(json.dumps([deciding, self._form()], sort_keys=True).encode())
        for name, tensor in self.state_dict().items() if weights else ():
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def _form(self) -> Any:
        """What decides a vector beside weights and settings, above all how a text becomes tokens; JSON-able."""
        return getattr(self, "vocabulary", None)

    def forward(self, texts: Sequence[str]) -> Tensor:
        """``embed(tokenize(texts))``: vectors ``[n, dim]`` with gradient."""
        return self.embed(self.tokenize(texts))

    @torch.no_grad()
    def encode(self, texts: Sequence[str], batch_size: int = 256, progress: bool = False) -> Tensor:
        """Vectors ``[n, dim]`` on the CPU, float32, without gradient and in eval mode.

        Texts are encoded in order of length, so that a batch holds little padding, and given back in the
        order they came in; train or eval mode is afterwards what it was. Texts longer than the encoder reads are cut,
        and a `TextsCutWarning` says how many.

        Args:
            texts: none of them empty.
            batch_size: how many go through the model at once.
            progress: show a progress bar.

        Raises:
            ValueError: a text that is empty or not a string, a batch size below 1.

        Example:
            >>> from cosent_lib import load_encoder
            >>> load_encoder("static", ["a cat", "a dog"], dim=4).encode(["a cat"]).shape
            torch.Size([1, 4])
        """
        check_number("batch_size", batch_size, "a whole number of at least 1", 1, math.inf, whole=True)
        token_ids = self.tokenize(texts)
        warn_of_cut(self, self.count_cut(texts, token_ids), len(token_ids), stacklevel=3)  # one is no_grad's
        order = sorted(range(len(token_ids)), key=lambda i: len(token_ids[i]))
        vectors = torch.empty(len(token_ids), self.dim)
        bar = tqdm(total=len(order), desc="encode", unit="text", disable=not progress)
        with suited_threads(self), evaluating(self), bar:
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                vectors[rows] = self.embed([token_ids[i] for i in rows]).float().cpu()
                bar.update(len(rows))
        return vectors

    def save(self, folder: str | Path, also: Mapping[str, str] | None = None) -> None:
        """Write the encoder to ``folder``, bit for bit: safetensors and JSON, nothing pickled.

        All is written beside the folder and renamed at the end, so an interrupted save leaves no half folder.
        ``encoder.json`` lists the files that were written: they are what a later save may replace.

        Args:
            folder: new, empty, or an earlier encoder, which is replaced.
            also: name → text of files that go with the encoder, such as a record of its training.

        Raises:
            ValueError: the folder holds something else too, ``also`` a name that is not plain or that the encoder
                needs; what was written would be read otherwise.
        """
        check_replaceable(folder)
        with replacing_folder(Path(folder).resolve()) as part:
            config = {"format": FORMAT, "format_version": FORMAT_VERSION, "kind": self.kind, "name": self.name}
            config |= {"written_by": f"cosent_lib {__version__}", "options": self._write(part)}
            own = {CONFIG_FILE, *(each.name for each in part.iterdir())}
            for name, text in (also or {}).items():
                if name in own or not re.fullmatch(r"\w[\w .-]*", name):
                    raise ValueError(f"also names {name!r}; expected a plain file name, and none of {sorted(own)}")
                (part / name).write_text(text, encoding="utf-8", newline="")
            config["files"] = sorted([CONFIG_FILE, *(each.relative_to(part).as_posix() for each in part.rglob("*"))])
            (part / CONFIG_FILE).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The encoder that ``save`` wrote.

        Raises:
            FileNotFoundError: no such folder.
            ValueError: the folder holds something else, an encoder of another class, or a damaged one.
        """
        config = read_config(Path(folder))
        encoder_class = resolve_name(KINDS[config["kind"]])
        if not issubclass(encoder_class, cls):
            raise ValueError(f"{folder} holds a {encoder_class.__name__}, not a {cls.__name__}")
        wanted, options = encoder_class.saved_options, config["options"]
        if {name: type(value) for name, value in options.items()} != wanted:
            expected = ", ".join(f"{name} ({kind.__name__})" for name, kind in wanted.items())
            raise ValueError(f"{Path(folder, CONFIG_FILE)} has options {options!r:.200}; expected {expected}")
        try:
            return encoder_class._read(Path(folder), config["name"], options)
        except Exception as error:  # of whatever class: damaged files bring about many
            raise ValueError(f"{folder} holds no whole {encoder_class.__name__}: {first_line(error)}") from error

    def _write(self, folder: Path) -> dict[str, Any]:
        """Write weights and vocabulary into ``folder``; returns the options that ``_read`` needs."""
        raise NotImplementedError

    @classmethod
    def _read(cls, folder: Path, name: str, options: dict[str, Any]) -> Self:
        """Rebuild the encoder from what ``_write`` left in ``folder``."""
        raise NotImplementedError


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode inside the block; every submodule's own mode restored after it."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def check_replaceable(folder: str | Path) -> None:
    """Refuse to replace what `SentenceEncoder.save` did not write.

    Raises:
        ValueError: ``folder`` is a file, or a folder that is neither empty nor a saved encoder and nothing beside it.
    """
    target = Path(folder).resolve()
    if not target.is_dir():
        if target.exists():
            raise ValueError(f"{folder} is a file; expected a new or empty folder, or one of a saved encoder")
        return
    there = sorted(each.relative_to(target).as_posix() for each in target.rglob("*"))
    if not there:
        return
    try:
        config = read_config(target)
    except ValueError as error:
        raise ValueError(f"{folder} exists and holds no saved encoder; refusing to replace it ({error})") from error
    written = config.get("files", OLDER_STATIC if config["kind"] == "static" else OLDER_TRANSFORMER)
    if foreign := [name for name in there if name not in written]:
        listed = ", ".join(foreign[:5]) + (f" and {len(foreign) - 5} more" if len(foreign) > 5 else "")
        raise ValueError(
            f"{folder} holds more than a saved encoder: {listed}; refusing to replace it. Move that away, or name "
            "another folder"
        )


def read_config(folder: Path) -> dict[str, Any]:
    """The checked ``encoder.json`` of a saved encoder."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected one written by SentenceEncoder.save")
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise ValueError(f"{folder} holds no {CONFIG_FILE}; expected a folder written by SentenceEncoder.save")
    config = read_json(path)
    if config.get("format") != FORMAT:
        raise ValueError(f"{path} is not of format {FORMAT!r}")
    if (version := config.get("format_version")) != FORMAT_VERSION:
        raise ValueError(f"{path} has format version {version!r}; this library reads version {FORMAT_VERSION}")
    if config.get("kind") not in list(KINDS):  # a list: what is there may have no hash
        raise ValueError(f"{path} has kind {config.get('kind')!r}; this library reads {', '.join(KINDS)}")
    for key, kind in (("name", str), ("options", dict)):
        if not isinstance(config.get(key), kind):
            raise ValueError(f"{path} has {key} {config.get(key)!r:.60}; expected a {kind.__name__}")
    files = config.get("files", [])
    if not isinstance(files, list) or not all(isinstance(name, str) for name in files):
        raise ValueError(f"{path} has files {files!r}; expected a list of names")
    return config


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; ``ValueError`` naming it if it is missing or damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} is damaged or missing: {error}") from error


def checked_rate(learning_rate: float | None, default: float) -> float:
    """The learning rate to use; ``ValueError`` unless it is positive and finite."""
    rate = default if learning_rate is None else learning_rate
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"learning_rate is {rate}; expected a positive number")
    return rate
