"""Photos that were decided before, found by what they look like (domain.ports.EarlierPhotos)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, cast, func, lateral, literal, select, true
from sqlalchemy.dialects.postgresql import ARRAY, BIT
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.types import BigInteger

from domain.banks import LEAST_QUALITY, EarlierDecision
from domain.inspection import PerceptualHash
from domain.jobs import ImageJob
from domain.photos import StoredPhoto
from worker.storage.database import Database
from worker.storage.tables import decisions, jobs, photo_hashes

NEAR = 15  # bits; the most for which one of sixteen chunks is certain to be equal
MOST = 3
MOST_ALIKE = 500  # candidates measured; a placeholder sent a million times needs no more


class SqlEarlierPhotos:
    """Only decided photos are found, each with its latest decision."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def near(self, job: ImageJob, photo: StoredPhoto) -> Sequence[EarlierDecision]:
        found = photo.inspection
        if found is None or found.pdq.quality < LEAST_QUALITY:
            return []
        wanted = literal(chunks_of(job.tenant, found.pdq), ARRAY(BigInteger))
        distance = _distance(found.pdq)
        alike = (
            select(photo_hashes.c.job_id, distance.label("distance"))
            .where(photo_hashes.c.chunks.overlap(wanted), photo_hashes.c.tenant == job.tenant, distance <= NEAR)
            .limit(MOST_ALIKE)
            .subquery()
        )
        latest = lateral(
            select(decisions.c.id, decisions.c.verdict, decisions.c.created_at)
            .where(decisions.c.job_id == alike.c.job_id)
            .order_by(decisions.c.created_at.desc(), decisions.c.id)
            .limit(1)
        )
        same_photo = and_(jobs.c.product_id == job.product_id, jobs.c.image_id == job.image_id)
        query = (
            select(alike, jobs.c.product_id, latest.c.id, latest.c.verdict, latest.c.created_at)
            .join(jobs, jobs.c.id == alike.c.job_id)
            .join(latest, true())
            .where(~same_photo)
            .order_by(alike.c.distance, latest.c.created_at.desc(), latest.c.id)
            .limit(MOST)
        )
        with self.database.transaction() as connection:
            rows = connection.execute(query).all()
        return [
            EarlierDecision(row.job_id, row.id, row.product_id, row.verdict, row.distance, row.created_at)
            for row in rows
        ]


def _distance(hash: PerceptualHash) -> ColumnElement[int]:
    """Differing bits, counted by PostgreSQL (bit_count of bit strings: 14 and newer)."""
    kept = cast(literal("x").concat(photo_hashes.c.pdq), BIT(256))
    wanted = cast(literal("x" + hash.hex), BIT(256))
    return func.bit_count(kept.op("#")(wanted), type_=BigInteger())


def remember(connection: Connection, job_id: str, tenant: str, photo: StoredPhoto) -> None:
    """Keep what a job's photo looks like. A hash without quality says nothing and is not kept."""
    found = photo.inspection
    if found is None or found.pdq.quality < LEAST_QUALITY:
        return
    values = {"tenant": tenant, "pdq": found.pdq.hex, "chunks": chunks_of(tenant, found.pdq)}
    connection.execute(
        upsert(photo_hashes)
        .values(job_id=job_id, **values)
        .on_conflict_do_update(index_elements=[photo_hashes.c.job_id], set_=values)
    )


def chunks_of(tenant: str, hash: PerceptualHash) -> list[int]:
    """Sixteen numbers: tenant (31 bits of its CRC), place (4 bits), 16 bits of the hash."""
    owner = (zlib.crc32(tenant.encode()) & 0x7FFFFFFF) << 20
    return [owner | place << 16 | int(hash.hex[4 * place : 4 * place + 4], 16) for place in range(16)]
