"""Second opinions with the real stage, ledger and budget on PostgreSQL, and a small server in the model's place."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from domain.jobs import JobState
from domain.opinions import Spending
from tests.factories import a_job, a_stored_photo, an_observation, some_jpeg
from tests.integration.policy_site import Site, a_site
from tests.integration.storage import accepted
from tests.opinion_server import ChatServer, an_answer, refusing, serving
from tests.real import emptied
from tests.worker.policy.conftest import a_rule
from worker.net.client import GuardedHttp
from worker.opinion.asking import Bounds, Opinions, Prices
from worker.opinion.breaker import Breaker
from worker.opinion.endpoint import ChatEndpoint
from worker.opinion.prompt import Wording
from worker.pipeline import PublishTools
from worker.stages import Pace, run_publish
from worker.storage.database import Database
from worker.storage.opinions import SqlOpinions
from worker.storage.reads import Reads

pytestmark = pytest.mark.integration

ASKING = a_rule(action="review", second_opinion='{question: "Is the thing in it a real weapon?", approve_when: "no"}')
DAILY = Spending(100, 1_000_000, 1_000_000)
PACE = Pace(heartbeat_seconds=5, limit_seconds=100, batch_size=8)


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Iterator[Site]:
    with a_site(emptied(database), tmp_path) as made:
        made.publish_alone(ASKING)
        yield made


def observed(site: Site, **of_job: Any) -> str:
    copy = site.artifacts.put_blob("acme", some_jpeg(), "image/jpeg")
    job_id = accepted(site.ledger, a_job(**of_job))
    (row,) = site.ledger.lease(JobState.RECEIVED, 1)
    site.ledger.ready(row.lease, a_stored_photo(model_copy_key=copy))
    (row,) = site.ledger.lease(JobState.READY, 1)
    site.ledger.observed(row.lease, an_observation(objects=(("knife", 0.9),)), "plan")
    return job_id


def run(site: Site, chat: ChatServer, daily: Spending = DAILY, seconds: float = 20.0) -> int:
    endpoint = ChatEndpoint(GuardedHttp(allow_private=True), chat.url, Wording("vlm"), "key")
    bounds = Bounds(seconds, seconds * 2, daily)
    advice = Opinions(SqlOpinions(site.database), endpoint, bounds, Prices(1.0, 1.0), Breaker(2, 600.0))
    tools = PublishTools(site.ledger, site.artifacts, site.live, site.clock, advice)
    return run_publish(tools, PACE, lambda stage: None)


def told(site: Site, job_id: str) -> dict[str, Any]:
    (finding,) = site.decision(job_id)["findings"]
    evidence: dict[str, Any] = finding["evidence"][-1]
    assert evidence["kind"] == "second_opinion"
    return evidence


def test_an_opinion_spares_people_a_photo_and_its_receipt_holds(site: Site) -> None:
    job_id = observed(site)
    with serving(body=an_answer(reason="A toy knife made of felt.")) as chat:
        assert run(site, chat) == 1
    assert site.decision(job_id)["verdict"] == "approve"
    assert (told(site, job_id)["reason"], told(site, job_id)["cost_micros"]) == ("A toy knife made of felt.", 940)
    assert Reads(site.database).list_cases("acme")["items"] == []
    found = site.ask("Ada", "explain", job_id)
    assert found["rerun"] == {"same": True, "problem": None, "differences": []}


def test_the_same_photo_and_words_are_asked_about_once(site: Site) -> None:
    first = observed(site)
    with serving() as chat:
        run(site, chat)
        second = observed(site, product_id="sku-2")
        run(site, chat)
    assert len(chat.received) == 1
    assert (told(site, first)["cached"], told(site, second)["cached"]) == (False, True)
    assert site.decision(second)["verdict"] == "approve"


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        ({"hangs": True}, "timed_out"),
        ({"status": 429}, "busy"),
        ({"status": 502}, "server_error"),
        ({"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}}, "not_accepted"),
        ({"body": b"{"}, "unreadable"),
        ({"body": an_answer("reject", 1.0)}, "unreadable"),
        ({"body": b"x" * 100_000}, "too_long"),
        ({"body": refusing()}, "declined"),
    ],
)
def test_whatever_goes_wrong_people_look_and_the_job_ends(site: Site, behaviour: dict[str, Any], failure: str) -> None:
    job_id = observed(site)
    with serving(**behaviour) as chat:
        run(site, chat, seconds=1.0)
    view = Reads(site.database).job_view(None, job_id)
    assert (view["state"], view["decision"]["verdict"]) == ("DONE", "review")
    assert told(site, job_id)["failure"] == failure
    assert len(Reads(site.database).list_cases("acme")["items"]) == 1
    assert site.ask("Ada", "explain", job_id)["rerun"]["same"] is True


def test_a_tenants_day_is_exact_although_all_are_asked_about_at_once(site: Site) -> None:
    jobs = [observed(site, product_id=f"sku-{number}", title=f"Knife {number}") for number in range(6)]
    with serving(at_least=2) as chat:
        assert run(site, chat, Spending(2, 1_000_000, 1_000_000)) == 6
    assert len(chat.received) == 2
    verdicts = [site.decision(job_id)["verdict"] for job_id in jobs]
    assert (verdicts.count("approve"), verdicts.count("review")) == (2, 4)
    assert [told(site, job_id)["failure"] for job_id in jobs].count("budget_spent") == 4
    assert SqlOpinions(site.database).spent("acme", datetime.now(UTC).date()).micros == 2 * 940


def test_an_endpoint_that_is_down_delays_nobody_for_long(site: Site) -> None:
    jobs = [observed(site, product_id=f"sku-{number}", title=f"Knife {number}") for number in range(5)]
    chat = ChatServer(url="http://127.0.0.1:1/v1")
    run(site, chat)
    failures = {told(site, job_id)["failure"] for job_id in jobs}
    assert failures <= {"away", "paused"}
    assert {Reads(site.database).job_view(None, job_id)["state"] for job_id in jobs} == {"DONE"}


def judged_again(site: Site, *rules: str) -> dict[str, Any]:
    site.publish_alone(*rules, redecide="all")
    upkeep = site.upkeep()
    for _ in range(50):
        assert upkeep.tick()
        found: dict[str, Any] = site.ask("Ada", "policy", "redecide")["redecisions"][0]
        if found["finished_at"]:
            return found
    raise AssertionError(f"it does not end: {found}")


def test_judging_again_hears_the_stored_opinion_and_asks_nobody(site: Site) -> None:
    job_id = observed(site)
    with serving() as chat:
        run(site, chat)
        before = site.decision(job_id)["id"]
        in_shadow = judged_again(site, ASKING, a_rule("other.rule", action="review", mode="shadow"))
        assert (in_shadow["judged"], in_shadow["changed"], site.decision(job_id)["id"]) == (1, 0, before)
        anew = judged_again(site, ASKING, a_rule("other.rule", action="approve", severity="0"))
    assert (anew["judged"], anew["changed"], len(chat.received)) == (1, 1, 1)
    assert (site.decision(job_id)["id"] != before, site.decision(job_id)["verdict"]) == (True, "approve")
    assert site.ask("Ada", "explain", job_id)["rerun"]["same"] is True
