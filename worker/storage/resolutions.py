"""What a person decides, in one transaction: case, record, verdict, event and training samples, or nothing of it.

Locks: the product's row first, then the case, as publishing does; neither can deadlock the other. What is told is
held back until it can no longer be undone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from domain.errors import Conflict, Forbidden, InputRejected, NotFound
from domain.events import Event, EventKind
from domain.moderation import Decision, worst
from domain.records import PhotoEntry, ProductRecord, fold
from domain.review import (
    DECIDED,
    DECIDING,
    EFFECTLESS,
    UNDO_SECONDS,
    Action,
    Kind,
    Resolution,
    Reviewer,
    State,
    after,
    drawn,
    may_decide,
    resolved,
)
from worker.storage import outbox
from worker.storage.database import Database
from worker.storage.ids import printable, uuid_of
from worker.storage.moments import seconds_ahead
from worker.storage.record_rows import keep_decision, keep_entry, keep_record
from worker.storage.review_queue import copied, lock_held, visible_case
from worker.storage.review_views import forget_draft, resolution_json
from worker.storage.samples import keep_samples, standing, withdraw
from worker.storage.tables import (
    decisions,
    photos,
    products,
    record_revisions,
    review_cases,
    review_resolutions,
    training_samples,
)

# (tenant, product id, revision, body) -> key of the object. Raises Unavailable.
PutRecord = Callable[[str, str, int, bytes], str]
said = review_resolutions.c


@dataclass(frozen=True, slots=True)
class Request:
    """One request to resolve. The same key with the same digest is the same request."""

    case_id: str
    token: str
    resolution: Resolution
    digest: str
    key: str | None = None
    bulk_id: str | None = None


class Resolutions:
    """`blind_share`: of decided cases, 0..1, that a second person decides without knowing the first's word."""

    def __init__(
        self, database: Database, put_record: PutRecord, *, blind_share: float = 0.0, undo_seconds: float = UNDO_SECONDS
    ) -> None:
        self.database = database
        self.put_record = put_record
        self.blind_share = blind_share
        self.undo_seconds = undo_seconds

    def resolve(self, person: Reviewer, request: Request) -> dict[str, Any]:
        """Raises CaseLost, NotFound, Conflict, Forbidden, InputRejected, Unavailable; nothing was changed then."""
        with self.database.transaction() as connection:
            if before := _replayed(connection, person, request):
                return resolution_json(before)
            seen = visible_case(connection, person, request.case_id)
            work = _Work(connection, seen, self.put_record)
            if before := _replayed(connection, person, request):  # it came twice at once; the other was first
                return resolution_json(before)
            case = lock_held(connection, person, request.case_id, request.token)
            return resolution_json(self._resolve(work, case, person, request))

    def undo(self, person: Reviewer, resolution_id: str) -> dict[str, Any]:
        """Take one's own word back before anybody is told. Raises InputRejected when it is too late."""
        with self.database.transaction() as connection:
            row, case, work = self._last_word(connection, person, resolution_id)
            if row["person_id"] != person.id:
                raise Forbidden("undoing somebody else's decision", "Reopen the case instead.")
            in_time = connection.execute(
                select(func.clock_timestamp() < said.undo_until).where(said.id == row["id"])
            ).scalar_one()
            if not in_time or (row["event_id"] and not outbox.take_back(connection, row["event_id"])):
                raise InputRejected("too_late_to_undo", "It was told already; reopen the case instead.")
            record = work.revert(row, case)
            if record and row["event_id"] and outbox.told_since(connection, row["event_id"]):
                work.tell(EventKind.RECORD_PUBLISHED, case, record, {})
            done = {"undone_at": func.clock_timestamp()}
            return resolution_json(_mark(connection, row["id"], done))

    def reopen(self, person: Reviewer, resolution_id: str) -> dict[str, Any]:
        """Put a decided case back into the queue and tell the shop what holds now: a lead, or whoever decided it."""
        with self.database.transaction() as connection:
            row, case, work = self._last_word(connection, person, resolution_id)
            if not (person.leads or row["person_id"] == person.id):
                raise Forbidden("reopening somebody else's decision", "A lead can, or the seller appeals.")
            if row["action"] not in DECIDING:
                raise InputRejected("not_decided", "Only what was upheld or overturned is reopened.")
            record = work.revert(row, case)
            if record:
                work.tell(EventKind.REVIEW_REOPENED, case, record, {"resolution_id": row["id"]})
            return resolution_json(_mark(connection, row["id"], {"reopened_by": person.id}))

    def _last_word(
        self, connection: Connection, person: Reviewer, resolution_id: str
    ) -> tuple[RowMapping, RowMapping, _Work]:
        """The resolution, if it stands and is the last about its case, all locked."""
        wanted = uuid_of("resolution", resolution_id)
        query = select(review_resolutions).where(said.id == wanted)
        row = connection.execute(query).mappings().first()
        if row is None or person.tenant not in (None, row["tenant"]):
            raise NotFound("resolution", printable(resolution_id))
        work = _Work(connection, visible_case(connection, person, row["case_id"]), self.put_record)
        locked = select(review_cases).where(review_cases.c.id == row["case_id"]).with_for_update()
        case = connection.execute(locked).mappings().one()
        newest = (
            select(said.id)
            .where(said.case_id == row["case_id"], said.undone_at.is_(None), said.reopened_by.is_(None))
            .order_by(said.seq.desc())
            .limit(1)
        )
        if connection.execute(newest).scalar_one_or_none() != wanted:
            raise InputRejected("not_the_last_word", "It was undone or reopened, or something was decided since.")
        return row, case, work

    def _resolve(self, work: _Work, case: RowMapping, person: Reviewer, request: Request) -> RowMapping:
        wish, state = request.resolution, State(case["state"])
        wish.check(datetime.now(UTC))
        new_state = after(state, wish.action, leads=person.leads)
        if not may_decide(person, case["excluded"], needs_lead=case["needs_lead"]):
            raise Forbidden("deciding this case", "Somebody else has to; release it.")
        row: dict[str, Any] = {
            "id": str(uuid4()),
            "case_id": case["id"],
            "tenant": case["tenant"],
            "person_id": person.id,
            "person_name": person.name,
            "action": wish.action.value,
            "policy_code": wish.policy_code,
            "note": wish.note,
            "state_before": state.value,
            "decision_before": case["decision_id"],
            "bulk_id": request.bulk_id,
            "idempotency_key": request.key,
            "body_digest": request.digest,
            "undo_until": seconds_ahead(self.undo_seconds),
        }
        connection = work.connection
        made = connection.execute(insert(review_resolutions).values(row).returning(review_resolutions)).mappings().one()
        if wish.action in DECIDING:
            told = work.decide(case, made, wish, self.undo_seconds)
            made = _mark(connection, made["id"], told) if told else made
        _settle_case(connection, case, new_state, wish)
        forget_draft(connection, case["id"], person.id)
        if wish.action in DECIDING:
            _second_looks(connection, case, made, self.blind_share)
        return made


