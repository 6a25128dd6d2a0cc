"""What the API and the command line show: views over the ledger as JSON. A tenant of None means every tenant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

from sqlalchemy import Connection, RowMapping, Select, literal, select, tuple_

from domain.errors import InputRejected, NotFound
from domain.jobs import JobState
from domain.moderation import Finding
from domain.observations import Observation
from domain.photos import StoredPhoto
from domain.review import SHOWN_KINDS, State
from worker.storage.cursors import page_size, read_cursor, write_cursor
from worker.storage.database import Database
from worker.storage.dead_letters import REJECTED_PREFIX
from worker.storage.ids import plain, printable, uuid_of
from worker.storage.tables import decisions, jobs, observations, products, review_cases

CASE_STATES = tuple(state.value for state in State)
_SHOWN_KINDS = [kind.value for kind in SHOWN_KINDS]


class Page(TypedDict):
    """`next_cursor` is null on the last page."""

    items: list[dict[str, Any]]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class SeenPhoto:
    """A photo with what was seen in it and the findings of its latest decision, shadow ones left out."""

    tenant: str
    photo: StoredPhoto
    seen: Observation
    findings: tuple[Finding, ...]
    decision_id: str | None
    annotated_key: str | None  # of the picture drawn from this, once there is one


class Reads:
    """Everything raises Unavailable when the database is away."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def job_view(self, tenant: str | None, job_id: str) -> dict[str, Any]:
        """The job with its record and decision once there are any. Raises NotFound, also for another tenant's job."""
        with self.database.transaction() as connection:
            row = _job(connection, tenant, job_id)
            decision = _latest_decision(connection, row["id"])
            seen = connection.execute(
                select(observations.c.data).where(observations.c.job_id == row["id"])
            ).scalar_one_or_none()
            record = _record(connection, row) if row["state"] == JobState.DONE.value else None
        return _job_summary(row) | {
            "record": record,
            "decision": decision and _decision_json(decision),
            "observation": seen and Observation.from_json(seen).calibrated().as_json(),
        }

    def find_jobs(
        self,
        tenant: str | None,
        state: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
        idempotency_key: str | None = None,
    ) -> Page:
        """Jobs, newest first, without records. Raises InputRejected for an unknown state, cursor or limit.

        The key finds what became of a job that was sent by task name: there it is the task id.
        """
        query = select(jobs).order_by(jobs.c.accepted_at.desc(), jobs.c.id.desc()).limit(page_size(limit) + 1)
        query = _of_tenant(query, jobs.c.tenant, tenant)
        if state is not None:
            query = query.where(jobs.c.state == _known_state(state, [known.value for known in JobState]))
        if idempotency_key is not None:
            query = query.where(jobs.c.idempotency_key.in_([idempotency_key, f"{REJECTED_PREFIX}{idempotency_key}"]))
        if cursor:
            after = read_cursor(cursor, datetime, UUID)
            query = query.where(tuple_(jobs.c.accepted_at, jobs.c.id) < _key(after, jobs.c.accepted_at, jobs.c.id))
        rows = self._all(query)
        shown, more = rows[:limit], len(rows) > limit
        return Page(
            items=[_job_summary(row) for row in shown],
            next_cursor=write_cursor(shown[-1]["accepted_at"], shown[-1]["id"]) if more else None,
        )

    def product_view(self, tenant: str, product_id: str) -> dict[str, Any]:
        """The product's current record, with the time of its last change. Raises NotFound while there is none."""
        query = select(products.c.record, products.c.updated_at).where(
            products.c.tenant == plain("product", tenant), products.c.product_id == plain("product", product_id)
        )
        rows = self._all(query)
        if not rows or rows[0]["record"] is None:
            raise NotFound("product", printable(product_id))
        return {**rows[0]["record"], "updated_at": rows[0]["updated_at"].isoformat()}

    def decision_view(self, decision_id: str, tenant: str | None = None) -> dict[str, Any]:
        """One decision with its receipt and all findings, shadow ones apart. Raises NotFound."""
        query = select(decisions).where(decisions.c.id == uuid_of("decision", decision_id))
        rows = self._all(_of_tenant(query, decisions.c.tenant, tenant))
        if not rows:
            raise NotFound("decision", printable(decision_id))
        row = rows[0]
        return _decision_json(row) | {
            "job_id": row["job_id"],
            "tenant": row["tenant"],
            "product_id": row["product_id"],
            "image_id": row["image_id"],
            "shadow_findings": [finding for finding in row["data"]["findings"] if finding["shadow"]],
        }

    def list_cases(
        self,
        tenant: str | None,
        state: str = "open",
        cursor: str | None = None,
        limit: int = 50,
        policy_code: str | None = None,
        severity: int | None = None,
    ) -> Page:
        """Review cases with their decisions: gravest first, then oldest. Raises InputRejected as `find_jobs`."""
        filters = [] if policy_code is None else [review_cases.c.policy_code == plain("policy code", policy_code)]
        filters += [] if severity is None else [review_cases.c.severity == severity]
        key = (review_cases.c.severity, review_cases.c.created_at, review_cases.c.id)
        query = (
            select(review_cases, decisions.c.data)
            .join(decisions, decisions.c.id == review_cases.c.decision_id)
            .where(
                review_cases.c.state == _known_state(state, CASE_STATES),
                review_cases.c.kind.in_(_SHOWN_KINDS),
                *filters,
            )
            .order_by(key[0].desc(), key[1], key[2])
            .limit(page_size(limit) + 1)
        )
        query = _of_tenant(query, review_cases.c.tenant, tenant)
        if cursor:
            last, *rest = read_cursor(cursor, int, datetime, UUID)
            query = query.where((key[0] < last) | ((key[0] == last) & (tuple_(*key[1:]) > _key(rest, *key[1:]))))
        rows = self._all(query)
        shown, more = rows[:limit], len(rows) > limit
        return Page(
            items=[_case_json(row) for row in shown],
            next_cursor=write_cursor(*(shown[-1][column.name] for column in key)) if more else None,
        )

    def stored_photo(self, tenant: str | None, job_id: str) -> StoredPhoto:
        """Raises NotFound, also while intake has not finished."""
        with self.database.transaction() as connection:
            return _stored(_job(connection, tenant, job_id))

    def seen_photo(self, tenant: str | None, job_id: str) -> SeenPhoto:
        """What an annotated picture is drawn from. Raises NotFound, also while the photo has not been looked at."""
        with self.database.transaction() as connection:
            row = _job(connection, tenant, job_id)
            photo = _stored(row)
            seen = connection.execute(
                select(observations.c.data).where(observations.c.job_id == row["id"])
            ).scalar_one_or_none()
            decision = _latest_decision(connection, row["id"])
        if seen is None:
            raise NotFound("observation of job", row["id"])
        findings = decision["data"]["findings"] if decision else ()
        return SeenPhoto(
            tenant=row["tenant"],
            photo=photo,
            seen=Observation.from_json(seen).calibrated(),
            findings=tuple(Finding.from_json(finding) for finding in findings if not finding["shadow"]),
            decision_id=None if decision is None else decision["id"],
            annotated_key=None if decision is None else decision["annotated_key"],
        )

    def _all(self, query: Select[Any]) -> Sequence[RowMapping]:
        with self.database.transaction() as connection:
            return connection.execute(query).mappings().all()


