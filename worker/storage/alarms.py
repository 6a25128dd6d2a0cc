"""Alarms about policies, kept where every process and every person sees them: one row for each cause and day."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from domain.policies import Alarm
from worker.storage.database import Database
from worker.storage.tables import policy_alarms

_MOST_LISTED = 200


class Alarms:
    """Raises Unavailable when the database is away."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def sound(self, alarm: Alarm) -> None:
        """Keep an alarm; the same one on the same day is counted, not repeated."""
        values = {
            "kind": alarm.kind.value,
            "tenant": alarm.tenant,
            "rule": alarm.rule,
            "version": alarm.version,
            "message": alarm.message,
            "data": dict(alarm.data),
        }
        with self.database.transaction() as connection:
            day = connection.execute(select(func.current_date())).scalar_one()
            connection.execute(
                upsert(policy_alarms)
                .values(key=f"{alarm.key}:{day}", **values)
                .on_conflict_do_update(
                    index_elements=["key"],
                    set_={
                        "times": policy_alarms.c.times + 1,
                        "last_at": func.now(),
                        "message": alarm.message,
                        "data": dict(alarm.data),
                    },
                )
            )

    def list(self, tenant: str | None = None) -> list[dict[str, Any]]:
        """The last ones first; of one tenant and of nobody in particular, where one is given."""
        query = select(policy_alarms).order_by(policy_alarms.c.last_at.desc(), policy_alarms.c.key)
        if tenant is not None:
            query = query.where((policy_alarms.c.tenant == tenant) | policy_alarms.c.tenant.is_(None))
        with self.database.transaction() as connection:
            rows = connection.execute(query.limit(_MOST_LISTED)).mappings().all()
        return [
            {
                "kind": row["kind"],
                "tenant": row["tenant"],
                "rule": row["rule"],
                "version": row["version"],
                "message": row["message"],
                "data": row["data"],
                "times": row["times"],
                "first_at": row["created_at"].isoformat(),
                "last_at": row["last_at"].isoformat(),
            }
            for row in rows
        ]

    def recent(self) -> dict[str, int]:
        """How many of each kind were sounded within the last day."""
        query = (
            select(policy_alarms.c.kind, func.count())
            .where(policy_alarms.c.last_at > func.now() - timedelta(days=1))
            .group_by(policy_alarms.c.kind)
        )
        with self.database.transaction() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}
