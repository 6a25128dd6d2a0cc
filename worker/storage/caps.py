"""domain.ports.DailyCaps on PostgreSQL: one row for each photo that took a place."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from sqlalchemy import Connection, func, insert, select

from domain.policies import CapState
from worker.storage.database import Database
from worker.storage.tables import rule_rejections


class SqlDailyCaps:
    def __init__(self, database: Database) -> None:
        self.database = database

    def take(self, tenant: str, day: date, subject: str, limits: Mapping[str, int]) -> Mapping[str, CapState]:
        with self.database.transaction() as connection:
            # In one order everywhere, so that two photos under two rules cannot wait for each other.
            return {rule: _take(connection, tenant, day, subject, rule, limits[rule]) for rule in sorted(limits)}


def _take(connection: Connection, tenant: str, day: date, subject: str, rule: str, limit: int) -> CapState:
    # Counting and taking is one step for all workers, or several would take the last place.
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{tenant}/{rule}/{day}", 0))))
    columns = rule_rejections.c
    same_day = (columns.tenant == tenant) & (columns.rule == rule) & (columns.day == day)
    others = select(func.count()).where(same_day, columns.subject != subject)
    used: int = connection.execute(others).scalar_one()
    if connection.execute(select(columns.subject).where(same_day, columns.subject == subject)).first():
        return CapState(limit, used, spent=False)
    if used >= limit:
        return CapState(limit, used, spent=True)
    connection.execute(insert(rule_rejections).values(tenant=tenant, rule=rule, day=day, subject=subject))
    return CapState(limit, used, spent=False)
