"""What was seen before, by tenant, photo, engine and plan. The same pair of eyes need not look at a photo twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert as upsert

from domain.observations import Engine, Observation
from domain.ports import ObservationKey
from worker.storage.database import Database
from worker.storage.tables import observation_cache
from worker.telemetry import log

_KEY = (
    observation_cache.c.tenant,
    observation_cache.c.sha256,
    observation_cache.c.engine_digest,
    observation_cache.c.plan_digest,
)


class SqlObservationCache:
    """domain.ports.ObservationCache on PostgreSQL.

    A table apart from `observations`, which holds one row for each job and lives as long as its job: here is one row
    for each key, found at the cost of one index look-up however often the photo was sent.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def find(self, keys: Sequence[ObservationKey]) -> Mapping[ObservationKey, Observation]:
        wanted = {_columns(key) for key in keys}
        if not wanted:
            return {}
        query = select(observation_cache).where(tuple_(*_KEY).in_(sorted(wanted)))
        with self.database.transaction() as connection:
            rows = connection.execute(query).mappings().all()
        kept = {tuple(row[column.name] for column in _KEY): row for row in rows}
        found: dict[ObservationKey, Observation] = {}
        for key in keys:
            row = kept.get(_columns(key))
            if row is None or row["model_copy_key"] != key.model_copy_key:
                continue
            if seen := readable(key, row["data"]):
                found[key] = seen
        return found

    def keep(self, key: ObservationKey, seen: Observation) -> None:
        tenant, sha256, engine_digest, plan_digest = _columns(key)
        values = {"model_copy_key": key.model_copy_key, "data": seen.as_json()}
        statement = upsert(observation_cache).values(
            tenant=tenant, sha256=sha256, engine_digest=engine_digest, plan_digest=plan_digest, **values
        )
        # Two that looked at once mostly saw the same: the second then writes nothing.
        changed = or_(*(observation_cache.c[name].is_distinct_from(statement.excluded[name]) for name in values))
        with self.database.transaction() as connection:
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=list(_KEY), set_=values | {"created_at": func.now()}, where=changed
                )
            )

    def forget(self, tenant: str, sha256: str) -> int:
        with self.database.transaction() as connection:
            gone = connection.execute(
                delete(observation_cache).where(
                    observation_cache.c.tenant == tenant, observation_cache.c.sha256 == sha256
                )
            )
            return gone.rowcount


class NoObservationCache:
    """domain.ports.ObservationCache switched off: every batch is looked at."""

    def find(self, keys: Sequence[ObservationKey]) -> Mapping[ObservationKey, Observation]:
        return {}

    def keep(self, key: ObservationKey, seen: Observation) -> None:
        """Nothing is kept."""

    def forget(self, tenant: str, sha256: str) -> int:
        return 0


def readable(key: ObservationKey, data: Any) -> Observation | None:
    """The stored form as an observation; None for a form of another time, which is looked at anew and replaced."""
    try:
        seen = Observation.from_json(data)
    except Exception as error:  # whatever a form that we do not know leads to
        log.warning("cached_observation_unreadable", sha256=key.sha256, error=f"{type(error).__name__}: {error}")
        return None
    return seen if key.fits(seen) else None


def engine_digest(engine: Engine) -> str:
    """SHA-256 of everything that says which eyes looked: a field more is another engine."""
    return hashlib.sha256(json.dumps(engine.as_json(), sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _columns(key: ObservationKey) -> tuple[str, str, str, str]:
    return key.tenant, key.sha256, engine_digest(key.engine), key.plan_digest
