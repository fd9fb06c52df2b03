"""The words of the built-in corpus: what can be asked for, and every way to say it.

In ``corpus_words.json``, frozen together with ``cosent_lib.data.corpus``: a changed word changes the checksums there.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple


class Grammar(NamedTuple):
    """The words of one language.

    `actions` hold ``{o}`` where the object goes; `frames` hold ``{x}`` (action with object) and ``{c}`` (circumstance).
    Each slot is a tuple of values, each value a tuple of interchangeable wordings.
    """

    actions: tuple[tuple[str, ...], ...]
    objects: tuple[tuple[str, ...], ...]
    circumstances: tuple[tuple[str, ...], ...]
    frames: tuple[str, ...]

    @property
    def slots(self) -> tuple[tuple[tuple[str, ...], ...], ...]:
        """The three slots in the order in which a `Meaning` indexes them."""
        return self.actions, self.objects, self.circumstances


def _tuples(value: Any) -> Any:
    """Lists, of whatever depth, as tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


_WORDS = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
GRAMMARS = {name: Grammar(**{slot: _tuples(words) for slot, words in each.items()}) for name, each in _WORDS.items()}
