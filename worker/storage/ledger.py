"""The SQL truth about jobs: accepting, leasing, completing. PostgreSQL's clock is the only clock."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from domain.errors import Conflict, LeaseLost, NotFound
from domain.events import Event, EventKind
from domain.jobs import ImageJob, JobState
from domain.observations import Observation
from domain.photos import StoredPhoto
from domain.ports import Accepted, Lease, LeasedJob, Route
from worker.storage import outbox
from worker.storage.database import Database
from worker.storage.earlier import remember
from worker.storage.jobs import job_from_row, job_to_json, leased_from_row
from worker.storage.moments import seconds_ahead, seconds_long
from worker.storage.publishing import SqlProductUpdate
from worker.storage.tables import jobs, observations, products, tenants

# Backoff of deferred rows: 1, 2, 4, … 60 seconds, with up to half as much jitter so that a returning server is not
# met by everyone at once.
_DEFER_BASE_SECONDS = 1.0
_DEFER_MAX_SECONDS = 60.0
_CANDIDATES = 4  # rows looked at for each place in a batch that wants one adapter


@dataclass(frozen=True, slots=True)
class LedgerLimits:
    """lease_seconds: until a silent holder loses its rows. Caps: see worker/settings.py."""

    lease_seconds: float = 20.0
    failure_cap: int = 5
    tenant_on_first_use: bool = False


class SqlLedger:
    """domain.ports.Ledger on PostgreSQL."""

    def __init__(self, database: Database, limits: LedgerLimits | None = None) -> None:
        self.database = database
        self.limits = limits or LedgerLimits()

    # accepting -------------------------------------------------------------------------------------------------

    def accept(self, job: ImageJob, body_digest: str) -> Accepted:
        with self.database.transaction() as connection:
            self._check_tenant(connection, job.tenant)
            # The product's row lock orders submissions of one product, and doubles of one key, one after the other.
            version = _take_version(connection, job)
            if known := _known(connection, job, body_digest):
                return known
            job_id: str | None = connection.execute(
                upsert(jobs)
                .values(
                    tenant=job.tenant,
                    product_id=job.product_id,
                    image_id=job.image_id,
                    version=version,
                    priority=job.priority.rank,
                    state=JobState.RECEIVED.value,
                    body=job_to_json(job),
                    body_digest=body_digest,
                    idempotency_key=job.idempotency_key,
                )
                .on_conflict_do_nothing(index_elements=["tenant", "idempotency_key"])
                .returning(jobs.c.id)
            ).scalar_one_or_none()
            if job_id is None:
                # The same key came at the same time for another product, whose lock orders nothing here.
                raise Conflict(job.idempotency_key or "")
        return Accepted(job_id, JobState.RECEIVED, created=True)

    def _check_tenant(self, connection: Connection, tenant: str) -> None:
        if self.limits.tenant_on_first_use:
            connection.execute(upsert(tenants).values(id=tenant, name=tenant).on_conflict_do_nothing())
        elif not connection.execute(
            select(tenants.c.id).where(tenants.c.id == tenant, tenants.c.disabled_at.is_(None))
        ).first():
            raise NotFound("tenant", tenant)

    # leasing ---------------------------------------------------------------------------------------------------

    def lease(self, state: JobState, limit: int, route: Route | None = None) -> list[LeasedJob]:
        with self.database.transaction() as connection:
            head = connection.execute(_waiting(state).limit(1)).mappings().first()
            if head is None:
                return []
            adapter = route(job_from_row(head)) if route else None
            picked = [head["id"]]
            if not head["alone"] and limit > 1:
                more = _waiting(state).where(jobs.c.alone.is_(False), jobs.c.id != head["id"])
                picked += _alike(connection, more, limit - 1, route, adapter)
            rows = _take(connection, picked, self._deadline())
            seen = _observations(connection, picked) if state is JobState.OBSERVED else {}
        ordered = sorted(rows, key=lambda row: (row["priority"], row["accepted_at"], row["id"]))
        nothing = (None, None)
        of_row = [(row, *(seen.get(row["id"]) or nothing)) for row in ordered]
        return [leased_from_row(row, data, plan, adapter) for row, data, plan in of_row]

    def renew(self, leases: Sequence[Lease]) -> None:
        with self.database.transaction() as connection:
            connection.execute(
                update(jobs)
                .where(jobs.c.lease_token.in_([lease.token for lease in leases]))
                .values(lease_until=self._deadline())
            )

    def _deadline(self) -> ColumnElement[Any]:
        return seconds_ahead(self.limits.lease_seconds)

    # completing ------------------------------------------------------------------------------------------------

    def ready(self, lease: Lease, photo: StoredPhoto) -> None:
        with self.database.transaction() as connection:
            row = settle(connection, lease, state=JobState.READY, photo=photo.as_json())
            remember(connection, lease.job_id, row["tenant"], photo)

    def observed(self, lease: Lease, seen: Observation, plan_digest: str) -> None:
        with self.database.transaction() as connection:
            row = settle(connection, lease, state=JobState.OBSERVED)
            values = {"sha256": seen.sha256, "plan_digest": plan_digest, "data": seen.as_json()}
            connection.execute(
                upsert(observations)
                .values(job_id=lease.job_id, tenant=row["tenant"], **values)
                .on_conflict_do_update(index_elements=[observations.c.job_id], set_=values)
            )

    def reject(self, lease: Lease, code: str, message: str) -> None:
        with self.database.transaction() as connection:
            row = settle(connection, lease, state=JobState.REJECTED, code=code, message=message)
            outbox.write(connection, ended_event(row, EventKind.JOB_REJECTED))

    def defer(self, lease: Lease, why: str) -> None:
        with self.database.transaction() as connection:
            doublings = func.least(jobs.c.deferrals, 10)
            delay = func.least(_DEFER_BASE_SECONDS * func.power(2, doublings), _DEFER_MAX_SECONDS)
            jitter = 1 + secrets.randbelow(500) / 1000
            settle(
                connection,
                lease,
                deferrals=jobs.c.deferrals + 1,
                last_error=why,
                not_before=func.now() + seconds_long(delay * jitter),
            )

    def fail(self, lease: Lease, why: str) -> None:
        """An error inside a batch blames nobody yet: each row runs again alone, and only then counts."""
        with self.database.transaction() as connection:
            row = settle(
                connection,
                lease,
                alone=True,
                failures=jobs.c.failures + (1 if lease.size == 1 else 0),
                last_error=why,
                not_before=func.now() + text("interval '1 second'"),
            )
            if row["failures"] >= self.limits.failure_cap:
                quarantine(connection, [lease.job_id])

    @contextmanager
    def open_product(self, row: LeasedJob) -> Iterator[SqlProductUpdate]:
        with self.database.transaction() as connection:
            yield SqlProductUpdate(connection, row)


def settle(connection: Connection, lease: Lease, **values: Any) -> RowMapping:
    """Change a row that is leased to us and let go of it. Raises LeaseLost when it no longer is."""
    state = values.get("state")
    if state is not None:
        values["state"] = state.value
        # The next stage starts with a clean slate: blame and backoff belong to one stage.
        values |= {"alone": False, "deaths": 0, "failures": 0, "deferrals": 0, "not_before": func.now()}
        if state.terminal:
            values["finished_at"] = func.now()
    row = (
        connection.execute(
            update(jobs)
            .where(jobs.c.id == lease.job_id, jobs.c.lease_token == lease.token)
            .values(lease_token=None, lease_until=None, lease_size=None, **values)
            .returning(jobs)
        )
        .mappings()
        .first()
    )
    if row is None:
        raise LeaseLost(lease.job_id)
    return row


def quarantine(connection: Connection, job_ids: Sequence[str]) -> None:
    """End poison rows as QUARANTINED, with an event each. They can be replayed."""
    message = "This photo made a worker fail again and again, so it was set aside. An engineer can replay it."
    for row in connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(job_ids))
        .values(
            state=JobState.QUARANTINED.value,
            code="quarantined",
            message=message,
            lease_token=None,
            lease_until=None,
            lease_size=None,
            finished_at=func.now(),
        )
        .returning(jobs)
    ).mappings():
        outbox.write(connection, ended_event(row, EventKind.JOB_QUARANTINED))


def ended_event(row: RowMapping, kind: EventKind) -> Event:
    return Event(
        kind=kind,
        tenant=row["tenant"],
        product_id=row["product_id"],
        data={
            "job_id": row["id"],
            "product_id": row["product_id"],
            "image_id": row["image_id"],
            "state": row["state"],
            "rejection": {"code": row["code"], "message": row["message"]} if row["code"] else None,
        },
    )


def _take_version(connection: Connection, job: ImageJob) -> int:
    """The submission's place in the order: the shop's source_version, else one more than any before it."""
    first = job.source_version if job.source_version is not None else 1
    later = (
        func.greatest(products.c.last_version, job.source_version)
        if job.source_version is not None
        else products.c.last_version + 1
    )
    last_version: int = connection.execute(
        upsert(products)
        .values(tenant=job.tenant, product_id=job.product_id, last_version=first)
        .on_conflict_do_update(index_elements=["tenant", "product_id"], set_={"last_version": later})
        .returning(products.c.last_version)
    ).scalar_one()
    return job.source_version if job.source_version is not None else last_version


def _known(connection: Connection, job: ImageJob, body_digest: str) -> Accepted | None:
    if job.idempotency_key is None:
        return None
    row = (
        connection.execute(
            select(jobs.c.id, jobs.c.state, jobs.c.body_digest).where(
                jobs.c.tenant == job.tenant, jobs.c.idempotency_key == job.idempotency_key
            )
        )
        .mappings()
        .first()
    )
    if row is None:
        return None
    if row["body_digest"] != body_digest:
        raise Conflict(job.idempotency_key)
    return Accepted(row["id"], JobState(row["state"]), created=False)


def _waiting(state: JobState) -> Select[Any]:
    """Rows a worker may take now. SKIP LOCKED: two workers never wait for, nor pick, the same row."""
    return (
        select(jobs)
        .where(
            jobs.c.state == state.value,
            jobs.c.lease_token.is_(None),
            jobs.c.not_before <= func.now(),
        )
        .order_by(jobs.c.priority, jobs.c.accepted_at, jobs.c.id)
        .with_for_update(skip_locked=True)
    )


def _alike(
    connection: Connection, waiting: Select[Any], most: int, route: Route | None, adapter: str | None
) -> list[str]:
    """Rows that have the same adapter. Those looked at in vain are free again with the commit; there are few, so that
    a batch is filled up where adapters alternate, and nobody waits long where only one row has this one."""
    if route is None:
        return [row["id"] for row in connection.execute(waiting.limit(most)).mappings()]
    candidates = connection.execute(waiting.limit(most * _CANDIDATES)).mappings()
    return [row["id"] for row in candidates if route(job_from_row(row)) == adapter][:most]


def _take(connection: Connection, picked: Sequence[str], deadline: ColumnElement[Any]) -> Sequence[RowMapping]:
    """Commit the attempt with the lease: a worker that dies a moment later has been counted."""
    rows: list[RowMapping] = []
    for job_id in picked:
        token: UUID = uuid4()
        rows += (
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id)
                .values(
                    lease_token=token,
                    lease_until=deadline,
                    lease_size=len(picked),
                    attempts=jobs.c.attempts + 1,
                )
                .returning(jobs)
            )
            .mappings()
            .all()
        )
    return rows


def _observations(connection: Connection, job_ids: Sequence[str]) -> Mapping[str, tuple[Any, str]]:
    """What was seen and the plan it was seen under, by job."""
    rows = connection.execute(
        select(observations.c.job_id, observations.c.data, observations.c.plan_digest).where(
            observations.c.job_id.in_(job_ids)
        )
    )
    return {row.job_id: (row.data, row.plan_digest) for row in rows}
