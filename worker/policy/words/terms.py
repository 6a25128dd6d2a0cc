"""Finding listed terms in text by whole words, also split, hyphenated, spaced out, written in leet, or misspelt.

All words of the text are joined without gaps and searched once with Aho-Corasick; a hit counts only when it starts
where a word starts and ends where a word ends, so "replica" is not found in "replicate". Where the text has gaps that
the term has not ("R E P L I C A", "repl-ica", "counter feit"), the gap must look deliberate. Words that this
leaves over are then looked up among the terms of lists that ask for fuzzy matching.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise

import ahocorasick

from worker.policy.words.fuzzy import FuzzyIndex
from worker.policy.words.lists import ANY_LANGUAGE, WordList, as_lists, forms
from worker.policy.words.normalise import Token, leet, leet_tokens, may_hold_leet, mixes_letters_with_leet, plain_tokens

ALLOWED = ""  # list name of phrases that make what they cover harmless
REPEATED = 60  # characters up to which a text may be one that listings share: colours, sizes, categories, print
MOST_REPEATED = 4_096  # of them remembered with their hits
SPLIT_BY_SPACE_MIN = 7  # letters; shorter words split by a space ("fa ke") meet innocent neighbours too often
LEET_MIN = 4  # letters; "15D" is a fabric, not LSD


class How(StrEnum):
    """How a term was written; the surest first."""

    EXACT = "exact"
    SPLIT = "split"
    LEET = "leet"
    FUZZY = "fuzzy"


_SURENESS = {how: place for place, how in enumerate(How)}


@dataclass(frozen=True, slots=True)
class Hit:
    """A term found. start and end are character positions in the original text, end exclusive.

    distance: misread or mistyped letters; 0 unless the match is fuzzy.
    """

    term: str
    list: str
    start: int
    end: int
    language: str = ANY_LANGUAGE
    how: How = How.EXACT
    distance: int = 0


@dataclass(frozen=True, slots=True)
class _Entry:
    term: str
    list: str
    language: str
    gaps: frozenset[int]  # where the term itself has a gap, counted in joined characters


class TermMatcher:
    """Terms of several named lists in one automaton. Build once, search often."""

    def __init__(
        self,
        lists: Mapping[str, Iterable[str]] | Iterable[WordList],
        allowed: Iterable[str] = (),
        known: Collection[str] = (),
        *,
        hostile: bool = True,
    ) -> None:
        """`hostile` also looks for split words, leet and misspellings; without it, only whole words and their plurals.

        `known` words are never taken for a misspelling of a listed one.
        """
        self._hostile = hostile
        every = as_lists(lists)
        searched = (*every, WordList(ALLOWED, tuple(allowed)))
        self._plain = _automaton(searched, leeted=False)
        self._leet = _automaton(searched, leeted=True) if hostile else None
        self.known = frozenset(known)
        # What excuses an honest term excuses a misread one.
        excuses = WordList(ALLOWED, tuple(allowed), fuzzy=True)
        self._fuzzy = FuzzyIndex((*every, excuses) if any(one.fuzzy for one in every) else (), self.known)
        self._find_short = lru_cache(MOST_REPEATED)(self._find)

    def find(self, text: str, languages: Collection[str] | None = None) -> list[Hit]:
        """Hits in reading order, longest first where they overlap, without those an allowed phrase covers.

        `languages` limits the lists that are searched; those of any language always are. None: all.
        """
        spoken = None if languages is None else frozenset(languages)
        return list((self._find_short if len(text) <= REPEATED else self._find)(text, spoken))

    def _find(self, text: str, languages: frozenset[str] | None) -> list[Hit]:
        tokens = plain_tokens(text)
        hits = _search(self._plain, text, tokens, self._hostile)
        if self._leet is not None and may_hold_leet(text):
            found = _search(self._leet, text, leet_tokens(text), True, How.LEET)
            hits += [hit for hit in found if _is_leet(text, hit)]
        kept = _settle(_spoken(hits, languages))
        if self._fuzzy:
            kept += _settle(_spoken(self._misspelt(tokens, kept), languages))
        return sorted((hit for hit in kept if hit.list != ALLOWED), key=lambda hit: (hit.start, hit.list, hit.term))

    def _misspelt(self, tokens: Sequence[Token], exact: Sequence[Hit]) -> list[Hit]:
        covered = {place for hit in exact for place in range(hit.start, hit.end)}
        free = [not covered or covered.isdisjoint(range(token.start, token.end)) for token in tokens]
        return [
            Hit(
                *(one.term, one.list, tokens[one.first].start, tokens[one.last].end),
                *(one.language, How.FUZZY, one.distance),
            )
            for one in self._fuzzy.find(tokens, free)
        ]


def _spoken(hits: list[Hit], languages: Collection[str] | None) -> list[Hit]:
    """Those of lists in these languages."""
    if languages is None:
        return hits
    return [hit for hit in hits if hit.language == ANY_LANGUAGE or hit.language in languages]


def _automaton(lists: Iterable[WordList], *, leeted: bool) -> ahocorasick.Automaton | None:
    entries: dict[str, list[_Entry]] = defaultdict(list)
    for one in lists:
        for term in one.terms:
            for form in forms(term, one.language):
                words = tuple(map(leet, form)) if leeted else form
                entries["".join(words)].append(_Entry(term, one.name, one.language, _gaps(words)))
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


def _search(
    automaton: ahocorasick.Automaton | None,
    text: str,
    tokens: Sequence[Token],
    may_split: bool,
    how: How = How.EXACT,
) -> list[Hit]:
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
            extra = _extra_gaps(text, covered, entry)
            if not extra or (may_split and _deliberate(covered, extra)):
                written = How.SPLIT if extra and how is How.EXACT else how
                hits.append(Hit(entry.term, entry.list, covered[0].start, covered[-1].end, entry.language, written))
    return hits


def _extra_gaps(text: str, covered: Sequence[Token], entry: _Entry) -> list[str]:
    """What stands in the gaps that the text has and the term has not."""
    at = 0
    extra = []
    for before, after in pairwise(covered):
        at += len(before.text)
        if at not in entry.gaps:
            extra.append(text[before.end : after.start])
    return extra


def _deliberate(covered: Sequence[Token], extra: Sequence[str]) -> bool:
    """Whether extra gaps look like a disguise and not like two honest words."""
    if all(len(token.text) == 1 for token in covered):
        return len(covered) > 2
    if not any(char.isspace() for gap in extra for char in gap):
        return True
    return sum(len(token.text) for token in covered) >= SPLIT_BY_SPACE_MIN


def _is_leet(text: str, hit: Hit) -> bool:
    written = text[hit.start : hit.end].lower()
    return sum(not char.isspace() for char in written) >= LEET_MIN and mixes_letters_with_leet(written)


def _settle(hits: list[Hit]) -> list[Hit]:
    """Longest first where hits overlap, allowed phrases among them; one of each list at the same place, the surest."""
    kept: list[Hit] = []
    standing: dict[int, list[Hit]] = defaultdict(list)  # by place in the text, so that many hits cost no more each
    for hit in sorted(set(hits), key=_precedence):
        places = range(hit.start, hit.end)
        overlapping = {other for place in places for other in standing.get(place, ())}
        same_place = all((other.start, other.end) == (hit.start, hit.end) for other in overlapping)
        if same_place and not any(other.list in (ALLOWED, hit.list) for other in overlapping):
            kept.append(hit)
            for place in places:
                standing[place].append(hit)
    return kept


def _precedence(hit: Hit) -> tuple[int, int, str, int, int, str, str]:
    return (hit.start - hit.end, hit.start, hit.list, _SURENESS[hit.how], hit.distance, hit.term, hit.language)
