"""A review case as its reviewer sees it, and what that person typed so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, Connection, RowMapping, cast, delete, func, literal, or_, select
from sqlalchemy.dialects.postgresql import BIT
from sqlalchemy.dialects.postgresql import insert as upsert

from domain.observations import Observation
from domain.review import SHOWN_KINDS, Kind, Reviewer
from worker.storage.database import Database
from worker.storage.earlier import NEAR
from worker.storage.ids import uuid_of
from worker.storage.review_queue import visible_case
from worker.storage.tables import (
    decisions,
    jobs,
    observations,
    photo_hashes,
    photos,
    review_cases,
    review_drafts,
    review_resolutions,
)

MOST_CLUSTER = 200  # cases of one near-duplicate cluster


class ReviewViews:
    def __init__(self, database: Database) -> None:
        self.database = database

    def case(self, person: Reviewer, case_id: str) -> dict[str, Any]:
        """Everything that is shown beside the photo. Raises NotFound."""
        with self.database.transaction() as connection:
            return self.shown(connection, visible_case(connection, person, case_id), person)

    def opened(self, case: RowMapping, person: Reviewer) -> dict[str, Any]:
        """The same for a case just claimed, with its lease."""
        with self.database.transaction() as connection:
            lease = {"token": case["lease_token"], "until": case["lease_until"].isoformat()}
            return self.shown(connection, case, person) | {"lease": lease}

    def shown(self, connection: Connection, case: RowMapping, person: Reviewer) -> dict[str, Any]:
        query = (
            select(decisions.c.data, jobs.c.body, jobs.c.photo, observations.c.data.label("seen"))
            .join(jobs, jobs.c.id == decisions.c.job_id)
            .outerjoin(observations, observations.c.job_id == jobs.c.id)
            .where(decisions.c.id == case["decision_id"])
        )
        row = connection.execute(query).mappings().one()
        words = {name: row["body"].get(name) for name in ("title", "description", "category", "attributes", "locale")}
        return case_json(case) | {
            "channels": row["data"]["channels"],
            "findings": [finding for finding in row["data"]["findings"] if not finding["shadow"]],
            "seller": words,
            "observation": row["seen"] and Observation.from_json(row["seen"]).calibrated().as_json(),
            "photo": row["photo"] and {name: row["photo"].get(name) for name in ("sha256", "width", "height")},
            "other_photos": _others(connection, case),
            "history": _history(connection, case),
            "draft": _draft(connection, case["id"], person.id),
        }

    def keep_draft(self, person: Reviewer, case_id: str, body: Mapping[str, Any]) -> None:
        """What was typed, whether or not the lease still stands. Raises NotFound."""
        values = {"body": dict(body), "updated_at": func.now()}
        with self.database.transaction() as connection:
            case = visible_case(connection, person, case_id)
            connection.execute(
                upsert(review_drafts)
                .values(case_id=case["id"], person_id=person.id, **values)
                .on_conflict_do_update(index_elements=["case_id", "person_id"], set_=values)
            )

    def draft(self, person: Reviewer, case_id: str) -> dict[str, Any] | None:
        with self.database.transaction() as connection:
            return _draft(connection, visible_case(connection, person, case_id)["id"], person.id)

    def cluster(self, person: Reviewer, case_id: str) -> list[dict[str, Any]]:
        """Waiting cases about photos that look like this one's, without the case itself. Raises NotFound."""
        with self.database.transaction() as connection:
            case = visible_case(connection, person, case_id)
            mine = photo_hashes.alias()
            alike = (
                select(photo_hashes.c.job_id)
                .join(mine, mine.c.chunks.overlap(photo_hashes.c.chunks))
                .where(
                    mine.c.job_id == case["job_id"],
                    photo_hashes.c.tenant == case["tenant"],
                    func.bit_count(_differing(mine.c.pdq, photo_hashes.c.pdq), type_=BigInteger()) <= NEAR,
                )
            )
            same = select(jobs.c.id).where(
                jobs.c.tenant == case["tenant"],
                jobs.c.id.in_(
                    select(observations.c.job_id).where(
                        observations.c.tenant == case["tenant"],
                        observations.c.sha256
                        == select(observations.c.sha256)
                        .where(observations.c.job_id == case["job_id"])
                        .scalar_subquery(),
                    )
                ),
            )
            query = (
                select(review_cases)
                .where(
                    review_cases.c.tenant == case["tenant"],
                    review_cases.c.kind == Kind.FLAGGED.value,
                    review_cases.c.state == "open",
                    review_cases.c.id != case["id"],
                    or_(review_cases.c.job_id.in_(alike), review_cases.c.job_id.in_(same)),
                )
                .order_by(review_cases.c.created_at, review_cases.c.id)
                .limit(MOST_CLUSTER)
            )
            return [case_json(row) for row in connection.execute(query).mappings()]


