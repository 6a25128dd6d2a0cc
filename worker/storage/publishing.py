"""One publishing transaction: record, revision, decision, review case and event, or nothing of it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from domain.errors import LeaseLost
from domain.events import Event, EventKind
from domain.jobs import JobState
from domain.moderation import Decision, Verdict
from domain.ports import LeasedJob
from domain.records import PhotoEntry, ProductRecord
from worker.storage import outbox
from worker.storage.tables import decisions, jobs, photos, products, record_revisions, review_cases


class SqlProductUpdate:
    """domain.ports.ProductUpdate. Locks the product's row first, then checks the lease, so that order is the same
    for accepting and publishing and neither can deadlock the other."""

    def __init__(self, connection: Connection, row: LeasedJob) -> None:
        self._connection = connection
        self._row = row
        product = connection.execute(
            select(products.c.revision)
            .where(products.c.tenant == row.job.tenant, products.c.product_id == row.job.product_id)
            .with_for_update()
        ).one()
        self._check_lease()
        self.revision: int = product.revision
        entries = [
            PhotoEntry.from_json(entry)
            for entry in connection.execute(
                select(photos.c.entry).where(
                    photos.c.tenant == row.job.tenant, photos.c.product_id == row.job.product_id
                )
            ).scalars()
        ]
        self._published = next((entry for entry in entries if entry.image_id == row.job.image_id), None)
        self.photos: Sequence[PhotoEntry] = [entry for entry in entries if entry.image_id != row.job.image_id]

    def newer_published(self) -> bool:
        return self._published is not None and self._published.version > self._row.version

    def supersede(self) -> None:
        self._end(JobState.SUPERSEDED)
        self._write(
            EventKind.JOB_SUPERSEDED,
            {"job_id": self._row.lease.job_id, "image_id": self._row.job.image_id, "state": "SUPERSEDED"},
        )

    def save(self, record: ProductRecord, record_key: str, decision_id: str, decision: Decision) -> None:
        self._save_decision(decision_id, decision)
        self._save_record(record, record_key)
        self._open_case(decision_id, decision)
        self._end(JobState.DONE)
        self._write(
            EventKind.RECORD_PUBLISHED,
            {
                "job_id": self._row.lease.job_id,
                "image_id": self._row.job.image_id,
                "state": "DONE",
                "decision_id": decision_id,
                "decision": decision.as_json(),
                "record": record.as_json(),
            },
        )

    def _check_lease(self) -> None:
        held = self._connection.execute(
            select(jobs.c.id)
            .where(jobs.c.id == self._row.lease.job_id, jobs.c.lease_token == self._row.lease.token)
            .with_for_update()
        ).first()
        if held is None:
            raise LeaseLost(self._row.lease.job_id)

    def _save_decision(self, decision_id: str, decision: Decision) -> None:
        job = self._row.job
        self._connection.execute(
            insert(decisions).values(
                id=decision_id,
                job_id=self._row.lease.job_id,
                tenant=job.tenant,
                product_id=job.product_id,
                image_id=job.image_id,
                verdict=decision.verdict.value,
                data=decision.as_json(),
            )
        )

    def _save_record(self, record: ProductRecord, record_key: str) -> None:
        job_id = self._row.lease.job_id
        entry = next(photo for photo in record.photos if photo.job_id == job_id)
        current = {"version": entry.version, "job_id": job_id, "sha256": entry.sha256, "entry": entry.as_json()}
        self._connection.execute(
            upsert(photos)
            .values(tenant=record.tenant, product_id=record.product_id, image_id=entry.image_id, **current)
            .on_conflict_do_update(index_elements=["tenant", "product_id", "image_id"], set_=current)
        )
        self._connection.execute(
            insert(record_revisions).values(
                tenant=record.tenant,
                product_id=record.product_id,
                revision=record.revision,
                job_id=job_id,
                record=record.as_json(),
                record_key=record_key,
            )
        )
        self._connection.execute(
            update(products)
            .where(products.c.tenant == record.tenant, products.c.product_id == record.product_id)
            .values(revision=record.revision, record=record.as_json(), record_key=record_key, updated_at=func.now())
        )

    def _open_case(self, decision_id: str, decision: Decision) -> None:
        """A case for what a person should see. A case about an older submission of the photo is moot now."""
        job = self._row.job
        self._connection.execute(
            update(review_cases)
            .where(
                review_cases.c.tenant == job.tenant,
                review_cases.c.product_id == job.product_id,
                review_cases.c.image_id == job.image_id,
                review_cases.c.state == "open",
            )
            .values(state="superseded")
        )
        if decision.verdict is Verdict.APPROVE:
            return
        self._connection.execute(
            insert(review_cases).values(
                tenant=job.tenant,
                product_id=job.product_id,
                image_id=job.image_id,
                job_id=self._row.lease.job_id,
                decision_id=decision_id,
                verdict=decision.verdict.value,
                severity=decision.severity,
            )
        )

    def _end(self, state: JobState) -> None:
        self._connection.execute(
            update(jobs)
            .where(jobs.c.id == self._row.lease.job_id)
            .values(state=state.value, lease_token=None, lease_until=None, lease_size=None, finished_at=func.now())
        )

    def _write(self, kind: EventKind, data: dict[str, object]) -> None:
        job = self._row.job
        event = Event(kind, job.tenant, job.product_id, {"product_id": job.product_id, **data})
        outbox.write(self._connection, event)
