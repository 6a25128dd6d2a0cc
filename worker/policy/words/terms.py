"""Finding listed terms in text by whole words, also when they are split, hyphenated, spaced out or written in leet.

All words of the text are joined without gaps and searched once with Aho-Corasick; a hit counts only when it starts
where a word starts and ends where a word ends, so "replica" is not found in "replicate". Where the text has gaps that
the term has not ("R E P L I C A", "repl-ica", "counter feit"), the gap must look deliberate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import ahocorasick

from worker.policy.words.normalise import Token, leet, leet_tokens, may_hold_leet, mixes_letters_with_leet, plain_tokens

ALLOWED = ""  # list name of phrases that make what they cover harmless
SPLIT_BY_SPACE_MIN = 7  # letters; shorter words split by a space ("fa ke") meet innocent neighbours too often
LEET_MIN = 4  # letters; "15D" is a fabric, not LSD


@dataclass(frozen=True, slots=True)
class Hit:
    """A term found. start and end are character positions in the original text, end exclusive."""

    term: str
    list: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Entry:
    term: str
    list: str
    gaps: frozenset[int]  # where the term itself has a gap, counted in joined characters


class TermMatcher:
    """Terms of several named lists in one automaton. Build once, search often."""

    def __init__(
        self, lists: Mapping[str, Iterable[str]], allowed: Iterable[str] = (), *, hostile: bool = True
    ) -> None:
        """`hostile` also looks for split words and leet; without it, only whole words and their plurals."""
        self._hostile = hostile
        words = {name: [plain_words(term) for term in terms] for name, terms in lists.items()}
        words[ALLOWED] = [plain_words(term) for term in allowed]
        originals = {name: list(terms) for name, terms in lists.items()} | {ALLOWED: list(allowed)}
        self._plain = _automaton(words, originals)
        self._leet = _automaton(_leet_words(words), originals) if hostile else None

    def find(self, text: str) -> list[Hit]:
        """Hits in reading order, longest first where they overlap, without those an allowed phrase covers."""
        hits = _search(self._plain, text, plain_tokens(text), self._hostile)
        if self._leet is not None and may_hold_leet(text):
            hits += [hit for hit in _search(self._leet, text, leet_tokens(text), True) if _is_leet(text, hit)]
        return _settle(hits)


def plain_words(term: str) -> tuple[str, ...]:
    return tuple(token.text for token in plain_tokens(term))


def plurals(words: Sequence[str]) -> list[tuple[str, ...]]:
    """The words themselves and the regular English plurals of the last one."""
    *head, last = words
    forms = [last, last + "s"]
    if last.endswith(("s", "x", "z", "ch", "sh")):
        forms.append(last + "es")
    elif last.endswith("y") and last[-2:-1] not in tuple("aeiou"):
        forms.append(last[:-1] + "ies")
    elif last.endswith("fe"):
        forms.append(last[:-2] + "ves")
    return [(*head, form) for form in forms]


def _leet_words(words: Mapping[str, list[tuple[str, ...]]]) -> dict[str, list[tuple[str, ...]]]:
    return {name: [tuple(map(leet, term)) for term in terms] for name, terms in words.items()}


def _automaton(
    words: Mapping[str, list[tuple[str, ...]]], originals: Mapping[str, list[str]]
) -> ahocorasick.Automaton | None:
    entries: dict[str, list[_Entry]] = defaultdict(list)
    for name, terms in words.items():
        for term, original in zip(terms, originals[name], strict=True):
            for form in plurals(term) if term else ():
                entries["".join(form)].append(_Entry(original, name, _gaps(form)))
    if not entries:
        return None
    automaton = ahocorasick.Automaton()
    for key, value in entries.items():
        automaton.add_word(key, (len(key), value))
    automaton.make_automaton()
    return automaton


def _gaps(words: Sequence[str]) -> frozenset[int]:
    """Positions between words in their joined form."""
    positions, at = [], 0
    for word in words[:-1]:
        at += len(word)
        positions.append(at)
    return frozenset(positions)


def _search(automaton: ahocorasick.Automaton | None, text: str, tokens: Sequence[Token], may_split: bool) -> list[Hit]:
    if automaton is None or not tokens:
        return []
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}
    at = 0
    for number, token in enumerate(tokens):
        starts[at] = number
        at += len(token.text)
        ends[at] = number
    hits = []
    for last, (length, entries) in automaton.iter("".join(token.text for token in tokens)):
        first_token, last_token = starts.get(last + 1 - length), ends.get(last + 1)
        if first_token is None or last_token is None:
            continue
        covered = tokens[first_token : last_token + 1]
        for entry in entries:
            if _deliberate(text, covered, entry, may_split):
                hits.append(Hit(entry.term, entry.list, covered[0].start, covered[-1].end))
    return hits


def _deliberate(text: str, covered: Sequence[Token], entry: _Entry, may_split: bool) -> bool:
    """Whether gaps in the text that the term does not have look like a disguise and not like two honest words."""
    at = 0
    extra = []
    for before, after in pairwise(covered):
        at += len(before.text)
        if at not in entry.gaps:
            extra.append(text[before.end : after.start])
    if not extra:
        return True
    if not may_split:
        return False
    if all(len(token.text) == 1 for token in covered):
        return len(covered) > 2
    if not any(char.isspace() for gap in extra for char in gap):
        return True
    return sum(len(token.text) for token in covered) >= SPLIT_BY_SPACE_MIN


def _is_leet(text: str, hit: Hit) -> bool:
    written = text[hit.start : hit.end].lower()
    return sum(not char.isspace() for char in written) >= LEET_MIN and mixes_letters_with_leet(written)


def _settle(hits: list[Hit]) -> list[Hit]:
    """Longest first where hits overlap; an allowed phrase takes its place and is then left out."""
    kept: list[Hit] = []
    for hit in sorted(set(hits), key=lambda hit: (hit.start - hit.end, hit.start, hit.list, hit.term)):
        overlapping = [other for other in kept if hit.start < other.end and other.start < hit.end]
        same_place = all((other.start, other.end) == (hit.start, hit.end) for other in overlapping)
        if same_place and not any(other.list in (ALLOWED, hit.list) for other in overlapping):
            kept.append(hit)
    return sorted((hit for hit in kept if hit.list != ALLOWED), key=lambda hit: (hit.start, hit.list, hit.term))
