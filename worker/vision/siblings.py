"""Siblings: what a region may show instead of the phrase that was asked for.

A second reading is a choice between the phrase and other names of a vocabulary. Some of those names speak for the
phrase rather than against it: a "dress shoe" is a shoe, a "red sneaker" is read as "sneaker" (what kind of thing it is
can be read again, its colour cannot), and every weapon is one of the "weapons".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from worker.vision.prompts import clean_phrase

SHIPPED_NAMES = Path(__file__).with_name("things.txt")
ARTICLES = frozenset({"a", "an", "the", "some"})
MIMICS = frozenset({"toy", "fake", "play"})  # a toy gun is no gun
DIGEST_DIGITS = 8


@dataclass(frozen=True)
class Siblings:
    """Names by group. Raises ValueError without any, for an empty one, and for one that stands there twice."""

    groups: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        names = self.names
        if not names or not all(names):
            raise ValueError("Siblings need names, and none of them may be empty.")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"Siblings are named twice: {', '.join(twice)}. Leave one of each out.")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for group in self.groups.values() for name in group)

    @property
    def digest(self) -> str:
        """First digits of the sha256 of the names and their groups: verified scores under others are not comparable."""
        listed = json.dumps({group: list(names) for group, names in self.groups.items()}, ensure_ascii=False)
        return hashlib.sha256(listed.encode()).hexdigest()[:DIGEST_DIGITS]

    def of(self, bare: str) -> tuple[tuple[str, ...], frozenset[str]]:
        """What may be chosen for a bare phrase, and those of them that speak for it; the phrase is among both."""
        members = {name for group, names in self.groups.items() if group.casefold() == bare for name in names}
        own = {name for name in self.names if _kind_of(name.casefold(), bare) or _kind_of(bare, name.casefold())}
        if any(name.casefold() == bare for name in self.names):
            return self.names, frozenset(members | own)
        return (bare, *self.names), frozenset(members | own | {bare})


def bare_phrase(phrase: str) -> str:
    """Lower-case words without articles at the beginning, as detectors name things: "A red mug" is "red mug"."""
    words = clean_phrase(phrase).casefold().split()
    while len(words) > 1 and words[0] in ARTICLES:
        words = words[1:]
    return " ".join(words)


def _kind_of(name: str, other: str) -> bool:
    """Whether a name ends with the words of another, so that it names a kind of it."""
    return name == other or (name.endswith(f" {other}") and name.split()[0] not in MIMICS)


def siblings_from(groups: Mapping[str, Sequence[str]]) -> Siblings:
    """Raises ValueError as Siblings does."""
    return Siblings({group: tuple(" ".join(name.split()) for name in names) for group, names in groups.items()})


def read_siblings(file: Path) -> Siblings:
    """Lines of "group: name, name"; "#" begins a comment. Raises ValueError naming the line that is none."""
    groups: dict[str, list[str]] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        written = line.partition("#")[0].strip()
        if not written:
            continue
        group, colon, names = written.partition(":")
        if not colon:
            raise ValueError(f"{file} line {number} is not 'group: name, name': {written!r}.")
        groups.setdefault(group.strip(), []).extend(name.strip() for name in names.split(","))
    return siblings_from(groups)


@cache
def shipped_siblings() -> Siblings:
    """Kinds of goods and of what shops must not sell."""
    return read_siblings(SHIPPED_NAMES)
