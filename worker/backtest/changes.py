"""Two policies side by side: which rules differ, in what, and which signals each rule reads."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from domain.errors import InputRejected
from domain.moderation import Mode, Rule
from worker.policy.loading import LoadedPolicy, LoadedRule
from worker.policy.signals import registered

# Signals that are the same under any policy's words. What is not named here is taken to depend on them; a test holds
# that these do not look at them.
FREE_OF_WORDS = frozenset(
    {
        "image",
        "pixels",
        "caption",
        "empty_look",
        "text",
        "text_share",
        "contacts",
        "seller",
        "seller_contacts",
        "second_text",
        "agreed_text",
        "second_contacts",
        "text_incomplete",
    }
)
# Signals that look at the names of objects alone, not at word lists.
READ_NAMES = frozenset({"objects", "caption_objects"})
ADDED, REMOVED, CHANGED, SAME = "added", "removed", "changed", "same"


@dataclass(frozen=True)
class Version:
    """A rule as one policy has it."""

    loaded: LoadedRule
    owner: LoadedPolicy

    @property
    def rule(self) -> Rule:
        return self.loaded.rule

    @cached_property
    def sources(self) -> str:
        text = self.loaded.text
        return "\n".join([text.when or "", *text.causes])

    @cached_property
    def reads(self) -> frozenset[str]:
        """Signals whose name is in the condition: a few too many at worst, never one too few."""
        return frozenset(re.findall(r"\w+", self.sources)) & registered().keys()

    @cached_property
    def condition(self) -> str:
        """Equal for conditions that give the same on every photo: same text, same thresholds, same words."""
        text, words = self.loaded.text, self.owner.words
        named = set(re.findall(r"\bthreshold\s*\.\s*(\w+)", self.sources))
        parts = {
            "when": text.when,
            "causes": list(text.causes),
            "thresholds": {name: value for name, value in words.thresholds.items() if name in named},
            "words": sorted({words_behind(name, self.owner) or "" for name in self.reads}),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def in_force(self, at: datetime) -> bool:
        """Whether it can match anything at this moment, whatever the shop."""
        rule = self.rule
        return (
            rule.mode is not Mode.DRAFT
            and (rule.effective_from is None or rule.effective_from <= at)
            and (rule.effective_to is None or at < rule.effective_to)
        )

    @property
    def dated(self) -> bool:
        return self.rule.effective_from is not None or self.rule.effective_to is not None


def words_behind(signal: str, policy: LoadedPolicy) -> str | None:
    """Equal for policies with the same words under the same names, as far as this signal looks at them; None where it
    looks at none."""
    if signal in FREE_OF_WORDS:
        return None
    return _digests(policy.policy.version, policy)["names" if signal in READ_NAMES else "all"]


def _digests(version: str, policy: LoadedPolicy) -> Mapping[str, str]:
    if version not in _known_digests:
        written = {one.name: getattr(policy.words, one.name) for one in dataclasses.fields(policy.words)}
        del written["thresholds"]
        names = {name: written[name] for name in ("groups", "innocent")}
        everything = [written, dict(policy.lexicon.versions)]
        _known_digests[version] = {"names": _digest(names), "all": _digest(everything)}
    return _known_digests[version]


_known_digests: dict[str, Mapping[str, str]] = {}  # by version of the policy, which says everything


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=repr).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one rule. `what` names the parts that differ."""

    id: str
    kind: str
    before: Version | None
    after: Version | None
    what: tuple[str, ...] = ()


def changes(current: LoadedPolicy, candidate: LoadedPolicy, only: Collection[str] = ()) -> tuple[Change, ...]:
    """Every rule of either policy, by id. With `only`, all other rules stay as they are.

    Raises InputRejected for a name in `only` that neither policy knows.
    """
    before = {loaded.rule.id: Version(loaded, current) for loaded in current.rules}
    after = {loaded.rule.id: Version(loaded, candidate) for loaded in candidate.rules}
    ids = sorted(before.keys() | after.keys())
    if unknown := sorted(set(only) - set(ids)):
        raise InputRejected("unknown_rule", f"--rule: there is no rule {unknown[0]!r}; known are {', '.join(ids)}.")
    if only:
        after = {id: after[id] if id in only else before[id] for id in ids if id in (after if id in only else before)}
    return tuple(_change(id, before.get(id), after.get(id)) for id in ids if id in before or id in after)


def _change(id: str, before: Version | None, after: Version | None) -> Change:
    if before is None or after is None:
        return Change(id, ADDED if before is None else REMOVED, before, after)
    what = _differences(before, after)
    return Change(id, CHANGED if what else SAME, before, after, what)


def _differences(before: Version, after: Version) -> tuple[str, ...]:
    old, new = before.rule, after.rule
    pairs: Mapping[str, tuple[object, object]] = {
        "condition": (before.condition, after.condition),
        "action": (old.action, new.action),
        "severity": (old.severity, new.severity),
        "mode": (old.mode, new.mode),
        "channels": (sorted(old.channels), sorted(new.channels)),
        "tenants": (sorted(old.tenants), sorted(new.tenants)),
        "dates": ((old.effective_from, old.effective_to), (new.effective_from, new.effective_to)),
        "policy_code": (old.policy_code, new.policy_code),
        "message": (old.message, new.message),
    }
    return tuple(name for name, (one, other) in pairs.items() if one != other)


def matters(change: Change) -> bool:
    """Whether it can change a verdict or a match: new words to the seller do not."""
    return change.kind in (ADDED, REMOVED) or bool(set(change.what) - {"policy_code", "message"})
