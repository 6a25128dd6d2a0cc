"""Taxonomy: a tree of product categories under one version, and the attributes that each category's products have.

Ids name their place: the parent of "aa-1-13-8" is "aa-1-13". What sellers write is free text, and matching it to a node
says nothing where it is not sure: a wrong category is worse than none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

_GID = re.compile(r"gid://shopify/TaxonomyCategory/([a-z]{2}(?:-\d+)*)")
_SEPARATOR = re.compile(r"\s*(?:>|»|/|\||::|→|,)\s*")
_WORDS = re.compile(r"[a-z0-9]+")
MOST_CHARACTERS = 500  # of a seller's category; longer text is a description


class How(StrEnum):
    """By what a seller's words were taken for a category, surest first."""

    ID = "id"
    PATH = "path"
    ALIAS = "alias"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Attribute:
    handle: str
    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Category:
    """attributes: handles of what its products have, its own and inherited ones alike."""

    id: str
    name: str
    attributes: tuple[str, ...] = ()

    @property
    def parent_id(self) -> str | None:
        head, dash, _ = self.id.rpartition("-")
        return head if dash else None


@dataclass(frozen=True, slots=True)
class Match:
    category: Category
    how: How


class Taxonomy:
    """Immutable. Raises ValueError for a tree with a hole in it."""

    def __init__(
        self,
        version: str,
        categories: Iterable[Category],
        attributes: Iterable[Attribute] = (),
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        """`aliases` are seller's words, in any language, by the id of the category they mean."""
        self.version = version
        self._by_id = {category.id: category for category in categories}
        self._attributes = {attribute.handle: attribute for attribute in attributes}
        for category in self._by_id.values():
            if category.parent_id is not None and category.parent_id not in self._by_id:
                raise ValueError(f"category {category.id} has no parent {category.parent_id}")
        self._aliases = {_key(words): id for words, id in (aliases or {}).items()}
        for words, id in (aliases or {}).items():
            if id not in self._by_id:
                raise ValueError(f"alias {words!r} names category {id!r}, which there is not")

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Category]:
        return iter(self._by_id.values())

    def __contains__(self, id: object) -> bool:
        return id in self._by_id

    def get(self, id: str) -> Category:
        """Raises KeyError for an unknown id."""
        return self._by_id[id]

    def ancestors(self, id: str) -> tuple[str, ...]:
        """Ids from the root down to the category itself. Raises KeyError."""
        self._by_id[id]
        parts = id.split("-")
        return tuple("-".join(parts[:count]) for count in range(1, len(parts) + 1))

    def path(self, id: str) -> tuple[str, ...]:
        """Names from the root down to the category itself. Raises KeyError."""
        return tuple(self._by_id[one].name for one in self.ancestors(id))

    def children(self, id: str | None = None) -> tuple[Category, ...]:
        """Of a category, or the roots."""
        return tuple(one for one in self._by_id.values() if one.parent_id == id)

    def in_subtree(self, id: str, root: str) -> bool:
        """Whether a category is this one or lies below it. Raises KeyError when either is unknown."""
        self._by_id[root]
        return root in self.ancestors(id)

    def applicable_attributes(self, id: str) -> tuple[Attribute, ...]:
        """What products of this category have, with the values to choose from. Raises KeyError."""
        return tuple(self._attributes[handle] for handle in self._by_id[id].attributes if handle in self._attributes)

    def match(self, text: str | None) -> Match | None:
        """The category that a seller's words mean: an id, a path or its unambiguous end, an alias, or a name.

        A name that several categories have means the one above all the others, if there is one, else nothing.
        """
        if not text or len(text) > MOST_CHARACTERS:
            return None
        if (id := _id_in(text)) in self._by_id:
            return Match(self._by_id[id], How.ID)
        parts = [part for part in _SEPARATOR.split(text.strip()) if part]
        key = _path_key(parts)
        if len(parts) > 1 and (found := self._paths.get(key) or self._tails.get(key)):
            return Match(self._by_id[found], How.PATH)
        return self._match_name(text, _path_key([text]))

    def _match_name(self, text: str, path: tuple[str, ...]) -> Match | None:
        if path in self._paths:  # a root
            return Match(self._by_id[self._paths[path]], How.PATH)
        if id := self._aliases.get(_key(text)):
            return Match(self._by_id[id], How.ALIAS)
        if id := self._names.get(_key(text)):
            return Match(self._by_id[id], How.NAME)
        return None

    @cached_property
    def _keys(self) -> dict[str, str]:
        return {category.id: _key(category.name) for category in self}

    @cached_property
    def _paths(self) -> dict[tuple[str, ...], str]:
        return {tuple(self._keys[one] for one in self.ancestors(id)): id for id in self._by_id}

    @cached_property
    def _names(self) -> dict[str, str]:
        """Names that one category has, or one above all others of the name."""
        ids: dict[str, list[str]] = {}
        for id, name in self._keys.items():
            ids.setdefault(name, []).append(id)
        tops = {name: min(same, key=len) for name, same in ids.items() if name}
        return {
            name: top for name, top in tops.items() if all(id == top or id.startswith(f"{top}-") for id in ids[name])
        }

    @cached_property
    def _tails(self) -> dict[tuple[str, ...], str]:
        """The ends of paths, two names and longer, that only one path has."""
        tails: dict[tuple[str, ...], str | None] = {}
        for path, id in self._paths.items():
            for start in range(1, len(path) - 1):
                tails[path[start:]] = None if path[start:] in tails else id
        return {tail: id for tail, id in tails.items() if id is not None}


def _id_in(text: str) -> str:
    stripped = text.strip()
    match = _GID.fullmatch(stripped)
    return match[1] if match else stripped.casefold()


def _path_key(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(_key(name) for name in names)


def _key(name: str) -> str:
    """Plain lower-case words, "&" spelled out, the regular plural undone."""
    bare = unicodedata.normalize("NFKD", name.replace("&", " and ").casefold())
    plain = "".join(char for char in bare if not unicodedata.combining(char))
    words = _WORDS.findall(plain)
    return " ".join(_singular(word) for word in words if word != "and")


def _singular(word: str) -> str:
    if len(word) <= 3 or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    return word.removesuffix("s")
