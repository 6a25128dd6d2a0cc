"""The words a policy brings along: object names, banned terms, allowed phrases; and the categories it knows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from domain.taxonomy import Taxonomy
from worker.policy.words.lists import WordList, plain_words
from worker.policy.words.terms import TermMatcher
from worker.policy.words.vocabulary import Vocabulary
from worker.taxonomy.files import shipped


@dataclass(frozen=True, slots=True)
class Lexicon:
    """`versions` names each file with its sha256, for the receipt. `subtrees`: group -> ids of categories."""

    vocabulary: Vocabulary
    terms: TermMatcher
    versions: Mapping[str, str] = field(default_factory=dict)
    kinds: Vocabulary = field(default_factory=lambda: Vocabulary({}))  # of goods, to compare listing and picture
    brands: TermMatcher = field(default_factory=lambda: TermMatcher({}))
    subtrees: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    taxonomy: Taxonomy = field(default_factory=shipped)

    @classmethod
    def of(
        cls,
        groups: Mapping[str, Iterable[str]],
        innocent: Iterable[str] = (),
        lists: Mapping[str, Iterable[str]] | Iterable[WordList] = (),
        allowed: Iterable[str] = (),
        versions: Mapping[str, str] | None = None,
        known: Collection[str] = (),
        kinds: Vocabulary | None = None,
        brands: Iterable[str] = (),
    ) -> Lexicon:
        """`known` words are never taken for misspellings. Object names are known, too."""
        names = {word for terms in groups.values() for term in terms for word in plain_words(term)}
        matcher = TermMatcher(lists, allowed, names | set(known))
        goods = kinds or Vocabulary({})
        return cls(Vocabulary(groups, innocent), matcher, dict(versions or {}), goods, TermMatcher({"brands": brands}))
