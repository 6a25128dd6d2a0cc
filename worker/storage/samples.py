"""What people taught: verdicts and corrections with their lineage, and those corrections that stand in records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, insert, literal, or_, select, update

from domain.corrections import Corrected, Correction, Standing, before
from domain.moderation import Verdict
from domain.records import PhotoEntry
from worker.storage.cursors import page_size, read_cursor, write_cursor
from worker.storage.database import Database
from worker.storage.ids import plain
from worker.storage.tables import jobs, photos, training_samples

VERDICT = "verdict"


def standing(connection: Connection, tenant: str, product_id: str, job_id: str) -> list[Standing]:
    """Corrections in force, oldest first: of the product, of its photos, and of the photo a job brings."""
    samples = training_samples.c
    hashes = (
        select(photos.c.sha256)
        .where(photos.c.tenant == tenant, photos.c.product_id == product_id)
        .union_all(select(jobs.c.photo["sha256"].astext).where(jobs.c.id == job_id))
    )
    query = (
        select(samples.field, samples.name, samples.after, samples.of_photo, samples.sha256)
        .where(
            samples.tenant == tenant,
            samples.binds,
            samples.withdrawn_at.is_(None),
            samples.field != VERDICT,
            or_(
                samples.of_photo & samples.sha256.in_(hashes),
                ~samples.of_photo & (samples.product_id == product_id),
            ),
        )
        .order_by(samples.seq)
    )
    return [
        Standing(Correction(Corrected(row.field), row.after, row.name), row.sha256 if row.of_photo else None)
        for row in connection.execute(query)
    ]


def keep_samples(
    connection: Connection,
    lineage: Mapping[str, Any],
    entry: PhotoEntry,
    corrections: Sequence[Correction],
    verdicts: tuple[Verdict, Verdict],
    *,
    binds: bool,
    binds_photo: bool,
) -> None:
    """Write a resolution's verdict and corrections. lineage: the columns that all have in common.

    binds, binds_photo: whether corrections of the product, of the photo stand in records. What a person says of a
    photo is true of it however old it is; what they say of the product only while the photo is its photo.
    """
    rows: list[dict[str, Any]] = [
        {"field": VERDICT, "name": "", "before": verdicts[0].value, "after": verdicts[1].value, "of_photo": True}
        | {"binds": False}
    ]
    for one in corrections:
        rows.append(
            {
                "field": one.field.value,
                "name": one.name,
                "before": before(entry.fields, one),
                "after": one.value,
                "of_photo": one.of_photo,
                "binds": binds_photo if one.of_photo else binds,
            }
        )
    shared = {**lineage, "sha256": entry.sha256, "engine": dict(entry.engine)}
    connection.execute(insert(training_samples), [shared | row for row in rows])


def withdraw(connection: Connection, resolution_id: str) -> None:
    connection.execute(
        update(training_samples)
        .where(training_samples.c.resolution_id == resolution_id, training_samples.c.withdrawn_at.is_(None))
        .values(withdrawn_at=func.now())
    )


class Samples:
    def __init__(self, database: Database) -> None:
        self.database = database

    def list(self, tenant: str | None, cursor: str | None = None, limit: int = 50) -> dict[str, Any]:
        """What was not taken back, oldest first. Raises InputRejected for a bad cursor."""
        samples = training_samples.c
        query = select(training_samples).where(samples.withdrawn_at.is_(None)).order_by(samples.created_at, samples.id)
        if tenant is not None:
            query = query.where(samples.tenant == plain("tenant", tenant))
        if cursor:
            moment, last = read_cursor(cursor, datetime, UUID)
            query = query.where(
                or_(
                    samples.created_at > literal(moment, samples.created_at.type),
                    (samples.created_at == literal(moment, samples.created_at.type))
                    & (samples.id > literal(last, samples.id.type)),
                )
            )
        with self.database.transaction() as connection:
            rows = connection.execute(query.limit(page_size(limit) + 1)).mappings().all()
        shown = rows[:limit]
        return {
            "items": [
                {name: value for name, value in row.items() if name not in ("seq", "withdrawn_at", "created_at")}
                | {"created_at": row["created_at"].isoformat()}
                for row in shown
            ],
            "next_cursor": write_cursor(shown[-1]["created_at"], shown[-1]["id"]) if len(rows) > limit else None,
        }
