"""How good decisions are: second opinions, golden items, sampled audits, what is overturned of each rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, Text, and_, cast, func, insert, literal, select
from sqlalchemy.dialects.postgresql import JSONPATH

from domain.errors import InputRejected
from domain.moderation import Decision, Verdict
from domain.quality import Share, cohens_kappa
from domain.review import DECIDED, DECIDING, Kind, Reviewer, State
from worker.storage.database import Database
from worker.storage.ids import plain
from worker.storage.review_queue import queue_place, visible_case
from worker.storage.review_views import case_json
from worker.storage.tables import decisions, golden_items, photos, review_cases, review_resolutions

MOST_PER_STRATUM = 1_000
_DECIDING = [action.value for action in DECIDING]


class ReviewQuality:
    """A tenant of None means every tenant; `since`: only what was decided from then on."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def summary(self, tenant: str | None, since: datetime) -> dict[str, Any]:
        return {
            "since": since.isoformat(),
            "agreement": self.agreement(tenant, since),
            "golden": self.golden(tenant, since),
            "audits": self.audits(tenant, since),
            "overturned": self.overturned(tenant, since),
        }

    def agreement(self, tenant: str | None, since: datetime) -> dict[str, Any]:
        """Cohen's kappa of first and blind second opinions: of all, by policy, by person."""
        first, second, about = _standing("first"), _standing("second"), review_cases.alias()
        query = (
            select(
                about.c.policy_code,
                first.c.person_id.label("one"),
                second.c.person_id.label("other"),
                first.c.action.label("said"),
                second.c.action.label("answered"),
            )
            .select_from(review_cases)
            .join(second, second.c.case_id == review_cases.c.id)
            .join(about, about.c.id == review_cases.c.about)
            .join(first, first.c.case_id == about.c.id)
            .where(review_cases.c.kind == Kind.BLIND.value, second.c.created_at >= since)
        )
        rows = self._all(_of(query, review_cases.c.tenant, tenant))
        policies: dict[str, list[tuple[str, str]]] = defaultdict(list)
        people: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for row in rows:
            policies[row["policy_code"]].append((row["said"], row["answered"]))
            people[row["one"]].append((row["said"], row["answered"]))
            people[row["other"]].append((row["answered"], row["said"]))
        return _kappa([(row["said"], row["answered"]) for row in rows]) | {
            "policies": {name: _kappa(pairs) for name, pairs in sorted(policies.items())},
            "people": {name: _kappa(pairs) for name, pairs in sorted(people.items())},
        }

    def golden(self, tenant: str | None, since: datetime) -> list[dict[str, Any]]:
        """How many golden items each person got right."""
        said = _standing("said")
        query = (
            select(
                said.c.person_id,
                func.count().label("total"),
                func.count().filter(said.c.action == golden_items.c.answer).label("right"),
            )
            .select_from(review_cases)
            .join(said, said.c.case_id == review_cases.c.id)
            .join(golden_items, golden_items.c.id == review_cases.c.about)
            .where(review_cases.c.kind == Kind.GOLDEN.value, said.c.created_at >= since)
            .group_by(said.c.person_id)
            .order_by(said.c.person_id)
        )
        rows = self._all(_of(query, review_cases.c.tenant, tenant))
        return [{"person_id": row["person_id"], **Share(row["right"], row["total"]).as_json()} for row in rows]

    def audits(self, tenant: str | None, since: datetime) -> list[dict[str, Any]]:
        """What audits found, by stratum: how many of the decisions that were looked at a person calls wrong."""
        said = _standing("said")
        wrong = func.count().filter(said.c.action == "overturn")
        stratum = (review_cases.c.tenant, review_cases.c.verdict, review_cases.c.stratum)
        query = (
            select(*stratum, func.count().label("total"), wrong.label("wrong"))
            .join(said, said.c.case_id == review_cases.c.id)
            .where(review_cases.c.kind == Kind.AUDIT.value, said.c.created_at >= since)
            .group_by(*stratum)
            .order_by(*stratum[:2], cast(review_cases.c.stratum, Text))
        )
        rows = self._all(_of(query, review_cases.c.tenant, tenant))
        return [
            {
                "tenant": row["tenant"],
                "verdict": row["verdict"],
                **row["stratum"],
                **Share(row["wrong"], row["total"]).as_json(),
            }
            for row in rows
        ]

    def overturned(self, tenant: str | None, since: datetime) -> list[dict[str, Any]]:
        """By rule: of the decided cases with its findings, how many were overturned."""
        said = _standing("said")
        query = (
            select(said.c.action, decisions.c.data)
            .select_from(review_cases)
            .join(said, said.c.case_id == review_cases.c.id)
            .join(decisions, decisions.c.id == review_cases.c.decision_id)
            .where(
                review_cases.c.kind == Kind.FLAGGED.value,
                said.c.created_at >= since,
                review_cases.c.verdict != Verdict.APPROVE.value,
            )
        )
        counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for row in self._all(_of(query, review_cases.c.tenant, tenant)):
            for rule in _rules(row["data"]):
                counts[rule][0] += row["action"] == "overturn"
                counts[rule][1] += 1
        return [{"rule": rule, **Share(*found).as_json()} for rule, found in sorted(counts.items())]

    def draw_audit(self, tenant: str | None, since: datetime, per_stratum: int) -> dict[str, Any]:
        """Open audits of automatic approvals and rejections: so many of each tenant, verdict, rule and adapter.

        A photo of several rules counts for the first of them. No photo is drawn twice.
        """
        if not 1 <= per_stratum <= MOST_PER_STRATUM:
            raise InputRejected("bad_sample", f"per_stratum: send 1 to {MOST_PER_STRATUM}.")
        opened: dict[tuple[str, str, str, str], int] = defaultdict(int)
        with self.database.transaction() as connection:
            for row in connection.execute(_automatic(tenant, since, per_stratum)).mappings():
                decision = Decision.from_json(row["data"])
                stratum = {"rule": row["rule"], "adapter": row["adapter"]}
                values = {name: row[name] for name in ("tenant", "product_id", "image_id", "job_id")}
                connection.execute(
                    insert(review_cases).values(
                        **values,
                        **queue_place(decision),
                        decision_id=row["id"],
                        verdict=decision.verdict.value,
                        kind=Kind.AUDIT.value,
                        stratum=stratum,
                    )
                )
                opened[row["tenant"], decision.verdict.value, row["rule"], row["adapter"]] += 1
        names = ("tenant", "verdict", "rule", "adapter")
        strata = [dict(zip(names, key, strict=True)) | {"opened": n} for key, n in sorted(opened.items())]
        return {"opened": sum(opened.values()), "strata": strata}

    def add_golden(self, person: Reviewer, case_id: str, answer: str) -> dict[str, Any]:
        """Mix a decided case's photo into the queue, its answer known. Raises InputRejected, NotFound."""
        if answer not in _DECIDING:
            raise InputRejected("bad_answer", f"answer: send one of {', '.join(_DECIDING)}.")
        with self.database.transaction() as connection:
            case = visible_case(connection, person, case_id)
            if case["state"] not in [state.value for state in DECIDED] or case["kind"] != Kind.FLAGGED.value:
                raise InputRejected("not_decided", "Choose a flagged case that was upheld or overturned.")
            known = select(golden_items.c.id).where(golden_items.c.case_id == case["id"])
            if connection.execute(known).first() is not None:
                raise InputRejected("golden_before", "This case is a golden item already.")
            made = connection.execute(
                insert(golden_items)
                .values(tenant=case["tenant"], case_id=case["id"], answer=answer, added_by=person.id)
                .returning(golden_items.c.id)
            ).scalar_one()
        return {"id": made, "case_id": case["id"], "answer": answer}

    def appeal(self, tenant: str | None, person_id: str, case_id: str, reason: str) -> dict[str, Any]:
        """A seller disagrees with what a person decided: a second case, for somebody else.

        Raises NotFound, InputRejected while nobody has decided, where the photo was approved, or when it was appealed.
        """
        if not reason.strip() or len(reason) > 4_000:
            raise InputRejected("reason_required", "reason: say in 4000 characters at most why it should be sold.")
        plain("review case", reason)
        with self.database.transaction() as connection:
            case = visible_case(connection, Reviewer(person_id, "", tenant), case_id)
            photo = select(photos.c.entry).where(photos.c.tenant == case["tenant"], photos.c.job_id == case["job_id"])
            entry = connection.execute(photo.with_for_update()).scalar_one_or_none()
            if case["kind"] != Kind.FLAGGED.value or case["state"] not in [state.value for state in DECIDED]:
                raise InputRejected("not_decided", "No person has decided this case, so there is nothing to appeal.")
            if entry is None:
                raise InputRejected("superseded", "A newer photo took this one's place and is judged for itself.")
            if entry["verdict"] == Verdict.APPROVE.value:
                raise InputRejected("nothing_to_appeal", "The photo was approved.")
            earlier = select(review_cases.c.state).where(
                review_cases.c.about == case["id"], review_cases.c.kind == Kind.APPEAL.value
            )
            states = list(connection.execute(earlier).scalars())
            if any(state != State.SUPERSEDED.value for state in states):
                raise InputRejected("appealed_before", "This decision was appealed; that appeal is or was decided.")
            before = select(review_resolutions.c.person_id).where(review_resolutions.c.case_id == case["id"])
            deciders = sorted(set(connection.execute(before).scalars()))
            data = connection.execute(
                select(decisions.c.data).where(decisions.c.id == entry["decision_id"])
            ).scalar_one()
            made = (
                connection.execute(
                    insert(review_cases)
                    .values(
                        **{name: case[name] for name in ("tenant", "product_id", "image_id", "job_id")},
                        **queue_place(Decision.from_json(data)),
                        decision_id=entry["decision_id"],
                        verdict=entry["verdict"],
                        kind=Kind.APPEAL.value,
                        about=case["id"],
                        excluded=deciders,
                        reason=reason,
                    )
                    .returning(review_cases)
                )
                .mappings()
                .one()
            )
        return case_json(made)

    def _all(self, query: Select[Any]) -> list[RowMapping]:
        with self.database.transaction() as connection:
            return list(connection.execute(query).mappings())


