"""LivePolicies: the judge that judges by what is published, and notices within seconds when that changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from domain.errors import NotFound, PolicyInvalid, Unavailable
from domain.jobs import ImageJob
from domain.moderation import Decision
from domain.observations import Observation
from domain.photos import StoredPhoto
from domain.policies import Alarm, AlarmKind, CapState, Publication, short
from domain.ports import DailyCaps, Memory, Policies
from domain.taxonomy import Taxonomy
from worker.policy.engine import PolicyEngine
from worker.telemetry import log

POLL_SECONDS = 2.0
PUBLISHED_POLICY = "the published policy"  # what is Unavailable where a version does not load


@dataclass(frozen=True, slots=True)
class InForce:
    """A policy that judges, and since when. tenant None = everybody without a policy of their own.

    since: of its publication; None = nothing is published and what is shipped judges.
    """

    engine: PolicyEngine
    tenant: str | None
    since: datetime | None


@dataclass
class _Scope:
    """What one scope judges by. `broken` says why the published version cannot be loaded."""

    publication: Publication
    engine: PolicyEngine | None = None
    broken: str | None = None


@dataclass
class LivePolicies:
    """domain.ports.Judge over published policies.

    Asks for the newest publication's number before a decision, once in `poll_seconds` at most: one indexed read. A
    version that cannot be loaded sounds the alarm and the one before it stays; where there is none before it, as in a
    process that just started, jobs wait. Nothing is ever judged by no policy, or by one nobody published here.
    """

    store: Policies
    shipped: PolicyEngine
    caps: DailyCaps
    alarm: Callable[[Alarm], None]
    taxonomy: Taxonomy | None = None  # None = the shipped one
    memory: Memory | None = None  # what is known of pictures from before; shipped has its own
    poll_seconds: float = POLL_SECONDS
    monotonic: Callable[[], float] = time.monotonic
    _latest: int | None = None
    _asked_at: float = float("-inf")
    _scopes: dict[str | None, _Scope] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def decide(
        self, job: ImageJob, photo: StoredPhoto, seen: Observation, at: datetime, plan: str | None = None
    ) -> Decision:
        """Raises Unavailable while the policy that is in force cannot be had."""
        engine = self.engine_for(job.tenant)
        subject = f"{job.product_id}/{job.image_id}/{photo.sha256}"
        return engine.decide(job, photo, seen, at, plan, take=partial(self._take, engine, job.tenant, at, subject))

    def engine_for(self, tenant: str) -> PolicyEngine:
        """What judges this tenant's photos now. Raises Unavailable."""
        with self._lock:
            self._refresh()
            for name in (tenant, None):
                scope = self._scopes.get(name)
                if scope is not None and scope.publication.version is not None:
                    return _engine(scope)
            return self.shipped

    def in_force(self) -> list[InForce]:
        """Every policy that judges now; one that cannot be loaded is left out."""
        with self._lock:
            self._refresh()
            found = [
                InForce(scope.engine, tenant, scope.publication.published_at)
                for tenant, scope in self._scopes.items()
                if scope.engine is not None
            ]
            everybody = self._scopes.get(None)
            if everybody is None or everybody.publication.version is None:
                found.append(InForce(self.shipped, None, None))
            return found

    def _refresh(self) -> None:
        now = self.monotonic()
        if now - self._asked_at < self.poll_seconds:
            return
        try:
            latest = self.store.latest()
            if latest != self._latest:
                self._load()
        except Unavailable as why:
            if self._latest is None:
                raise
            log.warning("policies_not_asked_for", why=str(why))  # what is loaded stays
        self._asked_at = now

    def _load(self) -> None:
        if self._latest is None:
            self.store.keep(self.shipped.loaded.bundle, self.shipped.policy.id)  # so that its receipts can be run again
        live = self.store.live()
        for tenant, publication in live.scopes.items():
            before = self._scopes.get(tenant)
            if before is None or before.publication.number != publication.number:
                self._scopes[tenant] = self._loaded(publication, before)
        if self._latest is not None:
            log.info("policies_changed", latest=live.latest)
        self._latest = live.latest

    def _loaded(self, publication: Publication, before: _Scope | None) -> _Scope:
        version = publication.version
        if version is None:
            return _Scope(publication)
        if known := self._known(version):
            return _Scope(publication, known)
        try:
            return _Scope(publication, PolicyEngine.of_bundle(self.store.bundle(version), self.taxonomy, self.memory))
        except (PolicyInvalid, NotFound) as why:
            return self._kept(publication, before, str(why))

    def _kept(self, publication: Publication, before: _Scope | None, why: str) -> _Scope:
        """The scope with what it had: its own engine, or what judged it as everybody else."""
        kept = before.engine if before is not None else self._everybodys()
        version = short(publication.version)
        stays = f"version {short(kept.policy.version)} stays in force" if kept else "its photos wait"
        message = (
            f"Policy version {version} does not load in this release, so {stays}; "
            f"run `shelfguard policy rollback` or publish a corrected one. {why}"
        )
        log.error("policy_not_loaded", version=version, tenant=publication.tenant, why=why)
        self._sound(Alarm(AlarmKind.NOT_LOADED, message, tenant=publication.tenant, version=publication.version))
        return _Scope(publication, kept, broken=None if kept else message)

    def _everybodys(self) -> PolicyEngine | None:
        """What judges tenants without a policy of their own; None in a process that does not know yet."""
        if self._latest is None:
            return None
        everybody = self._scopes.get(None)
        return self.shipped if everybody is None or everybody.publication.version is None else everybody.engine

    def _known(self, version: str) -> PolicyEngine | None:
        engines = [self.shipped, *(scope.engine for scope in self._scopes.values() if scope.engine is not None)]
        return next((engine for engine in engines if engine.policy.version == version), None)

    def _take(
        self, engine: PolicyEngine, tenant: str, at: datetime, subject: str, limits: Mapping[str, int]
    ) -> Mapping[str, CapState]:
        states = self.caps.take(tenant, at.date(), subject, limits)
        for rule, state in states.items():
            if state.spent:
                message = (
                    f"Rule {rule} has rejected {state.limit} photos of {tenant} on {at.date()}, its cap for a day; "
                    "what it would reject until midnight UTC goes to review. "
                    "Check the rule, or raise max_daily_rejections."
                )
                log.error("rule_cap_reached", rule=rule, tenant=tenant, limit=state.limit)
                version = engine.policy.version
                self._sound(Alarm(AlarmKind.CAP_REACHED, message, tenant, rule, version, state.as_json()))
        return states

    def _sound(self, alarm: Alarm) -> None:
        """The log has it already, so a store that is away loses nothing."""
        try:
            self.alarm(alarm)
        except Unavailable as why:
            log.warning("alarm_not_kept", why=str(why))


def _engine(scope: _Scope) -> PolicyEngine:
    if scope.engine is None:
        raise Unavailable(PUBLISHED_POLICY, scope.broken or "it is not loaded")
    return scope.engine
