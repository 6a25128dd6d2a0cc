"""What people do with policies: propose, approve, roll back, compare, judge again, have a decision explained.

Plain functions of the store and the rule engine; the HTTP API is a shell over them and says who the person is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from domain.errors import InputRejected, NotFound, PolicyInvalid
from domain.policies import (
    MOST_BUNDLE,
    SHIPPED,
    Bundle,
    Draft,
    Person,
    Publication,
    Scope,
    check_reason,
    scope_of,
)
from domain.ports import Policies
from domain.taxonomy import Taxonomy
from worker.policy.engine import PolicyEngine
from worker.policy.explaining import explain, not_run, rerun
from worker.policy.statement import statement
from worker.storage.alarms import Alarms
from worker.storage.decided import StoredDecision, StoredDecisions
from worker.storage.redecisions import SqlRedecisions

LIVE = "live"
_MOST_ENGINES = 4  # compiled policies kept for explanations, some megabytes each


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks to be published. redecide: "all", "tenant=a,b" or "rule=some.rule"."""

    bundle: Bundle
    tenant: str | None
    person: Person
    note: str = ""
    alone: bool = False
    reason: str | None = None
    redecide: str | None = None


@dataclass
class PolicyDesk:
    """`shipped`: what judges where nothing is published. A tenant of None means every tenant."""

    store: Policies
    shipped: Callable[[], PolicyEngine]
    redecisions: SqlRedecisions
    alarms: Alarms
    decisions: StoredDecisions
    taxonomy: Taxonomy | None = None  # that workers judge by; None = the shipped one
    _engines: dict[str, PolicyEngine] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def publish(self, wish: Wish) -> dict[str, Any]:
        """Check, rehearse and keep the version, then propose it, or put it live alone.

        Raises PolicyInvalid, and then nothing was kept and what is live stays; InputRejected, NotFound.
        """
        engine = checked(wish.bundle, self.taxonomy)
        redecide = None if wish.redecide is None else parse_scope(wish.redecide, wish.tenant, engine)
        if wish.alone:
            check_reason(wish.reason)
        self.store.keep(engine.loaded.bundle, engine.policy.id)
        draft = Draft(engine.policy.version, wish.tenant, wish.person, wish.note, redecide)
        if wish.alone:
            return _published(self.store.publish_alone(draft, wish.reason))
        return {"state": "proposed", **self.store.propose(draft).as_json()}

    def approve(self, number: int, person: Person, tenant: str | None) -> dict[str, Any]:
        """`tenant`: whom the person may act for. Raises NotFound, Forbidden for the author, InputRejected."""
        proposal = self.store.proposal(number)
        if tenant is not None and proposal.draft.tenant != tenant:
            raise NotFound("proposal", str(number))
        return _published(self.store.approve(number, person))

    def roll_back(
        self, tenant: str | None, person: Person, reason: str, wanted: str | None, redecide: str | None
    ) -> dict[str, Any]:
        """One person is enough: it only brings back what two had approved before, and it must not wait."""
        scope = None if redecide is None else self._live_scope(redecide, tenant)
        return _published(self.store.roll_back(tenant, person, reason, wanted, scope))

    def overview(self, tenant: str | None) -> dict[str, Any]:
        """What is live, what was published, what waits; of one tenant and everybody, or of all."""
        publications = [one for one in self.store.publications() if _visible(one.tenant, tenant)]
        live = self.store.live().scopes
        return {
            "shipped": self.shipped().policy.version,
            "live": [one.as_json() for name, one in live.items() if _visible(name, tenant)],
            "publications": [one.as_json() for one in publications],
            "proposals": [one.as_json() for one in self.store.proposals() if _visible(one.draft.tenant, tenant)],
        }

    def version(self, name: str, tenant: str | None) -> dict[str, Any]:
        """All files of a version, by "live", "shipped", the number of a publication, or its first digits.

        Raises NotFound, also for what was only ever another tenant's.
        """
        version = self._version(name, tenant)
        bundle = self.shipped().loaded.bundle if version is None else self.store.bundle(version)
        return {"version": bundle.version, "entry": bundle.entry, "files": dict(bundle.files)}

    def redecide(self, scope: str, tenant: str | None, person: Person) -> dict[str, Any]:
        """Judge current photos again in the background. Raises InputRejected."""
        return self.redecisions.ask(self._live_scope(scope, tenant), person.name).as_json()

    def redecided(self, tenant: str | None) -> list[dict[str, Any]]:
        """What was asked for and how far it has come, newest first."""
        return [
            one.as_json()
            for one in self.redecisions.list()
            if tenant is None or one.scope.tenants is None or tenant in one.scope.tenants
        ]

    def explain(self, name: str, tenant: str | None) -> dict[str, Any]:
        """A decision with its causes, its receipt, and whether judging it again gives the same."""
        found = self.decisions.find(name, tenant)
        engine, why = self._engine_of(found)
        data = found.data
        return {
            **found.as_json(),
            "verdict": data["verdict"],
            "channels": data["channels"],
            "findings": explain(data, engine),
            "receipt": data["receipt"],
            "rerun": not_run(why) if engine is None else rerun(data, engine),
        }

    def statement(self, name: str, tenant: str | None, channel: str | None) -> dict[str, Any]:
        """Raises InputRejected for an approval."""
        found = self.decisions.find(name, tenant)
        engine, _ = self._engine_of(found)
        return statement(found.id, found.data, found.submitted_at, engine, channel)

    def _live_scope(self, text: str, tenant: str | None) -> Scope:
        return parse_scope(text, tenant, self._live_engine(tenant))

    def _live_engine(self, tenant: str | None) -> PolicyEngine:
        version = self._live_version(tenant)
        return self.shipped() if version is None else self._engine(version)

    def _live_version(self, tenant: str | None) -> str | None:
        """What judges a tenant, or (None) everybody without a policy of their own; None = what is shipped."""
        live = self.store.live()
        found = live.scopes.get(None) if tenant is None else live.for_tenant(tenant)
        return None if found is None else found.version

    def _version(self, name: str, tenant: str | None) -> str | None:
        if name == SHIPPED:
            return None
        if name == LIVE:
            return self._live_version(tenant)
        known = self.overview(tenant)
        for one in known["publications"]:
            if name.removeprefix("#") == str(one["number"]):
                return str(one["version"]) if one["version"] else None
        version = self.store.find(name)
        seen = {one["version"] for one in known["publications"] + known["proposals"]} | {known["shipped"]}
        if tenant is not None and version not in seen:
            raise NotFound("policy version", name[:100])
        return version

    def _engine_of(self, found: StoredDecision) -> tuple[PolicyEngine | None, str]:
        """What judged then, or why it cannot be had."""
        try:
            return self._engine(found.data["receipt"]["policy_version"]), ""
        except KeyError:
            return None, "the receipt names no policy version"
        except NotFound:
            return None, "its policy version was not kept: it judged before versions were"
        except PolicyInvalid as why:
            return None, f"its policy does not compile in this release: {why}"

    def _engine(self, version: str) -> PolicyEngine:
        with self._lock:
            if version not in self._engines:
                if len(self._engines) >= _MOST_ENGINES:
                    del self._engines[next(iter(self._engines))]
                self._engines[version] = PolicyEngine.of_bundle(self.store.bundle(version), self.taxonomy)
            return self._engines[version]


