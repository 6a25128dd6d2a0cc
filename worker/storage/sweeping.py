"""What the sweeper does in SQL: take rows back from silent holders, count what waits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import case, func, select, text, update

from domain.jobs import JobState
from worker.storage.database import Database
from worker.storage.ledger import quarantine
from worker.storage.tables import deliveries, jobs

# Any constant will do; it only has to be the same in every worker ("shelf" on a telephone's keys).
_SWEEP_LOCK = 74353


@dataclass(frozen=True, slots=True)
class Reaped:
    """Rows taken back, and those of them that ended in quarantine."""

    released: int
    quarantined: int


class Sweeping:
    def __init__(self, database: Database, death_cap: int) -> None:
        self.database = database
        self.death_cap = death_cap

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether this process may sweep now: one at a time in the whole system."""
        with self.database.transaction() as connection:
            yield bool(connection.execute(select(func.pg_try_advisory_xact_lock(_SWEEP_LOCK))).scalar_one())

    def reap(self) -> Reaped:
        """Take back rows whose holder fell silent.

        A death inside a batch blames nobody: each of its rows runs alone next. Only a death while alone counts, and
        at the cap the row is quarantined.
        """
        with self.database.transaction() as connection:
            expired = (
                select(jobs.c.id)
                .where(jobs.c.lease_until < func.now())
                .order_by(jobs.c.id)
                .with_for_update(skip_locked=True)
            )
            rows = connection.execute(
                update(jobs)
                .where(jobs.c.id.in_(expired))
                .values(
                    deaths=jobs.c.deaths + case((jobs.c.lease_size == 1, 1), else_=0),
                    alone=True,
                    lease_token=None,
                    lease_until=None,
                    lease_size=None,
                    last_error="The worker that held this row fell silent.",
                )
                .returning(jobs.c.id, jobs.c.deaths)
            ).all()
            poison = [row.id for row in rows if row.deaths >= self.death_cap]
            if poison:
                quarantine(connection, poison)
        return Reaped(released=len(rows) - len(poison), quarantined=len(poison))

    def backlog(self) -> Mapping[str, int]:
        """Rows that could be leased now, by stage name."""
        stages = {JobState.RECEIVED: "intake", JobState.READY: "vision", JobState.OBSERVED: "publish"}
        with self.database.transaction() as connection:
            rows = connection.execute(
                select(jobs.c.state, func.count())
                .where(
                    jobs.c.state.in_([state.value for state in stages]),
                    jobs.c.lease_token.is_(None),
                    jobs.c.not_before <= func.now(),
                )
                .group_by(jobs.c.state)
            ).all()
            due = connection.execute(
                select(func.count()).where(
                    deliveries.c.state == "pending",
                    deliveries.c.next_at <= func.now(),
                    (deliveries.c.lease_until.is_(None)) | (deliveries.c.lease_until < text("now()")),
                )
            ).scalar_one()
        counts = {stages[JobState(state)]: count for state, count in rows}
        return {name: counts.get(name, 0) for name in stages.values()} | {"deliver": due}