def case_json(case: RowMapping) -> dict[str, Any]:
    """A second opinion, an audit or a golden item looks like what it repeats."""
    shown = case["kind"] in [kind.value for kind in SHOWN_KINDS]
    return {
        "id": case["id"],
        "kind": case["kind"] if shown else Kind.FLAGGED.value,
        "state": case["state"],
        "tenant": case["tenant"],
        "product_id": case["product_id"],
        "image_id": case["image_id"],
        "job_id": case["job_id"],
        "decision_id": case["decision_id"],
        "verdict": case["verdict"],
        "severity": case["severity"],
        "policy_code": case["policy_code"],
        "reason": case["reason"],
        "hold_until": case["hold_until"] and case["hold_until"].isoformat(),
        "created_at": case["created_at"].isoformat(),
        "due_at": case["due_at"].isoformat(),
    }


def resolution_json(row: RowMapping) -> dict[str, Any]:
    return {
        "id": row["id"],
        "case_id": row["case_id"],
        "action": row["action"],
        "policy_code": row["policy_code"],
        "note": row["note"],
        "by": {"id": row["person_id"], "name": row["person_name"]},
        "decision_before": row["decision_before"],
        "decision_after": row["decision_after"],
        "event_id": row["event_id"],
        "bulk_id": row["bulk_id"],
        "created_at": row["created_at"].isoformat(),
        "undo_until": row["undo_until"].isoformat(),
        "undone_at": row["undone_at"] and row["undone_at"].isoformat(),
        "reopened_by": row["reopened_by"],
    }


def forget_draft(connection: Connection, case_id: str, person_id: str) -> None:
    connection.execute(
        delete(review_drafts).where(review_drafts.c.case_id == case_id, review_drafts.c.person_id == person_id)
    )


def _differing(one: Any, other: Any) -> Any:
    def bits(column: Any) -> Any:
        return cast(literal("x").concat(column), BIT(256))

    return bits(one).op("#")(bits(other))


def _others(connection: Connection, case: RowMapping) -> list[dict[str, Any]]:
    """The product's other photos. This one's entry would tell a second reviewer what the first said."""
    query = (
        select(photos.c.image_id, photos.c.job_id, photos.c.entry["verdict"].label("verdict"))
        .where(
            photos.c.tenant == case["tenant"],
            photos.c.product_id == case["product_id"],
            photos.c.image_id != case["image_id"],
        )
        .order_by(photos.c.image_id)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def _history(connection: Connection, case: RowMapping) -> list[dict[str, Any]]:
    """What people said of the case; of an appeal and a lead's case also what was said before."""
    about = [case["id"]]
    if case["about"] and case["kind"] in (Kind.APPEAL.value, Kind.LEAD.value):
        about.append(case["about"])
    query = (
        select(review_resolutions)
        .where(review_resolutions.c.case_id.in_([uuid_of("review case", one) for one in about]))
        .order_by(review_resolutions.c.seq)
    )
    return [resolution_json(row) for row in connection.execute(query).mappings()]


def _draft(connection: Connection, case_id: str, person_id: str) -> dict[str, Any] | None:
    query = select(review_drafts.c.body).where(
        review_drafts.c.case_id == case_id, review_drafts.c.person_id == person_id
    )
    found: dict[str, Any] | None = connection.execute(query).scalar_one_or_none()
    return found
