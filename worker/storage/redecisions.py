"""Judging again, in SQL: what was asked for, how far it has come, and the current photos it is about, newest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, cast, func, literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import TIMESTAMP, array
from sqlalchemy.dialects.postgresql import insert as upsert

from domain.moderation import Decision
from domain.observations import Observation
from domain.photos import StoredPhoto
from domain.policies import Scope
from domain.ports import DecidedPhoto
from worker.storage.database import Database
from worker.storage.jobs import job_from_row
from worker.storage.moments import seconds_long
from worker.storage.publishing import SqlProductRedecision
from worker.storage.tables import decisions, jobs, observations, photos, policy_redecisions

# A worker learns of a new version within seconds; what the last ones decided by the old one is to be covered too.
GRACE_SECONDS = 10
# Any constant will do; it only has to be the same in every worker ("again" on a telephone's keys).
_REDECIDE_LOCK = 24246
# Decisions looked through for one page, so that a scope with few photos never becomes one long statement.
_WINDOW = 2_000
_MOST_LISTED = 100


@dataclass(frozen=True, slots=True)
class Redecision:
    """One request to judge again, and how far it has come.

    The counts are of rounds that were finished: what a killed process had changed in its last round is judged once
    more, found the same, and counted so.
    """

    id: int
    cause: str
    scope: Scope
    asked_by: str
    decided_before: datetime | None
    not_before: datetime
    cursor: tuple[datetime, str] | None
    judged: int
    changed: int
    kept: int
    failed: int
    asked_at: datetime
    finished_at: datetime | None

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "cause": self.cause,
            "scope": self.scope.as_json(),
            "asked_by": self.asked_by,
            "asked_at": self.asked_at.isoformat(),
            "decided_before": None if self.decided_before is None else self.decided_before.isoformat(),
            "judged": self.judged,
            "changed": self.changed,
            "kept_by_person": self.kept,
            "failed": self.failed,
            "finished_at": None if self.finished_at is None else self.finished_at.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Found:
    """photos: rows to judge again, newest first; unreadable: how many cannot be read today. cursor: None = the end."""

    photos: Sequence[DecidedPhoto]
    unreadable: int
    cursor: tuple[datetime, str] | None


def queue_redecision(
    connection: Connection,
    cause: str,
    scope: Scope,
    asked_by: str,
    *,
    boundary: str | None = None,
    decided_before: datetime | None = None,
) -> int | None:
    """Ask for judging again; returns the request's id, or None where the same boundary was asked for before."""
    asked = upsert(policy_redecisions).values(
        cause=cause,
        scope=scope.as_json(),
        asked_by=asked_by,
        boundary=boundary,
        decided_before=decided_before,
        not_before=func.now() + seconds_long(GRACE_SECONDS),
    )
    added = asked.on_conflict_do_nothing(index_elements=["boundary"]).returning(policy_redecisions.c.id)
    number: int | None = connection.execute(added).scalar_one_or_none()
    return number


class SqlRedecisions:
    """domain.ports.DecidedPhotos, and the requests themselves."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def ask(self, scope: Scope, asked_by: str) -> Redecision:
        with self.database.transaction() as connection:
            number = queue_redecision(connection, "asked", scope, asked_by)
            query = select(policy_redecisions).where(policy_redecisions.c.id == number)
            return _redecision(connection.execute(query).mappings().one())

    def boundary_passed(self, key: str, scope: Scope, moment: datetime) -> bool:
        """Ask for what a date changed, once for each key; whether it was asked for only now."""
        with self.database.transaction() as connection:
            number = queue_redecision(
                connection, "boundary", scope, "effective date", boundary=key, decided_before=moment
            )
        return number is not None

    def list(self) -> list[Redecision]:
        """Newest first."""
        query = select(policy_redecisions).order_by(policy_redecisions.c.id.desc()).limit(_MOST_LISTED)
        with self.database.transaction() as connection:
            return [_redecision(row) for row in connection.execute(query).mappings()]

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether this process may judge again now: one at a time in the whole system, so that the rate is one rate."""
        with self.database.transaction() as connection:
            yield bool(connection.execute(select(func.pg_try_advisory_xact_lock(_REDECIDE_LOCK))).scalar_one())

    def next(self) -> Redecision | None:
        """The newest request that is open and due: what was asked for last must not wait for hours of older work."""
        query = (
            select(policy_redecisions)
            .where(policy_redecisions.c.finished_at.is_(None), policy_redecisions.c.not_before <= func.now())
            .order_by(policy_redecisions.c.id.desc())
            .limit(1)
        )
        with self.database.transaction() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else _redecision(row)

    def page(self, request: Redecision, limit: int) -> Found:
        """The next photos of a request."""
        window = _window(request)
        with self.database.transaction() as connection:
            rows = connection.execute(_photos(request, window, limit)).mappings().all()
            oldest = connection.execute(
                select(window.c.created_at, window.c.id).order_by(window.c.created_at, window.c.id).limit(1)
            ).first()
        return _found(rows, limit, oldest)

    def advance(self, request: Redecision, cursor: tuple[datetime, str] | None, **counts: int) -> None:
        """Keep how far it has come; no cursor ends it."""
        columns = policy_redecisions.c
        values: dict[Any, Any] = {columns[name]: columns[name] + count for name, count in counts.items()}
        if cursor is None:
            values[columns.finished_at] = func.now()
        else:
            values |= {columns.cursor_at: cursor[0], columns.cursor_id: cursor[1]}
        with self.database.transaction() as connection:
            connection.execute(update(policy_redecisions).where(columns.id == request.id).values(values))

    @contextmanager
    def open_decided(self, decided: DecidedPhoto) -> Iterator[SqlProductRedecision]:
        with self.database.transaction() as connection:
            yield SqlProductRedecision(connection, decided)


