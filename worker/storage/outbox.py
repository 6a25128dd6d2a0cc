"""Writing events: the outbox row and one delivery for each endpoint, in the caller's transaction."""

from __future__ import annotations

from sqlalchemy import Connection, func, insert, literal, select, update

from domain.events import Event, EventKind
from worker.storage.moments import seconds_ahead
from worker.storage.tables import deliveries, outbox, webhook_endpoints


def write(connection: Connection, event: Event, hold_seconds: float = 0.0) -> str:
    """Returns the event's id, which is its webhook-id in every transmission. `hold_seconds`: told no sooner."""
    row = connection.execute(
        insert(outbox)
        .values(tenant=event.tenant, product_id=event.product_id, kind=event.kind.value, data=dict(event.data))
        .returning(outbox.c.id, outbox.c.seq)
    ).one()
    if event.kind is EventKind.RECORD_PUBLISHED:
        _replace_older(connection, event, row.seq)
    connection.execute(
        insert(deliveries).from_select(
            ["event_id", "endpoint_id", "next_at"],
            select(
                literal(row.id).cast(outbox.c.id.type),
                webhook_endpoints.c.id,
                seconds_ahead(hold_seconds) if hold_seconds else func.now(),
            ).where(webhook_endpoints.c.tenant == event.tenant, webhook_endpoints.c.disabled_at.is_(None)),
        )
    )
    event_id: str = row.id
    return event_id


def take_back(connection: Connection, event_id: str) -> bool:
    """Tell nobody of an event; False, and nothing changed, once a sender has taken it up."""
    mine = connection.execute(
        select(deliveries.c.attempts, deliveries.c.state).where(deliveries.c.event_id == event_id).with_for_update()
    ).all()
    if any(one.attempts or one.state == "delivered" for one in mine):
        return False
    connection.execute(
        update(deliveries)
        .where(deliveries.c.event_id == event_id, deliveries.c.state == "pending")
        .values(state="dropped", last_error="It was undone before it was told.", finished_at=func.now())
    )
    return True


def told_since(connection: Connection, event_id: str) -> bool:
    """Whether a later event of the same product has the record with it."""
    later = outbox.alias()
    query = (
        select(later.c.id)
        .select_from(outbox)
        .join(later, (later.c.tenant == outbox.c.tenant) & (later.c.product_id == outbox.c.product_id))
        .where(outbox.c.id == event_id, later.c.seq > outbox.c.seq)
        .limit(1)
    )
    return connection.execute(query).first() is not None


def _replace_older(connection: Connection, event: Event, seq: int) -> None:
    """A record is told in full, so an older one that nobody has been told yet needs no telling.

    One that is being sent right now is left to its sender, which drops it instead of trying again.
    """
    connection.execute(
        update(deliveries)
        .where(
            deliveries.c.event_id == outbox.c.id,
            outbox.c.tenant == event.tenant,
            outbox.c.product_id == event.product_id,
            outbox.c.kind == event.kind.value,
            outbox.c.seq < seq,
            deliveries.c.state == "pending",
            deliveries.c.lease_token.is_(None),
        )
        .values(state="dropped", last_error="A newer record of the product replaced it.", finished_at=func.now())
    )
