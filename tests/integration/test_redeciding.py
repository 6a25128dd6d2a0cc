"""Judging published photos again, on a real database: after a publication, on request, when a rule's date passes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from domain.errors import Unavailable
from domain.jobs import JobState
from domain.policies import Bundle, Draft, Person
from tests.factories import a_job
from tests.integration.policy_site import WHY, Site, a_policy, a_site
from tests.integration.storage import accepted
from tests.integration.whole import until
from tests.real import emptied
from tests.worker.policy.conftest import a_rule
from worker.storage.database import Database
from worker.storage.reads import Reads
from worker.storage.tables import decisions, outbox, record_revisions, review_cases

pytestmark = pytest.mark.integration

ONLY_SHOES = 'objects.filter(o, o.label != "sneaker")'


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Iterator[Site]:
    with a_site(emptied(database), tmp_path) as made:
        yield made


def count(site: Site, table: Any) -> int:
    with site.database.transaction() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def keep_up(site: Site, per_second: float = 1000.0) -> dict[str, Any]:
    """Let the background work until nothing is open; returns what the newest request came to."""
    upkeep = site.upkeep(per_second)
    for _ in range(200):
        assert upkeep.tick()
        found: dict[str, Any] = site.ask("Ada", "policy", "redecide")
        if all(one["finished_at"] for one in found["redecisions"]):
            return found["redecisions"][0] if found["redecisions"] else {}
    raise AssertionError(f"it does not end: {found}")


def test_after_a_publication_what_changed_is_written_as_a_publication(site: Site) -> None:
    shoe = site.judged(product_id="shoe")
    spoon = site.judged((("spoon", 0.9),), product_id="spoon")
    site.publish_alone(a_rule(causes=ONLY_SHOES, action="review"), redecide="all")
    done = keep_up(site)
    assert (done["cause"], done["judged"], done["changed"], done["failed"]) == ("publish", 2, 1, 0)
    assert (site.decision(shoe)["verdict"], site.record("shoe")["revision"]) == ("approve", 2)
    assert (site.decision(spoon)["verdict"], site.record("spoon")["revision"]) == ("review", 1)
    assert site.record("shoe")["photos"][0]["decision_id"] == site.decision(shoe)["id"]
    assert site.ask("Ada", "explain", site.decision(shoe)["id"])["rerun"]["same"] is True
    with site.database.transaction() as connection:
        told = connection.execute(select(outbox.c.data).order_by(outbox.c.seq.desc()).limit(1)).scalar_one()
    assert (told["job_id"], told["record"]["revision"], told["decision"]["verdict"]) == (shoe, 2, "approve")
    assert site.artifacts.objects["acme/records/shoe/2.json"]
    assert [case["product_id"] for case in Reads(site.database).list_cases("acme")["items"]] == ["spoon"]


def test_nothing_is_judged_again_unless_somebody_asks(site: Site) -> None:
    site.judged()
    site.publish_alone(a_rule(causes=ONLY_SHOES, action="review"))
    assert keep_up(site) == {}
    assert count(site, record_revisions) == 1


def test_a_case_comes_back_to_review_and_is_one_case(site: Site) -> None:
    job_id = site.judged()
    site.publish_alone(a_rule(causes=ONLY_SHOES, action="review"), redecide="all")
    keep_up(site)
    assert Reads(site.database).list_cases("acme")["items"] == []
    site.ask("Ada", "policy", "rollback", "--redecide", "all")
    assert keep_up(site)["cause"] == "rollback"
    (case,) = Reads(site.database).list_cases("acme")["items"]
    assert (case["decision_id"], case["verdict"]) == (site.decision(job_id)["id"], "review")
    assert count(site, review_cases) == 1


def test_asking_twice_changes_nothing_more(site: Site) -> None:
    for number in range(3):
        site.judged(product_id=f"p-{number}")
    site.publish_alone(a_rule(), redecide="all")
    keep_up(site)
    before = (count(site, decisions), count(site, outbox), count(site, record_revisions))
    site.ask("Ada", "policy", "redecide", "all")
    again = keep_up(site)
    assert (again["judged"], again["changed"]) == (3, 0)
    assert (count(site, decisions), count(site, outbox), count(site, record_revisions)) == before == (6, 6, 6)


def test_a_killed_process_is_taken_over_where_it_had_arrived_newest_first(site: Site) -> None:
    jobs = [site.judged(product_id=f"p-{number}") for number in range(5)]
    site.publish_alone(a_rule(), redecide="all")
    site.upkeep(per_second=2).tick()
    verdicts = [site.decision(job)["verdict"] for job in jobs]
    assert verdicts == ["review", "review", "review", "reject", "reject"]
    done = keep_up(site, per_second=2)
    assert {site.decision(job)["verdict"] for job in jobs} == {"reject"}
    assert (done["judged"], done["changed"]) == (5, 5)


def test_killed_in_the_middle_of_writing_again_and_again(site: Site) -> None:
    jobs = [site.judged(product_id=f"p-{number}") for number in range(8)]
    site.publish_alone(a_rule(), redecide="all")
    url = site.database.engine.url.render_as_string(hide_password=False)
    for lines in (1, 3, 2):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.upkeep_process", url], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(lines):
            assert process.stdout.readline().startswith("writing ")
        process.kill()
        process.communicate()
    until(site.upkeep().tick)  # the server ends a killed process's transaction, and with it the lock, by itself
    keep_up(site)
    assert {site.decision(job)["verdict"] for job in jobs} == {"reject"}
    assert {site.record(f"p-{number}")["revision"] for number in range(8)} == {2}, "each changed once"
    assert (count(site, decisions), count(site, outbox), count(site, record_revisions)) == (16, 16, 16)


def test_an_outage_midway_is_made_up_for(site: Site) -> None:
    jobs = [site.judged(product_id=f"p-{number}") for number in range(3)]
    site.publish_alone(a_rule(), redecide="all")
    site.artifacts.away = True
    with pytest.raises(Unavailable):
        site.upkeep().tick()
    assert count(site, record_revisions) == 3, "nothing half-written"
    site.artifacts.away = False
    keep_up(site)
    assert {site.decision(job)["verdict"] for job in jobs} == {"reject"}
    assert count(site, record_revisions) == 6


def test_a_tenants_policy_that_does_not_load_holds_up_nobody_else(site: Site) -> None:
    ours, theirs = site.judged(), site.judged(tenant="other")
    broken = Bundle("policy.yaml", {"policy.yaml": a_policy(a_rule(causes="no_such_signal"))})
    site.store.keep(broken, "test")
    site.store.publish_alone(Draft(broken.version, "other", Person("1", "Ada")), WHY)
    site.publish_alone(a_rule(), redecide="all")
    site.live = site.worker()  # a process that never had a policy of theirs that loads
    done = keep_up(site)
    assert (done["judged"], done["changed"], done["failed"]) == (2, 1, 1)
    assert (site.decision(ours)["verdict"], site.decision(theirs)["verdict"]) == ("reject", "review")
    assert site.ask("Ada", "policy", "alarms")["alarms"][0]["kind"] == "policy_not_loaded"


def test_what_was_asked_for_last_comes_first(site: Site) -> None:
    ours, theirs = site.judged(), site.judged(tenant="other")
    site.publish_alone(a_rule())
    site.ask("Ada", "policy", "redecide", "tenant=other")
    site.ask("Ada", "policy", "redecide", "tenant=acme")
    site.upkeep().tick()
    assert (site.decision(ours)["verdict"], site.decision(theirs)["verdict"]) == ("reject", "review")
    keep_up(site)
    assert site.decision(theirs)["verdict"] == "reject"


def test_one_process_at_a_time(site: Site) -> None:
    with site.redecisions.alone() as mine:
        assert mine
        assert site.upkeep().tick() is False


def test_a_tenant_or_a_rule_alone(site: Site) -> None:
    ours, theirs = site.judged(), site.judged(tenant="other", channels=("ebay",))
    site.publish_alone(a_rule(), redecide="tenant=other")
    assert keep_up(site)["judged"] == 1
    assert (site.decision(ours)["verdict"], site.decision(theirs)["verdict"]) == ("review", "reject")
    site.publish_alone(a_rule(scope="{channels: [ebay]}", action="review", severity="2"), redecide="rule=some.rule")
    done = keep_up(site)
    assert done["scope"] == {"tenants": None, "channels": ["ebay"], "rule": "some.rule"}
    assert (done["judged"], site.decision(ours)["verdict"], site.decision(theirs)["verdict"]) == (1, "review", "review")


@pytest.mark.parametrize("scope", ["everything", "tenant=", "rule=no.such.rule", "all=x", "tenant"])
def test_scopes_that_are_none_say_what_to_write(site: Site, scope: str) -> None:
    refused = site.run("Ada", "policy", "redecide", scope)
    assert refused.exit_code == 1
    assert "redecide: " in str(refused.exception)


def test_a_lead_judges_the_own_tenants_photos_again_only(site: Site) -> None:
    site.judged()
    site.judged(tenant="other")
    assert site.ask("Lea", "policy", "redecide", "all")["scope"]["tenants"] == ["acme"]
    assert site.run("Lea", "policy", "redecide", "tenant=other").exit_code == 1
    assert keep_up(site)["judged"] == 1


def test_a_person_is_never_reversed(site: Site) -> None:
    job_id = site.judged()
    with site.database.transaction() as connection:
        connection.execute(text("UPDATE review_cases SET state = 'upheld'"))
    site.publish_alone(a_rule(), redecide="all")
    done = keep_up(site)
    assert (done["changed"], done["kept_by_person"]) == (0, 1)
    assert (site.decision(job_id)["verdict"], site.record()["revision"]) == ("review", 1)


def test_a_photo_sent_anew_in_between_is_left_alone(site: Site) -> None:
    site.judged()
    site.publish_alone(a_rule(), redecide="all")
    (request,) = site.redecisions.list()
    (decided,) = site.redecisions.page(request, 10).photos
    site.judged((("spoon", 0.9),))
    with site.redecisions.open_decided(decided) as product:
        assert product.current() is None
    assert keep_up(site)["changed"] == 0


def test_a_submission_that_waits_is_published_after_a_redecision(site: Site) -> None:
    site.judged()
    waiting = accepted(site.ledger, a_job())
    site.publish_alone(a_rule(), redecide="all")
    keep_up(site)
    assert site.record()["revision"] == 2
    (row,) = site.ledger.lease(JobState.RECEIVED, 1)
    assert row.lease.job_id == waiting


class TestDates:
    def test_records_are_judged_again_once_a_rules_date_has_passed(self, site: Site) -> None:
        now = datetime.now(UTC)
        soon = now + timedelta(minutes=5)
        site.publish_alone(a_rule(effective_from=soon.isoformat()))
        site.clock.at = now + timedelta(minutes=1)
        job_id = site.judged()
        assert site.decision(job_id)["verdict"] == "approve"
        assert keep_up(site) == {}, "its date has not come"
        site.clock.at = now + timedelta(minutes=6)
        done = keep_up(site)
        assert (done["cause"], done["judged"], done["changed"]) == ("boundary", 1, 1)
        assert done["decided_before"] == soon.isoformat()
        assert site.decision(job_id)["verdict"] == "reject"
        assert len(site.ask("Ada", "policy", "redecide")["redecisions"]) == 1, "each date once"

    def test_the_end_of_a_rule_too_and_only_what_was_decided_before(self, site: Site) -> None:
        now = datetime.now(UTC)
        soon = now + timedelta(minutes=5)
        site.publish_alone(a_rule(effective_to=soon.isoformat(), scope="{channels: [ebay]}"))
        site.clock.at = now + timedelta(minutes=1)
        before, elsewhere = site.judged(channels=("ebay",), product_id="a"), site.judged(product_id="b")
        site.clock.at = now + timedelta(minutes=6)
        after = site.judged(channels=("ebay",), product_id="c")
        verdicts = [site.decision(job)["verdict"] for job in (before, elsewhere, after)]
        assert verdicts == ["reject", "approve", "approve"]
        done = keep_up(site)
        assert (done["judged"], done["changed"]) == (1, 1)
        assert site.decision(before)["verdict"] == "approve"

    def test_a_date_that_had_passed_before_the_policy_was_published_is_no_boundary(self, site: Site) -> None:
        site.judged()
        site.publish_alone(a_rule(effective_from="2020-01-01"))
        assert keep_up(site) == {}

    def test_a_shadow_rules_date_judges_nothing_again(self, site: Site) -> None:
        now = datetime.now(UTC)
        site.publish_alone(a_rule(mode="shadow", effective_from=(now + timedelta(minutes=5)).isoformat()))
        site.clock.at = now + timedelta(minutes=6)
        assert keep_up(site) == {}
