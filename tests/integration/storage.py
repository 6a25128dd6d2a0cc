"""Jobs brought as far as a test needs them, in a real ledger."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from domain.jobs import ImageJob, JobState
from domain.moderation import Decision, Verdict
from domain.ports import LeasedJob
from domain.records import PhotoEntry, fold
from tests.factories import a_decision, a_job, a_stored_photo, an_observation
from tests.fakes_artifacts import MemoryArtifacts
from worker.review_desk import ReviewDesk
from worker.storage.database import Database
from worker.storage.ledger import LedgerLimits, SqlLedger
from worker.storage.resolutions import Resolutions
from worker.storage.review_quality import ReviewQuality
from worker.storage.review_queue import ReviewQueue
from worker.storage.review_views import ReviewViews
from worker.storage.samples import Samples


def a_ledger(database: Database) -> SqlLedger:
    return SqlLedger(database, LedgerLimits(tenant_on_first_use=True))


def a_review_desk(database: Database, artifacts: MemoryArtifacts, **options: Any) -> ReviewDesk:
    """`options`: lease_seconds, blind_share, undo_seconds, golden_share."""
    return ReviewDesk(
        queue=ReviewQueue(database, lease_seconds=options.get("lease_seconds", 120.0)),
        views=ReviewViews(database),
        resolutions=Resolutions(
            database,
            artifacts.put_record,
            blind_share=options.get("blind_share", 0.0),
            undo_seconds=options.get("undo_seconds", 10.0),
        ),
        quality=ReviewQuality(database),
        samples=Samples(database),
        golden_share=options.get("golden_share", 0.0),
    )


def accepted(ledger: SqlLedger, job: ImageJob) -> str:
    return ledger.accept(job, uuid4().hex).job_id


def published(ledger: SqlLedger, decision: Decision | None = None, **of_job: Any) -> str:
    """Take one new job through all stages; returns its id. Needs an otherwise idle ledger."""
    job_id = accepted(ledger, a_job(**of_job))
    ledger.ready(_lease(ledger, JobState.RECEIVED, job_id).lease, a_stored_photo())
    ledger.observed(_lease(ledger, JobState.READY, job_id).lease, an_observation(), "plan")
    publish(ledger, _lease(ledger, JobState.OBSERVED, job_id), decision or a_decision())
    return job_id


def publish(ledger: SqlLedger, row: LeasedJob, decision: Decision) -> str:
    """What the story's last stage does, with a decision of the test's choice; returns the decision's id."""
    decision_id = str(uuid4())
    entry = PhotoEntry(
        image_id=row.job.image_id,
        job_id=row.lease.job_id,
        version=row.version,
        sha256="a" * 64,
        width=64,
        height=48,
        original_key="original",
        model_copy_key="copy",
        engine={},
        fields={},
        decision_id=decision_id,
        channels={"own_shop": Verdict(decision.verdict)},
    )
    with ledger.open_product(row) as product:
        record = fold(row.job.tenant, row.job.product_id, product.revision + 1, [*product.photos, entry])
        product.save(record, f"key/{record.revision}", decision_id, decision)
    return decision_id


def _lease(ledger: SqlLedger, state: JobState, job_id: str) -> LeasedJob:
    (row,) = ledger.lease(state, 1)
    assert row.lease.job_id == job_id
    return row
