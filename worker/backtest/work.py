"""The two kinds of replay: a candidate beside what is live, and shadow rules from the decisions they were tried in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from domain.errors import PolicyInvalid
from domain.moderation import RULE_ERROR, Verdict
from worker.backtest.coverage import unobserved
from worker.backtest.figures import Tally
from worker.backtest.judging import KEPT, Comparison, Effect, Judged, NotReadable
from worker.backtest.reviews import Resolutions
from worker.policy.loading import LoadedPolicy, load_policy
from worker.storage.history import PastDecision, Reader, Seen, Wanted


class Policies(Protocol):
    """Which policy judges a tenant. Travels to other processes, so it says where to load from."""

    def all(self) -> Sequence[LoadedPolicy]:
        """Every policy that judges anybody. Raises PolicyInvalid."""

    def of(self, tenant: str) -> LoadedPolicy:
        """The one that judges this tenant."""


@dataclass(frozen=True, slots=True)
class PolicyAt:
    """One policy for all, from a file (None = the starter pack). `version` is what must be found there."""

    path: Path | None
    version: str

    @classmethod
    def read(cls, path: Path | None) -> PolicyAt:
        """Raises PolicyInvalid."""
        return cls(path, _loaded(path).policy.version)

    @property
    def loaded(self) -> LoadedPolicy:
        """Raises PolicyInvalid, also when the file was changed since it was first read."""
        loaded = _loaded(self.path)
        if loaded.policy.version != self.version:
            raise PolicyInvalid([f"{self.path}: was changed while it was being backtested; start again."])
        return loaded

    def all(self) -> Sequence[LoadedPolicy]:
        return [self.loaded]

    def of(self, tenant: str) -> LoadedPolicy:
        return self.loaded


@cache
def _loaded(path: Path | None) -> LoadedPolicy:
    return load_policy(path)


def current_policies(against: Path | None) -> Policies:
    """What a candidate is compared with: the policy at `against`, else the starter pack. Raises PolicyInvalid.

    The one place to change once published policies are kept.
    """
    return PolicyAt.read(against)


@dataclass(frozen=True, slots=True)
class Backtest:
    """A candidate beside what is live, at one moment. rules, channels: only these; empty = all.

    recompute: take no signal from receipts and nothing from findings.
    """

    current: Policies
    candidate: PolicyAt
    at: datetime
    rules: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    seed: int = 0
    recompute: bool = False
    resolutions: Resolutions | None = None

    def judge(self) -> BacktestJudge:
        return BacktestJudge(self)

    def comparison(self, current: LoadedPolicy) -> Comparison:
        return Comparison(
            current,
            self.candidate.loaded,
            self.at,
            only=self.rules,
            channels=self.channels,
            recompute=self.recompute,
        )


class BacktestJudge:
    """replay.Judge of a backtest."""

    def __init__(self, work: Backtest) -> None:
        self._work = work
        self._comparisons = {one.policy.version: work.comparison(one) for one in work.current.all()}
        self._looks: dict[str, dict[str, str]] = {}

    @property
    def wanted(self) -> Wanted:
        each = [one.wanted for one in self._comparisons.values()]
        return Wanted(
            all=tuple(sorted({name for one in each for name in one.all})),
            few=tuple(sorted({name for one in each for name in one.few})),
            versions=tuple(version for one in each for version in one.versions),
        )

    def of(self, tenant: str) -> Comparison:
        """The comparison that holds for this tenant."""
        return self._comparisons[self._work.current.of(tenant).policy.version]

    def count(self, chunk: Sequence[PastDecision], reader: Reader, tally: Tally) -> None:
        drafts = [self.of(past.tenant).begin(past) for past in chunk]
        unknown = {past.look: past.job_id for past in chunk if past.look not in self._looks}
        lacking = {draft.past.job_id for draft in drafts if draft.lacks} | set(unknown.values())
        seen = reader.seen(sorted(lacking)) if lacking else {}
        self._learn(unknown, seen)
        resolved = self._work.resolutions.of([past.job_id for past in chunk]) if self._work.resolutions else {}
        for draft in drafts:
            past = draft.past
            try:
                judged = self.of(past.tenant).finish(draft, seen.get(past.job_id))
            except NotReadable as error:
                tally.miss(past.id, str(error))
                continue
            if past.look in self._looks:
                tally.unobserved[past.look] = self._looks[past.look]
            tally.add(judged, resolved.get(past.job_id))

    def _learn(self, unknown: Mapping[str, str], seen: Mapping[str, Seen | Exception]) -> None:
        for look, job_id in unknown.items():
            found = seen.get(job_id)
            if isinstance(found, Seen):
                self._looks[look] = unobserved(found)


@dataclass(frozen=True, slots=True)
class Shadow:
    """Shadow rules by the decisions of live traffic that they were tried in. rules, channels: only these; () = all."""

    rules: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    seed: int = 0
    resolutions: Resolutions | None = None

    def judge(self) -> ShadowJudge:
        return ShadowJudge(self)


class ShadowJudge:
    """replay.Judge of shadow rules. before: what was decided; after: what had been decided with the rules live."""

    def __init__(self, work: Shadow) -> None:
        self._work = work

    @property
    def wanted(self) -> Wanted:
        return Wanted()

    def count(self, chunk: Sequence[PastDecision], reader: Reader, tally: Tally) -> None:
        resolved = self._work.resolutions.of([past.job_id for past in chunk]) if self._work.resolutions else {}
        for past in chunk:
            judged = self.judged(past)
            tally.add(judged, resolved.get(past.job_id))
            for rule in judged.after.keys() - judged.before.keys():
                tally.rules[rule, "alone"] += not judged.before
                for other in judged.before:
                    tally.overlap[rule, other] += 1

    def judged(self, past: PastDecision) -> Judged:
        """One decision without and with its shadow findings."""
        channels = tuple(name for name in past.channels if not self._work.channels or name in self._work.channels)
        live = _effects((one for one in past.findings if not one["shadow"]), channels)
        tried = _effects((one for one in past.findings if one["shadow"] and self._chosen(one["rule"])), channels)
        return Judged(past, channels, live, {**live, **tried}, KEPT)

    def _chosen(self, rule: str) -> bool:
        return not self._work.rules or rule in self._work.rules


def _effects(findings: Any, channels: Collection[str]) -> dict[str, Effect]:
    """By rule. A rule asks for the same on every channel on which it matched."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for one in findings:
        if one["channel"] in channels:
            found.setdefault(one["rule"], []).append(one)
    return {
        rule: Effect(
            rank=max(Verdict(one["action"]).rank for one in some),
            severity=some[0]["severity"],
            channels=tuple(one["channel"] for one in some),
            error=_error(some[0]),
        )
        for rule, some in found.items()
    }


def _error(finding: Mapping[str, Any]) -> str | None:
    if finding["policy_code"] != RULE_ERROR:
        return None
    return str(finding["evidence"][0].get("error", "")) if finding["evidence"] else ""