def _window(request: Redecision) -> Any:
    """The next decisions back in time, whoever's they are."""
    key = tuple_(decisions.c.created_at, decisions.c.id)
    query = select(decisions.c.created_at, decisions.c.id).where(decisions.c.created_at <= request.not_before)
    if request.cursor is not None:
        moment, last = request.cursor
        query = query.where(
            key < tuple_(literal(moment, decisions.c.created_at.type), literal(last, decisions.c.id.type))
        )
    return query.order_by(decisions.c.created_at.desc(), decisions.c.id.desc()).limit(_WINDOW).cte("recent")


def _photos(request: Redecision, window: Any, limit: int) -> Select[Any]:
    """Those of the window that are the current decision of a photo in scope, with all that judging needs."""
    of_photo = (
        (photos.c.tenant == decisions.c.tenant)
        & (photos.c.product_id == decisions.c.product_id)
        & (photos.c.image_id == decisions.c.image_id)
        & (photos.c.entry["decision_id"].astext == cast(decisions.c.id, photos.c.tenant.type))
    )
    return (
        select(
            jobs,
            decisions.c.id.label("decision_id"),
            decisions.c.created_at.label("decided_at"),
            decisions.c.data.label("decision"),
            observations.c.data.label("seen"),
            observations.c.plan_digest,
        )
        .select_from(window)
        .join(decisions, decisions.c.id == window.c.id)
        .join(photos, of_photo)
        .join(jobs, jobs.c.id == decisions.c.job_id)
        .join(observations, observations.c.job_id == decisions.c.job_id)
        .where(*_in_scope(request))
        .order_by(decisions.c.created_at.desc(), decisions.c.id.desc())
        .limit(limit)
    )


def _in_scope(request: Redecision) -> list[ColumnElement[bool]]:
    scope = request.scope
    wanted: list[ColumnElement[bool]] = []
    if scope.tenants is not None:
        wanted.append(decisions.c.tenant.in_(scope.tenants))
    if scope.channels is not None:
        wanted.append(decisions.c.data["channels"].has_any(array(scope.channels)))
    if request.decided_before is not None:
        # By the clock that the rule's dates were held against; the row's own time is a moment later.
        judged_at = cast(decisions.c.data["receipt"]["decided_at"].astext, TIMESTAMP(timezone=True))
        wanted.append(func.coalesce(judged_at, decisions.c.created_at) < request.decided_before)
    return wanted


def _found(rows: Sequence[RowMapping], limit: int, oldest: Any) -> Found:
    readable = [photo for row in rows if (photo := _decided(row))]
    cursor: tuple[datetime, str] | None
    if len(rows) == limit:
        cursor = (rows[-1]["decided_at"], rows[-1]["decision_id"])
    else:
        cursor = None if oldest is None else (oldest.created_at, oldest.id)
    return Found(readable, len(rows) - len(readable), cursor)


def _decided(row: RowMapping) -> DecidedPhoto | None:
    """None for what this release cannot read any more."""
    try:
        return DecidedPhoto(
            job_id=row["id"],
            job=job_from_row(row),
            photo=StoredPhoto.from_json(row["photo"]),
            seen=Observation.from_json(row["seen"]).calibrated(),
            plan_digest=row["plan_digest"],
            decision_id=row["decision_id"],
            decision=Decision.from_json(row["decision"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _redecision(row: RowMapping) -> Redecision:
    return Redecision(
        id=row["id"],
        cause=row["cause"],
        scope=Scope.from_json(row["scope"]),
        asked_by=row["asked_by"],
        decided_before=row["decided_before"],
        not_before=row["not_before"],
        cursor=None if row["cursor_at"] is None else (row["cursor_at"], row["cursor_id"]),
        judged=row["judged"],
        changed=row["changed"],
        kept=row["kept"],
        failed=row["failed"],
        asked_at=row["created_at"],
        finished_at=row["finished_at"],
    )
