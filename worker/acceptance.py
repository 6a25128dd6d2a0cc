"""Accepting a job: photo bytes to the object store, then the ledger row, then a wake-up. Accepted = row committed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from domain.errors import Conflict, NotFound, Unavailable
from domain.jobs import ImageJob, ImageSource, JobState, SourceKind
from domain.ports import Accepted
from worker.payload import JobPayload
from worker.telemetry import log

INTAKE = "intake"


class AcceptLedger(Protocol):
    def accept(self, job: ImageJob, body_digest: str) -> Accepted: ...


class Uploads(Protocol):
    def put_upload(self, tenant: str, data: bytes) -> str:
        """Keep bytes until intake has looked at them; returns their key. Raises Unavailable."""

    def delete(self, key: str) -> None: ...


@dataclass(frozen=True, slots=True)
class AcceptTools:
    """`wake(stage)` says that there is something to lease; it may fail."""

    ledger: AcceptLedger
    uploads: Uploads
    wake: Callable[[str], None]


def accept(payload: JobPayload, key: str | None, tools: AcceptTools) -> Accepted:
    """Commit the job. Safe to run twice with the same key.

    Raises Conflict (the key came with another body before), NotFound (no such tenant), Unavailable (database or
    object store away; nothing was accepted, send again).
    """
    source = _source(payload, tools.uploads)
    try:
        accepted = tools.ledger.accept(payload.to_job(source, key), payload.digest())
    except (Conflict, NotFound):
        _forget(source, tools.uploads)
        raise
    if not accepted.created:
        _forget(source, tools.uploads)
    if accepted.state is JobState.RECEIVED:
        _wake(accepted.job_id, tools.wake)
    return accepted


def _source(payload: JobPayload, uploads: Uploads) -> ImageSource:
    photo = payload.image_bytes()
    if photo is not None:
        # Before the row: a row never names an upload that is not there. A crash in between leaves an orphan object.
        return ImageSource(SourceKind.UPLOAD, uploads.put_upload(payload.tenant, photo))
    if payload.image.s3 is not None:
        return ImageSource(SourceKind.S3, payload.image.s3)
    assert payload.image.url is not None, "the payload holds exactly one place of the photo"
    return ImageSource(SourceKind.URL, payload.image.url)


def _forget(source: ImageSource, uploads: Uploads) -> None:
    """Remove bytes that no row names. What cannot be removed now is an orphan, and collected with the others."""
    if source.kind is SourceKind.UPLOAD:
        with suppress(Unavailable):
            uploads.delete(source.value)


def _wake(job_id: str, wake: Callable[[str], None]) -> None:
    """The job is accepted whatever happens here: the sweeper tops lost wake-ups up within seconds."""
    try:
        wake(INTAKE)
    except Exception as error:
        log.warning("wake_failed", job=job_id, why=f"{type(error).__name__}: {error}")
