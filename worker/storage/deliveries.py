"""Deliveries of events to endpoints: leasing those that are due, settling them. PostgreSQL's clock is the only clock.

Order: to one endpoint, the events of one product go out one after the other, in the order they were written. Endpoints
take turns, so that one with a long backlog does not stand before the others.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, RowMapping, Subquery, and_, exists, func, or_, select, true, tuple_, update

from domain.events import EventKind, LeasedDelivery
from worker.storage.accounts import disable_endpoint
from worker.storage.database import Database
from worker.storage.moments import seconds_ahead
from worker.storage.tables import deliveries, outbox, webhook_endpoints

_PER_ENDPOINT = 2  # of one leased set


class Deliveries:
    """`lease_seconds`: until a silent sender loses its deliveries; longer than one request may take."""

    def __init__(self, database: Database, *, lease_seconds: float = 60.0) -> None:
        self.database = database
        self.lease_seconds = lease_seconds

    def lease(self, limit: int) -> list[LeasedDelivery]:
        """Take up to `limit` due deliveries; the attempt is committed with the lease. Raises Unavailable."""
        with self.database.transaction() as connection:
            _fail_of_disabled(connection)
            due = _due()
            picked = connection.execute(
                select(due.c.event_id, due.c.endpoint_id).order_by(due.c.next_at, due.c.seq).limit(limit)
            ).all()
            if not picked:
                return []
            deadline = seconds_ahead(self.lease_seconds)
            rows = connection.execute(
                update(deliveries)
                .where(
                    tuple_(deliveries.c.event_id, deliveries.c.endpoint_id).in_([tuple(row) for row in picked]),
                    outbox.c.id == deliveries.c.event_id,
                    webhook_endpoints.c.id == deliveries.c.endpoint_id,
                )
                .values(lease_token=func.gen_random_uuid(), lease_until=deadline, attempts=deliveries.c.attempts + 1)
                .returning(
                    deliveries.c.event_id,
                    deliveries.c.endpoint_id,
                    deliveries.c.lease_token,
                    deliveries.c.attempts,
                    webhook_endpoints.c.url,
                    webhook_endpoints.c.secret_encrypted,
                    outbox.c.kind,
                    outbox.c.created_at,
                    outbox.c.data,
                )
            ).mappings()
            return [_leased(row) for row in rows]

    def delivered(self, taken: LeasedDelivery, status: int) -> bool:
        """False when the delivery is no longer ours; nothing was changed then. The same for the others below."""
        with self.database.transaction() as connection:
            return _settle(connection, taken, state="delivered", last_status=status, finished_at=func.now())

    def retry(self, taken: LeasedDelivery, status: int | None, why: str, delay_seconds: float) -> bool:
        """Try again after the delay, unless a newer record of the product makes this one needless."""
        with self.database.transaction() as connection:
            if taken.kind == EventKind.RECORD_PUBLISHED.value and _replaced(connection, taken):
                return _settle(
                    connection,
                    taken,
                    state="dropped",
                    last_status=status,
                    last_error="A newer record of the product replaced it.",
                    finished_at=func.now(),
                )
            next_at = seconds_ahead(delay_seconds)
            return _settle(connection, taken, last_status=status, last_error=why, next_at=next_at)

    def failed(self, taken: LeasedDelivery, status: int | None, why: str) -> bool:
        """Give the delivery up for good."""
        with self.database.transaction() as connection:
            return _settle(
                connection, taken, state="failed", last_status=status, last_error=why, finished_at=func.now()
            )

    def gone(self, taken: LeasedDelivery, status: int, why: str) -> bool:
        """The receiver wants nothing more: disable the endpoint."""
        with self.database.transaction() as connection:
            ours = _settle(
                connection, taken, state="failed", last_status=status, last_error=why, finished_at=func.now()
            )
            if ours:
                disable_endpoint(connection, taken.endpoint_id, why)
            return ours


def _due() -> Subquery:
    """A few deliveries of each endpoint, locked; nobody waits for, nor picks, what another sender has locked."""
    earlier, earlier_event = deliveries.alias(), outbox.alias()
    waits_for_earlier = (
        select(earlier.c.event_id)
        .select_from(earlier_event.join(earlier, earlier.c.event_id == earlier_event.c.id))
        .where(
            earlier_event.c.tenant == outbox.c.tenant,
            earlier_event.c.product_id == outbox.c.product_id,
            earlier_event.c.seq < outbox.c.seq,
            earlier.c.endpoint_id == deliveries.c.endpoint_id,
            earlier.c.state == "pending",
        )
        .correlate(outbox, deliveries)
        .exists()
    )
    of_endpoint = (
        select(deliveries.c.event_id, deliveries.c.endpoint_id, deliveries.c.next_at, outbox.c.seq)
        .join(outbox, outbox.c.id == deliveries.c.event_id)
        .where(
            deliveries.c.endpoint_id == webhook_endpoints.c.id,
            deliveries.c.state == "pending",
            deliveries.c.next_at <= func.now(),
            or_(deliveries.c.lease_until.is_(None), deliveries.c.lease_until < func.now()),
            ~waits_for_earlier,
        )
        .order_by(deliveries.c.next_at, outbox.c.seq)
        .limit(_PER_ENDPOINT)
        .with_for_update(of=deliveries, skip_locked=True)
        .correlate(webhook_endpoints)
        .lateral("of_endpoint")
    )
    return (
        select(of_endpoint)
        .select_from(webhook_endpoints.join(of_endpoint, true()))
        .where(webhook_endpoints.c.disabled_at.is_(None))
        .subquery("due")
    )


def _fail_of_disabled(connection: Connection) -> None:
    """Events written in the very moment an endpoint was disabled still have a delivery to it."""
    disabled = select(webhook_endpoints.c.id).where(webhook_endpoints.c.disabled_at.is_not(None))
    connection.execute(
        update(deliveries)
        .where(deliveries.c.state == "pending", deliveries.c.endpoint_id.in_(disabled))
        .values(state="failed", last_error="The endpoint was disabled.", finished_at=func.now())
    )


def _replaced(connection: Connection, taken: LeasedDelivery) -> bool:
    newer = outbox.alias()
    return bool(
        connection.execute(
            select(
                exists().where(
                    outbox.c.id == taken.event_id,
                    newer.c.tenant == outbox.c.tenant,
                    newer.c.product_id == outbox.c.product_id,
                    newer.c.kind == outbox.c.kind,
                    newer.c.seq > outbox.c.seq,
                )
            )
        ).scalar_one()
    )


def _settle(connection: Connection, taken: LeasedDelivery, **values: Any) -> bool:
    settled = connection.execute(
        update(deliveries)
        .where(
            and_(deliveries.c.event_id == taken.event_id, deliveries.c.endpoint_id == taken.endpoint_id),
            deliveries.c.lease_token == taken.token,
        )
        .values(lease_token=None, lease_until=None, **values)
    )
    return settled.rowcount == 1


def _leased(row: RowMapping) -> LeasedDelivery:
    return LeasedDelivery(
        event_id=row["event_id"],
        endpoint_id=row["endpoint_id"],
        token=row["lease_token"],
        attempts=row["attempts"],
        url=row["url"],
        sealed_secret=row["secret_encrypted"],
        kind=row["kind"],
        created_at=row["created_at"],
        data=row["data"],
    )
