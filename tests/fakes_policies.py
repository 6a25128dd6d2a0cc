"""Published policies in one process; passes the same contract suite as PostgreSQL: tests/contracts/test_policies.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from domain.errors import InputRejected, NotFound, Unavailable
from domain.policies import (
    SHORTEST_VERSION,
    Bundle,
    Draft,
    Kind,
    Live,
    Person,
    Proposal,
    Publication,
    Scope,
    check_approval,
    check_reason,
    rollback_target,
    short,
)


@dataclass
class MemoryPolicies:
    """domain.ports.Policies. `away` as a store may be; `asked` are the scopes to be judged again."""

    tenants: set[str] = field(default_factory=lambda: {"acme"})
    versions: dict[str, Bundle] = field(default_factory=dict)
    proposed: dict[int, Proposal] = field(default_factory=dict)
    published: list[Publication] = field(default_factory=list)
    asked: list[tuple[str, Scope]] = field(default_factory=list)
    away: bool = False

    def keep(self, bundle: Bundle, policy: str) -> None:
        self._answer()
        self.versions.setdefault(bundle.version, bundle)

    def find(self, version: str) -> str:
        self._answer()
        found = [known for known in self.versions if known.startswith(version)]
        if len(version) < SHORTEST_VERSION or not found:
            raise NotFound("policy version", version)
        if len(found) > 1:
            raise InputRejected("ambiguous_version", "version: give more digits.")
        return found[0]

    def bundle(self, version: str) -> Bundle:
        self._answer()
        if version not in self.versions:
            raise NotFound("policy version", version)
        return self.versions[version]

    def propose(self, draft: Draft) -> Proposal:
        live = self._check_new(draft)
        made = Proposal(len(self.proposed) + 1, draft, live, datetime.now(UTC))
        self.proposed[made.id] = made
        return made

    def proposals(self) -> list[Proposal]:
        done = {one.proposal for one in self.published}
        return [one for number, one in sorted(self.proposed.items(), reverse=True) if number not in done]

    def proposal(self, number: int) -> Proposal:
        if number not in self.proposed:
            raise NotFound("proposal", str(number))
        return self.proposed[number]

    def approve(self, number: int, person: Person) -> Publication:
        proposal = self.proposal(number)
        if any(one.proposal == number for one in self.published):
            raise InputRejected("already_published", "it was approved before.")
        check_approval(proposal, person, self._live(proposal.draft.tenant))
        return self._publish(proposal.draft, second=person, proposal=number)

    def publish_alone(self, draft: Draft, reason: str | None) -> Publication:
        why = check_reason(reason)
        self._check_new(draft)
        return self._publish(draft, reason=why)

    def roll_back(
        self, tenant: str | None, person: Person, reason: str, wanted: str | None, redecide: Scope | None = None
    ) -> Publication:
        target = rollback_target(self.history(tenant), wanted)
        if redecide is not None:
            self.asked.append((Kind.ROLLBACK.value, redecide))
        return self._add(
            kind=Kind.ROLLBACK,
            version=target and target.version,
            tenant=tenant,
            author=person,
            reason=reason,
            restores=target and target.number,
        )

    def latest(self) -> int:
        self._answer()
        return len(self.published)

    def live(self) -> Live:
        self._answer()
        return Live(len(self.published), {one.tenant: one for one in self.published})

    def history(self, tenant: str | None) -> list[Publication]:
        self._answer()
        return [one for one in self.published if one.tenant == tenant]

    def publications(self) -> list[Publication]:
        self._answer()
        return self.published[::-1]

    def _check_new(self, draft: Draft) -> str | None:
        self._answer()
        if draft.tenant is not None and draft.tenant not in self.tenants:
            raise NotFound("tenant", draft.tenant)
        live = self._live(draft.tenant)
        if live == draft.version:
            raise InputRejected("already_live", f"version {short(live)} is live here already.")
        return live

    def _live(self, tenant: str | None) -> str | None:
        history = self.history(tenant)
        return history[-1].version if history else None

    def _publish(self, draft: Draft, **how: Any) -> Publication:
        if draft.redecide is not None:
            self.asked.append((Kind.PUBLISH.value, draft.redecide))
        return self._add(
            kind=Kind.PUBLISH,
            version=draft.version,
            tenant=draft.tenant,
            author=draft.author,
            note=draft.note,
            **how,
        )

    def _add(self, **values: Any) -> Publication:
        made = Publication(number=len(self.published) + 1, published_at=datetime.now(UTC), **values)
        self.published.append(made)
        return made

    def _answer(self) -> None:
        if self.away:
            raise Unavailable("the database", "away")
