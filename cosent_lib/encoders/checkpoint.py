"""Model and tokenizer of a Hugging Face checkpoint, whole or refused."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from safetensors import SafetensorError
from tokenizers import normalizers
from transformers import MODEL_MAPPING, AutoConfig, AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging


def read_checkpoint(
    name: str, *, revision: str | None = None, subfolder: str = "", use_safetensors: bool | None = None
) -> tuple[Any, Any]:
    """Model and tokenizer; a checkpoint that lacks weights or words is refused, not filled with random ones."""
    where: dict[str, Any] = {"revision": revision, "subfolder": subfolder, "trust_remote_code": False}  # never its code
    config = AutoConfig.from_pretrained(name, **where)
    model_class: Any = MODEL_MAPPING.get(type(config), None)
    takes_pooler = inspect.isclass(model_class) and "add_pooling_layer" in inspect.signature(model_class).parameters
    options: dict[str, Any] = {"add_pooling_layer": False} if takes_pooler else {}
    options |= where | {"use_safetensors": use_safetensors, "output_loading_info": True}
    # Building a model may draw random numbers; the global generator is the reader's.
    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        try:
            model, report = AutoModel.from_pretrained(name, **options)
        except SafetensorError as error:
            raise ValueError(f"the weights of {name} are damaged: {error}") from error
        try:
            tokenizer = AutoTokenizer.from_pretrained(name, **where)
        except Exception as error:  # of a damaged file, one that has no class of its own
            raise ValueError(f"the tokenizer of {name} cannot be read: {first_line(error)}") from error
    _check_tokenizer(name, tokenizer, model)
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise ValueError(f"{name} lacks {len(missing)} weights of {type(model).__name__}, first {missing[0]!r}")
    return model, tokenizer


def _check_tokenizer(name: str, tokenizer: Any, model: Any) -> None:
    """Refuse a tokenizer without words, which is what transformers makes of missing files, and one of another model."""
    vocabulary = tokenizer.get_vocab()
    numbers = [vocabulary[token] for token in vocabulary.keys() - set(tokenizer.all_special_tokens)]
    if len(numbers) < 2:
        files = " or ".join(sorted(tokenizer.vocab_files_names.values())) or "tokenizer.json"
        raise ValueError(f"{name} has a tokenizer without words; expected its files there: {files}")
    size = getattr(model.config, "vocab_size", None)
    if size is not None and max(numbers) >= size:
        raise ValueError(
            f"the tokenizer of {name} numbers its tokens up to {max(numbers)}, the model has vectors for {size}; "
            "expected the tokenizer of this model"
        )


def lower_case(name: str, tokenizer: Any) -> None:
    """Have a tokenizer lower all letters first."""
    if not tokenizer.is_fast:
        raise ValueError(f"{name} wants lower case, which its tokenizer of the older kind cannot be taught")
    lower, own = normalizers.Lowercase(), tokenizer.backend_tokenizer.normalizer
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence([lower, own]) if own else lower


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars and load reports inside: what a report could say is checked here, and raised as an error."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def first_line(error: BaseException) -> str:
    """What an error says first."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
