"""The review queue: claiming the best case under a lease. PostgreSQL's clock is the only clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Text,
    TextClause,
    any_,
    cast,
    func,
    insert,
    or_,
    select,
    text,
    update,
)

from domain.errors import InputRejected, NotFound
from domain.moderation import Decision
from domain.review import LEASE_SECONDS, SHOWN_KINDS, WAITING, CaseLost, Kind, Reviewer, due, routing, slot
from worker.storage.database import Database
from worker.storage.ids import plain, printable, uuid_of
from worker.storage.moments import seconds_ahead
from worker.storage.tables import golden_items, review_cases, review_resolutions

cases = review_cases.c
# Written out: with parameters a prepared statement would no longer fit the queue's partial index.
_IS_WAITING = text("review_cases.state IN (" + ", ".join(f"'{state.value}'" for state in WAITING) + ")")
_SHOWN = [kind.value for kind in SHOWN_KINDS]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person would like to be given. Nothing = whatever comes first."""

    tenant: str | None = None
    policy_code: str | None = None
    severity: int | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.tenant is not None:
            found.append(cases.tenant == plain("tenant", self.tenant))
        if self.policy_code is not None:
            found.append(cases.policy_code == plain("policy code", self.policy_code))
        if self.severity is not None:
            found.append(cases.severity == self.severity)
        return found


def queue_place(decision: Decision, since: datetime | None = None) -> dict[str, Any]:
    """The columns that a case is ordered by."""
    at = due(decision.severity, since or datetime.now(UTC))
    return {**routing(decision), "due_at": at, "due_slot": slot(at)}


