"""Words of the shipped lists, in four languages, as sellers write them: plainly, in leet, spaced out, split."""

from __future__ import annotations

import random
from functools import cache

from worker.policy.loading import STARTER_PACK

LANGUAGES = ("en", "de", "fr", "es")
MANNERS = ("plain", "plain", "leet", "spaced", "split")
LONGEST = {"plain": 26, "leet": 16, "spaced": 10, "split": 14}
_LEET = {"a": "4@", "e": "3", "i": "1!", "o": "0", "s": "5$", "t": "7"}


@cache
def terms(name: str, language: str) -> tuple[str, ...]:
    file = STARTER_PACK.parent / "wordlists" / language / f"{name}.txt"
    return tuple(line.strip() for line in file.read_text("utf-8").splitlines() if line and not line.startswith("#"))


def banned(name: str, rng: random.Random) -> tuple[str, str]:
    """A term of the list as it is written, and how: "leet, de"."""
    language, manner = rng.choice(LANGUAGES), rng.choice(MANNERS)
    fitting = [term for term in terms(name, language) if len(term) <= LONGEST[manner]]
    if manner != "plain":
        fitting = [term for term in fitting if term.isascii() and term.isalpha() and len(term) >= 5]
    if not fitting:  # some lists have no short single word
        manner, fitting = "plain", [term for term in terms(name, language) if len(term) <= LONGEST["plain"]]
    term = rng.choice(fitting)
    written = {"plain": _plain, "leet": _leet, "spaced": _spaced, "split": _split}[manner](term, rng)
    return written, f"{manner}, {language}"


def _plain(term: str, rng: random.Random) -> str:
    return term.upper() if rng.random() < 0.5 else term


def _leet(term: str, rng: random.Random) -> str:
    """Up to three letters, at least one; never so many that no letter is left."""
    places = [place for place, char in enumerate(term.lower()) if char in _LEET]
    changed = rng.sample(places, min(len(places), rng.randint(1, 3)))
    return "".join(rng.choice(_LEET[char.lower()]) if n in changed else char for n, char in enumerate(term)).upper()


def _spaced(term: str, _rng: random.Random) -> str:
    return " ".join(term.upper())


def _split(term: str, rng: random.Random) -> str:
    cut = rng.randint(2, len(term) - 2)
    return f"{term[:cut]}{rng.choice('-._')}{term[cut:]}".upper()
