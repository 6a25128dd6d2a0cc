"""Folding text to plain lower-case Latin letters and digits, so that disguised words compare equal to honest ones.

Two readings of a text are made. The *plain* one undoes what is never meaningful: case, accents, invisible characters,
full-width and decorated letters, letters of other scripts that look Latin. The *leet* one also reads digits and symbols
as letters ("r3pl1c@"); it is a guess, so callers trust it only for words that really mix letters with such characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import NamedTuple

from confusable_homoglyphs import confusables

LEET = str.maketrans({"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g"})
# i, l and 1 are one letter in the leet reading, because 1, ! and | stand for either.
LEET_LETTERS = LEET | str.maketrans({"@": "a", "$": "s", "!": "i", "|": "i", "+": "t", "€": "e", "l": "i"})
LEET_SYMBOLS = frozenset("@$!|+€")
_PLAIN = re.compile(r"[a-z0-9]+")
_LEETISH = re.compile(r"[a-z0-9@$!|+]+")
# A letter touching a digit or symbol, at most a dash between them, or single characters spaced out.
_SUSPICIOUS = re.compile(
    r"[a-z][^\w\s]?[0-9@$|+€]|[a-z]![a-z0-9]|[0-9@$|+€][^\w\s]?[a-z]|(?<!\w)(?:[a-z]\W{1,2}[0-9]|[0-9]\W{1,2}[a-z])(?!\w)"
)

_LETTER_BLOCKS = (  # decorated capitals that Unicode does not decompose
    (0x1F130, 0x1F149),  # squared
    (0x1F150, 0x1F169),  # negative circled
    (0x1F170, 0x1F189),  # negative squared
    (0x1F1E6, 0x1F1FF),  # regional indicators
)


class Token(NamedTuple):
    """A run of letters and digits. start and end are character positions in the original text, end exclusive."""

    text: str
    start: int
    end: int


@cache
def _lookalikes() -> dict[str, str]:
    """Non-ASCII characters that look like a Latin letter, from Unicode's confusables table (UTS 39)."""
    table: dict[str, str] = {}
    for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ":
        for entry in confusables.confusables_data.get(letter, ()):
            other = entry["c"]
            if len(other) == 1 and not other.isascii():
                table.setdefault(other, letter.lower())
    return table


@lru_cache(maxsize=8192)
def fold_char(char: str) -> str:
    """One character as zero or more plain ones; invisible characters and combining marks vanish."""
    if char.isascii():
        return char.lower()
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return ""
    digit = unicodedata.digit(char, None)  # circled digits too
    if digit is not None:
        return str(digit)
    if char in _lookalikes():
        return _lookalikes()[char]
    code = ord(char)
    for first, last in _LETTER_BLOCKS:
        if first <= code <= last:
            return chr(ord("a") + code - first)
    decomposed = unicodedata.normalize("NFKD", char)
    bare = "".join(part for part in decomposed if unicodedata.category(part)[0] != "M")
    return "".join(_lookalikes().get(part, part) for part in bare.casefold())


def fold(text: str) -> str:
    """The plain reading, punctuation and spaces kept."""
    return text.lower() if text.isascii() else "".join(map(fold_char, text))


def squeeze(text: str) -> str:
    """The plain reading as words with single spaces: what rules compare and people read."""
    return " ".join(token.text for token in plain_tokens(text))


def plain_tokens(text: str) -> list[Token]:
    """Words of the plain reading."""
    return [Token(text_, start, end) for text_, start, end in _runs(text, _PLAIN, frozenset())]


def leet_tokens(text: str) -> list[Token]:
    """Words of the leet reading. Numbers of two digits and more stay numbers, so that prices do not become words."""
    tokens = []
    for raw, start, end in _runs(text, _LEETISH, LEET_SYMBOLS):
        trimmed = raw.rstrip("!+|")  # "fake!" is an exclamation, not a letter more
        if trimmed:
            tokens.append(Token(leet(trimmed), start, end - (len(raw) - len(trimmed))))
    return tokens


def leet(word: str) -> str:
    """One word in the leet reading; `word` is already folded."""
    if len(word) > 1 and not any(char.isalpha() for char in word):
        return word
    return word.translate(LEET_LETTERS)


def may_hold_leet(text: str) -> bool:
    """A quick test that saves the leet reading for texts in which no letter stands near a digit or symbol."""
    return not text.isascii() or _SUSPICIOUS.search(text.lower()) is not None


def mixes_letters_with_leet(text: str) -> bool:
    """True when a stretch has at least two letters and at least one digit or symbol that can stand for a letter."""
    letters = sum(char.isalpha() for char in text)
    return letters >= 2 and any(char.isdigit() or char in LEET_SYMBOLS for char in text)


def _runs(text: str, pattern: re.Pattern[str], extra: frozenset[str]) -> Iterator[tuple[str, int, int]]:
    """Maximal runs of letters, digits and `extra`, folded, with their place in the original."""
    if text.isascii():
        for match in pattern.finditer(text.lower()):
            yield match[0], match.start(), match.end()
        return
    word: list[str] = []
    start = end = 0
    for position, plain in enumerate(map(fold_char, text)):
        if not plain:  # invisible: neither part of a word nor its end
            continue
        if plain.isalnum() or plain in extra:
            if not word:
                start = position
            word.append(plain)
            end = position + 1
        elif word:
            yield "".join(word), start, end
            word = []
    if word:
        yield "".join(word), start, end
