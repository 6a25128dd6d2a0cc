"""Policies as published things: what a version consists of, who put it live, and what may be put back.

The files of a version are kept whole, so that a receipt can be run again for as long as the code understands them. What
is live is the last publication of a scope; publications are only ever added.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from domain.errors import Forbidden, InputRejected
from domain.moderation import ALL_CHANNELS, Rule

MOST_BUNDLE = 16 * 1024 * 1024  # characters in all files of a policy together


@dataclass(frozen=True, slots=True)
class Bundle:
    """All files of one policy by their names relative to `entry`'s directory."""

    entry: str
    files: Mapping[str, str]

    @property
    def version(self) -> str:
        """sha256 over the names and contents of all files. The entry needs no place in it: includes have no circles,
        so of any set of files only one reaches all the others."""
        digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in self.files.items()}
        return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Person:
    """Whoever acts: a person with an account, else whoever holds a token, with the name it was made with."""

    id: str
    name: str
    account: bool = False

    def same_as(self, other: Person) -> bool:
        """Two accounts are two people. A renewed token keeps its holder's name, so equal names are one person too."""
        if self.account and other.account:
            return self.id == other.id
        return self.id == other.id or self.name.strip().casefold() == other.name.strip().casefold()

    def as_json(self) -> dict[str, str]:
        return {"token": self.id, "name": self.name}


@dataclass(frozen=True, slots=True)
class Scope:
    """Which current photos are judged again; None = all of them. `rule`: the rule this is about, if about one."""

    tenants: tuple[str, ...] | None = None
    channels: tuple[str, ...] | None = None
    rule: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "tenants": None if self.tenants is None else list(self.tenants),
            "channels": None if self.channels is None else list(self.channels),
            "rule": self.rule,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        tenants, channels = data["tenants"], data["channels"]
        return cls(
            None if tenants is None else tuple(tenants), None if channels is None else tuple(channels), data["rule"]
        )


def scope_of(rule: Rule, tenant: str | None) -> Scope | None:
    """Whose photos a rule concerns, in a policy of that tenant or (None) of everybody; None = nobody's."""
    channels = None if ALL_CHANNELS in rule.channels else rule.channels
    everybody = "*" in rule.tenants
    if tenant is not None:
        return Scope((tenant,), channels, rule.id) if everybody or tenant in rule.tenants else None
    return Scope(None if everybody else rule.tenants, channels, rule.id)


