"""ImageJob: what a shop enqueues, and the states a job goes through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

SCHEMA_VERSION = 1


class JobState(StrEnum):
    """RECEIVED → READY → OBSERVED → one terminal state."""

    RECEIVED = "RECEIVED"
    READY = "READY"
    OBSERVED = "OBSERVED"
    DONE = "DONE"
    REJECTED = "REJECTED"
    QUARANTINED = "QUARANTINED"
    SUPERSEDED = "SUPERSEDED"

    @property
    def terminal(self) -> bool:
        return self in TERMINAL_STATES


TERMINAL_STATES = frozenset({JobState.DONE, JobState.REJECTED, JobState.QUARANTINED, JobState.SUPERSEDED})

# What each stage leases, and the only states it may leave a row in. A property test walks these edges.
TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.RECEIVED: frozenset({JobState.READY, JobState.REJECTED, JobState.QUARANTINED, JobState.SUPERSEDED}),
    JobState.READY: frozenset({JobState.OBSERVED, JobState.REJECTED, JobState.QUARANTINED, JobState.SUPERSEDED}),
    JobState.OBSERVED: frozenset({JobState.DONE, JobState.QUARANTINED, JobState.SUPERSEDED}),
    JobState.DONE: frozenset(),
    JobState.REJECTED: frozenset(),
    JobState.QUARANTINED: frozenset(),
    JobState.SUPERSEDED: frozenset(),
}


class Priority(StrEnum):
    HIGH = "high"
    NORMAL = "normal"
    BULK = "bulk"

    @property
    def rank(self) -> int:
        """0 is leased first."""
        return (Priority.HIGH, Priority.NORMAL, Priority.BULK).index(self)


class SourceKind(StrEnum):
    URL = "url"
    S3 = "s3"
    UPLOAD = "upload"  # bytes the shop sent with the job; kept in S3 until intake has looked at them


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Where the bytes of the photo are. `value` is a URL, an s3:// address, or the key of an upload."""

    kind: SourceKind
    value: str


@dataclass(frozen=True, slots=True)
class ImageJob:
    """One photo of one product, with what the seller said about the product. All text is untrusted."""

    tenant: str
    product_id: str
    image_id: str
    image: ImageSource
    title: str | None = None
    description: str | None = None
    category: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    condition: str | None = None
    locale: str | None = None
    channels: tuple[str, ...] = ("own_shop",)
    priority: Priority = Priority.NORMAL
    idempotency_key: str | None = None
    source_version: int | None = None
