"""An encoder as a folder of sentence-transformers' own modules, with a model card."""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

from cosent_lib.encoders.base import SentenceEncoder
from cosent_lib.encoders.checkpoint import quiet_transformers
from cosent_lib.encoders.pretrained import TransformerEncoder
from cosent_lib.errors import CosentError
from cosent_lib.files import replacing_folder
from cosent_lib.texts import shown, silent_about_cut
from cosent_lib.version import __version__

POOLINGS = ("cls", "mean", "max")
TOLERANCE = 1e-5  # of a vector's number, relative to the largest
# What a tokenizer may treat in more than one way; the last is longer than any encoder reads.
PROBES = [
    "A cat.",
    "ÉCOLE, naïve Größe",
    "如何取消会员?",
    "２０２６ ﬁne",
    "don't  stop\tnow",
    "a" * 300,
    "the gym is open " * 2000,
]


def to_sentence_transformer(encoder: SentenceEncoder) -> SentenceTransformer:
    """The encoder on sentence-transformers' stock modules, `Transformer` and `Pooling`, in eval mode on the CPU.

    Args:
        encoder: any on a Hugging Face checkpoint, ``small`` among them.

    Raises:
        ValueError: an encoder that those modules cannot be: ``static``, whose features overlap in a text, a pooling
            that they do not have, a cross-encoder (whose saved folder is one of their ``CrossEncoder`` as it is); or a
            tokenizer that they read otherwise, so that vectors would differ.
    """
    if getattr(encoder, "reads_pairs", False):
        raise ValueError(f"{encoder.name!r} is a cross-encoder: the folder that save writes is one for CrossEncoder")
    if not isinstance(encoder, TransformerEncoder):
        raise ValueError(
            f"{encoder.name!r} has no form in stock modules: its features overlap, no tokenizer gives them"
        )
    if encoder.pooling not in POOLINGS:
        raise ValueError(f"pooling {encoder.pooling!r} is no stock module; there are {', '.join(POOLINGS)}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, quiet_transformers():
        encoder._write(Path(folder))
        body = Transformer(folder, max_seq_length=encoder.max_length)
    made = SentenceTransformer(modules=[body, Pooling(encoder.dim, encoder.pooling)], device="cpu")
    made.similarity_fn_name = "cosine"
    _check_same(encoder, made.eval())
    return made


def export_encoder(encoder: SentenceEncoder, folder: str | Path, record: Mapping[str, Any] | None = None) -> None:
    """Write the encoder to a folder that ``SentenceTransformer(folder)`` reads: the same vectors, and a model card.

    Args:
        encoder: as for `to_sentence_transformer`.
        folder: new or empty. It is whole or not there.
        record: of its training, the values of a ``record.json``; the card then says data, loss, settings and scores.

    Raises:
        ValueError: a folder that holds something; a record that lacks what the card tells; and as
            `to_sentence_transformer`.
    """
    target = Path(folder).resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        is_what = "is not empty" if target.is_dir() else "is a file"
        raise ValueError(f"{folder} exists and {is_what}; expected a new folder")
    made = to_sentence_transformer(encoder)
    card = model_card(encoder, record)
    with replacing_folder(target) as part:
        made.save_pretrained(str(part), create_model_card=False)
        (part / "README.md").write_text(card, encoding="utf-8")


def model_card(encoder: SentenceEncoder, record: Mapping[str, Any] | None = None) -> str:
    """The README.md of an exported encoder: what it is, how to use it, and, from a record, how it came about."""
    settings = encoder.settings()
    lines = [
        "---", "library_name: sentence-transformers", "pipeline_tag: sentence-similarity", "tags:",
        "- sentence-transformers", "- sentence-similarity", "---", "", f"# {_plain(encoder.name)}", "",
        f"Texts to vectors of {encoder.dim} numbers, to be compared by their cosine. A `{settings['model_type']}` with "
        f"{settings['pooling']} pooling, {settings['parameters']:,} parameters, {settings['max_length']} tokens a text "
        f"at most; from {_plain(settings['source'])}.", "",
        "    from sentence_transformers import SentenceTransformer", "",
        "    model = SentenceTransformer(FOLDER)",
        '    vectors = model.encode(["How do I cancel my membership?"])', "",
    ]  # fmt: skip
    if record is not None:
        lines += _training(record)
    return "\n".join([*lines, f"Exported by cosent_lib {__version__}.", ""])


class DamagedRecord(CosentError, ValueError):  # noqa: N818 — the name says it
    """A record lacks a field that the card tells, or has another kind of value there."""


def _field(values: Any, path: str, *kinds: type) -> Any:
    """The value at ``path``, such as ``data.train.rows``, of one of these kinds."""
    value = values
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            raise DamagedRecord(f"there is no field {path}; expected a record as training writes it")
        value = value[name]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise DamagedRecord(f"{path} is {value!r:.40}; expected {' or '.join(kind.__name__ for kind in kinds)}")
    return value


def _plain(text: object) -> str:
    """Text on one line, which means nothing in Markdown or HTML."""
    return re.sub(r"([\\`*_<>\[\]|#&])", r"\\\1", " ".join(str(text).split()))


def _name(place: str) -> str:
    """A task, or a split of another task, without the folder where it lay."""
    return _plain(re.split(r"[/\\]", place.rstrip("/\\"))[-1].removeprefix("csv:") or "own pairs")


def _training(record: Mapping[str, Any]) -> list[str]:
    """How it was trained and judged."""
    options = _field(record, "loss_options", Mapping)
    loss = " ".join([_field(record, "loss", str), *(f"{name}={value}" for name, value in options.items())])
    settings = _field(record, "resolved.training", Mapping)
    shown = ["learning_rate", "batch_size", "max_steps" if settings.get("max_steps") else "epochs", "precision"]
    told = ", ".join(f"{name} {_plain(settings[name])}" for name in shown if settings.get(name) is not None)
    task, data, metrics = (
        _field(record, "task", str), _field(record, "data", Mapping), _field(record, "metrics", Mapping)
    )  # fmt: skip
    rows = [f"- {_name(split)}: {_field(found, 'rows', int):,} pairs of {_name(task)}" for split, found in data.items()]
    scores = [
        f"| {_name(split)} | {_field(found, 'spearman', float, int):.4f} |"
        for split, found in metrics.items()
        if found and (not isinstance(found, Mapping) or found.get("spearman") is not None)
    ]
    steps, best = _field(record, "steps", int), _field(record, "best_step", int, type(None))
    kept = f"the best on validation, {best}, was kept" if "validation" in data else "the last was kept"
    return [
        "## Training", "", *rows, "",
        f"Loss {_plain(loss)}; {told}; seed {_field(record, 'seed', int)}; {steps} steps, of which {kept}.", "",
        "| pairs | Spearman |", "|---|---|", *scores, "",
        "`test_untrained`, if it is there, is test before the first step.", "",
    ]  # fmt: skip


def _check_same(encoder: SentenceEncoder, made: SentenceTransformer) -> None:
    """Refuse an export whose vectors are others."""
    probes = [text for text in PROBES if _reads(encoder, text)]
    with silent_about_cut():
        ours = encoder.encode(probes)
    theirs = made.encode(probes, convert_to_tensor=True, show_progress_bar=False).cpu()
    apart = (ours - theirs).abs().amax(1) / ours.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny)
    if not bool((apart <= TOLERANCE).all()):
        worst = int(apart.nan_to_num(torch.inf).argmax())
        raise ValueError(
            f"{encoder.name!r} cannot be exported: sentence-transformers gives {shown(probes[worst])} another vector "
            f"(by {float(apart[worst]):.1e}); its tokenizer is read otherwise there"
        )


def _reads(encoder: SentenceEncoder, text: str) -> bool:
    """Whether the tokenizer finds a token; one without a token for unknown characters may not."""
    try:
        return bool(encoder.tokenize([text]))
    except ValueError:
        return False