class _Work:
    """A product whose row is locked, and the case about one of its photos."""

    def __init__(self, connection: Connection, case: RowMapping, put_record: PutRecord) -> None:
        self.connection, self._put = connection, put_record
        self.tenant, self.product_id, self.image_id = case["tenant"], case["product_id"], case["image_id"]
        self.job_id: str = case["job_id"]
        query = select(products.c.revision).where(
            products.c.tenant == self.tenant, products.c.product_id == self.product_id
        )
        self.revision: int = connection.execute(query.with_for_update()).scalar_one()
        rows = connection.execute(
            select(photos.c.entry).where(photos.c.tenant == self.tenant, photos.c.product_id == self.product_id)
        ).scalars()
        self.entries = [PhotoEntry.from_json(entry) for entry in rows]

    @property
    def current(self) -> PhotoEntry | None:
        """The photo as the record has it; None when a newer submission took its place."""
        return next((one for one in self.entries if one.job_id == self.job_id), None)

    def decide(self, case: RowMapping, row: RowMapping, wish: Resolution, hold_seconds: float) -> dict[str, Any]:
        """Write what follows from a decision; returns what the resolution is to say of it."""
        kind, entry = Kind(case["kind"]), self.current
        decision = _decision(self.connection, case["decision_id"])
        channels = resolved(decision, wish.action)
        binding = kind not in EFFECTLESS and case["state"] != State.SUPERSEDED.value and entry is not None
        if kind is not Kind.GOLDEN:
            self._teach(case, row, wish, decision, channels, binds=binding, of_photo=kind not in EFFECTLESS)
        if not binding or entry is None or not self._has_effect(kind, entry, channels, wish):
            return {}
        receipt = {"resolution": row["id"], "action": wish.action.value, "policy_code": wish.policy_code}
        anew = replace(decision, channels=channels, receipt={**decision.receipt, "person": receipt})
        record = self._write(entry, anew)
        about = {"case_id": case["id"], "resolution_id": row["id"]}
        about |= {"action": wish.action.value, "policy_code": wish.policy_code}
        event = self.tell(EventKind.REVIEW_RESOLVED, case, record, about, hold_seconds)
        return {"decision_after": self._decision_id, "decision_before": entry.decision_id, "event_id": event}

    def revert(self, row: RowMapping, case: RowMapping) -> ProductRecord | None:
        """Take a resolution out of record, samples and queue again; None where the record stays as it is."""
        taught = training_samples.c
        bound = select(taught.id).where(taught.resolution_id == row["id"], taught.binds).limit(1)
        had_corrections = self.connection.execute(bound).first() is not None
        withdraw(self.connection, row["id"])
        self.connection.execute(
            update(review_cases)
            .where(review_cases.c.id == case["id"])
            .values(
                state=row["state_before"] if case["state"] != State.SUPERSEDED.value else case["state"],
                needs_lead=case["kind"] == Kind.LEAD.value or row["state_before"] == State.ESCALATED.value,
                lease_token=None,
                lease_until=None,
                hold_until=None,
            )
        )
        self.connection.execute(  # second looks at what no longer stands
            update(review_cases)
            .where(review_cases.c.about == case["id"], review_cases.c.state.in_(["open", "escalated", "held"]))
            .values(state=State.SUPERSEDED.value)
        )
        entry = self.current
        if entry is not None and entry.decision_id == row["decision_after"]:
            was = _decision(self.connection, row["decision_before"])
            return self._write(entry, replace(was, receipt={**was.receipt, "taken_back": row["id"]}))
        return self._write(None, None) if had_corrections else None

    def tell(
        self,
        kind: EventKind,
        case: RowMapping,
        record: ProductRecord,
        about: Mapping[str, Any],
        hold_seconds: float = 0.0,
    ) -> str:
        entry = self.current
        data = {
            "product_id": self.product_id,
            "image_id": self.image_id,
            "job_id": self.job_id,
            "state": "DONE",
            "decision_id": entry and entry.decision_id,
            "decision": entry and _decision(self.connection, entry.decision_id).as_json(),
            "record": record.as_json(),
            **about,
        }
        return outbox.write(self.connection, Event(kind, self.tenant, self.product_id, data), hold_seconds)

    def _has_effect(self, kind: Kind, entry: PhotoEntry, channels: Mapping[str, Any], wish: Resolution) -> bool:
        """An audit never goes above what a person has said of the photo, and an agreement changes nothing."""
        if kind in (Kind.FLAGGED, Kind.APPEAL):
            return True
        if kind is Kind.AUDIT:
            spoken = select(review_cases.c.id).where(
                review_cases.c.job_id == self.job_id,
                review_cases.c.kind.in_([Kind.FLAGGED.value, Kind.APPEAL.value, Kind.LEAD.value]),
                review_cases.c.state.in_([state.value for state in DECIDED]),
            )
            if self.connection.execute(spoken).first() is not None:
                return False
        return bool(wish.corrections) or dict(channels) != dict(entry.channels)

    def _teach(
        self,
        case: RowMapping,
        row: RowMapping,
        wish: Resolution,
        decision: Decision,
        channels: Mapping[str, Any],
        *,
        binds: bool,
        of_photo: bool,
    ) -> None:
        entry = self.current or self._as_it_was()
        if entry is None:
            return
        lineage = {
            "tenant": self.tenant,
            "product_id": self.product_id,
            "job_id": self.job_id,
            "decision_id": case["decision_id"],
            "resolution_id": row["id"],
            "person_id": row["person_id"],
        }
        verdicts = (decision.verdict, worst(channels.values()))
        keep_samples(self.connection, lineage, entry, wish.corrections, verdicts, binds=binds, binds_photo=of_photo)

    def _as_it_was(self) -> PhotoEntry | None:
        """The photo's entry in the last record that had it."""
        revisions = record_revisions.c
        query = (
            select(revisions.record)
            .where(
                revisions.tenant == self.tenant,
                revisions.product_id == self.product_id,
                revisions.job_id == self.job_id,
            )
            .order_by(revisions.revision.desc())
            .limit(1)
        )
        record = self.connection.execute(query).scalar_one_or_none()
        entries = [] if record is None else ProductRecord.from_json(record).photos
        return next((one for one in entries if one.job_id == self.job_id), None)

    def _write(self, entry: PhotoEntry | None, decision: Decision | None) -> ProductRecord:
        """A new revision: with a new decision on the photo, or with other corrections only."""
        if entry is not None and decision is not None:
            self._decision_id = str(uuid4())
            keep_decision(
                self.connection,
                decision,
                id=self._decision_id,
                job_id=self.job_id,
                tenant=self.tenant,
                product_id=self.product_id,
                image_id=self.image_id,
                created_at=func.clock_timestamp(),
            )
            anew = replace(entry, decision_id=self._decision_id, channels=decision.channels)
            self.entries = [anew if one.job_id == self.job_id else one for one in self.entries]
        corrections = standing(self.connection, self.tenant, self.product_id, self.job_id)
        record = fold(self.tenant, self.product_id, self.revision + 1, self.entries, corrections)
        # PUT before commit, under the product's lock: SQL never names an object that is not there.
        key = self._put(self.tenant, self.product_id, record.revision, record.as_bytes())
        for one in record.photos:
            keep_entry(self.connection, record, one)
        keep_record(self.connection, record, key, self.job_id)
        self.entries, self.revision = list(record.photos), record.revision
        return record


