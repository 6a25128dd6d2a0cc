"""Listed words with a misread letter or a typing slip, found through an index of deletions and not by a scan.

Two words are within distance d of each other only if deleting at most d letters from each can make them equal (Garbe,
SymSpell, 2012; Bocek, Hunt and Stiller, "Fast Similarity Search in Large Dictionaries", 2007). So the deletions of each
listed word are stored once, those of a word in question are looked up, and the few candidates are confirmed by their
optimal string alignment distance, in which two swapped letters are one slip.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

from rapidfuzz.distance import OSA

from worker.policy.words.lists import WordList, plain_words
from worker.policy.words.normalise import Token

SHORTEST = 5  # letters of a word that may be misread; shorter ones have too many honest neighbours
TWO_SLIPS = 8  # letters from which two slips are forgiven
LONGEST = 40  # letters of a word in question; nothing listed is longer, and deletions grow with the square
MOST_REMEMBERED = 16_384  # words with what they may stand for; texts share most of their words
INDEXED = 7  # letters at the start whose deletions are indexed; enough for two slips anywhere, and a bound on memory


def allowed_distance(word: str) -> int:
    """Slips that a listed word may have."""
    return 0 if len(word) < SHORTEST else 1 if len(word) < TWO_SLIPS else 2


@dataclass(frozen=True, slots=True)
class FuzzyHit:
    """A term whose words stand at tokens first..last (inclusive), `distance` slips away."""

    term: str
    list: str
    language: str
    first: int
    last: int
    distance: int


@dataclass(frozen=True, slots=True)
class _Term:
    term: str
    list: str
    language: str
    words: tuple[str, ...]
    anchor: int  # which of the words is looked up: the longest


class FuzzyIndex:
    """Terms of the lists that ask for it. `known` words are read as written, never as a misreading of another."""

    def __init__(self, lists: Iterable[WordList], known: Collection[str] = ()) -> None:
        self._known = frozenset(known)
        self._terms: dict[str, list[_Term]] = defaultdict(list)
        for one in lists:
            for term in one.terms if one.fuzzy else ():
                words = plain_words(term)
                anchor = max(range(len(words)), key=lambda place: len(words[place]), default=None)
                if anchor is not None and SHORTEST <= len(words[anchor]) <= LONGEST:
                    self._terms[words[anchor]].append(_Term(term, one.name, one.language, words, anchor))
        self._deletions = _index(self._terms)
        self._near = lru_cache(MOST_REMEMBERED)(self._look_near)

    def __bool__(self) -> bool:
        return bool(self._terms)

    def find(self, tokens: Sequence[Token], free: Sequence[bool]) -> Iterator[FuzzyHit]:
        """Terms among the tokens that are `free`, i.e. left by the exact pass."""
        for place, token in enumerate(tokens):
            if free[place]:
                for word, distance in self._near(token.text):
                    for term in self._terms[word]:
                        if hit := self._confirm(term, distance, place, tokens, free):
                            yield hit

    def _look_near(self, written: str) -> list[tuple[str, int]]:
        """Anchor words that `written` may stand for, with their distance."""
        if not SHORTEST <= len(written) <= LONGEST:
            return []
        if self._is_known(written):
            return [(written, 0)] if written in self._terms else []
        found = self._look_up(written)
        if not found and written.endswith("s"):  # a plural of a misread word
            found = self._look_up(written[:-1])
        return found

    def _look_up(self, written: str) -> list[tuple[str, int]]:
        if sum(char.isdigit() for char in written) > 1:  # a code; single digits may be misread letters
            return []
        candidates: dict[str, None] = {}
        for key in _deletions(written, 1 if len(written) <= SHORTEST else 2):
            if words := self._deletions.get(key):
                candidates |= dict.fromkeys(words if isinstance(words, tuple) else (words,))
        found = []
        for word in candidates:
            most = allowed_distance(word)
            distance = OSA.distance(written, word, score_cutoff=most)
            if distance < 2 or (distance == most and _starts_alike(written, word)):
                found.append((word, distance))
        return found

    def _is_known(self, written: str) -> bool:
        known = self._known
        return written in known or (written.endswith("s") and (written[:-1] in known or written[:-2] in known))

    def _confirm(
        self, term: _Term, distance: int, place: int, tokens: Sequence[Token], free: Sequence[bool]
    ) -> FuzzyHit | None:
        """The whole term around its anchor, with one or two slips in all."""
        first = place - term.anchor
        last = first + len(term.words) - 1
        if first < 0 or last >= len(tokens):
            return None
        for offset, word in enumerate(term.words):
            if offset == term.anchor:
                continue
            slips = self._slips(tokens[first + offset].text, word) if free[first + offset] else None
            if slips is None:
                return None
            distance += slips
        most = max(allowed_distance(term.words[term.anchor]), 1)
        return FuzzyHit(term.term, term.list, term.language, first, last, distance) if 1 <= distance <= most else None

    def _slips(self, written: str, word: str) -> int | None:
        """How far a word beside the anchor is from what the term has there; None where that is another word."""
        if written == word:
            return 0
        most = allowed_distance(word)
        if not most or len(written) < SHORTEST or self._is_known(written):
            return None
        distance = OSA.distance(written, word, score_cutoff=most)
        return distance if distance < 2 or (distance == most and _starts_alike(written, word)) else None


def _starts_alike(written: str, word: str) -> bool:
    """Hands and readers seldom miss a word's first letter, but words that differ there are many (ketamine, vitamine).

    Yannakoudakis and Fawthrop, "The rules of spelling errors", 1983. Two slips therefore leave it in place.
    """
    return written[0] == word[0]


def _index(words: Iterable[str]) -> dict[str, str | tuple[str, ...]]:
    """Words by each of their deletions. Most deletions belong to one word, which then saves a tuple."""
    found: dict[str, str | tuple[str, ...]] = {}
    for word in words:
        for key in _deletions(word, allowed_distance(word)):
            there = found.get(key)
            if there is None:
                found[key] = word
            else:
                found[key] = (*there, word) if isinstance(there, tuple) else (there, word)
    return found


def _deletions(word: str, most: int) -> set[str]:
    """The word's first letters, whole and with up to `most` of them left out."""
    start = word[:INDEXED]
    found = {start}
    for many in range(1, most + 1):
        for kept in combinations(start, len(start) - many):
            found.add("".join(kept))
    return found
