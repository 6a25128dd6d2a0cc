"""Judging past photos by two policies at once: each condition that differs is evaluated once, evidence is not built.

What a decision of the current version says about a rule that the candidate keeps is taken from its findings; only what
may differ is evaluated. `explain` judges one photo by both in full, through domain.moderation.decide; a test holds both
ways together.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from domain.moderation import RULE_ERROR, Decision, Evidence, Mode, Policy, Rule, Verdict, decide
from worker.backtest.changes import Version, changes, matters
from worker.backtest.signals import Values, complete, take
from worker.backtest.words import Makers
from worker.policy.conditions import Conditions
from worker.policy.loading import LoadedPolicy
from worker.policy.signals import registered
from worker.storage.history import RECALLED, PastDecision, Seen, Wanted

MOST_PLANS = 64  # sets of conditions compiled together; beyond them all conditions are evaluated at once
SILENT = -1  # rank of a match that asks for nothing: a rule in shadow mode

_EMPTY = {name: one.empty() for name, one in registered().items()}

Outcome = str | None  # why a condition could not be evaluated; None = it matched


@dataclass(frozen=True, slots=True)
class Effect:
    """A rule that matched, or failed, on one photo. rank: of the verdict it asks for; SILENT in shadow mode."""

    rank: int
    severity: int
    channels: tuple[str, ...]
    error: str | None = None

    def asks(self, channel: str) -> int:
        return self.rank if channel in self.channels else SILENT


@dataclass(frozen=True, slots=True)
class Judged:
    """One photo under both policies: what its rules did, by id."""

    past: PastDecision
    channels: tuple[str, ...]
    before: Mapping[str, Effect]
    after: Mapping[str, Effect]
    how: str  # KEPT, STORED or COMPUTED


KEPT = "findings"  # nothing had to be evaluated
STORED = "receipts"  # signals as the receipt has them
COMPUTED = "observations"  # at least one signal computed anew


class NotReadable(Exception):
    """The observation that a decision rests on is gone or of another form."""


@dataclass(slots=True)
class Draft:
    """A photo on its way: what is known, and which signals are still missing."""

    past: PastDecision
    scene: _Scene
    outcomes: dict[str, Outcome]
    parts: tuple[tuple[_Part, Values], ...]

    @property
    def lacks(self) -> bool:
        """Whether the observation is needed."""
        return any(values.missing for _, values in self.parts)


class Comparison:
    """Judges by `current` and by `candidate`, both at the same moment. `channels`: only these; empty = all."""

    def __init__(
        self,
        current: LoadedPolicy,
        candidate: LoadedPolicy,
        at: datetime,
        *,
        only: Collection[str] = (),
        channels: Collection[str] = (),
        recompute: bool = False,
        makers: Makers | None = None,
    ) -> None:
        """`makers` of past decisions; None = these two policies are all that is known."""
        self.current, self.candidate, self.at = current, candidate, at
        self.changes = changes(current, candidate, only)
        self._channels = frozenset(channels)
        self._recompute = recompute
        self._before = _in_force((change.before for change in self.changes), at)
        self._after = _in_force((change.after for change in self.changes), at)
        self._versions = {one.condition: one for one in [*self._after, *self._before]}
        self._makers = makers or Makers([current, candidate])
        self._scenes: dict[tuple[str, tuple[str, ...]], _Scene] = {}
        self._plans: dict[frozenset[str], tuple[_Part, ...]] = {}

    @property
    def wanted(self) -> Wanted:
        """What to read of receipts."""
        everything = _reads([*self._before, *self._after])
        if self._recompute:
            return Wanted(all=tuple(name for name in everything if name in RECALLED))
        settled = {change.id for change in self.changes if not matters(change)}
        open_ones = [one for one in [*self._before, *self._after] if one.rule.id not in settled or one.dated]
        return Wanted(
            all=everything,
            few=_reads(open_ones),
            versions=(self.current.policy.version,),
        )

    def begin(self, past: PastDecision) -> Draft:
        """What can be said without the observation."""
        channels = tuple(name for name in past.channels if not self._channels or name in self._channels)
        scene = self._scene(past.tenant, channels)
        known = not self._recompute and past.policy_version == self.current.policy.version
        outcomes = scene.settled(past.findings) if known else {}
        parts = self._plan(scene.open if known else scene.conditions)
        taken = (self._values(past, part.reads, part.owner) for part in parts)
        return Draft(past, scene, outcomes, tuple(zip(parts, taken, strict=True)))

    def finish(self, draft: Draft, seen: Seen | Exception | None) -> Judged:
        """Judge. `seen` is needed where the draft lacks something. Raises NotReadable."""
        how = COMPUTED if draft.lacks else STORED if draft.parts else KEPT
        outcomes = draft.outcomes
        for part, values in draft.parts:
            if values.missing:
                complete(values, _readable(seen), part.owner)
            outcomes |= part.evaluate(values)
        scene = draft.scene
        return Judged(draft.past, scene.channels, scene.before(outcomes), scene.after(outcomes), how)

    def explain(self, past: PastDecision, seen: Seen) -> tuple[Decision, Decision]:
        """Both decisions in full, with evidence."""
        channels = tuple(name for name in past.channels if not self._channels or name in self._channels)
        return (
            self._decide(self._before, past, seen, channels),
            self._decide(self._after, past, seen, channels),
        )

    def reading(self, tenant: str, channels: tuple[str, ...], signals: Collection[str]) -> set[tuple[str, str]]:
        """Which rules in force for this shop and these channels read which of the signals."""
        versions = self._scene(tenant, channels).versions
        return {(one.rule.id, name) for one in versions for name in one.reads & set(signals)}

    def _values(self, past: PastDecision, names: tuple[str, ...], owner: LoadedPolicy) -> Values:
        same = RECALLED if self._recompute else self._makers.same(past.policy_version, past.taxonomy, owner)
        return take(past, names, same)

    def _scene(self, tenant: str, channels: tuple[str, ...]) -> _Scene:
        if (tenant, channels) not in self._scenes:
            self._scenes[tenant, channels] = _Scene(
                channels, _Side(self._before, tenant, channels, self.at), _Side(self._after, tenant, channels, self.at)
            )
        return self._scenes[tenant, channels]

    def _plan(self, wanted: frozenset[str]) -> tuple[_Part, ...]:
        if not wanted:
            return ()
        if wanted not in self._plans:
            if len(self._plans) >= MOST_PLANS:
                return self._whole
            self._plans[wanted] = self._parts(wanted)
        return self._plans[wanted]

    @cached_property
    def _whole(self) -> tuple[_Part, ...]:
        return self._parts(self._versions.keys())

    def _parts(self, wanted: Collection[str]) -> tuple[_Part, ...]:
        versions = [self._versions[condition] for condition in sorted(wanted)]
        by_owner = ([one for one in versions if one.owner is owner] for owner in (self.current, self.candidate))
        return tuple(_Part(some[0].owner, some) for some in by_owner if some)

    def _decide(
        self, versions: Iterable[Version], past: PastDecision, seen: Seen, channels: tuple[str, ...]
    ) -> Decision:
        rules = tuple(self._explaining(one, past, seen) for one in versions)
        return decide(Policy("backtest", "", rules), {}, past.tenant, channels, self.at, seen.job.locale)

    def _explaining(self, one: Version, past: PastDecision, seen: Seen) -> Rule:
        """The rule with its signals put in."""

        def condition(_: object) -> Sequence[Evidence]:
            values = self._values(past, tuple(sorted(one.reads)), one.owner)
            complete(values, seen, one.owner)
            if values.failed:
                raise ValueError(_failure(values.failed))
            return one.rule.condition(_EMPTY | values.ready)

        return dataclasses.replace(one.rule, condition=condition)


@dataclass(frozen=True)
class _Side:
    """One policy's rules for one shop and its channels."""

    versions: Sequence[Version]
    tenant: str
    channels: tuple[str, ...]
    at: datetime

    @cached_property
    def by_condition(self) -> dict[str, list[tuple[Rule, tuple[str, ...]]]]:
        found: dict[str, list[tuple[Rule, tuple[str, ...]]]] = defaultdict(list)
        for one, applying in self.applying:
            found[one.condition].append((one.rule, applying))
        return dict(found)

    @cached_property
    def applying(self) -> list[tuple[Version, tuple[str, ...]]]:
        each = (
            (one, tuple(name for name in self.channels if one.rule.applies(self.tenant, name, self.at)))
            for one in self.versions
        )
        return [(one, names) for one, names in each if names]

    def effects(self, outcomes: Mapping[str, Outcome]) -> dict[str, Effect]:
        return {
            rule.id: _effect(rule, applying, outcomes[condition])
            for condition in outcomes
            for rule, applying in self.by_condition.get(condition, ())
        }


