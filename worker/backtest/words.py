"""What signals look at besides the photo: parts of a policy's words, under the names that its Lexicon has for them.

A signal of an old receipt is as good as new while the policy that wrote it had the same words in those parts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from domain.errors import PolicyInvalid
from domain.policies import Bundle
from worker.policy.loading import LoadedPolicy, PolicyWords, load_words
from worker.policy.signals import registered

VOCABULARY, TERMS, KINDS, BRANDS, SUBTREES, TAXONOMY = "vocabulary", "terms", "kinds", "brands", "subtrees", "taxonomy"
PARTS: Mapping[str, Callable[[PolicyWords], object]] = {
    VOCABULARY: lambda words: [words.groups, words.innocent],
    # Names of objects are never taken for misspelt terms.
    TERMS: lambda words: [words.lists, words.fuzzy, words.allowed, words.known, words.groups],
    KINDS: lambda words: [words.kinds, words.no_kind],
    BRANDS: lambda words: words.brands,
    SUBTREES: lambda words: words.subtrees,
}
EVERYTHING = frozenset({*PARTS, TAXONOMY})
_SEARCHED = {
    "objects": {VOCABULARY},
    "caption_objects": {VOCABULARY},
    "text_terms": {TERMS},
    "seller_terms": {TERMS},
    "second_text_terms": {TERMS},
    "contradictions": {KINDS, VOCABULARY, BRANDS},
    "unnamed_brands": {BRANDS},
    "category": {SUBTREES, TAXONOMY},
}
_FREE = (
    *("image", "pixels", "caption", "empty_look", "text", "text_share", "contacts", "seller", "seller_contacts"),
    *("second_text", "agreed_text", "second_contacts", "text_incomplete", "inspected", "background", "frame"),
    *("exposure", "panels", "colours", "codes", "provenance", "bank_matches", "near_duplicates", "hash_usable"),
    *("watermarks", "placeholder", "product", "placed_text", "text_share_outside"),
)
# By signal. One that is not named here is taken to look at everything; a test holds that these look at nothing else.
LOOKS_AT: Mapping[str, frozenset[str]] = {
    **{name: frozenset(parts) for name, parts in _SEARCHED.items()},
    **dict.fromkeys(_FREE, frozenset[str]()),
}


def looked_at(signals: Iterable[str]) -> frozenset[str]:
    """The parts that any of these signals looks at."""
    return frozenset().union(*(LOOKS_AT.get(name, EVERYTHING) for name in signals))


def digests(policy: LoadedPolicy) -> Mapping[str, str]:
    """By part; equal for policies with the same words under the same names."""
    known = _by_version.get(policy.policy.version)
    if known is None:
        known = _by_version[policy.policy.version] = _digests(policy.words)
    return {**known, TAXONOMY: policy.lexicon.taxonomy.version}


_by_version: dict[str, Mapping[str, str]] = {}  # of the policy, which says everything but the taxonomy


def _digests(words: PolicyWords) -> Mapping[str, str]:
    return {part: _digest(of(words)) for part, of in PARTS.items()}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


class Makers:
    """The policies that made past decisions, as far as their words go."""

    def __init__(self, policies: Collection[LoadedPolicy]) -> None:
        self._words: dict[str, Mapping[str, str]] = {one.policy.version: digests(one) for one in policies}
        self._taxonomy = next((one.lexicon.taxonomy for one in policies), None)
        self._sound: dict[tuple[str | None, str | None, str], frozenset[str]] = {}

    def learn(self, versions: Iterable[str | None], find: Callable[[str], Bundle | None]) -> None:
        """Look up those that are not known. Of what is not kept, or cannot be read any more, nothing is known."""
        for version in versions:
            if version is not None and version not in self._words:
                self._words[version] = self._words_of(find(version))

    def same(self, version: str | None, taxonomy: str | None, policy: LoadedPolicy) -> frozenset[str]:
        """Signals that are under this policy's words what they were for a decision of that version and taxonomy."""
        key = (version, taxonomy, policy.policy.version)
        if key not in self._sound:
            self._sound[key] = self._same(version, taxonomy, policy)
        return self._sound[key]

    def _same(self, version: str | None, taxonomy: str | None, policy: LoadedPolicy) -> frozenset[str]:
        mine = digests(policy)
        theirs: dict[str, str | None] = {**self._words.get(version or "", {}), TAXONOMY: taxonomy}
        alike = {part for part in EVERYTHING if theirs.get(part) == mine[part]}
        return frozenset(name for name in registered() if looked_at([name]) <= alike)

    def _words_of(self, bundle: Bundle | None) -> Mapping[str, str]:
        if bundle is None:
            return {}
        try:
            return _digests(load_words(bundle, self._taxonomy))
        except PolicyInvalid:
            return {}
