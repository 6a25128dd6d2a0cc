"""Word lists: terms of one language under a name that rules speak of, and the forms in which a term is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from worker.policy.words.normalise import plain_tokens

ANY_LANGUAGE = ""  # the language of lists that are searched whatever the text's language is
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})
# Endings of the last word. Another language needs a line here only if its words take endings.
_ENDINGS = {"de": ("e", "n", "en", "er", "es", "s"), "fr": ("s", "x", "e", "es"), "es": ("s", "es")}


@dataclass(frozen=True, slots=True)
class WordList:
    """language: ISO 639, or any. fuzzy: also find words that are a misread letter or a typing slip away."""

    name: str
    terms: tuple[str, ...]
    language: str = ANY_LANGUAGE
    fuzzy: bool = False


def as_lists(lists: Mapping[str, Iterable[str]] | Iterable[WordList]) -> tuple[WordList, ...]:
    """Plain terms by list name are lists of any language, without fuzzy matching."""
    if isinstance(lists, Mapping):
        return tuple(WordList(name, tuple(terms)) for name, terms in lists.items())
    return tuple(lists)


def plain_words(term: str) -> tuple[str, ...]:
    """The words of a term as they compare: lower-case Latin letters and digits."""
    return tuple(token.text for token in plain_tokens(term))


def forms(term: str, language: str) -> list[tuple[str, ...]]:
    """The term's plain words as they may be written: plurals and endings, in German also without umlauts."""
    spellings = {plain_words(term): None}
    if language == "de":
        spellings[plain_words(term.translate(_UMLAUTS))] = None
    return [form for words in spellings if words for form in _inflected(words, language)]


def _inflected(words: tuple[str, ...], language: str) -> list[tuple[str, ...]]:
    *head, last = words
    endings = _ENDINGS.get(language)
    if endings is None:
        return plurals(words)
    return [words, *((*head, last + ending) for ending in endings)]


def plurals(words: Sequence[str]) -> list[tuple[str, ...]]:
    """The words themselves and the regular English plurals of the last one."""
    *head, last = words
    found = [last, last + "s"]
    if last.endswith(("s", "x", "z", "ch", "sh")):
        found.append(last + "es")
    elif last.endswith("y") and last[-2:-1] not in tuple("aeiou"):
        found.append(last[:-1] + "ies")
    elif last.endswith("fe"):
        found.append(last[:-2] + "ves")
    return [(*head, form) for form in found]
