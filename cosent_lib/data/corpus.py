"""The built-in corpus: customer-service requests, generated, the same bytes everywhere.

A *meaning* is a triple (action, object, circumstance), such as *pause* × *gym membership* × *while abroad*. Each of
the three slots can be worded in three or four ways and the whole put into one of ten frames, so that a meaning has
several hundred wordings and a wording has exactly one meaning. From this come pairs whose labels are known without
noise:

- **positives** say the same meaning in other words: another wording in every slot and another frame (few shared words);
- **hard negatives** change one slot and keep the frame and every other word (many shared words);
- **random negatives** are two meanings drawn independently.

That a labelled negative shares *more* words than a positive is overdone on purpose: it isolates one trait of real
labelled pairs. The corpus shows a mechanism; claims about language rest on real data.

The generator is frozen: `CHECKSUMS` holds the SHA-256 of every split and a test recomputes them. To make the bytes
independent of platform and Python version, everything is drawn through `random.Random.random`, the one method whose
sequence Python promises to keep, and nothing depends on the order of a set or on a hash.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from itertools import combinations, product
from random import Random
from typing import NamedTuple, TypeVar

from cosent_lib.data.corpus_words import GRAMMARS

T = TypeVar("T")
Meaning = tuple[int, int, int]
Wording = tuple[int, int, int, int]


class Pair(NamedTuple):
    """Two sentences and their raw label: 0 or 1 (same meaning), or 0–3 (number of shared slots)."""

    sentence1: str
    sentence2: str
    score: int


LANGUAGES = {"builtin": "en", "builtin_random": "en", "builtin_graded": "en", "builtin_zh": "zh"}
SIZES = {"train": 12_000, "validation": 1_500, "test": 3_000, "test_random": 3_000}
# SHA-256 of every split, fixed before any loss was trained on the corpus
CHECKSUMS = {
    ("builtin", "train"): "c9f37ad27ffc8dc7bda5ed82d0246a11b352d3410c67aa62017952f32186924b",
    ("builtin", "validation"): "e4e9b34bc7717e41ecee4ac550ab750388ce87ff4be584a9e5e98b59fe3bac73",
    ("builtin", "test"): "f1d22b056fc39409a190970197da1d8e26524db2bf904d38e63e3e3463cd5f1a",
    ("builtin_random", "train"): "5aff17b50d3628a91c06361098db2c6e5fb13235d48563571e1e2f6e0e70366c",
    ("builtin_random", "validation"): "e4e9b34bc7717e41ecee4ac550ab750388ce87ff4be584a9e5e98b59fe3bac73",
    ("builtin_random", "test"): "f1d22b056fc39409a190970197da1d8e26524db2bf904d38e63e3e3463cd5f1a",
    ("builtin_random", "test_random"): "691fcdb2cccb8bb2c24226eef248b652e2455719e8fa3aaf104e77fec43c9d72",
    ("builtin_graded", "train"): "60ed79778a406f3a2a093a705a514fca326c48c634c1c8ae6c030d03bf46e338",
    ("builtin_graded", "validation"): "fde2ea7a531e6bfba7c484324a499206f1a53aa1e8f2aa933f0e7720d7e1c894",
    ("builtin_graded", "test"): "201d4e3c231f06ac687d27ab7896e6fbff6a81e4c9570de34943462dc41af48e",
    ("builtin_zh", "train"): "f1a8f8f759c5c60547c9af45e9e9acc305d8a51dcb6a151be94969d66f683d36",
    ("builtin_zh", "validation"): "c0f5d86bb0ba47bb0114f6e05bb6f967beddcef34d09c30561fe5a230bd2cc99",
    ("builtin_zh", "test"): "2cbcbc62bb3c1846ef01e3218290c711eddfa02c1b215b66baa67229cde3e8dd",
}
SPLITS = {task: tuple(split for name, split in CHECKSUMS if name == task) for task in LANGUAGES}


def _stream(*names: str) -> Random:
    """A generator of its own for what is named, so that no part of the corpus depends on another's draws."""
    digest = hashlib.sha256("/".join(names).encode()).digest()
    return Random(int.from_bytes(digest[:8], "big"))


def _pick(rng: Random, items: Sequence[T]) -> T:
    """Draw one item uniformly (`Random.choice` may change between Python versions, `random` may not)."""
    return items[int(rng.random() * len(items))]


def _shuffled(rng: Random, items: Sequence[T]) -> list[T]:
    """A Fisher–Yates shuffle of `items`."""
    result = list(items)
    for i in range(len(result) - 1, 0, -1):
        j = int(rng.random() * (i + 1))
        result[i], result[j] = result[j], result[i]
    return result


@cache
def meanings(language: str, split: str) -> tuple[Meaning, ...]:
    """The meanings of a split: 70 % train, 10 % validation, 20 % test, disjoint, the same for every task."""
    actions, objects, circumstances = (range(len(slot)) for slot in GRAMMARS[language].slots)
    order: list[Meaning] = _shuffled(_stream("meanings", language), list(product(actions, objects, circumstances)))
    first, second = len(order) * 7 // 10, len(order) * 8 // 10
    parts = {"train": order[:first], "validation": order[first:second], "test": order[second:]}
    return tuple(parts["test" if split == "test_random" else split])


def render(language: str, meaning: Meaning, wording: Wording) -> str:
    """The sentence: for each slot the chosen wording of its value, put into the chosen frame."""
    grammar = GRAMMARS[language]
    chosen = zip(grammar.slots, meaning, wording, strict=False)
    action, thing, circumstance = (slot[value][word] for slot, value, word in chosen)
    return grammar.frames[wording[3]].format(x=action.format(o=thing), c=circumstance)


