"""The words a policy brings along: object names, banned terms, allowed phrases; and the categories it knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from domain.taxonomy import Taxonomy
from worker.policy.words.terms import TermMatcher
from worker.policy.words.vocabulary import Vocabulary
from worker.taxonomy.files import shipped


@dataclass(frozen=True, slots=True)
class Lexicon:
    """`versions` names each file with its sha256, for the receipt. `subtrees`: group -> ids of categories."""

    vocabulary: Vocabulary
    terms: TermMatcher
    versions: Mapping[str, str] = field(default_factory=dict)
    subtrees: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    taxonomy: Taxonomy = field(default_factory=shipped)

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