def _of_tenant(query: Select[Any], column: Any, tenant: str | None) -> Select[Any]:
    return query if tenant is None else query.where(column == plain("tenant", tenant))


def _key(values: Sequence[object], *columns: Any) -> Any:
    """The cursor's values as a row that PostgreSQL compares with the columns of the same types."""
    return tuple_(*(literal(value, column.type) for value, column in zip(values, columns, strict=True)))


def _known_state(state: str, known: Sequence[str]) -> str:
    if state not in known:
        raise InputRejected("bad_state", f"state: send one of {', '.join(known)}.")
    return state


def _job(connection: Connection, tenant: str | None, job_id: str) -> RowMapping:
    query = _of_tenant(select(jobs).where(jobs.c.id == uuid_of("job", job_id)), jobs.c.tenant, tenant)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFound("job", printable(job_id))
    return row


def _latest_decision(connection: Connection, job_id: str) -> RowMapping | None:
    query = select(decisions).where(decisions.c.job_id == job_id)
    newest = query.order_by(decisions.c.created_at.desc(), decisions.c.id).limit(1)
    return connection.execute(newest).mappings().first()


def _record(connection: Connection, row: RowMapping) -> Any:
    return connection.execute(
        select(products.c.record).where(products.c.tenant == row["tenant"], products.c.product_id == row["product_id"])
    ).scalar_one_or_none()


def _stored(row: RowMapping) -> StoredPhoto:
    if row["photo"] is None:
        raise NotFound("photo of job", row["id"])
    return StoredPhoto.from_json(row["photo"])


def _job_summary(row: RowMapping) -> dict[str, Any]:
    finished = row["finished_at"]
    return {
        "job_id": row["id"],
        "state": row["state"],
        "tenant": row["tenant"],
        "product_id": row["product_id"],
        "image_id": row["image_id"],
        "version": row["version"],
        "accepted_at": row["accepted_at"].isoformat(),
        "finished_at": finished.isoformat() if finished else None,
        "rejection": {"code": row["code"], "message": row["message"]} if row["code"] else None,
    }


def _decision_json(row: RowMapping) -> dict[str, Any]:
    data = row["data"]
    return {
        "id": row["id"],
        "verdict": data["verdict"],
        "channels": data["channels"],
        "findings": [finding for finding in data["findings"] if not finding["shadow"]],
        "receipt": data["receipt"],
        "decided_at": row["created_at"].isoformat(),
    }


def _case_json(row: RowMapping) -> dict[str, Any]:
    return {
        "id": row["id"],
        "state": row["state"],
        "tenant": row["tenant"],
        "product_id": row["product_id"],
        "image_id": row["image_id"],
        "job_id": row["job_id"],
        "decision_id": row["decision_id"],
        "verdict": row["verdict"],
        "severity": row["severity"],
        "kind": row["kind"],
        "policy_code": row["policy_code"],
        "due_at": row["due_at"].isoformat(),
        "channels": row["data"]["channels"],
        "findings": [finding for finding in row["data"]["findings"] if not finding["shadow"]],
        "created_at": row["created_at"].isoformat(),
    }