@dataclass(frozen=True)
class _Scene:
    """A shop and a set of channels: which rules of either policy apply there, worked out once."""

    channels: tuple[str, ...]
    old: _Side
    new: _Side

    @cached_property
    def versions(self) -> list[Version]:
        return [one for side in (self.old, self.new) for one, _ in side.applying]

    @cached_property
    def conditions(self) -> frozenset[str]:
        return frozenset(one.condition for one in self.versions)

    @cached_property
    def _told(self) -> dict[str, str]:
        """Current rules whose outcome a decision of the current version tells, with their conditions: all that applied
        whenever it was made."""
        return {one.rule.id: one.condition for one, _ in self.old.applying if not one.dated}

    @cached_property
    def open(self) -> frozenset[str]:
        """Conditions of which such a decision tells nothing."""
        return self.conditions - set(self._told.values())

    def settled(self, findings: Sequence[Mapping[str, Any]]) -> dict[str, Outcome]:
        return {
            self._told[one["rule"]]: _told_error(one) if one["policy_code"] == RULE_ERROR else None
            for one in findings
            if one["rule"] in self._told
        }

    def before(self, outcomes: Mapping[str, Outcome]) -> dict[str, Effect]:
        return self.old.effects(outcomes)

    def after(self, outcomes: Mapping[str, Outcome]) -> dict[str, Effect]:
        return self.new.effects(outcomes)


