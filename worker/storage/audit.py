"""The audit log in PostgreSQL, and its heads in the object store.

`record` is called in the transaction of the act itself, as its last statement: one lock orders all entries, and it is
held until the transaction ends, so that numbers have no gaps and hashes follow the order of commits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, RowMapping, func, insert, select

from domain.audit import GENESIS, Actor, Entry, Fault, find_faults
from worker.storage.database import Database
from worker.storage.tables import audit_log

# Any constant will do; it only has to be the same in every process ("audit" on a telephone's keys).
_AUDIT_LOCK = 28348
_PAGE = 1_000
MOST_TEXT = 500  # characters of what strangers sent


class Heads(Protocol):
    """Where heads are kept apart from the log."""

    def put_audit_head(self, number: int, data: bytes) -> None: ...

    def audit_heads(self) -> Iterator[bytes]: ...


def record(
    connection: Connection,
    actor: Actor,
    act: str,
    subject: str = "",
    *,
    tenant: str | None = None,
    data: Mapping[str, Any] | None = None,
) -> Entry:
    """Add one entry in the caller's transaction. `data`: JSON of strings, whole numbers, booleans, lists, objects."""
    connection.execute(select(func.pg_advisory_xact_lock(_AUDIT_LOCK)))
    last = connection.execute(
        select(audit_log.c.number, audit_log.c.hash).order_by(audit_log.c.number.desc()).limit(1)
    ).first()
    at: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    number, previous = (last.number + 1, last.hash) if last else (1, GENESIS)
    who = Actor(actor.kind, clean(actor.id), clean(actor.name))
    said = {clean(name): _clean(value) for name, value in (data or {}).items()}
    entry = Entry(number, at, who, act, clean(subject), tenant, said, previous)
    hashed = entry.link()
    connection.execute(
        insert(audit_log).values(
            number=number,
            at=at,
            actor_kind=who.kind,
            actor_id=who.id,
            actor_name=who.name,
            act=act,
            subject=entry.subject,
            tenant=tenant,
            data=said,
            previous=previous,
            hash=hashed,
        )
    )
    return Entry(number, at, who, act, entry.subject, tenant, said, previous, hashed)


class AuditLog:
    """Reading the log, and keeping its heads."""

    def __init__(self, database: Database, heads: Heads) -> None:
        self.database = database
        self.heads = heads

    def page(self, tenants: tuple[str, ...] | None, before: int | None = None, limit: int = 50) -> list[Entry]:
        """Newest first; `tenants` None = all entries, else those of these tenants only."""
        query = select(audit_log).order_by(audit_log.c.number.desc()).limit(limit)
        if tenants is not None:
            query = query.where(audit_log.c.tenant.in_(tenants))
        if before is not None:
            query = query.where(audit_log.c.number < before)
        with self.database.transaction() as connection:
            return [_entry(row) for row in connection.execute(query).mappings()]

    def verify(self) -> tuple[int, list[Fault]]:
        """How many entries there are, and what was tampered with. Raises Unavailable."""
        kept = dict(self._kept())
        counted = 0

        def walk() -> Iterator[Entry]:
            nonlocal counted
            for entry in self._all():
                counted += 1
                yield entry

        faults = list(find_faults(walk(), kept))
        return counted, faults

    def seal(self) -> int:
        """Keep the newest entry's hash in the object store; its number, 0 for an empty log. Again changes nothing."""
        newest = self.page(None, limit=1)
        if not newest:
            return 0
        head = {"number": newest[0].number, "hash": newest[0].hash}
        self.heads.put_audit_head(newest[0].number, json.dumps(head, sort_keys=True).encode())
        return newest[0].number

    def _kept(self) -> Iterator[tuple[int, str]]:
        for data in self.heads.audit_heads():
            head = json.loads(data)
            yield int(head["number"]), str(head["hash"])

    def _all(self) -> Iterator[Entry]:
        last = -(2**63)  # whatever somebody put below 1 is found too
        while True:
            query = select(audit_log).where(audit_log.c.number > last).order_by(audit_log.c.number).limit(_PAGE)
            with self.database.transaction() as connection:
                rows = connection.execute(query).mappings().all()
            if not rows:
                return
            yield from map(_entry, rows)
            last = rows[-1]["number"]


def clean(text: str) -> str:
    """Text that PostgreSQL keeps and JSON gives back alike: short, without NUL and lone surrogates."""
    return text[:MOST_TEXT].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _clean(value: Any) -> Any:
    match value:
        case str():
            return clean(value)
        case dict():
            return {clean(str(name)): _clean(item) for name, item in value.items()}
        case list() | tuple():
            return [_clean(item) for item in value]
        case float():
            raise TypeError("the audit log holds no fractions: databases write them in other ways than JSON does")
    return value


def _entry(row: RowMapping) -> Entry:
    return Entry(
        number=row["number"],
        at=row["at"],
        actor=Actor(row["actor_kind"], row["actor_id"], row["actor_name"]),
        act=row["act"],
        subject=row["subject"],
        tenant=row["tenant"],
        data=row["data"],
        previous=row["previous"],
        hash=row["hash"],
    )
