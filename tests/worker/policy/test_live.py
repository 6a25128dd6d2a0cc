"""LivePolicies: what is published judges within seconds; what cannot be loaded never does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import pytest

from domain.errors import Unavailable
from domain.moderation import Verdict
from domain.policies import Alarm, AlarmKind, Bundle, CapState, Draft, Person
from tests.factories import a_job, a_stored_photo, an_observation
from tests.fakes import FixedClock
from tests.fakes_policies import MemoryPolicies
from tests.worker.policy.conftest import HEAD, a_rule
from worker.policy.engine import PolicyEngine
from worker.policy.live import LivePolicies

ADA = Person("1", "Ada")
WHY = "Nobody else is here."
NOON = FixedClock().now()


def a_bundle(*rules: str) -> Bundle:
    return Bundle("policy.yaml", {"policy.yaml": HEAD + "".join(rules)})


REJECTS = a_bundle(a_rule())
REVIEWS = a_bundle(a_rule(action="review"))
APPROVES = a_bundle(a_rule(action="approve", severity="0"))
BROKEN = Bundle("policy.yaml", {"policy.yaml": HEAD + a_rule(causes="no_such_signal")})


class MemoryCaps:
    """domain.ports.DailyCaps"""

    def __init__(self) -> None:
        self.taken: dict[tuple[str, str, date], list[str]] = {}

    def take(self, tenant: str, day: date, subject: str, limits: Mapping[str, int]) -> Mapping[str, CapState]:
        states = {}
        for rule, limit in limits.items():
            places = self.taken.setdefault((tenant, rule, day), [])
            used = len([place for place in places if place != subject])
            spent = subject not in places and used >= limit
            if not spent and subject not in places:
                places.append(subject)
            states[rule] = CapState(limit, used, spent)
        return states


class Site:
    def __init__(self, shipped: Bundle = REVIEWS) -> None:
        self.store = MemoryPolicies(tenants={"acme", "other"})
        self.alarms: list[Alarm] = []
        self.now = 0.0
        self.live = self.worker(shipped)

    def worker(self, shipped: Bundle = REVIEWS) -> LivePolicies:
        engine = PolicyEngine.of_bundle(shipped)
        return LivePolicies(self.store, engine, MemoryCaps(), self.alarms.append, monotonic=lambda: self.now)

    def publish(self, bundle: Bundle, tenant: str | None = None) -> None:
        self.store.keep(bundle, "test")
        self.store.publish_alone(Draft(bundle.version, tenant, ADA), WHY)

    def verdict(self, tenant: str = "acme", live: LivePolicies | None = None, photo: str = "a") -> Verdict:
        judge = live or self.live
        return judge.decide(a_job(tenant=tenant), a_stored_photo(sha256=photo * 64), an_observation(), NOON).verdict


def test_what_is_shipped_judges_where_nothing_is_published() -> None:
    site = Site()
    assert site.verdict() is Verdict.REVIEW
    assert site.store.bundle(REVIEWS.version) == REVIEWS, "its receipts can be run again"


def test_a_published_version_judges_after_the_next_question() -> None:
    site = Site()
    site.verdict()
    site.publish(REJECTS)
    assert site.verdict() is Verdict.REVIEW, "not asked again yet"
    site.now += 2.0
    assert site.verdict() is Verdict.REJECT
    site.store.roll_back(None, ADA, WHY, None)
    site.now += 2.0
    assert site.verdict() is Verdict.REVIEW


def test_a_tenants_own_policy_judges_nobody_else() -> None:
    site = Site()
    site.publish(REJECTS, "acme")
    assert (site.verdict("acme"), site.verdict("other")) == (Verdict.REJECT, Verdict.REVIEW)
    site.publish(APPROVES)
    site.now += 2.0
    assert (site.verdict("acme"), site.verdict("other")) == (Verdict.REJECT, Verdict.APPROVE)
    site.store.roll_back("acme", ADA, WHY, None)
    site.now += 2.0
    assert site.verdict("acme") is Verdict.APPROVE


def test_a_version_that_does_not_load_leaves_the_one_before_and_sounds_the_alarm() -> None:
    site = Site()
    site.publish(REJECTS)
    site.verdict()
    site.publish(BROKEN)
    site.now += 2.0
    assert site.verdict() is Verdict.REJECT
    (alarm,) = site.alarms
    assert (alarm.kind, alarm.version) == (AlarmKind.NOT_LOADED, BROKEN.version)
    assert "rollback" in alarm.message
    assert "no_such_signal" in alarm.message


def test_a_process_that_starts_with_a_version_that_does_not_load_waits() -> None:
    site = Site()
    site.publish(BROKEN)
    with pytest.raises(Unavailable, match="does not load"):
        site.verdict()
    site.publish(REJECTS)
    site.now += 2.0
    assert site.verdict() is Verdict.REJECT


def test_a_broken_policy_of_one_tenant_stops_nobody_else() -> None:
    site = Site()
    site.publish(BROKEN, "acme")
    with pytest.raises(Unavailable):
        site.verdict("acme")
    assert site.verdict("other") is Verdict.REVIEW


def test_a_first_policy_of_a_tenant_that_does_not_load_leaves_everybodys() -> None:
    site = Site()
    site.verdict("acme")
    site.publish(BROKEN, "acme")
    site.now += 2.0
    assert site.verdict("acme") is Verdict.REVIEW
    assert [alarm.kind for alarm in site.alarms] == [AlarmKind.NOT_LOADED]


def test_a_store_that_is_away_changes_nothing_for_what_is_loaded() -> None:
    site = Site()
    site.publish(REJECTS)
    site.verdict()
    site.store.away = True
    site.now += 60.0
    assert site.verdict() is Verdict.REJECT


def test_nothing_is_judged_before_anybody_knows_what_is_live() -> None:
    site = Site()
    site.store.away = True
    with pytest.raises(Unavailable):
        site.verdict()
    site.store.away = False
    assert site.verdict() is Verdict.REVIEW


def test_beyond_its_cap_a_rule_sends_photos_to_people_and_the_receipt_says_so() -> None:
    site = Site(a_bundle(a_rule(max_daily_rejections="2")))
    assert [site.verdict(photo=photo) for photo in "abc"] == [Verdict.REJECT, Verdict.REJECT, Verdict.REVIEW]
    assert site.verdict(photo="a") is Verdict.REJECT, "the same photo takes no second place"
    assert site.verdict("other", photo="c") is Verdict.REJECT, "each tenant has its own"
    assert [alarm.kind for alarm in site.alarms] == [AlarmKind.CAP_REACHED]
    engine = site.live.engine_for("acme")
    decision = site.live.decide(a_job(), a_stored_photo(sha256="d" * 64), an_observation(), NOON)
    assert decision.receipt["caps"] == {"some.rule": {"limit": 2, "used": 2, "spent": True}}
    assert engine.again(decision.receipt).as_json() == decision.as_json()


def test_what_is_in_force_is_known_with_its_scope() -> None:
    site = Site()
    site.publish(REJECTS, "acme")
    assert [(one.tenant, one.engine.policy.version, one.since is None) for one in site.live.in_force()] == [
        ("acme", REJECTS.version, False),
        (None, REVIEWS.version, True),
    ]
