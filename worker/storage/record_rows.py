"""The rows that a record stands in (decision, photos, revision, product), written in the caller's transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, insert, update
from sqlalchemy.dialects.postgresql import insert as upsert

from domain.moderation import Decision
from domain.records import PhotoEntry, ProductRecord
from worker.storage.tables import decisions, photos, products, record_revisions


def keep_decision(connection: Connection, decision: Decision, **about: Any) -> None:
    """`about`: the other columns of `decisions`; the photo's names and the decision's id among them."""
    connection.execute(insert(decisions).values(verdict=decision.verdict.value, data=decision.as_json(), **about))


def keep_entry(connection: Connection, record: ProductRecord, entry: PhotoEntry) -> None:
    """The photo as it stands in the record now, in the place of what stood there."""
    current = {"version": entry.version, "job_id": entry.job_id, "sha256": entry.sha256, "entry": entry.as_json()}
    connection.execute(
        upsert(photos)
        .values(tenant=record.tenant, product_id=record.product_id, image_id=entry.image_id, **current)
        .on_conflict_do_update(index_elements=["tenant", "product_id", "image_id"], set_=current)
    )


def keep_record(connection: Connection, record: ProductRecord, record_key: str, job_id: str) -> None:
    """A new revision, which is the product's record from now on. `job_id`: whose photo it came from."""
    whole = {"revision": record.revision, "record": record.as_json(), "record_key": record_key}
    connection.execute(
        insert(record_revisions).values(tenant=record.tenant, product_id=record.product_id, job_id=job_id, **whole)
    )
    connection.execute(
        update(products)
        .where(products.c.tenant == record.tenant, products.c.product_id == record.product_id)
        .values(updated_at=func.now(), **whole)
    )
