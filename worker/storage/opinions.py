"""domain.ports.OpinionStore on PostgreSQL."""

from __future__ import annotations

from datetime import date

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from domain.opinions import NOTHING_SPENT, Opinion, Spending
from domain.ports import OpinionKey
from worker.storage.database import Database
from worker.storage.tables import opinion_cache, opinion_spending
from worker.telemetry import log


class SqlOpinions:
    def __init__(self, database: Database) -> None:
        self.database = database

    def find(self, key: OpinionKey) -> Opinion | None:
        columns = opinion_cache.c
        query = select(columns.data).where(
            columns.tenant == key.tenant, columns.sha256 == key.sha256, columns.digest == key.digest
        )
        with self.database.transaction() as connection:
            data = connection.execute(query).scalar_one_or_none()
        try:
            return None if data is None else Opinion.from_json(data)
        except (KeyError, TypeError, ValueError) as error:  # of another time: asked anew and replaced
            log.warning("cached_opinion_unreadable", sha256=key.sha256, error=f"{type(error).__name__}: {error}")
            return None

    def keep(self, key: OpinionKey, opinion: Opinion) -> None:
        data = {"data": opinion.as_json()}
        added = upsert(opinion_cache).values(tenant=key.tenant, sha256=key.sha256, digest=key.digest, **data)
        with self.database.transaction() as connection:
            connection.execute(added.on_conflict_do_update(index_elements=["tenant", "sha256", "digest"], set_=data))

    def forget(self, tenant: str, sha256: str) -> int:
        of_photo = (opinion_cache.c.tenant == tenant) & (opinion_cache.c.sha256 == sha256)
        with self.database.transaction() as connection:
            return connection.execute(delete(opinion_cache).where(of_photo)).rowcount

    def reserve(self, tenant: str, day: date, wanted: Spending, limit: Spending) -> bool:
        row = opinion_spending.c
        first = upsert(opinion_spending).values(tenant=tenant, day=day, calls=0, micros=0, milliseconds=0)
        # One statement looks and takes, under the row's lock, so that no two take the last place.
        taken = (
            update(opinion_spending)
            .where(
                *(row.tenant == tenant, row.day == day),
                row.calls + wanted.calls <= limit.calls,
                row.micros + wanted.micros <= limit.micros,
                row.milliseconds + wanted.milliseconds <= limit.milliseconds,
            )
            .values(
                calls=row.calls + wanted.calls,
                micros=row.micros + wanted.micros,
                milliseconds=row.milliseconds + wanted.milliseconds,
            )
            .returning(row.calls)
        )
        with self.database.transaction() as connection:
            connection.execute(first.on_conflict_do_nothing())
            return connection.execute(taken).first() is not None

    def settle(self, tenant: str, day: date, reserved: Spending, used: Spending) -> None:
        row = opinion_spending.c
        changed = (
            update(opinion_spending)
            .where(row.tenant == tenant, row.day == day)
            .values(
                calls=row.calls + used.calls - reserved.calls,
                micros=row.micros + used.micros - reserved.micros,
                milliseconds=row.milliseconds + used.milliseconds - reserved.milliseconds,
            )
        )
        with self.database.transaction() as connection:
            connection.execute(changed)

    def spent(self, tenant: str, day: date) -> Spending:
        row = opinion_spending.c
        query = select(row.calls, row.micros, row.milliseconds).where(row.tenant == tenant, row.day == day)
        with self.database.transaction() as connection:
            found = connection.execute(query).first()
        return NOTHING_SPENT if found is None else Spending(*found)
