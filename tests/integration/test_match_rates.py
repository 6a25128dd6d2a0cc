"""Counting matches by hour and the alarm for a rule unlike itself, on a real database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, text

from domain.moderation import Decision, Finding, Verdict
from tests.factories import a_job
from tests.integration.policy_site import SHIPPED, Site, a_site
from tests.integration.storage import accepted
from tests.real import emptied
from worker.storage.database import Database
from worker.storage.match_rates import MatchRates
from worker.storage.tables import decisions

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 24, 15, 20, tzinfo=UTC)
RULE = SHIPPED.policy.rules[0]


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Iterator[Site]:
    with a_site(emptied(database), tmp_path) as made:
        made.clock.at = NOW
        yield made


def decided(site: Site, at: datetime, photos: int, matched: int, tenant: str = "acme", version: int = 1) -> None:
    """So many decisions of that hour, on two channels each."""
    job_id = accepted(site.ledger, a_job(tenant=tenant))
    channels = {"ebay": Verdict.REVIEW, "own_shop": Verdict.REVIEW}
    findings = tuple(
        Finding(RULE.id, version, "CODE", 4, Verdict.REVIEW, channel, "Look.", ({"kind": "x"},)) for channel in channels
    )
    row = {"job_id": job_id, "tenant": tenant, "product_id": "p", "image_id": "i", "verdict": "review"}
    rows = [
        row
        | {
            "created_at": at + timedelta(seconds=number),
            "data": Decision(channels, findings if number < matched else ()).as_json(),
        }
        for number in range(photos)
    ]
    with site.database.transaction() as connection:
        connection.execute(insert(decisions), rows)


def keep_up(site: Site) -> None:
    """As many rounds as it takes to count four weeks, six hours at a time."""
    upkeep = site.upkeep()
    for _ in range(120):
        upkeep.tick()


def test_a_rule_that_matches_unlike_itself_sounds_one_alarm(site: Site) -> None:
    for days in (3, 5, 9):
        decided(site, NOW - timedelta(days=days), photos=200, matched=4)
        decided(site, NOW - timedelta(days=days), photos=200, matched=100, tenant="other")
    decided(site, NOW - timedelta(hours=6), photos=150, matched=90)
    decided(site, NOW - timedelta(hours=6), photos=150, matched=75, tenant="other")
    keep_up(site)
    (alarm,) = site.ask("Ada", "policy", "alarms")["alarms"]
    assert (alarm["kind"], alarm["rule"], alarm["tenant"], alarm["times"]) == ("match_rate", RULE.id, "acme", 1)
    counted = {name: alarm["data"][name] for name in ("matched", "judged", "matched_before", "judged_before")}
    assert counted == {"matched": 90, "judged": 150, "matched_before": 12, "judged_before": 600}
    assert "90 of 150 photos" in site.run("Lea", "policy", "alarms").stdout


def test_a_new_version_of_a_rule_starts_a_history_of_its_own(site: Site) -> None:
    decided(site, NOW - timedelta(days=3), photos=600, matched=10, version=RULE.version + 1)
    decided(site, NOW - timedelta(hours=6), photos=150, matched=150, version=RULE.version + 1)
    keep_up(site)
    assert site.ask("Ada", "policy", "alarms")["alarms"] == [], "the version in force never matched, before or after"


def test_an_hour_is_counted_once_after_it_has_ended(site: Site) -> None:
    decided(site, NOW - timedelta(hours=2), photos=3, matched=1)
    decided(site, NOW - timedelta(minutes=10), photos=5, matched=5)
    rates = MatchRates(site.database)
    assert rates.count(NOW) == datetime(2026, 11, 24, 15, tzinfo=UTC)
    assert rates.count(NOW) is None
    with site.database.transaction() as connection:
        rows = connection.execute(
            text("SELECT channel, rule, photos FROM match_hours WHERE tenant = 'acme' ORDER BY channel, rule")
        )
        assert [tuple(row) for row in rows] == [
            ("ebay", "", 3),
            ("ebay", RULE.id, 1),
            ("own_shop", "", 3),
            ("own_shop", RULE.id, 1),
        ]
