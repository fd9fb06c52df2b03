"""The built-in corpus is frozen, its labels are what the sentences say, its splits share no meaning."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Any

import pytest

from cosent_lib.data import corpus
from cosent_lib.data.corpus import CHECKSUMS, LANGUAGES, SPLITS, Meaning, Pair, meanings, render
from cosent_lib.data.corpus_words import GRAMMARS

generate = cache(corpus.generate)  # once for all tests; nothing here changes the lists

CHECKSUM = """
import hashlib
def checksum(pairs):
    lines = (f"{pair.sentence1}\\t{pair.sentence2}\\t{pair.score}\\n" for pair in pairs)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
"""  # as text: another Python runs it too

EVERY = [(task, split) for task in LANGUAGES for split in SPLITS[task]]


def wordings(language: str, meaning: Meaning) -> Iterator[str]:
    """Every sentence that says `meaning`."""
    grammar = GRAMMARS[language]
    counts = [len(slot[value]) for slot, value in zip(grammar.slots, meaning, strict=True)]
    for wording in product(*map(range, (*counts, len(grammar.frames)))):
        yield render(language, meaning, wording)


@cache
def reading(language: str) -> dict[str, Meaning]:
    """Every sentence the grammar can say, with its meaning; built from `wordings`, not from the pairs."""
    says: dict[str, Meaning] = {}
    for split in ("train", "validation", "test"):
        for meaning in meanings(language, split):
            for sentence in wordings(language, meaning):
                assert says.setdefault(sentence, meaning) == meaning, f"{sentence!r} has two meanings"
    return says


def units(language: str, sentence: str) -> set[str]:
    """Words of an English sentence, characters of a Chinese one."""
    return set(sentence.split()) if language == "en" else set(sentence)


def overlap(language: str, pair: Pair) -> float:
    a, b = units(language, pair.sentence1), units(language, pair.sentence2)
    return len(a & b) / len(a | b)


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_checksums_cover_every_split():
    assert set(CHECKSUMS) == set(EVERY)


@pytest.mark.parametrize(("task", "split"), EVERY)
def test_bytes_are_the_frozen_ones(task, split):
    scope: dict[str, Any] = {}
    exec(CHECKSUM, scope)
    assert scope["checksum"](generate(task, split)) == CHECKSUMS[task, split]


@pytest.mark.parametrize("hash_seed", ["0", "12345"])
def test_bytes_do_not_depend_on_hashes(hash_seed):
    code = f"{CHECKSUM}from cosent_lib.data.corpus import *; print(checksum(generate('builtin', 'validation')))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": hash_seed}
    )
    assert run.stdout.strip() == CHECKSUMS["builtin", "validation"]


@pytest.mark.parametrize(("task", "split"), EVERY)
def test_sizes_and_balance(task, split):
    pairs = generate(task, split)
    levels = 4 if task == "builtin_graded" else 2
    assert len(pairs) == corpus.SIZES[split]
    assert Counter(pair.score for pair in pairs) == {level: len(pairs) // levels for level in range(levels)}


@pytest.mark.parametrize(("task", "split"), EVERY)
def test_labels_are_what_the_sentences_mean(task, split):
    says = reading(LANGUAGES[task])
    for pair in generate(task, split):
        shared = sum(a == b for a, b in zip(says[pair.sentence1], says[pair.sentence2], strict=True))
        assert pair.score == (shared if task == "builtin_graded" else int(shared == 3)), pair


@pytest.mark.parametrize(("task", "split"), EVERY)
def test_no_pair_is_repeated_in_either_order(task, split):
    pairs = generate(task, split)
    assert len({frozenset(pair[:2]) for pair in pairs}) == len(pairs)
    assert all(pair.sentence1 != pair.sentence2 for pair in pairs)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_splits_share_no_meaning_and_lose_none(language):
    parts = [set(meanings(language, split)) for split in ("train", "validation", "test")]
    slots = GRAMMARS[language].slots
    assert len(set.union(*parts)) == sum(map(len, parts)) == len(slots[0]) * len(slots[1]) * len(slots[2])


@pytest.mark.parametrize(("task", "split"), EVERY)
def test_sentences_come_from_their_own_split(task, split):
    own = set(meanings(LANGUAGES[task], split))
    says = reading(LANGUAGES[task])
    assert {says[text] for pair in generate(task, split) for text in pair[:2]} <= own


def test_every_value_of_every_slot_is_trained_on():
    for language in ("en", "zh"):
        for slot, values in enumerate(GRAMMARS[language].slots):
            assert {meaning[slot] for meaning in meanings(language, "train")} == set(range(len(values)))


@pytest.mark.parametrize("task", ["builtin", "builtin_zh"])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_hard_negatives_change_one_slot_and_share_more_words_than_positives(task, split):
    language = LANGUAGES[task]
    says, pairs = reading(language), generate(task, split)
    for pair in pairs:
        if pair.score == 0:
            assert sum(a == b for a, b in zip(says[pair.sentence1], says[pair.sentence2], strict=True)) == 2
    positive = [overlap(language, pair) for pair in pairs if pair.score == 1]
    negative = [overlap(language, pair) for pair in pairs if pair.score == 0]
    assert mean(positive) < 0.2
    assert mean(negative) > 0.6


def test_random_negatives_replace_only_the_second_sentence_of_the_hard_ones():
    hard, drawn = generate("builtin", "train"), generate("builtin_random", "train")
    for a, b in zip(hard, drawn, strict=True):
        assert a.sentence1 == b.sentence1
        assert a.score == b.score
        assert a.sentence2 == b.sentence2 or a.score == 0
    assert mean([overlap("en", pair) for pair in drawn if pair.score == 0]) < 0.2


def test_random_task_is_tested_on_the_same_pairs():
    for split in ("validation", "test"):
        assert generate("builtin_random", split) == generate("builtin", split)


def test_graded_overlap_grows_with_the_grade_but_does_not_tell_it():
    by_grade: dict[int, list[float]] = {}
    for pair in generate("builtin_graded", "test"):
        by_grade.setdefault(pair.score, []).append(overlap("en", pair))
    means = [mean(by_grade[grade]) for grade in range(4)]
    assert means == sorted(means)
    assert max(by_grade[0]) > means[3]  # some pairs of grade 0 share more words than the average of grade 3


def test_every_wording_fits_the_template():
    for grammar in GRAMMARS.values():
        assert all(text.count("{o}") == 1 for value in grammar.actions for text in value)
        assert all(text.count("{x}") == text.count("{c}") == 1 for text in grammar.frames)
        for slot in grammar.slots:
            assert all(len(value) >= 3 for value in slot)
            assert len({text for value in slot for text in value}) == sum(map(len, slot))
    assert not any(" " in text for text in reading("zh"))


def test_unknown_names_are_errors_that_list_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown built-in task 'builtn'; expected one of builtin, builtin_random"):
        generate("builtn", "train")
    with pytest.raises(ValueError, match=r"'builtin' has no split 'dev'; it has train, validation, test"):
        generate("builtin", "dev")
