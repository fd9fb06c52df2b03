"""The `small` encoder: a BERT of two layers with random weights, and a tokenizer trained on the given texts.

It sees the order of words, which `static` does not, and learns everything from the training pairs.
"""

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from cosent_lib.encoders.base import checked_texts
from cosent_lib.encoders.pretrained import TransformerEncoder

SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
HEAD_WIDTH = 32  # of each attention head, as in MiniLM
COVERAGE = 0.99  # share of the texts' characters that the vocabulary must be able to spell


class SmallEncoder(TransformerEncoder):
    """A ``BertModel`` from scratch: heads of 32, feed-forward layers four times as wide as the model, BERT's dropout.

    Everything but its start, saving included, is a ``TransformerEncoder``'s.
    """

    kind: ClassVar[str] = "small"
    tiny_steps: ClassVar[bool] = True
    # Best of 2e-4, 5e-4, 1e-3 and 2e-3 by validation Spearman of CoSENT: LCQMC after 600 steps, STS-B zh after 300.
    default_learning_rate = 1e-3

    @classmethod
    def from_texts(
        cls,
        texts: Sequence[str],
        *,
        dim: int = 128,
        layers: int = 2,
        vocabulary_size: int = 10_000,
        max_length: int = 128,
        pooling: str = "mean",
        seed: int = 0,
    ) -> Self:
        """A fresh encoder: tokenizer from ``texts``, weights from ``seed``; ``ValueError`` for a size out of range."""
        if dim < HEAD_WIDTH or dim % HEAD_WIDTH:
            raise ValueError(f"dim is {dim}; expected a multiple of {HEAD_WIDTH}, the width of an attention head")
        if layers < 1 or max_length < 3:
            raise ValueError(f"layers is {layers} and max_length {max_length}; expected at least 1 and 3")
        tokenizer = train_tokenizer(texts, vocabulary_size)
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=dim,
            num_hidden_layers=layers,
            num_attention_heads=dim // HEAD_WIDTH,
            intermediate_size=4 * dim,
            max_position_embeddings=max_length,
            pad_token_id=tokenizer.pad_token_id,
        )
        with torch.random.fork_rng(devices=[]):  # the global generator is the reader's
            torch.default_generator.manual_seed(seed)
            model = BertModel(config, add_pooling_layer=False)
        source = f"random weights, seed {seed}"
        return cls(model, tokenizer, name="small", source=source, pooling=pooling, max_length=max_length)


def train_tokenizer(texts: Sequence[str], vocabulary_size: int) -> PreTrainedTokenizerFast:
    """A lower-case WordPiece tokenizer of ``texts``; every Han character is a token of its own.

    The same texts, in whatever order, give the same tokenizer. Characters come first; the rarest may find no room and
    become [UNK]. ``ValueError`` if the rest makes up less than 99 % of the texts, or these hold no character.
    """
    distinct = list(dict.fromkeys(checked_texts(texts)))
    tokenizer = _tokenizer({name: number for number, name in enumerate(SPECIAL.values())})
    alphabet, pieces = _alphabet(tokenizer, distinct, vocabulary_size)
    # The trainer numbers "##a" and the like as a hash table gives them, anew in every process, and breaks ties by the
    # numbers. So they are listed for it, as if special; the vocabulary is then put into a tokenizer without that.
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[*SPECIAL.values(), *pieces],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(distinct, trainer)
    trained = _tokenizer(tokenizer.get_vocab())
    return PreTrainedTokenizerFast(tokenizer_object=trained, **SPECIAL)


def _tokenizer(vocabulary: dict[str, int]) -> Tokenizer:
    """BERT's steps, and NFKC before them (full-width letters become plain)."""
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=SPECIAL["unk_token"]))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.BertNormalizer(strip_accents=False)])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    cls, sep = ((SPECIAL[name], vocabulary[SPECIAL[name]]) for name in ("cls_token", "sep_token"))
    tokenizer.post_processor = processors.BertProcessing(sep, cls)
    return tokenizer


def _alphabet(tokenizer: Tokenizer, texts: Sequence[str], vocabulary_size: int) -> tuple[list[str], list[str]]:
    """The most frequent characters that find room, and the pieces they are: "a", and "##a" where it follows another."""
    words = Counter(tokenizer.normalizer.normalize_str("\n".join(texts)).split())  # Han characters stand alone by now
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    if not counts:
        raise ValueError(f"{len(texts)} texts hold no character to build a vocabulary from")
    following = {character for word in words for character in word[1:]}
    alphabet: list[str] = []
    pieces: list[str] = []
    for character in sorted(counts, key=lambda c: (-counts[c], c)):
        forms = [character, f"##{character}"] if character in following else [character]
        if len(SPECIAL) + len(pieces) + len(forms) > vocabulary_size:
            break
        alphabet.append(character)
        pieces += forms
    share = sum(counts[character] for character in alphabet) / counts.total()
    if share < COVERAGE:
        raise ValueError(
            f"vocabulary_size {vocabulary_size} has room for {len(alphabet)} of {len(counts)} characters, {share:.1%} "
            f"of the texts; expected a size that covers {COVERAGE:.0%}"
        )
    return alphabet, pieces
