"""Text → vectors: the front door of the encoders, :func:`cosent_lib.load_encoder`.

:class:`cosent_lib.SentenceEncoder`, in ``base.py``, is what all of them offer; ``static.py`` holds the embedding bag,
``small.py`` the BERT from scratch, ``pretrained.py`` the checkpoints, ``pooling.py`` what makes one vector of many.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from cosent_lib.encoders.base import CONFIG_FILE, KINDS, SentenceEncoder, read_config

ENCODERS = ("static", "small", "minilm")  # names of our own, beside folders and hub ids
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def load_encoder(
    name: str,
    texts: Sequence[str] | None = None,
    *,
    dim: int | None = None,
    layers: int | None = None,
    vocabulary_size: int | None = None,
    seed: int = 0,
    pooling: str | None = None,
    max_length: int | None = None,
    revision: str | None = None,
) -> SentenceEncoder:
    """The encoder called ``name``, on the CPU and in eval mode.

    - ``"static"``: an embedding bag with a vocabulary from ``texts`` (needed; the training texts). Options
      ``dim`` (128), ``vocabulary_size`` (20,000), ``seed`` of its random vectors.
    - ``"small"``: a BERT with random weights from ``seed`` and a WordPiece vocabulary from ``texts`` (needed). Options
      ``dim`` (128, a multiple of 32), ``layers`` (2), ``vocabulary_size`` (10,000), ``max_length`` (128), ``pooling``.
    - ``"minilm"``: all-MiniLM-L6-v2, hash checked. Options ``pooling`` ("mean"), ``max_length`` (256 tokens).
    - a local folder: one written by ``SentenceEncoder.save`` (its own settings hold unless ``pooling`` or
      ``max_length`` is given), or a Hugging Face checkpoint. Write "./static" if it is called like one of ours.
    - ``"cross:"`` before ``small``, ``minilm``, a folder or a hub id: a cross-encoder (`CrossEncoder`) that starts from
      it, with a head drawn from ``seed``, or the cross-encoder that a checkpoint already is. No ``pooling``.
    - a hub id "owner/name". Option ``revision``. For checkpoints ``pooling`` is "mean" and ``max_length`` 128
      unless given, or what sentence-transformers wrote beside them; one that it reads in a way that no encoder here
      does (other poolings, a Dense layer, a prompt before every text) is refused.

    Poolings: "cls", "mean", "max", "first_last_mean" (see ``cosent_lib.encoders.pooling.pool``). An option that is
    not given is None. ``texts`` and ``seed`` are not used by encoders that are already trained; any other option that
    an encoder does not have is refused.

    Args:
        name: as above.
        texts: where the vocabulary comes from.
        dim: length of a vector.
        layers: of the transformer.
        vocabulary_size: most tokens or features.
        seed: of random weights.
        pooling: how token vectors become one.
        max_length: tokens of a text, special ones included; the rest is cut off.
        revision: commit, tag or branch on the hub.

    Raises:
        ValueError: an unknown name or option, no texts where a vocabulary is needed, a size out of range.
        EncoderUnavailable: an encoder that cannot be had here, or not be read as it wants to be.

    Example:
        >>> load_encoder("static", texts=["a cat", "a dog"]).dim
        128
    """
    options: dict[str, object] = {"dim": dim, "layers": layers, "vocabulary_size": vocabulary_size}
    options |= {"pooling": pooling, "max_length": max_length, "revision": revision}
    given = {option: value for option, value in options.items() if value is not None}
    if name.startswith("cross:"):
        return _cross(name.removeprefix("cross:"), texts, seed, given)
    if name in ("static", "small"):
        return _from_texts(name, texts, seed, given)
    from cosent_lib.encoders.pretrained import load_minilm, load_transformer

    if name == "minilm":
        _check_options(name, given, ("pooling", "max_length"))
        return load_minilm(pooling=pooling, max_length=max_length)
    if Path(name).is_dir():
        return _from_folder(Path(name), given)
    if _HUB_ID.fullmatch(name):
        _check_options(name, given, ("pooling", "max_length", "revision"))
        return load_transformer(name, pooling=pooling, max_length=max_length, revision=revision)
    raise ValueError(
        f"unknown encoder {name!r}; expected {', '.join(map(repr, ENCODERS))}, an existing folder, or a hub id "
        "'owner/name'"
    )


def _from_texts(name: str, texts: Sequence[str] | None, seed: int, given: dict[str, object]) -> SentenceEncoder:
    sizes = ("dim", "vocabulary_size")
    _check_options(name, given, sizes if name == "static" else (*sizes, "layers", "pooling", "max_length"))
    if texts is None:
        raise ValueError(f"encoder {name!r} takes its vocabulary from texts: load_encoder({name!r}, texts=[...])")
    encoder_class: Any = resolve_name(KINDS[name])
    return encoder_class.from_texts(texts, seed=seed, **given)


def _from_folder(folder: Path, given: dict[str, object]) -> SentenceEncoder:
    """A saved encoder of ours, or a checkpoint of transformers."""
    from cosent_lib.encoders.pretrained import TransformerEncoder, load_transformer

    if not (folder / CONFIG_FILE).is_file():
        _check_options(str(folder), given, ("pooling", "max_length"))
        return load_transformer(str(folder), **given)  # type: ignore[arg-type]
    encoder = SentenceEncoder.load(folder)
    if isinstance(encoder, TransformerEncoder):
        _check_options(str(folder), given, ("max_length",) if encoder.reads_pairs else ("pooling", "max_length"))
        encoder.configure(**given)  # type: ignore[arg-type]
    else:
        _check_options(str(folder), given, ())
    return encoder


def _cross(name: str, texts: Sequence[str] | None, seed: int, given: dict[str, Any]) -> SentenceEncoder:
    from cosent_lib.encoders.cross import CrossEncoder, load_cross
    from cosent_lib.encoders.pretrained import TransformerEncoder

    if "pooling" in given or name == "static":
        what = "no option 'pooling': it reads pairs whole" if "pooling" in given else "nothing to start from: a bag of"
        raise ValueError(f"encoder 'cross:{name}' has {what}{' words reads no pairs' if name == 'static' else ''}")
    if name not in ENCODERS and not Path(name, CONFIG_FILE).is_file():
        found = load_cross(name, given.get("max_length"), given.get("revision"))
        if found is not None:
            known = ("max_length",) if Path(name).is_dir() else ("max_length", "revision")
            _check_options(f"cross:{name}", given, known)
            return found
    encoder = load_encoder(name, texts, seed=seed, **given)
    if isinstance(encoder, CrossEncoder):
        return encoder
    if not isinstance(encoder, TransformerEncoder):
        raise ValueError(f"encoder 'cross:{name}': {type(encoder).__name__} is no transformer, it reads no pairs")
    return CrossEncoder.over(encoder, seed)


def reads_pairs(name: str) -> bool:
    """Whether `load_encoder` makes a cross-encoder of ``name``; nothing is loaded."""
    if name.startswith("cross:"):
        return True
    try:
        return name not in ENCODERS and read_config(Path(name))["kind"] == "cross"
    except (OSError, ValueError):
        return False


def _check_options(name: str, given: dict[str, object], known: tuple[str, ...]) -> None:
    """An option that the encoder does not have is an error, never ignored."""
    for option in given:
        if option not in known:
            has = f"it has {', '.join(known)}" if known else "its settings are part of it"
            raise ValueError(f"encoder {name!r} has no option {option!r}; {has}")
