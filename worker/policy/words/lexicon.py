"""The words a policy brings along: object names, banned terms, allowed phrases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from worker.policy.words.terms import TermMatcher
from worker.policy.words.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Lexicon:
    """`versions` names each file with its sha256, for the receipt."""

    vocabulary: Vocabulary
    terms: TermMatcher
    versions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        groups: Mapping[str, Iterable[str]],
        innocent: Iterable[str] = (),
        lists: Mapping[str, Iterable[str]] | None = None,
        allowed: Iterable[str] = (),
        versions: Mapping[str, str] | None = None,
    ) -> Lexicon:
        return cls(Vocabulary(groups, innocent), TermMatcher(lists or {}, allowed), dict(versions or {}))
