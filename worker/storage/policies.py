"""Published policies in PostgreSQL: versions whole, proposals, publications. A scope's last publication is live.

One lock orders everything that changes what is live, so that a worker that asks for the newest number misses nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from domain.audit import Actor
from domain.errors import InputRejected, NotFound
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
from worker.storage.audit import record
from worker.storage.database import Database
from worker.storage.ids import plain, printable
from worker.storage.redecisions import queue_redecision
from worker.storage.tables import policy_proposals, policy_publications, policy_versions, tenants

# Any constant will do; it only has to be the same in every process ("polic" on a telephone's keys).
_PUBLISH_LOCK = 76542
_MOST_LISTED = 200
_ACCOUNT = "person:"  # before the ids of people with accounts, in columns that hold those of tokens too


class SqlPolicies:
    """domain.ports.Policies."""

    def __init__(self, database: Database) -> None:
        self.database = database

    # versions --------------------------------------------------------------------------------------------------

    def keep(self, bundle: Bundle, policy: str) -> None:
        with self.database.transaction() as connection:
            connection.execute(
                upsert(policy_versions)
                .values(version=bundle.version, policy=policy, entry=bundle.entry, files=dict(bundle.files))
                .on_conflict_do_nothing()
            )

    def find(self, version: str) -> str:
        named = plain("policy version", version)
        if len(named) < SHORTEST_VERSION or not named.isalnum():
            raise NotFound("policy version", printable(version))
        query = select(policy_versions.c.version).where(policy_versions.c.version.startswith(named)).limit(2)
        with self.database.transaction() as connection:
            found = connection.execute(query).scalars().all()
        if len(found) > 1:
            raise InputRejected("ambiguous_version", f"version: {named} begins several versions; give more digits.")
        if not found:
            raise NotFound("policy version", printable(version))
        return str(found[0])

    def bundle(self, version: str) -> Bundle:
        query = select(policy_versions.c.entry, policy_versions.c.files).where(policy_versions.c.version == version)
        with self.database.transaction() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFound("policy version", printable(version))
        return Bundle(row.entry, row.files)

    def kept_since(self, version: str) -> datetime | None:
        """When a version was first kept here: for what is shipped, when it was first in force."""
        query = select(policy_versions.c.created_at).where(policy_versions.c.version == version)
        with self.database.transaction() as connection:
            found: datetime | None = connection.execute(query).scalar_one_or_none()
        return found

    # publishing ------------------------------------------------------------------------------------------------

    def propose(self, draft: Draft) -> Proposal:
        with self.database.transaction() as connection:
            live = _lock_live(connection, draft.tenant)
            _check_new(draft, live)
            row = (
                connection.execute(
                    insert(policy_proposals)
                    .values(
                        version=draft.version,
                        tenant=draft.tenant,
                        base=live,
                        author_id=draft.author.id,
                        author_name=draft.author.name,
                        note=draft.note,
                        redecide=None if draft.redecide is None else draft.redecide.as_json(),
                    )
                    .returning(policy_proposals)
                )
                .mappings()
                .one()
            )
        return _proposal(row)

    def proposals(self) -> list[Proposal]:
        done = select(policy_publications.c.proposal).where(policy_publications.c.proposal.is_not(None))
        query = (
            select(policy_proposals)
            .where(policy_proposals.c.id.not_in(done))
            .order_by(policy_proposals.c.id.desc())
            .limit(_MOST_LISTED)
        )
        with self.database.transaction() as connection:
            return [_proposal(row) for row in connection.execute(query).mappings()]

    def proposal(self, number: int) -> Proposal:
        with self.database.transaction() as connection:
            return _find_proposal(connection, number)

    def approve(self, number: int, person: Person) -> Publication:
        with self.database.transaction() as connection:
            proposal = _find_proposal(connection, number)
            draft = proposal.draft
            live = _lock_live(connection, draft.tenant)
            published = select(policy_publications.c.number).where(policy_publications.c.proposal == proposal.id)
            if connection.execute(published).first():
                raise InputRejected(
                    "already_published", f"proposal {number} was approved before; nothing is to be done."
                )
            check_approval(proposal, person, live)
            return _publish(connection, draft, second_id=person.id, second_name=person.name, proposal=proposal.id)

    def publish_alone(self, draft: Draft, reason: str | None) -> Publication:
        why = check_reason(reason)
        with self.database.transaction() as connection:
            _check_new(draft, _lock_live(connection, draft.tenant))
            return _publish(connection, draft, reason=why)

    def roll_back(
        self, tenant: str | None, person: Person, reason: str, wanted: str | None, redecide: Scope | None = None
    ) -> Publication:
        with self.database.transaction() as connection:
            _lock_live(connection, tenant)
            target = rollback_target(_history(connection, tenant), wanted)
            if redecide is not None:
                queue_redecision(connection, Kind.ROLLBACK.value, redecide, person.name)
            return _add(
                connection,
                kind=Kind.ROLLBACK.value,
                version=None if target is None else target.version,
                tenant=tenant,
                author_id=person.id,
                author_name=person.name,
                reason=reason,
                note="",
                restores=None if target is None else target.number,
            )

    # what is live ----------------------------------------------------------------------------------------------

    def latest(self) -> int:
        with self.database.transaction() as connection:
            return _latest(connection)

    def live(self) -> Live:
        last = func.max(policy_publications.c.number)
        newest = select(last).group_by(policy_publications.c.tenant)
        query = select(policy_publications).where(policy_publications.c.number.in_(newest))
        with self.database.transaction() as connection:
            found = [_publication(row) for row in connection.execute(query).mappings()]
        return Live(max((one.number for one in found), default=0), {one.tenant: one for one in found})

    def history(self, tenant: str | None) -> list[Publication]:
        with self.database.transaction() as connection:
            return _history(connection, tenant)

    def publications(self) -> list[Publication]:
        query = select(policy_publications).order_by(policy_publications.c.number.desc()).limit(_MOST_LISTED)
        with self.database.transaction() as connection:
            return [_publication(row) for row in connection.execute(query).mappings()]


def _lock_live(connection: Connection, tenant: str | None) -> str | None:
    """The version published in a scope, which nobody else can change until we are done. Raises NotFound."""
    if tenant is not None:
        known = select(tenants.c.id).where(tenants.c.id == plain("tenant", tenant), tenants.c.disabled_at.is_(None))
        if connection.execute(known).first() is None:
            raise NotFound("tenant", printable(tenant))
    connection.execute(select(func.pg_advisory_xact_lock(_PUBLISH_LOCK)))
    query = (
        select(policy_publications.c.version)
        .where(policy_publications.c.tenant.is_not_distinct_from(tenant))
        .order_by(policy_publications.c.number.desc())
        .limit(1)
    )
    version: str | None = connection.execute(query).scalar_one_or_none()
    return version


def _check_new(draft: Draft, live: str | None) -> None:
    if draft.version == live:
        raise InputRejected("already_live", f"version {short(live)} is live here already; nothing is to be published.")


def _publish(connection: Connection, draft: Draft, **how: Any) -> Publication:
    if draft.redecide is not None:
        queue_redecision(connection, Kind.PUBLISH.value, draft.redecide, draft.author.name)
    return _add(
        connection,
        kind=Kind.PUBLISH.value,
        version=draft.version,
        tenant=draft.tenant,
        author_id=draft.author.id,
        author_name=draft.author.name,
        note=draft.note,
        **how,
    )


def _add(connection: Connection, **values: Any) -> Publication:
    added = insert(policy_publications).values(**values).returning(policy_publications)
    made = _publication(connection.execute(added).mappings().one())
    said = {"version": made.version, "author": made.author.name, "reason": made.reason}
    who = _actor(made.second or made.author)
    record(connection, who, f"policy.{made.kind.value}", f"publication:{made.number}", tenant=made.tenant, data=said)
    return made


def _actor(person: Person) -> Actor:
    return Actor("person" if person.account else "token", person.id.removeprefix(_ACCOUNT), person.name)


def _latest(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(policy_publications.c.number), 0))).scalar_one())


def _history(connection: Connection, tenant: str | None) -> list[Publication]:
    query = (
        select(policy_publications)
        .where(policy_publications.c.tenant.is_not_distinct_from(tenant))
        .order_by(policy_publications.c.number)
    )
    return [_publication(row) for row in connection.execute(query).mappings()]


def _find_proposal(connection: Connection, number: int) -> Proposal:
    if not 0 < number < 2**63:
        raise NotFound("proposal", str(number))
    row = connection.execute(select(policy_proposals).where(policy_proposals.c.id == number)).mappings().first()
    if row is None:
        raise NotFound("proposal", str(number))
    return _proposal(row)


def _proposal(row: RowMapping) -> Proposal:
    redecide = None if row["redecide"] is None else Scope.from_json(row["redecide"])
    draft = Draft(row["version"], row["tenant"], _person(row, "author"), row["note"], redecide)
    return Proposal(row["id"], draft, row["base"], row["created_at"])


def _publication(row: RowMapping) -> Publication:
    return Publication(
        number=row["number"],
        kind=Kind(row["kind"]),
        version=row["version"],
        tenant=row["tenant"],
        author=_person(row, "author"),
        published_at=row["created_at"],
        second=_person(row, "second") if row["second_id"] else None,
        reason=row["reason"],
        note=row["note"],
        restores=row["restores"],
        proposal=row["proposal"],
    )


def _person(row: RowMapping, role: str) -> Person:
    return Person(row[f"{role}_id"], row[f"{role}_name"], account=row[f"{role}_id"].startswith(_ACCOUNT))
