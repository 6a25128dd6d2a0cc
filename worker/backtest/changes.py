"""Two policies side by side: which rules differ, in what, and which signals each rule reads."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from domain.errors import InputRejected
from domain.moderation import Mode, Rule
from worker.backtest.words import digests, looked_at
from worker.policy.loading import LoadedPolicy, LoadedRule
from worker.policy.signals import registered

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
        return "\n".join([self.loaded.when or "", *self.loaded.text.causes])

    @cached_property
    def reads(self) -> frozenset[str]:
        """Signals whose name is in the condition: a few too many at worst, never one too few."""
        return frozenset(re.findall(r"\w+", self.sources)) & registered().keys()

    @cached_property
    def condition(self) -> str:
        """Equal for conditions that give the same on every photo: same text, same thresholds, same words."""
        named = set(re.findall(r"\bthreshold\s*\.\s*(\w+)", self.sources))
        words = digests(self.owner)
        parts = {
            "when": self.loaded.when,
            "causes": list(self.loaded.text.causes),
            "thresholds": {name: value for name, value in self.owner.words.thresholds.items() if name in named},
            "words": {part: words[part] for part in looked_at(self.reads)},
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