def checked(bundle: Bundle, taxonomy: Taxonomy | None = None) -> PolicyEngine:
    """Compile a policy from files that somebody sent, and run its tests. Raises PolicyInvalid."""
    if sum(map(len, bundle.files.values())) > MOST_BUNDLE:
        raise PolicyInvalid([f"The files have more than {MOST_BUNDLE} characters together; shorten the word lists."])
    if names := [name for name, text in bundle.files.items() if "\0" in text]:
        raise PolicyInvalid([f"{names[0]}:1: holds a NUL character; save it as plain text."])
    return PolicyEngine.of_bundle(bundle, taxonomy).rehearsed()


def parse_scope(text: str, tenant: str | None, engine: PolicyEngine) -> Scope:
    """ "all", "tenant=a,b" or "rule=some.rule", within what a person may act for. Raises InputRejected."""
    kind, _, value = text.partition("=")
    match kind:
        case "all" if not value:
            return Scope(None if tenant is None else (tenant,))
        case "tenant" if value:
            named = tuple(sorted({name.strip() for name in value.split(",")}))
            if tenant is not None and named != (tenant,):
                raise InputRejected("not_yours", f"redecide: this policy is {tenant}'s alone; leave other tenants out.")
            return Scope(named)
        case "rule" if value:
            return _rule_scope(value, tenant, engine)
    raise InputRejected("bad_scope", 'redecide: write "all", "tenant=NAME" or "rule=ID".')


def _rule_scope(rule_id: str, tenant: str | None, engine: PolicyEngine) -> Scope:
    rule = next((one for one in engine.policy.rules if one.id == rule_id), None)
    if rule is None:
        raise InputRejected("no_such_rule", f"redecide: policy {engine.policy.id} has no rule {rule_id[:100]!r}.")
    scope = scope_of(rule, tenant)
    if scope is None:
        raise InputRejected("out_of_scope", f"redecide: rule {rule_id} does not concern {tenant}.")
    return scope


def _published(publication: Publication) -> dict[str, Any]:
    return {"state": "published", **publication.as_json()}


def _visible(scope: str | None, tenant: str | None) -> bool:
    return tenant is None or scope in (None, tenant)
