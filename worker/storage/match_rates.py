"""How often each rule matches, hour by hour, and an alarm when a rule's last day is unlike its own history.

An hour is counted once, from the decisions made in it, after it has ended. What photos have in common is counted on one
channel of a rule, the one with the most photos, because the same photo on two channels is not two observations.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select, text

from domain.policies import Alarm, AlarmKind
from domain.surprise import surprise
from worker.storage.database import Database
from worker.storage.tables import match_hours

HISTORY = timedelta(days=28)
RECENT = timedelta(hours=24)
# Decisions carry the time their transaction began; after this the last of an hour has been committed.
SETTLED = timedelta(minutes=5)
# Of being a coincidence. 100 rules of 100 tenants tested every hour are 88 million tests a year.
THRESHOLD = 1e-9
_MOST_HOURS = 6  # counted at once, so that after an outage nothing waits for long

_PHOTOS = text("""
    INSERT INTO match_hours (hour, tenant, channel, rule, rule_version, photos)
    SELECT :hour, d.tenant, c.channel, '', 0, count(*)
    FROM decisions d, jsonb_object_keys(d.data -> 'channels') AS c (channel)
    WHERE d.created_at >= :hour AND d.created_at < :until
    GROUP BY d.tenant, c.channel
    ON CONFLICT DO NOTHING
""")
_MATCHES = text("""
    INSERT INTO match_hours (hour, tenant, channel, rule, rule_version, photos)
    SELECT :hour, d.tenant, f.one ->> 'channel', f.one ->> 'rule', (f.one ->> 'rule_version')::int, count(*)
    FROM decisions d, jsonb_array_elements(d.data -> 'findings') AS f (one)
    WHERE d.created_at >= :hour AND d.created_at < :until AND f.one ->> 'policy_code' <> 'RULE_ERROR'
    GROUP BY d.tenant, f.one ->> 'channel', f.one ->> 'rule', f.one ->> 'rule_version'
    ON CONFLICT DO NOTHING
""")
# Says that an hour has been counted, also where nothing happened in it.
_DONE = ""


@dataclass(frozen=True, slots=True)
class Watched:
    """A rule in force. tenant None = of everybody without a policy of their own; channels None = on all of them."""

    rule: str
    rule_version: int
    tenant: str | None
    channels: tuple[str, ...] | None
    without: Collection[str | None] = ()  # tenants with a policy of their own


class MatchRates:
    """Raises Unavailable when the database is away."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def count(self, now: datetime) -> datetime | None:
        """Count the hours that have ended and were not counted; the end of the last counted hour, if that is new."""
        with self.database.transaction() as connection:
            start = _next_hour(connection, now)
            ended = (now - SETTLED).replace(minute=0, second=0, microsecond=0)
            hours = [start + timedelta(hours=n) for n in range(_MOST_HOURS) if start + timedelta(hours=n) < ended]
            for hour in hours:
                _count(connection, hour)
            connection.execute(match_hours.delete().where(match_hours.c.hour < now - HISTORY - RECENT))
        return hours[-1] + timedelta(hours=1) if hours else None

    def unlike_themselves(self, watched: Iterable[Watched], until: datetime) -> list[Alarm]:
        """An alarm for each rule and tenant whose day before `until` its history makes all but impossible."""
        lately = self._photos(until - RECENT, until)
        before = self._photos(until - HISTORY - RECENT, until - RECENT)
        found = []
        for one in watched:
            everybody = {name for name, *_ in lately} - set(one.without)
            for tenant in sorted(everybody if one.tenant is None else {one.tenant}):
                if alarm := _compare(one, tenant, lately, before):
                    found.append(alarm)
        return found

    def _photos(self, start: datetime, end: datetime) -> dict[tuple[str, str, str, int], int]:
        columns = match_hours.c
        key = (columns.tenant, columns.channel, columns.rule, columns.rule_version)
        query = (
            select(*key, func.sum(columns.photos))
            .where(columns.hour >= start, columns.hour < end, columns.tenant != _DONE)
            .group_by(*key)
        )
        with self.database.transaction() as connection:
            rows = connection.execute(query).all()
        return {(tenant, channel, rule, version): int(photos) for tenant, channel, rule, version, photos in rows}


def _compare(one: Watched, tenant: str, lately: Mapping[Any, int], before: Mapping[Any, int]) -> Alarm | None:
    judged: dict[str, int] = defaultdict(int)
    for (name, channel, rule, _), photos in lately.items():
        if (name, rule) == (tenant, "") and (one.channels is None or channel in one.channels):
            judged[channel] += photos
    if not judged:
        return None
    channel = max(sorted(judged), key=judged.__getitem__)
    matches, all_photos = (tenant, channel, one.rule, one.rule_version), (tenant, channel, "", 0)
    counts = (lately.get(matches, 0), lately[all_photos], before.get(matches, 0), before.get(all_photos, 0))
    chance = surprise(*counts)
    return _alarm(one, tenant, channel, counts, chance) if chance < THRESHOLD else None


def _alarm(one: Watched, tenant: str, channel: str, counts: tuple[int, int, int, int], chance: float) -> Alarm:
    matched, judged, matched_before, judged_before = counts
    message = (
        f"Rule {one.rule} version {one.rule_version} matched {matched} of {judged} photos of {tenant} on {channel} in "
        f"the last day, and {matched_before} of {judged_before} in the weeks before; that is no chance. "
        f"Look at some of its photos, then at what changed: the rule's words, the model, the shop."
    )
    data = {
        "channel": channel,
        "matched": matched,
        "judged": judged,
        "matched_before": matched_before,
        "judged_before": judged_before,
        "chance": chance,
    }
    return Alarm(AlarmKind.MATCH_RATE, message, tenant, one.rule, data=data)


def _next_hour(connection: Connection, now: datetime) -> datetime:
    """The first hour that was not counted; at the very first, that of the oldest decision that matters."""
    last: datetime | None = connection.execute(select(func.max(match_hours.c.hour))).scalar_one_or_none()
    if last is not None:
        return max(last + timedelta(hours=1), _hour(now - HISTORY - RECENT))
    oldest: datetime | None = connection.execute(
        text("SELECT min(created_at) FROM decisions WHERE created_at > :start"), {"start": now - HISTORY - RECENT}
    ).scalar_one_or_none()
    return _hour(oldest or now)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _count(connection: Connection, hour: datetime) -> None:
    bounds = {"hour": hour, "until": hour + timedelta(hours=1)}
    connection.execute(_PHOTOS, bounds)
    connection.execute(_MATCHES, bounds)
    connection.execute(
        match_hours.insert().values(hour=hour, tenant=_DONE, channel="", rule="", rule_version=0, photos=0)
    )
