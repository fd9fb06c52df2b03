"""Model and tokenizer of a Hugging Face checkpoint, whole or refused."""

import inspect
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer, normalizers
from transformers import MODEL_MAPPING, AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from cosent_lib.errors import first_line


def read_checkpoint(
    name: str, *, revision: str | None = None, subfolder: str = "", saved: bool = False, scoring: bool = False
) -> tuple[Any, Any]:
    """Model and tokenizer; a checkpoint that lacks weights or words is refused, not filled with random ones.

    ``saved``: a folder of ours, which holds nothing else, and the tokenizer as it was. ``scoring``: with its head.
    """
    where: dict[str, Any] = {"revision": revision, "subfolder": subfolder, "trust_remote_code": False}  # never its code
    config = AutoConfig.from_pretrained(name, **where)
    model_class: Any = MODEL_MAPPING.get(type(config), None)
    takes_pooler = inspect.isclass(model_class) and "add_pooling_layer" in inspect.signature(model_class).parameters
    options: dict[str, Any] = {"add_pooling_layer": False} if takes_pooler and not scoring else {}
    options |= where | {"use_safetensors": saved or None, "output_loading_info": True, "ignore_mismatched_sizes": True}
    # Building a model may draw random numbers; the global generator is the reader's.
    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        try:
            auto = AutoModelForSequenceClassification if scoring else AutoModel
            model, report = auto.from_pretrained(name, **options)
        except SafetensorError as error:
            raise ValueError(f"the weights of {name} are damaged: {error}") from error
        try:
            tokenizer = read_tokenizer(name, saved, **where)
        except Exception as error:  # of a damaged file, one that has no class of its own
            raise ValueError(f"the tokenizer of {name} cannot be read: {first_line(error)}") from error
    _check_tokenizer(name, tokenizer, model)
    _check_weights(name, model, report, saved)
    return model, tokenizer


def read_tokenizer(name: str, saved: bool, **where: Any) -> Any:
    """The tokenizer; of a folder of ours with all its steps as saved, some of which transformers would rebuild."""
    tokenizer = AutoTokenizer.from_pretrained(name, **where)
    if saved and tokenizer.is_fast:
        written = Tokenizer.from_file(str(Path(name, "tokenizer.json")))
        for step in ("normalizer", "pre_tokenizer", "post_processor"):
            setattr(tokenizer.backend_tokenizer, step, getattr(written, step))
    return tokenizer


def form_of(tokenizer: Any) -> list[Any]:
    """What decides the tokens of a text, JSON-able: not where it came from, nor what its last call padded and cut."""
    how = [tokenizer.truncation_side, getattr(tokenizer, "split_special_tokens", False)]
    if not tokenizer.is_fast:
        return [*how, type(tokenizer).__name__, tokenizer.get_vocab()]
    steps = json.loads(tokenizer.backend_tokenizer.to_str())
    return [*how, {name: step for name, step in steps.items() if name not in ("padding", "truncation")}]


def _check_weights(name: str, model: Any, report: Mapping[str, Any], saved: bool) -> None:
    """Refuse weights that are missing, left over (but for those of a foreign head), of other shapes or not finite."""
    body = {part for part, _ in model.named_children()}
    left = (key.removeprefix(f"{model.base_model_prefix}.") for key in report["unexpected_keys"])
    for fault, keys in (
        ("lacks", report["missing_keys"]),
        ("has, beyond what its config.json says,", [key for key in left if saved or key.partition(".")[0] in body]),
        ("has in other shapes than its config.json says", [key for key, *_ in report["mismatched_keys"]]),
        ("has not finite", [key for key, weight in model.named_parameters() if not weight.isfinite().all()]),
    ):
        if keys:
            raise ValueError(f"{name} {fault} {len(keys)} weights of {type(model).__name__}, first {min(keys)!r}")


def _check_tokenizer(name: str, tokenizer: Any, model: Any) -> None:
    """Refuse a tokenizer without words, which is what transformers makes of missing files, and one of another model."""
    vocabulary = tokenizer.get_vocab()
    numbers = [vocabulary[token] for token in vocabulary.keys() - set(tokenizer.all_special_tokens)]
    if len(numbers) < 2:
        files = " or ".join(sorted(tokenizer.vocab_files_names.values())) or "tokenizer.json"
        raise ValueError(f"{name} has a tokenizer without words; expected its files there: {files}")
    size = getattr(model.config, "vocab_size", None)
    largest = max(*numbers, *tokenizer("a")["input_ids"], tokenizer.unk_token_id or 0)  # with what stands round a text
    if size is not None and largest >= size:
        raise ValueError(
            f"the tokenizer of {name} numbers its tokens up to {largest}, the model has vectors for {size}; "
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
