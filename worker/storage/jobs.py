"""Ledger rows to domain objects and back, by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping

from domain.jobs import ImageJob, ImageSource, Priority, SourceKind
from domain.observations import Observation
from domain.photos import StoredPhoto
from domain.ports import Lease, LeasedJob


def job_to_json(job: ImageJob) -> dict[str, Any]:
    return {
        "image": {"kind": job.image.kind.value, "value": job.image.value},
        "title": job.title,
        "description": job.description,
        "category": job.category,
        "attributes": dict(job.attributes),
        "condition": job.condition,
        "locale": job.locale,
        "channels": list(job.channels),
    }


def job_from_row(row: RowMapping | Mapping[str, Any]) -> ImageJob:
    body = row["body"]
    return ImageJob(
        tenant=row["tenant"],
        product_id=row["product_id"],
        image_id=row["image_id"],
        image=ImageSource(SourceKind(body["image"]["kind"]), body["image"]["value"]),
        title=body["title"],
        description=body["description"],
        category=body["category"],
        attributes=body["attributes"],
        condition=body["condition"],
        locale=body["locale"],
        channels=tuple(body["channels"]),
        priority=list(Priority)[row["priority"]],
        idempotency_key=row["idempotency_key"],
    )


def leased_from_row(
    row: RowMapping,
    observation: Mapping[str, Any] | None,
    plan_digest: str | None = None,
    adapter: str | None = None,
) -> LeasedJob:
    return LeasedJob(
        lease=Lease(job_id=row["id"], token=row["lease_token"], size=row["lease_size"]),
        job=job_from_row(row),
        version=row["version"],
        deferrals=row["deferrals"],
        photo=StoredPhoto.from_json(row["photo"]) if row["photo"] else None,
        seen=Observation.from_json(observation) if observation else None,
        plan_digest=plan_digest,
        adapter=adapter,
    )