def _standing(name: str) -> Any:
    """Decisions of people that were neither undone nor reopened."""
    said = review_resolutions.c
    return (
        select(said.case_id, said.person_id, said.action, said.created_at)
        .where(said.action.in_(_DECIDING), said.undone_at.is_(None), said.reopened_by.is_(None))
        .subquery(name)
    )


def _of(query: Select[Any], column: Any, tenant: str | None) -> Select[Any]:
    return query if tenant is None else query.where(column == plain("tenant", tenant))


def _kappa(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    agreed = Share(sum(one == other for one, other in pairs), len(pairs))
    return {"pairs": len(pairs), "kappa": cohens_kappa(pairs), "agreed": agreed.as_json()}


def _rules(decision: Any) -> Iterable[str]:
    return {finding["rule"] for finding in decision["findings"] if not finding["shadow"]}


def _automatic(tenant: str | None, since: datetime, per_stratum: int) -> Select[Any]:
    """Current decisions that no person has touched and no audit has drawn, a random few of each stratum."""
    live = func.jsonb_path_query_array(
        decisions.c.data, cast(literal("$.findings[*] ? (@.shadow == false).rule"), JSONPATH)
    )
    rule = func.coalesce(func.jsonb_array_element_text(live, 0), "").label("rule")
    adapter = func.coalesce(photos.c.entry["engine"]["adapter"].astext, "").label("adapter")
    drawn_before = select(review_cases.c.id).where(
        review_cases.c.job_id == decisions.c.job_id,
        (review_cases.c.kind == Kind.AUDIT.value)
        | review_cases.c.state.in_([state.value for state in (*DECIDED, State.HELD, State.ESCALATED)]),
    )
    found = (
        select(
            decisions.c.id,
            decisions.c.job_id,
            decisions.c.tenant,
            decisions.c.product_id,
            decisions.c.image_id,
            decisions.c.data,
            rule,
            adapter,
            func.row_number()
            .over(
                partition_by=(decisions.c.tenant, decisions.c.verdict, rule, adapter),
                order_by=func.md5(cast(decisions.c.id, Text)),
            )
            .label("place"),
        )
        .join(
            photos,
            and_(
                photos.c.tenant == decisions.c.tenant,
                photos.c.product_id == decisions.c.product_id,
                photos.c.image_id == decisions.c.image_id,
                photos.c.entry["decision_id"].astext == cast(decisions.c.id, Text),
            ),
        )
        .where(
            decisions.c.created_at >= since,
            decisions.c.verdict.in_([Verdict.APPROVE.value, Verdict.REJECT.value]),
            ~decisions.c.data["receipt"].has_key("person"),
            ~drawn_before.exists(),
        )
    )
    drawn = _of(found, decisions.c.tenant, tenant).subquery()
    return select(drawn).where(drawn.c.place <= per_stratum)
