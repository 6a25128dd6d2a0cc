"""Messages that could not become jobs, kept with their text and the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from domain.events import EventKind
from domain.jobs import JobState, Priority
from worker.storage import outbox
from worker.storage.database import Database
from worker.storage.ledger import ended_event
from worker.storage.tables import dead_letters, jobs, tenants

_PAYLOAD_LIMIT = 20_000  # characters; enough to understand and resend, not enough to fill the disk
_ID_LIMIT = 200
# A corrected job may be sent again under the same task id, so the refusal must not occupy it.
REJECTED_PREFIX = "rejected:"


class DeadLetters:
    def __init__(self, database: Database) -> None:
        self.database = database

    def keep(self, task: str, task_id: str, job: object, payload: str, code: str, message: str) -> None:
        """Keep the message; where its tenant is known, also as a REJECTED job with an event, so that the shop hears."""
        cleaned = payload.replace("\\u0000", "\\ufffd")
        with self.database.transaction() as connection:
            connection.execute(
                insert(dead_letters).values(
                    task=task, task_id=task_id, payload=cleaned[:_PAYLOAD_LIMIT], code=code, message=message
                )
            )
            tenant = _text(job, "tenant")
            known = connection.execute(select(tenants.c.id).where(tenants.c.id == tenant)).first()
            if not known:
                return
            row = (
                connection.execute(
                    upsert(jobs)
                    .values(
                        tenant=tenant,
                        product_id=_text(job, "product_id"),
                        image_id=_text(job, "image_id"),
                        version=0,
                        priority=Priority.NORMAL.rank,
                        state=JobState.REJECTED.value,
                        body={},
                        body_digest="",
                        idempotency_key=f"{REJECTED_PREFIX}{task_id}",
                        code=code,
                        message=message,
                        finished_at=func.now(),
                    )
                    .on_conflict_do_nothing(index_elements=["tenant", "idempotency_key"])
                    .returning(jobs)
                )
                .mappings()
                .first()
            )
            if row is not None:
                outbox.write(connection, ended_event(row, EventKind.JOB_REJECTED))

    def list(self, limit: int = 100) -> list[dict[str, Any]]:
        """Newest first."""
        with self.database.transaction() as connection:
            rows = connection.execute(
                select(dead_letters).order_by(dead_letters.c.created_at.desc()).limit(limit)
            ).mappings()
            return [{**row, "created_at": row["created_at"].isoformat()} for row in rows]


def _text(job: object, name: str) -> str:
    """A readable identifier out of a message that may hold anything."""
    value = job.get(name) if isinstance(job, Mapping) else None
    if not isinstance(value, str):
        return ""
    return "".join(character for character in value if character.isprintable())[:_ID_LIMIT]
