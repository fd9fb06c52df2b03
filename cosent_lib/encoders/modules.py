"""What sentence-transformers says beside a checkpoint: followed where an encoder here does the same, else refused."""

import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from cosent_lib.errors import check_number
from cosent_lib.files import read_json

MODULES_FILE = "modules.json"
PROMPTS_FILE = "config_sentence_transformers.json"
TRANSFORMER_FILES = [
    f"sentence_{kind}_config.json" for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta")
]  # one of them, by the version that wrote it
# older names of a pooling, and ours; those without are refused
POOLING_SWITCHES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# Settings of its transformer that say what is done here too: the last layer's token vectors of a text.
PLAIN: dict[str, Any] = {
    "transformer_task": "feature-extraction",
    "module_output_name": "token_embeddings",
    "text": {"method": "forward", "method_output_name": "last_hidden_state"},
}


class Recommended(NamedTuple):
    """How a checkpoint wants to be read."""

    subfolder: str = ""  # with the transformer
    pooling: str | None = None
    max_length: int | None = None  # tokens; None: the tokenizer says
    lower_case: bool = False
    asked: bool = True  # False: the hub is not to be reached, and what it may say is unknown


def read_recommended(name: str, revision: str | None = None, pooling: str | None = None) -> Recommended | None:
    """What ``modules.json`` and the files it names say; None where there is no such file.

    A last Normalize is left out, for it changes no cosine. Prompts that its ``encode`` does not add by itself are not
    added here either, and a warning names them.

    Args:
        name: a folder, or an id of the hub.
        revision: of the hub.
        pooling: instead of what the files say of pooling.

    Raises:
        ValueError: they ask for what no encoder here does (names it), or a file is damaged.
        OSError: the hub refuses.
    """
    read = _reader(name, revision)
    try:
        modules = read(MODULES_FILE, list)
    except LocalEntryNotFoundError:
        return Recommended(asked=False)
    if modules is None:
        return None
    for module in modules:
        if not isinstance(module, dict) or not all(isinstance(module.get(key), str) for key in ("type", "path")):
            expected = "expected an object with a type and a path, both texts"
            raise ValueError(f"{MODULES_FILE} holds {module!r:.60}; {expected}")
    kinds = [_kind(module["type"]) for module in modules]
    places = [module["path"] for module in modules]
    if outside := [place for place in places if PurePosixPath(place).is_absolute() or ".." in place]:
        raise ValueError(f"{MODULES_FILE} names {outside[0]!r}, which is outside of its folder")
    if kinds[:2] != ["Transformer", "Pooling"] or not set(kinds[2:]) <= {"Normalize"}:
        foreign = [kind for kind in kinds if kind not in ("Transformer", "Pooling", "Normalize")]
        what = f"{', '.join(foreign)} cannot be followed" if foreign else f"found {', '.join(kinds) or 'nothing'}"
        raise ValueError(f"{MODULES_FILE}: {what}; expected Transformer, Pooling and at most Normalize")
    found = (read(str(PurePosixPath(places[0], file))) for file in TRANSFORMER_FILES)
    transformer: dict[str, Any] = next((settings for settings in found if settings), {})
    _check_transformer(transformer)
    _check_prompts(name, read(PROMPTS_FILE) or {})
    if pooling is None:
        file = str(PurePosixPath(places[1], "config.json"))
        pooling = _pooling(file, read(file) or {})
    return Recommended(places[0], pooling, transformer.get("max_seq_length"), bool(transformer.get("do_lower_case")))


def _reader(name: str, revision: str | None) -> Callable[..., Any]:
    """A function that gives the content of a JSON file of the checkpoint, or None where there is none."""

    def read(file: str, kind: type = dict) -> Any:
        path = Path(name, file) if Path(name).is_dir() else _from_hub(name, file, revision)
        return None if path is None or not path.exists() else read_json(path, kind)

    return read


def _from_hub(name: str, file: str, revision: str | None) -> Path | None:
    try:
        return Path(hf_hub_download(name, file, revision=revision))
    except LocalEntryNotFoundError:  # not to be reached; the cache may know that there is none
        if file == MODULES_FILE and try_to_load_from_cache(name, file, revision=revision) is None:
            raise
    except EntryNotFoundError:
        pass
    return None


def _kind(path: str) -> str:
    """The class of a module: its last name if it is sentence-transformers' own."""
    return path.rpartition(".")[2] if path.startswith("sentence_transformers.") else path


def _check_transformer(settings: Mapping[str, Any]) -> None:
    """Refuse settings of its transformer that would give other token vectors than the last layer's, or say nothing."""
    if (length := settings.get("max_seq_length")) is not None:
        check_number("its max_seq_length", length, "a whole number of at least 3 (or null)", 3, math.inf, whole=True)
    if not isinstance(lower := settings.get("do_lower_case", False), bool):
        raise ValueError(f"its do_lower_case must be true or false, got {lower!r:.60}")
    modalities = settings.get("modality_config") or {"text": PLAIN["text"]}
    text = modalities.get("text") if isinstance(modalities, dict) else modalities
    said = {key: value for key, value in settings.items() if value} | {"text": text}
    known = ("max_seq_length", "do_lower_case", "unpad_inputs", "modality_config")
    foreign = [f"{key} {value!r:.60}" for key, value in said.items() if key not in known and value != PLAIN.get(key)]
    if foreign:
        raise ValueError(f"settings of its transformer cannot be followed: {', '.join(foreign)}")


def _check_prompts(name: str, settings: Mapping[str, Any]) -> None:
    """Refuse a prompt that is put before every text; warn of those that are put before some."""
    listed, default = settings.get("prompts") or {}, settings.get("default_prompt_name")
    if not isinstance(listed, dict) or default not in [None, *listed]:
        raise ValueError(
            f"{PROMPTS_FILE} has prompts {listed!r:.60} and default_prompt_name {default!r:.60}; expected "
            "texts by name, and one of the names or null"
        )
    prompts = {key: text for key, text in listed.items() if text}
    if default in prompts:
        raise ValueError(f"the prompt {default!r}, {prompts[default]!r:.60} before every text, cannot be followed")
    if prompts:
        said = ", ".join(f"{key} {text!r:.60}" for key, text in prompts.items())
        warnings.warn(f"{name} has prompts, which are not added here: {said}; put them before its texts", stacklevel=6)


def _pooling(file: str, settings: Mapping[str, Any]) -> str:
    """The one pooling of the older form (switches), of the newer one, or of both where they agree."""
    switches = {key: value for key, value in settings.items() if key.startswith("pooling_mode_")}
    on = [POOLING_SWITCHES.get(key, key) for key, value in switches.items() if value]
    given = settings.get("pooling_mode", on)
    modes = given if isinstance(given, list) else [given]
    if not modes:
        raise ValueError(f"{file}, which should name its pooling, is missing or names none; expected cls, mean or max")
    if (on and on != modes) or not all(isinstance(value, bool) for value in switches.values()):
        raise ValueError(f"{file} contradicts itself on its pooling: {settings!r:.200}")
    if len(modes) > 1 or modes[0] not in ("cls", "mean", "max"):
        said = " joined to ".join(map(str, modes))
        raise ValueError(f"its pooling, {said}, cannot be followed; there are cls, mean and max ({file})")
    return modes[0]
