"""What every sentence encoder offers, and how one is written to a folder and read back."""

import hashlib
import json
import math
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
from cosent_lib.errors import CosentError
from cosent_lib.files import replacing_folder
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
}

# what may stand beside an encoder.json that lists no files: versions before the list wrote no others
OLDER_FILES = (
    CONFIG_FILE, WEIGHTS_FILE, "record.json", "vocabulary.json", "tokenizer.json", "config.json", "vocab.txt",
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "bpe.codes",
    "sentencepiece.bpe.model", "spiece.model", "spm.model", "tokenizer.model", "chat_template.jinja",
    "generation_config.json",
)  # fmt: skip


class EncoderUnavailable(CosentError, RuntimeError):  # noqa: N818 (as DataUnavailable)
    """The named encoder cannot be had here; the message says why and what would help."""


def checked_texts(texts: Iterable[str]) -> list[str]:
    """The texts as a list.

    Raises:
        ValueError: one is no text (`fault_of`); names the first such position.
    """
    if isinstance(texts, str):
        raise ValueError(f"texts is one string ({texts[:40]!r}); pass a list of strings")
    listed = list(texts)
    for position, text in enumerate(listed):
        if fault_of("text", text):
            check_text(f"texts[{position}]", text)
    return listed


class SentenceEncoder(nn.Module):
    """Texts → vectors ``[n, dim]``, float32 and not normalised (a cosine does not need it).

    Subclasses set ``kind``, ``name``, ``dim``, ``default_learning_rate`` and implement ``tokenize``,
    ``embed``, ``parameter_groups``, ``settings`` and the two halves of saving. A loaded encoder is in eval mode.
    """

    kind: ClassVar[str]
    name: str
    dim: int
    default_learning_rate: float
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

    def fingerprint(self) -> str:
        """SHA-256 of all that decides a vector, so that vectors can tell their encoder: weights, vocabulary, settings.

        Where the encoder came from and what it is called are left out.
        """
        deciding = {key: value for key, value in self.settings().items() if key not in ("name", "source", "seed")}
        read = json.dumps([deciding, getattr(self, "vocabulary", None)], sort_keys=True)
        digest = hashlib.sha256(read.encode())
        for tensor in self.state_dict().values():
            digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()

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
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; expected at least 1")
        token_ids = self.tokenize(texts)
        warn_of_cut(self, self.count_cut(texts, token_ids), len(token_ids), stacklevel=3)  # one is no_grad's
        order = sorted(range(len(token_ids)), key=lambda i: len(token_ids[i]))
        vectors = torch.empty(len(token_ids), self.dim)
        bar = tqdm(total=len(order), desc="encode", unit="text", disable=not progress)
        with suited_threads(self), _evaluating(self), bar:
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
            ValueError: the folder holds something else, or something beside an encoder; names it.
        """
        check_replaceable(folder)
        with replacing_folder(Path(folder).resolve()) as part:
            config = {"format": FORMAT, "format_version": FORMAT_VERSION, "kind": self.kind, "name": self.name}
            config |= {"written_by": f"cosent_lib {__version__}", "options": self._write(part)}
            for name, text in (also or {}).items():
                with (part / name).open("x", encoding="utf-8") as file:  # x: never over a file of the encoder's
                    file.write(text)
            config["files"] = sorted([CONFIG_FILE, *(each.relative_to(part).as_posix() for each in part.rglob("*"))])
            (part / CONFIG_FILE).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The encoder that ``save`` wrote.

        Raises:
            FileNotFoundError: no such folder.
            ValueError: the folder holds something else, or an encoder of another class.
        """
        config = read_config(Path(folder))
        encoder_class = resolve_name(KINDS[config["kind"]])
        if not issubclass(encoder_class, cls):
            raise ValueError(f"{folder} holds a {encoder_class.__name__}, not a {cls.__name__}")
        return encoder_class._read(Path(folder), config["name"], config["options"])

    def _write(self, folder: Path) -> dict[str, Any]:
        """Write weights and vocabulary into ``folder``; returns the options that ``_read`` needs."""
        raise NotImplementedError

    @classmethod
    def _read(cls, folder: Path, name: str, options: dict[str, Any]) -> Self:
        """Rebuild the encoder from what ``_write`` left in ``folder``."""
        raise NotImplementedError


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
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
        written = read_config(target).get("files", OLDER_FILES)
    except ValueError as error:
        raise ValueError(f"{folder} exists and holds no saved encoder; refusing to replace it ({error})") from error
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
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ValueError(f"{path} is not of format {FORMAT!r}")
    if config.get("format_version") != FORMAT_VERSION:
        version = config.get("format_version")
        raise ValueError(f"{path} has format version {version!r}; this library reads version {FORMAT_VERSION}")
    if config.get("kind") not in KINDS:
        raise ValueError(f"{path} has kind {config.get('kind')!r}; this library reads {', '.join(KINDS)}")
    if missing := {"name", "options"} - config.keys():
        raise ValueError(f"{path} lacks {', '.join(sorted(missing))}")
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