def _replayed(connection: Connection, person: Reviewer, request: Request) -> RowMapping | None:
    """What the same request came to before. Raises Conflict for the key of another one."""
    if request.key is None:
        return None
    query = select(review_resolutions).where(said.person_id == person.id, said.idempotency_key == request.key)
    row = connection.execute(query).mappings().first()
    if row is not None and row["body_digest"] != request.digest:
        raise Conflict(request.key)
    return row


def _settle_case(connection: Connection, case: RowMapping, state: State, wish: Resolution) -> None:
    values: dict[str, Any] = {"state": state.value, "lease_token": None, "lease_until": None, "hold_until": wish.until}
    if case["kind"] != Kind.GOLDEN.value:
        values["holder"] = None
    if wish.action is Action.HOLD:
        values["reason"] = wish.note
    if wish.action is Action.ESCALATE:
        values["needs_lead"] = True
    connection.execute(update(review_cases).where(review_cases.c.id == case["id"]).values(values))


def _second_looks(connection: Connection, case: RowMapping, row: RowMapping, blind_share: float) -> None:
    """A blind second opinion on a share of what was decided; a lead's word where two opinions differ."""
    kind, others = Kind(case["kind"]), [row["person_id"]]
    if kind is Kind.FLAGGED and case["state"] != State.SUPERSEDED.value and drawn(f"blind:{case['id']}", blind_share):
        values = copied(case) | {"kind": Kind.BLIND.value, "about": case["id"], "excluded": others}
        connection.execute(insert(review_cases).values(values))
    if kind is not Kind.BLIND:
        return
    first = (
        select(review_resolutions)
        .where(said.case_id == case["about"], said.action.in_([one.value for one in DECIDING]))
        .where(said.undone_at.is_(None), said.reopened_by.is_(None))
        .order_by(said.seq.desc())
        .limit(1)
    )
    found = connection.execute(first).mappings().first()
    if found is not None and found["action"] != row["action"]:
        values = copied(case) | {"kind": Kind.LEAD.value, "about": case["about"], "needs_lead": True}
        connection.execute(insert(review_cases).values(values | {"excluded": [found["person_id"], *others]}))


def _mark(connection: Connection, resolution_id: str, values: Mapping[str, Any]) -> RowMapping:
    marked = update(review_resolutions).where(said.id == resolution_id).values(dict(values))
    return connection.execute(marked.returning(review_resolutions)).mappings().one()


def _decision(connection: Connection, decision_id: str) -> Decision:
    data = connection.execute(select(decisions.c.data).where(decisions.c.id == decision_id)).scalar_one()
    return Decision.from_json(data)