def _draw_wording(rng: Random, language: str, meaning: Meaning) -> Wording:
    grammar = GRAMMARS[language]
    a, o, c = (int(rng.random() * len(slot[value])) for slot, value in zip(grammar.slots, meaning, strict=True))
    return a, o, c, int(rng.random() * len(grammar.frames))


@cache
def _by_slots(language: str, split: str) -> dict[tuple[tuple[int, ...], tuple[int, ...]], list[Meaning]]:
    """Index the meanings of a split by (positions of kept slots, their values)."""
    index: dict[tuple[tuple[int, ...], tuple[int, ...]], list[Meaning]] = {}
    for meaning in meanings(language, split):
        for size in range(4):
            for kept in combinations(range(3), size):
                index.setdefault((kept, tuple(meaning[k] for k in kept)), []).append(meaning)
    return index


def _draw_meanings(rng: Random, language: str, split: str, shared: int) -> tuple[Meaning, Meaning]:
    """Draw two meanings of a split that agree in exactly `shared` slots, which slots being uniform."""
    while True:
        first = _pick(rng, meanings(language, split))
        kept = _pick(rng, list(combinations(range(3), shared)))
        second = _pick(rng, _by_slots(language, split)[kept, tuple(first[k] for k in kept)])
        if sum(a == b for a, b in zip(first, second, strict=True)) == shared:
            return first, second


def _added(pairs: list[Pair], seen: set[tuple[str, str]], sentence1: str, sentence2: str, score: int) -> bool:
    """Add a pair, unless it was seen before in either order; return whether it was added."""
    key = (min(sentence1, sentence2), max(sentence1, sentence2))
    if sentence1 == sentence2 or key in seen:
        return False
    seen.add(key)
    pairs.append(Pair(sentence1, sentence2, score))
    return True


def _positives(language: str, split: str, count: int, seen: set[tuple[str, str]]) -> list[Pair]:
    """Draw pairs of one meaning whose wordings differ in every slot and in the frame."""
    rng, found = _stream("positives", language, split), list[Pair]()
    while len(found) < count:
        meaning = _pick(rng, meanings(language, split))
        first, second = (_draw_wording(rng, language, meaning) for _ in range(2))
        if all(a != b for a, b in zip(first, second, strict=True)):
            _added(found, seen, render(language, meaning, first), render(language, meaning, second), 1)
    return found


def _negatives(language: str, split: str, count: int, seen: set[tuple[str, str]], hard: bool) -> list[Pair]:
    """Draw pairs of two meanings; the first sentences of hard and random ones are the same."""
    rng, random_rng = _stream("negatives", language, split), _stream("random negatives", language, split)
    found, random_found = list[Pair](), list[Pair]()
    while len(found) < count:
        first, second = _draw_meanings(rng, language, split, shared=2)
        words, others = _draw_wording(rng, language, first), _draw_wording(rng, language, second)
        kept = [w if a == b else o for a, b, w, o in zip(first, second, words, others, strict=False)]
        sentence = render(language, first, words)
        changed = render(language, second, (kept[0], kept[1], kept[2], words[3]))
        if not _added(found, seen, sentence, changed, 0) or hard:
            continue
        while True:
            other = _pick(random_rng, meanings(language, split))
            text = render(language, other, _draw_wording(random_rng, language, other))
            if other != first and _added(random_found, seen, sentence, text, 0):
                break
    return found if hard else random_found


def _graded(language: str, split: str, count: int) -> list[Pair]:
    """Draw as many pairs of each grade 0–3, both sentences worded and framed independently."""
    rng, found, seen = _stream("graded", language, split), list[Pair](), set[tuple[str, str]]()
    while len(found) < count:
        grade = len(found) % 4
        both = _draw_meanings(rng, language, split, shared=grade)
        first, second = (render(language, meaning, _draw_wording(rng, language, meaning)) for meaning in both)
        _added(found, seen, first, second, grade)
    return found


def generate(task: str, split: str) -> list[Pair]:
    """The pairs of a split, always the same ones in the same order.

    - ``builtin``: half positives, half hard negatives.
    - ``builtin_random``: train holds the very positives of ``builtin`` in the same rows, and the first sentences of
      its negatives with a second one drawn at random. Validation and test are those of ``builtin``, so that the two
      kinds of training negatives meet one test; ``test_random`` has the test positives and random negatives.
    - ``builtin_graded``: the label is the number of shared slots, 0–3, a quarter each; wording is drawn independently.
      No meaning of its test occurs in any task's train split, so it also tests what was trained on the binary tasks.
    - ``builtin_zh``: ``builtin`` in Chinese, written without spaces.

    Raises:
        ValueError: unknown task, or a split that the task does not have.
    """
    if task not in LANGUAGES:
        raise ValueError(f"unknown built-in task {task!r}; expected one of {', '.join(LANGUAGES)}")
    if split not in SPLITS[task]:
        raise ValueError(f"task {task!r} has no split {split!r}; it has {', '.join(SPLITS[task])}")
    language, count = LANGUAGES[task], SIZES[split]
    if task == "builtin_graded":
        pairs = _graded(language, split, count)
    else:
        hard = not (task == "builtin_random" and split in ("train", "test_random"))
        source = "test" if split == "test_random" else split
        seen: set[tuple[str, str]] = set()
        pairs = _positives(language, source, count // 2, seen)
        pairs += _negatives(language, source, count // 2, seen, hard)
    return _shuffled(_stream("order", "graded" if task == "builtin_graded" else "binary", split), pairs)