@dataclass
class _Part:
    """Conditions of one policy that are evaluated together."""

    owner: LoadedPolicy
    versions: Sequence[Version]
    reads: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.reads = _reads(self.versions)
        self._conditions = Conditions(registered(), self.owner.words.thresholds)
        self._compiled = [
            (one, self._conditions.compile(one.loaded.when, one.loaded.text.causes)) for one in self.versions
        ]

    def evaluate(self, values: Values) -> dict[str, Outcome]:
        """The conditions that matched or failed."""
        bound = self._conditions.bind(_EMPTY | values.ready)
        outcomes: dict[str, Outcome] = {}
        for one, compiled in self._compiled:
            if values.failed and one.reads & values.failed.keys():
                outcomes[one.condition] = _failure(values.failed)
                continue
            try:
                if compiled(bound):
                    outcomes[one.condition] = None
            except Exception as error:  # as in domain.moderation.decide: a person looks at this photo
                outcomes[one.condition] = f"{type(error).__name__}: {error}"
        return outcomes


def _effect(rule: Rule, channels: tuple[str, ...], outcome: Outcome) -> Effect:
    action = rule.action if outcome is None else Verdict.REVIEW
    return Effect(SILENT if rule.mode is Mode.SHADOW else action.rank, rule.severity, channels, outcome)


def _failure(failed: Mapping[str, str]) -> str:
    name, why = min(failed.items())
    return f"the signal {name} cannot be computed from what is stored: {why}"


def _told_error(finding: Mapping[str, Any]) -> str:
    evidence = finding["evidence"]
    return str(evidence[0].get("error", "")) if evidence else ""


def _readable(seen: Seen | Exception | None) -> Seen:
    if seen is None:
        raise NotReadable("the observation is not stored any more")
    if isinstance(seen, Exception):
        raise NotReadable(f"{type(seen).__name__}: {seen}") from seen
    return seen


def _in_force(versions: Iterable[Version | None], at: datetime) -> list[Version]:
    return [one for one in versions if one is not None and one.in_force(at)]


def _reads(versions: Iterable[Version]) -> tuple[str, ...]:
    return tuple(sorted({name for one in versions for name in one.reads}))
