"""One publishing transaction: record, revision, decision, review case and event, or nothing of it.

A photo is published when it has been looked at, and again when it is judged anew; both write the same things.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from domain.corrections import Standing
from domain.errors import LeaseLost
from domain.events import Event, EventKind
from domain.jobs import ImageJob, JobState
from domain.moderation import Decision, Verdict
from domain.ports import DecidedPhoto, LeasedJob
from domain.records import PhotoEntry, ProductRecord
from domain.review import WAITING, Kind
from worker.storage import outbox
from worker.storage.record_rows import keep_decision, keep_entry, keep_record
from worker.storage.review_queue import queue_place
from worker.storage.samples import standing
from worker.storage.tables import jobs, photos, products, review_cases

# States of a review case in which no person has said anything yet; whatever else there may be is a person's word.
_UNDECIDED = ("open", "superseded")
_WAITING = [state.value for state in WAITING]


class _Product:
    """A product whose row is locked, and what is written about one of its photos. `job_id` brought that photo."""

    def __init__(self, connection: Connection, job: ImageJob, job_id: str) -> None:
        self._connection = connection
        self._job = job
        self._job_id = job_id
        product = connection.execute(
            select(products.c.revision)
            .where(products.c.tenant == job.tenant, products.c.product_id == job.product_id)
            .with_for_update()
        ).one()
        self.revision: int = product.revision

    def _read_photos(self) -> None:
        """The product's current photos: the others, and the one this is about."""
        query = select(photos.c.entry).where(
            photos.c.tenant == self._job.tenant, photos.c.product_id == self._job.product_id
        )
        entries = [PhotoEntry.from_json(entry) for entry in self._connection.execute(query).scalars()]
        self._published = next((entry for entry in entries if entry.image_id == self._job.image_id), None)
        self.photos: Sequence[PhotoEntry] = [entry for entry in entries if entry.image_id != self._job.image_id]
        self.corrections: Sequence[Standing] = standing(
            self._connection, self._job.tenant, self._job.product_id, self._job_id
        )

    def _save(self, record: ProductRecord, record_key: str, decision_id: str, decision: Decision) -> None:
        job = self._job
        about = {"tenant": job.tenant, "product_id": job.product_id, "image_id": job.image_id, "job_id": self._job_id}
        keep_decision(self._connection, decision, id=decision_id, **about)
        keep_entry(self._connection, record, next(photo for photo in record.photos if photo.job_id == self._job_id))
        keep_record(self._connection, record, record_key, self._job_id)
        self._open_case(decision_id, decision)

    def _open_case(self, decision_id: str, decision: Decision) -> None:
        """A case for what a person should see. A case about an older look at the photo is moot now."""
        job = self._job
        self._connection.execute(
            update(review_cases)
            .where(
                review_cases.c.tenant == job.tenant,
                review_cases.c.product_id == job.product_id,
                review_cases.c.image_id == job.image_id,
                review_cases.c.kind != Kind.GOLDEN.value,
                # What a person has said of this very look at the photo stays.
                or_(
                    review_cases.c.state == "open",
                    and_(review_cases.c.state.in_(_WAITING), review_cases.c.job_id != self._job_id),
                ),
            )
            .values(state="superseded")
        )
        if decision.verdict is Verdict.APPROVE:
            return
        about: dict[str, Any] = {"decision_id": decision_id, "verdict": decision.verdict.value, **queue_place(decision)}
        self._connection.execute(
            upsert(review_cases)
            .values(tenant=job.tenant, product_id=job.product_id, image_id=job.image_id, job_id=self._job_id, **about)
            # Judged anew, the same look at the photo is the same case again; a person's word on it stays.
            .on_conflict_do_update(
                index_elements=["job_id"],
                # As text: with a parameter a prepared statement would no longer fit the partial index.
                index_where=text("kind = 'flagged'"),
                # Whoever is reading it reads something that no longer holds.
                set_={
                    **about,
                    "due_at": func.least(review_cases.c.due_at, about["due_at"]),
                    "due_slot": func.least(review_cases.c.due_slot, about["due_slot"]),
                    "state": "open",
                    "holder": None,
                    "lease_token": None,
                    "lease_until": None,
                },
                where=review_cases.c.state.in_(_UNDECIDED),
            )
        )

    def _write(self, kind: EventKind, data: dict[str, object]) -> None:
        event = Event(kind, self._job.tenant, self._job.product_id, {"product_id": self._job.product_id, **data})
        outbox.write(self._connection, event)

    def _write_published(self, record: ProductRecord, decision_id: str, decision: Decision) -> None:
        self._write(
            EventKind.RECORD_PUBLISHED,
            {
                "job_id": self._job_id,
                "image_id": self._job.image_id,
                "state": "DONE",
                "decision_id": decision_id,
                "decision": decision.as_json(),
                "record": record.as_json(),
            },
        )


class SqlProductUpdate(_Product):
    """domain.ports.ProductUpdate. Locks the product's row first, then checks the lease, so that order is the same
    for accepting and publishing and neither can deadlock the other."""

    def __init__(self, connection: Connection, row: LeasedJob) -> None:
        super().__init__(connection, row.job, row.lease.job_id)
        self._row = row
        self._check_lease()
        self._read_photos()

    def newer_published(self) -> bool:
        return self._published is not None and self._published.version > self._row.version

    def supersede(self) -> None:
        self._end(JobState.SUPERSEDED)
        self._write(
            EventKind.JOB_SUPERSEDED,
            {"job_id": self._job_id, "image_id": self._job.image_id, "state": "SUPERSEDED"},
        )

    def save(self, record: ProductRecord, record_key: str, decision_id: str, decision: Decision) -> None:
        self._save(record, record_key, decision_id, decision)
        self._end(JobState.DONE)
        self._write_published(record, decision_id, decision)

    def _check_lease(self) -> None:
        held = self._connection.execute(
            select(jobs.c.id)
            .where(jobs.c.id == self._row.lease.job_id, jobs.c.lease_token == self._row.lease.token)
            .with_for_update()
        ).first()
        if held is None:
            raise LeaseLost(self._row.lease.job_id)

    def _end(self, state: JobState) -> None:
        self._connection.execute(
            update(jobs)
            .where(jobs.c.id == self._row.lease.job_id)
            .values(state=state.value, lease_token=None, lease_until=None, lease_size=None, finished_at=func.now())
        )


class SqlProductRedecision(_Product):
    """domain.ports.ProductRedecision: the same product, when a photo of it is judged anew."""

    def __init__(self, connection: Connection, decided: DecidedPhoto) -> None:
        super().__init__(connection, decided.job, decided.job_id)
        self._decided = decided
        self._read_photos()

    def current(self) -> PhotoEntry | None:
        published = self._published
        if published is None or published.decision_id != self._decided.decision_id:
            return None
        return published

    def held_by_person(self) -> bool:
        query = select(review_cases.c.id).where(
            review_cases.c.job_id == self._job_id,
            review_cases.c.state.not_in(_UNDECIDED),
            review_cases.c.kind != Kind.GOLDEN.value,
        )
        return self._connection.execute(query).first() is not None

    def save(self, record: ProductRecord, record_key: str, decision_id: str, decision: Decision) -> None:
        self._save(record, record_key, decision_id, decision)
        self._write_published(record, decision_id, decision)
