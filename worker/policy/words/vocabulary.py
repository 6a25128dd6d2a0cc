"""Names of objects -> groups that rules speak of, for labels of the detector and words of a caption."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from worker.policy.words.terms import Hit, TermMatcher


class Vocabulary:
    """Groups of object names. A longer name wins: "toy gun" is not a gun, "glue gun" is none at all."""

    def __init__(self, groups: Mapping[str, Iterable[str]], innocent: Iterable[str] = ()) -> None:
        self.groups = {name: tuple(terms) for name, terms in groups.items()}
        self._matcher = TermMatcher(self.groups, innocent, hostile=False)
        self.group_of = lru_cache(maxsize=4096)(self._group_of)

    def mentions(self, caption: str) -> list[Hit]:
        """Named objects in reading order; `list` of a hit is the group."""
        return self._matcher.find(caption)

    def _group_of(self, label: str) -> str:
        """The group of a detector's label, or an empty string. Of several names the last decides, as English does."""
        hits = self._matcher.find(label)
        return hits[-1].list if hits else ""
