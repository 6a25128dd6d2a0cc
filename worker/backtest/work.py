"""The two kinds of replay: a candidate beside what is live, and shadow rules from the decisions they were tried in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from domain.moderation import RULE_ERROR, Verdict
from domain.policies import Bundle
from domain.ports import Policies
from domain.taxonomy import Taxonomy
from worker.backtest.coverage import unobserved
from worker.backtest.figures import Tally
from worker.backtest.judging import KEPT, Comparison, Effect, Judged, NotReadable
from worker.backtest.reviews import Resolutions
from worker.backtest.words import Makers
from worker.policy.loading import LoadedPolicy, load_bundle, load_policy
from worker.storage.history import PastDecision, Reader, Seen, Wanted


@dataclass(frozen=True, slots=True)
class PolicyText:
    """A policy as its files, so that every process compiles the same one, whatever becomes of the files meanwhile.

    taxonomy: None = the shipped one.
    """

    bundle: Bundle
    taxonomy: Taxonomy | None = None

    @classmethod
    def read(cls, path: Path | None, taxonomy: Taxonomy | None = None) -> PolicyText:
        """From a file or directory; None is the starter pack. Raises PolicyInvalid."""
        return cls(load_policy(path, taxonomy).bundle, taxonomy)

    @property
    def loaded(self) -> LoadedPolicy:
        """Compiled, once in each process. Raises PolicyInvalid."""
        key = (self.bundle.version, None if self.taxonomy is None else self.taxonomy.version)
        if key not in _compiled:
            _compiled[key] = load_bundle(self.bundle, self.taxonomy)
        return _compiled[key]


_compiled: dict[tuple[str, str | None], LoadedPolicy] = {}


@dataclass(frozen=True, slots=True)
class Current:
    """What judges now: tenants with a policy of their own by it, everybody else by one policy."""

    everybody: PolicyText
    own: Mapping[str, PolicyText] = field(default_factory=dict)

    def all(self) -> Sequence[LoadedPolicy]:
        """Every policy that judges anybody. Raises PolicyInvalid."""
        texts = {one.bundle.version: one for one in (self.everybody, *self.own.values())}
        return [one.loaded for one in texts.values()]

    def of(self, tenant: str) -> LoadedPolicy:
        """The one that judges this tenant."""
        return self.own.get(tenant, self.everybody).loaded


def live_policies(store: Policies, shipped: PolicyText, tenants: Collection[str]) -> tuple[Current, tuple[str, ...]]:
    """What is published for these tenants, or, without any, for everybody; `shipped` where nothing is.

    The second value names the tenants that everybody's policy does not judge, because they have one of their own; only
    without `tenants`. Raises NotFound, Unavailable.
    """
    live = store.live().scopes
    versions = {tenant: one.version for tenant, one in live.items() if one.version is not None}
    own = {name: version for name, version in versions.items() if name is not None}

    def text(version: str | None) -> PolicyText:
        return shipped if version is None else PolicyText(store.bundle(version), shipped.taxonomy)

    if not tenants:
        return Current(text(versions.get(None))), tuple(sorted(own))
    asked = {name: text(own[name]) for name in tenants if name in own}
    rest = next(iter(asked.values())) if len(asked) == len(set(tenants)) else text(versions.get(None))
    return Current(rest, asked), ()


@dataclass(frozen=True, slots=True)
class Backtest:
    """A candidate beside what is live, at one moment. rules, channels: only these; empty = all.

    recompute: take no signal from receipts and nothing from findings.
    """

    current: Current
    candidate: PolicyText
    at: datetime
    rules: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    seed: int = 0
    recompute: bool = False
    resolutions: Resolutions | None = None

    def judge(self) -> BacktestJudge:
        return BacktestJudge(self)

    def comparison(self, current: LoadedPolicy, makers: Makers | None = None) -> Comparison:
        return Comparison(
            current,
            self.candidate.loaded,
            self.at,
            only=self.rules,
            channels=self.channels,
            recompute=self.recompute,
            makers=makers,
        )


class BacktestJudge:
    """replay.Judge of a backtest."""

    def __init__(self, work: Backtest) -> None:
        self._work = work
        policies = work.current.all()
        self._makers = Makers([*policies, work.candidate.loaded])
        self._comparisons = {one.policy.version: work.comparison(one, self._makers) for one in policies}
        self._by_tenant: dict[str, Comparison] = {}
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
        if tenant not in self._by_tenant:
            self._by_tenant[tenant] = self._comparisons[self._work.current.of(tenant).policy.version]
        return self._by_tenant[tenant]

    def count(self, chunk: Sequence[PastDecision], reader: Reader, tally: Tally) -> None:
        self._makers.learn({past.policy_version for past in chunk}, reader.policy)
        drafts = [self.of(past.tenant).begin(past) for past in chunk]
        unknown = {past.look: past for past in chunk if past.look not in self._looks}
        lacking = {draft.past.job_id for draft in drafts if draft.lacks} | {past.job_id for past in unknown.values()}
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

    def _learn(self, unknown: Mapping[str, PastDecision], seen: Mapping[str, Seen | Exception]) -> None:
        for look, past in unknown.items():
            found = seen.get(past.job_id)
            if isinstance(found, Seen):
                self._looks[look] = unobserved(found, past.recalled)


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