class Kind(StrEnum):
    PUBLISH = "publish"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody wants to be live. tenant None = every tenant without a policy of its own."""

    version: str
    tenant: str | None
    author: Person
    note: str = ""
    redecide: Scope | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A draft that waits for a second person. `base` is the version that was live when it was proposed."""

    id: int
    draft: Draft
    base: str | None
    proposed_at: datetime

    def as_json(self) -> dict[str, Any]:
        draft = self.draft
        return {
            "proposal": self.id,
            "version": draft.version,
            "tenant": draft.tenant,
            "author": draft.author.as_json(),
            "note": draft.note,
            "redecide": None if draft.redecide is None else draft.redecide.as_json(),
            "base": self.base,
            "proposed_at": self.proposed_at.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Publication:
    """One change of what is live in a scope. version None = nothing is published there (any more).

    restores: the publication that a rollback put back. second: who approved; where nobody did, `reason` says why.
    """

    number: int
    kind: Kind
    version: str | None
    tenant: str | None
    author: Person
    published_at: datetime
    second: Person | None = None
    reason: str | None = None
    note: str = ""
    restores: int | None = None
    proposal: int | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "kind": self.kind.value,
            "version": self.version,
            "tenant": self.tenant,
            "author": self.author.as_json(),
            "second": None if self.second is None else self.second.as_json(),
            "reason": self.reason,
            "note": self.note,
            "restores": self.restores,
            "proposal": self.proposal,
            "published_at": self.published_at.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Live:
    """What is published now, by scope; `latest` is the newest publication's number, 0 before the first."""

    latest: int
    scopes: Mapping[str | None, Publication] = field(default_factory=dict)

    def for_tenant(self, tenant: str) -> Publication | None:
        """The tenant's own publication, else everybody's; None where neither is in force."""
        for scope in (tenant, None):
            found = self.scopes.get(scope)
            if found is not None and found.version is not None:
                return found
        return None


def check_approval(proposal: Proposal, person: Person, live: str | None) -> None:
    """Raises Forbidden for the author himself, InputRejected when something else went live meanwhile."""
    if person.same_as(proposal.draft.author):
        raise Forbidden(
            "approving one's own policy",
            "A second person approves with a token of their own "
            "(`shelfguard token add --role admin --person ...`); or publish with --alone and a --reason.",
        )
    if live != proposal.base:
        raise InputRejected(
            "stale_proposal",
            f"proposal {proposal.id} was made when version {short(proposal.base)} was live, and now {short(live)} is; "
            "look at `shelfguard policy diff`, then publish again.",
        )


def check_reason(reason: str | None) -> str:
    """The reason why one person acted alone. Raises InputRejected for none."""
    if reason is None or len(reason.strip()) < 10:
        raise InputRejected("reason_required", "reason: say in a sentence why no second person can approve this.")
    return reason.strip()


def rollback_target(history: Sequence[Publication], wanted: str | None) -> Publication | None:
    """What a rollback puts back: the publication before the one in force, or the one wanted by number or version.

    `history` is of one scope, oldest first. None = nothing published, so that what is shipped is live again. Raises
    InputRejected when there is nothing to go back to, or for what was never live here.
    """
    if not history:
        raise InputRejected("nothing_published", "nothing is published here, so there is nothing to roll back.")
    found = _before(history) if wanted is None else _wanted(history, wanted)
    if (None if found is None else found.version) == history[-1].version:
        raise InputRejected("already_live", "that version is live already; see `shelfguard policy list --versions`.")
    return found


def _before(history: Sequence[Publication]) -> Publication | None:
    """What was in force before the last real publication: going back twice goes two steps back."""
    by_number = {one.number: one for one in history}
    origin = _origin(history[-1], by_number)
    if origin is None:
        raise InputRejected("nothing_before", "nothing was published before; what is shipped is live already.")
    earlier = [one for one in history if one.number < origin.number]
    return _origin(earlier[-1], by_number) if earlier else None


def _origin(one: Publication, by_number: Mapping[int, Publication]) -> Publication | None:
    while one.kind is Kind.ROLLBACK:
        if one.restores is None:
            return None
        one = by_number[one.restores]
    return one


def _wanted(history: Sequence[Publication], wanted: str) -> Publication | None:
    if wanted == SHIPPED:
        return None
    published = [one for one in history if one.kind is Kind.PUBLISH]
    named = wanted.removeprefix("#")
    found = [one for one in published if str(one.number) == named]
    if not found and len(named) >= SHORTEST_VERSION:
        found = [one for one in published if (one.version or "").startswith(named)]
    if not found:
        raise InputRejected(
            "never_live",
            f"version: {wanted[:100]!r} was never live here; name a number or a version of "
            f"`shelfguard policy list --versions`, or {SHIPPED!r} for what is shipped.",
        )
    return found[-1]


SHIPPED = "shipped"
SHORTEST_VERSION = 6  # digits of a version that are enough to name it


def short(version: str | None) -> str:
    """A version as people read it."""
    return SHIPPED if version is None else version[:12]


@dataclass(frozen=True, slots=True)
class CapState:
    """A rule's daily cap as one decision met it. used: places taken by others; spent: none was left for this photo."""

    limit: int
    used: int
    spent: bool

    def as_json(self) -> dict[str, Any]:
        return {"limit": self.limit, "used": self.used, "spent": self.spent}


class AlarmKind(StrEnum):
    NOT_LOADED = "policy_not_loaded"
    CAP_REACHED = "cap_reached"
    MATCH_RATE = "match_rate"


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something about a policy that a person has to look at; the message says what to do."""

    kind: AlarmKind
    message: str
    tenant: str | None = None
    rule: str | None = None
    version: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What makes two alarms the same alarm."""
        return ":".join((self.kind.value, self.tenant or "*", self.rule or "*", self.version or "*"))
