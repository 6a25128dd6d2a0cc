"""Stored decisions by the names people quote: an id, its first digits, or the job's id."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from domain.errors import InputRejected, NotFound
from worker.storage.database import Database
from worker.storage.ids import plain, printable
from worker.storage.tables import decisions, jobs

SHORTEST = 8  # digits: one in four thousand million for each decision there is
_HEX = re.compile(r"[0-9a-f]{8,32}")


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """data: Decision.as_json as it was written. submitted_at: when the photo was accepted."""

    id: str
    job_id: str
    tenant: str
    product_id: str
    image_id: str
    data: Mapping[str, Any]
    decided_at: datetime
    submitted_at: datetime

    def as_json(self) -> dict[str, Any]:
        return {
            "decision": self.id,
            "job_id": self.job_id,
            "tenant": self.tenant,
            "product_id": self.product_id,
            "image_id": self.image_id,
        }


class StoredDecisions:
    """Raises Unavailable when the database is away."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def find(self, name: str, tenant: str | None = None) -> StoredDecision:
        """`name`: a decision's id or its first eight digits or more, or a job's id, for that job's newest decision.

        Raises NotFound, also for another tenant's; InputRejected where several decisions begin so.
        """
        digits = name.strip().lower().replace("-", "")
        if not _HEX.fullmatch(digits):
            raise NotFound("decision", printable(name))
        query = _of_tenant(tenant)
        with self.database.transaction() as connection:
            low, high = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
            begun = query.where(decisions.c.id.between(str(low), str(high))).limit(2)
            rows = connection.execute(begun).mappings().all()
            if not rows and len(digits) == 32:
                newest = query.where(decisions.c.job_id == str(low)).order_by(decisions.c.created_at.desc()).limit(1)
                rows = connection.execute(newest).mappings().all()
        if len(rows) > 1:
            raise InputRejected("ambiguous_decision", f"decision: several begin with {digits}; give more digits.")
        if not rows:
            raise NotFound("decision", printable(name))
        return StoredDecision(**rows[0])


def _of_tenant(tenant: str | None) -> Select[Any]:
    query = select(
        decisions.c.id,
        decisions.c.job_id,
        decisions.c.tenant,
        decisions.c.product_id,
        decisions.c.image_id,
        decisions.c.data,
        decisions.c.created_at.label("decided_at"),
        jobs.c.accepted_at.label("submitted_at"),
    ).join(jobs, jobs.c.id == decisions.c.job_id)
    return query if tenant is None else query.where(decisions.c.tenant == plain("decision", tenant))
