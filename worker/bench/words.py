"""What finding listed terms costs with 10,000 of them: milliseconds a photo, on one core."""

from __future__ import annotations

import itertools
import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from rapidfuzz import process
from rapidfuzz.distance import OSA

from worker.bench.listings import TROUBLE, some_print
from worker.policy.words.fuzzy import SHORTEST, allowed_distance
from worker.policy.words.lists import WordList
from worker.policy.words.normalise import plain_tokens
from worker.policy.words.terms import TermMatcher

_ONSETS = (
    *("b", "br", "c", "ch", "d", "dr", "f", "fl", "g", "gl", "h", "j", "k", "kr", "l", "m", "n", "p", "pl", "qu", "r"),
    *("s", "sch", "st", "t", "tr", "v", "w", "z"),
)
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ei", "ou", "ia", "eo")
_CODAS = ("", "n", "r", "l", "s", "t", "x", "nd", "rt", "sk", "mp")


def some_terms(count: int, seed: int = 1) -> list[str]:
    """Made-up words that look like words, a third of them in pairs, each once."""
    chance = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        words = (_word(chance) for _ in range(2 if chance.random() < 0.33 else 1))
        found[" ".join(words)] = None
    return list(found)


def _word(chance: random.Random) -> str:
    syllables = (
        chance.choice(_ONSETS) + chance.choice(_VOWELS) + chance.choice(_CODAS) for _ in range(chance.randint(2, 4))
    )
    return "".join(syllables)


def some_photo_texts(count: int, terms: Sequence[str], seed: int = 1) -> list[list[str]]:
    """Two to six lines a photo; one in ten has a listed term, half of those with a letter too few, or a disguise."""
    chance = random.Random(seed)
    photos = []
    for _ in range(count):
        lines = some_print(chance, chance.randint(2, 6))
        if chance.random() < 0.1:
            term = chance.choice(terms)
            cut = chance.randrange(1, len(term))
            lines.append(chance.choice((term, term[:cut] + term[cut + 1 :], chance.choice(TROUBLE))))
        photos.append(lines)
    return photos


def measure(
    *, known: Sequence[str], photos: int, terms: int = 10_000, progress: Callable[[str, int, int], None]
) -> dict[str, Any]:
    """`known` are the ordinary words that a policy brings along. Peer first: the same exact pass, then a scan."""
    listed = some_terms(terms)
    texts = some_photo_texts(photos, listed)
    fuzzy = WordList("measured", tuple(listed), "en", fuzzy=True)
    started = time.perf_counter()
    matcher = TermMatcher([fuzzy], known=known)
    loading = time.perf_counter() - started
    exact = TermMatcher([WordList("measured", tuple(listed), "en")])
    ways: dict[str, tuple[Callable[[str], Any], Sequence[list[str]]]] = {
        "scan": (lambda line: _scan(exact, listed, line), texts[: max(1, photos // 20)]),
        "exact": (exact.find, texts),
        "index": (matcher.find, texts),
        "index_without_known_words": (TermMatcher([fuzzy]).find, texts),
    }
    figures: dict[str, Any] = {"terms": terms, "photos": photos, "loading_seconds": round(loading, 3)}
    for name, (find, some) in ways.items():
        spent = sorted(_milliseconds(find, lines) for lines in some)
        figures[f"{name}_median_ms"] = round(statistics.median(spent), 4)
        figures[f"{name}_p95_ms"] = round(spent[int(0.95 * len(spent))], 4)
        progress("words", len(ways), 1)
    figures["hits"] = sum(len(matcher.find(line)) for line in itertools.chain.from_iterable(texts))
    return figures


def _milliseconds(find: Callable[[str], Any], lines: Sequence[str]) -> float:
    started = time.perf_counter()
    for line in lines:
        find(line)
    return (time.perf_counter() - started) * 1e3


def _scan(exact: TermMatcher, listed: Sequence[str], line: str) -> list[Any]:
    """The usual way: every word that is left is compared with every term."""
    hits: list[Any] = list(exact.find(line))
    for token in plain_tokens(line):
        if len(token.text) >= SHORTEST:
            most = allowed_distance(token.text)
            near = process.extractOne(token.text, listed, scorer=OSA.distance, score_cutoff=most)
            hits += [near] if near else []
    return hits