class ReviewQueue:
    """Everything raises Unavailable when the database is away."""

    def __init__(self, database: Database, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self.database = database
        self.lease_seconds = lease_seconds

    def claim(self, person: Reviewer, wanted: Wanted, *, golden: bool = False) -> RowMapping | None:
        """The best case that this person may decide, theirs until the lease ends; None when there is none.

        golden: rather an item with a known answer, if there is one this person has not seen.
        """
        with self.database.transaction() as connection:
            if golden and (made := _golden_case(connection, person, wanted)):
                return self._lease(connection, made, person)
            query = (
                select(cases.id)
                .where(*wanted.conditions(), *_claimable(person))
                .order_by(cases.severity.desc(), cases.due_slot, cases.label_value.desc(), cases.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            best = connection.execute(query).scalar_one_or_none()
            return None if best is None else self._lease(connection, best, person)

    def claim_one(self, person: Reviewer, case_id: str) -> RowMapping:
        """This very case. Raises NotFound, InputRejected when it is somebody else's or not this person's to decide."""
        with self.database.transaction() as connection:
            case = visible_case(connection, person, case_id)
            query = select(cases.id).where(cases.id == case["id"], *_claimable(person, again=True))
            if connection.execute(query.with_for_update(skip_locked=True)).first() is None:
                raise InputRejected(
                    "not_claimable", "Somebody else holds this case, or it is not yours to decide. Take the next one."
                )
            return self._lease(connection, case["id"], person)

    def renew(self, person: Reviewer, case_id: str, token: str) -> datetime:
        """Push the deadline; returns it. Raises CaseLost."""
        with self.database.transaction() as connection:
            until = connection.execute(
                update(review_cases)
                .where(*_held(person, case_id, token))
                .values(lease_until=seconds_ahead(self.lease_seconds))
                .returning(cases.lease_until)
            ).scalar_one_or_none()
        if until is None:
            raise CaseLost(printable(case_id))
        found: datetime = until
        return found

    def release(self, person: Reviewer, case_id: str, token: str, *, skip: bool = False) -> None:
        """Give the case back; skip: and not to me again. Raises CaseLost."""
        values: dict[Any, Any] = {cases.lease_token: None, cases.lease_until: None}
        if skip:
            values[cases.skipped] = func.array_append(cases.skipped, person.id)
        with self.database.transaction() as connection:
            given = connection.execute(update(review_cases).where(*_held(person, case_id, token)).values(values))
        if given.rowcount != 1:
            raise CaseLost(printable(case_id))

    def counts(self, wanted: Wanted) -> dict[str, Any]:
        """How many cases wait, by tenant, policy and severity, and how many are overdue, held by people, on hold."""
        late = func.count().filter(cases.due_at < func.now())
        leased = func.count().filter(cases.lease_until > func.now())
        held = func.count().filter(cases.state == "held")
        query = (
            select(
                cases.tenant,
                cases.policy_code,
                cases.severity,
                func.count().label("waiting"),
                late.label("overdue"),
                leased.label("leased"),
                held.label("on_hold"),
                func.min(cases.due_at).label("first_due"),
            )
            .where(_IS_WAITING, cases.kind.in_(_SHOWN), *wanted.conditions())
            .group_by(cases.tenant, cases.policy_code, cases.severity)
            .order_by(cases.severity.desc(), cases.policy_code, cases.tenant)
        )
        with self.database.transaction() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        for row in rows:
            row["first_due"] = row["first_due"].isoformat()
        return {"waiting": sum(row["waiting"] for row in rows), "groups": rows}

    def _lease(self, connection: Connection, case_id: str, person: Reviewer) -> RowMapping:
        values = {
            "holder": person.id,
            "lease_token": func.gen_random_uuid(),
            "lease_until": seconds_ahead(self.lease_seconds),
        }
        return (
            connection.execute(
                update(review_cases).where(cases.id == case_id).values(values).returning(*review_cases.c)
            )
            .mappings()
            .one()
        )


def visible_case(connection: Connection, person: Reviewer, case_id: str) -> RowMapping:
    """Raises NotFound, also for another tenant's."""
    query = select(review_cases).where(cases.id == uuid_of("review case", case_id))
    if person.tenant is not None:
        query = query.where(cases.tenant == person.tenant)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFound("review case", printable(case_id))
    return row


def lock_held(connection: Connection, person: Reviewer, case_id: str, token: str) -> RowMapping:
    """The case under the person's lease, locked. Raises CaseLost: a lease that ran out cannot decide."""
    query = select(review_cases).where(*_held(person, case_id, token)).with_for_update()
    row = connection.execute(query).mappings().first()
    if row is None:
        raise CaseLost(printable(case_id))
    return row


def _held(person: Reviewer, case_id: str, token: str) -> list[ColumnElement[bool]]:
    try:
        case, lease = uuid_of("review case", case_id), uuid_of("lease", token)
    except NotFound:
        raise CaseLost(printable(case_id)) from None
    found = [
        cases.id == case,
        cases.lease_token == lease,
        cases.holder == person.id,
        cases.lease_until > func.clock_timestamp(),
    ]
    if person.tenant is not None:
        found.append(cases.tenant == person.tenant)
    return found


def _claimable(person: Reviewer, *, again: bool = False) -> list[ColumnElement[bool] | TextClause]:
    """again: a case that the person holds already, or skipped, may be opened once more."""
    me = cast(person.id, Text)
    free: ColumnElement[bool] = or_(cases.lease_until.is_(None), cases.lease_until < func.clock_timestamp())
    found: list[ColumnElement[bool] | TextClause] = [
        _IS_WAITING,
        or_(cases.state != "held", cases.hold_until <= func.now()),
        or_(free, cases.holder == person.id) if again else free,
        ~(me == any_(cases.excluded)),
        # Made for one person, seen by no other.
        or_(cases.kind != Kind.GOLDEN.value, cases.holder == person.id),
    ]
    if not again:
        found.append(~(me == any_(cases.skipped)))
    if not person.leads:
        found.append(~cases.needs_lead)
    if person.tenant is not None:
        found.append(cases.tenant == person.tenant)
    return found


def _golden_case(connection: Connection, person: Reviewer, wanted: Wanted) -> str | None:
    """A case for a golden item that this person has neither decided nor been shown."""
    shown = review_cases.alias()
    seen = select(shown.c.id).where(
        shown.c.kind == Kind.GOLDEN.value, shown.c.about == golden_items.c.id, shown.c.holder == person.id
    )
    decided = select(review_resolutions.c.id).where(
        review_resolutions.c.case_id == cases.id, review_resolutions.c.person_id == person.id
    )
    tenant = [] if person.tenant is None else [cases.tenant == person.tenant]
    query = (
        select(golden_items.c.id.label("item"), *review_cases.c)
        .select_from(golden_items)
        .join(review_cases, cases.id == golden_items.c.case_id)
        .where(golden_items.c.retired_at.is_(None), ~seen.exists(), ~decided.exists(), *wanted.conditions(), *tenant)
        .order_by(func.random())
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    made: str = connection.execute(
        insert(review_cases)
        .values(**copied(row), kind=Kind.GOLDEN.value, about=row["item"], holder=person.id)
        .returning(cases.id)
    ).scalar_one()
    return made


def copied(case: RowMapping, *, decision_id: str | None = None) -> dict[str, Any]:
    """The columns of a second case about the same photo, due as a new one."""
    at = due(case["severity"], datetime.now(UTC))
    names = ("tenant", "product_id", "image_id", "job_id", "verdict", "severity", "policy_code", "label_value")
    shared = {name: case[name] for name in names}
    return shared | {"decision_id": decision_id or case["decision_id"], "due_at": at, "due_slot": slot(at)}
