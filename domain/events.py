"""What the shop is told. An event is written to the outbox in the transaction that made it true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class EventKind(StrEnum):
    RECORD_PUBLISHED = "record.published"
    JOB_REJECTED = "job.rejected"
    JOB_QUARANTINED = "job.quarantined"
    JOB_SUPERSEDED = "job.superseded"
    REVIEW_RESOLVED = "review.resolved"
    REVIEW_REOPENED = "review.reopened"


@dataclass(frozen=True, slots=True)
class Event:
    """`data` becomes the webhook's body beside type and timestamp (Standard Webhooks payload layout)."""

    kind: EventKind
    tenant: str
    product_id: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LeasedDelivery:
    """One event on its way to one endpoint, ours until the lease runs out. `attempts` counts this one."""

    event_id: str
    endpoint_id: str
    token: UUID
    attempts: int
    url: str
    sealed_secret: bytes
    kind: str
    created_at: datetime
    data: Mapping[str, Any]
