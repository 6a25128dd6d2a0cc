"""Reviewing on a real database: claims and leases, what a decision writes, and what takes it back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from domain.corrections import Correction
from domain.errors import Conflict, Forbidden, InputRejected, NotFound, Unavailable
from domain.review import Action, CaseLost, Resolution, Reviewer
from tests.integration.policy_site import Site, a_site
from tests.integration.storage import a_review_desk
from tests.integration.test_redeciding import ONLY_SHOES, keep_up
from tests.real import emptied
from tests.worker.policy.conftest import a_rule
from worker.review_desk import ReviewDesk
from worker.storage.database import Database
from worker.storage.deliveries import Deliveries
from worker.storage.review_queue import Wanted
from worker.storage.tables import (
    deliveries,
    outbox,
    record_revisions,
    review_cases,
    review_resolutions,
    training_samples,
)

pytestmark = pytest.mark.integration

ROB, RAE = Reviewer("rob", "Rob", "acme"), Reviewer("rae", "Rae", "acme")
LEA = Reviewer("lea", "Lea", "acme", leads=True)
STRANGER = Reviewer("sam", "Sam", "other")
UPHOLD, OVERTURN = Resolution(Action.UPHOLD, "IMG-1", "As seen."), Resolution(Action.OVERTURN)


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Iterator[Site]:
    with a_site(emptied(database), tmp_path) as made:
        yield made


@pytest.fixture
def desk(site: Site) -> ReviewDesk:
    return a_review_desk(site.database, site.artifacts)


def take(desk: ReviewDesk, person: Reviewer = ROB, **wanted: Any) -> dict[str, Any]:
    found = desk.next(person, Wanted(**wanted))
    assert found is not None, "nothing waits"
    return found


def decide(desk: ReviewDesk, person: Reviewer, resolution: Resolution) -> dict[str, Any]:
    case = take(desk, person)
    return desk.resolve(person, case["id"], case["lease"]["token"], resolution)


def correct(field: str, value: Any, name: str = "") -> Resolution:
    return Resolution(Action.UPHOLD, corrections=(Correction.read({"field": field, "value": value, "name": name}),))


def events(site: Site) -> list[str]:
    with site.database.transaction() as connection:
        return list(connection.execute(select(outbox.c.kind).order_by(outbox.c.seq)).scalars())


def count(site: Site, table: Any) -> int:
    with site.database.transaction() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def run_out(site: Site) -> None:
    with site.database.transaction() as connection:
        connection.execute(update(review_cases).values(lease_until=text("now() - interval '1 second'")))


def too_late(site: Site) -> None:
    past = text("now() - interval '1 second'")
    with site.database.transaction() as connection:
        connection.execute(update(review_resolutions).values(undo_until=past))
        connection.execute(update(deliveries).values(next_at=past))


class TestClaims:
    def test_two_people_never_hold_one_case(self, site: Site, desk: ReviewDesk) -> None:
        site.judged()
        case = take(desk)
        assert case["seller"]["title"] == "Red sneaker"
        assert desk.next(RAE, Wanted()) is None
        with pytest.raises(InputRejected, match="Somebody else holds"):
            desk.claim(RAE, case["id"])
        assert desk.claim(ROB, case["id"])["id"] == case["id"], "a reloaded tab has it again"

    def test_a_lease_that_ran_out_cannot_decide(self, site: Site, desk: ReviewDesk) -> None:
        site.judged()
        late = take(desk)
        run_out(site)
        with pytest.raises(CaseLost):
            desk.resolve(ROB, late["id"], late["lease"]["token"], UPHOLD)
        mine = take(desk, RAE)
        for token in (late["lease"]["token"], mine["lease"]["token"], "x"):
            with pytest.raises(CaseLost):
                desk.resolve(ROB, late["id"], token, UPHOLD)
        assert desk.resolve(RAE, mine["id"], mine["lease"]["token"], UPHOLD)["action"] == "uphold"
        assert count(site, review_resolutions) == 1

    def test_a_lease_is_renewed_released_and_skipped(self, site: Site, desk: ReviewDesk) -> None:
        site.judged()
        case = take(desk)
        token = case["lease"]["token"]
        assert desk.queue.renew(ROB, case["id"], token).isoformat() > case["lease"]["until"]
        desk.queue.release(ROB, case["id"], token, skip=True)
        with pytest.raises(CaseLost):
            desk.queue.renew(ROB, case["id"], token)
        assert desk.next(ROB, Wanted()) is None, "not again to whoever skipped it"
        assert take(desk, RAE)["id"] == case["id"]

    def test_the_gravest_first_then_what_is_due_then_what_teaches_most(self, site: Site, desk: ReviewDesk) -> None:
        for name in ("late", "taught", "grave", "plain"):
            site.judged(product_id=name)
        later = {"grave": {"severity": 6}, "late": {"due_slot": 1}, "taught": {"label_value": 0.9}}
        with site.database.transaction() as connection:
            connection.execute(update(review_cases).values(severity=2, due_slot=5, label_value=0.1))
            for name, values in later.items():
                connection.execute(update(review_cases).where(review_cases.c.product_id == name).values(values))
        assert [take(desk)["product_id"] for _ in range(4)] == ["grave", "late", "taught", "plain"]

    def test_only_of_ones_own_tenant_and_as_wanted(self, site: Site, desk: ReviewDesk) -> None:
        site.judged()
        (code,) = {group["policy_code"] for group in desk.queue.counts(Wanted())["groups"]}
        assert desk.next(STRANGER, Wanted()) is None
        assert desk.next(ROB, Wanted(policy_code="ANOTHER")) is None
        assert desk.queue.counts(Wanted(tenant="other")) == {"waiting": 0, "groups": []}
        case = take(desk, policy_code=code)
        with pytest.raises(NotFound):
            desk.views.case(STRANGER, case["id"])

    def test_what_was_typed_is_kept_after_the_lease(self, site: Site, desk: ReviewDesk) -> None:
        site.judged()
        case = take(desk)
        run_out(site)
        desk.views.keep_draft(ROB, case["id"], {"note": "half a sent"})
        assert take(desk, RAE)["draft"] is None
        run_out(site)
        mine = take(desk, ROB)
        assert mine["draft"] == {"note": "half a sent"}
        desk.resolve(ROB, mine["id"], mine["lease"]["token"], UPHOLD)
        assert desk.views.draft(ROB, case["id"]) is None


class TestDeciding:
    @pytest.mark.parametrize(("resolution", "verdict"), [(UPHOLD, "reject"), (OVERTURN, "approve")])
    def test_a_decision_changes_record_verdict_and_teaches(
        self, site: Site, desk: ReviewDesk, resolution: Resolution, verdict: str
    ) -> None:
        job_id = site.judged()
        made = decide(desk, ROB, resolution)
        assert (site.record()["verdict"], site.record()["revision"]) == (verdict, 2)
        assert site.decision(job_id)["id"] == made["decision_after"]
        assert json.loads(site.artifacts.objects["acme/records/sku-1/2.json"])["verdict"] == verdict
        assert events(site) == ["record.published", "review.resolved"]
        (sample,) = desk.samples.list("acme")["items"]
        assert (sample["before"], sample["after"], sample["person_id"]) == ("review", verdict, "rob")
        assert (sample["sha256"], sample["job_id"], sample["engine"]["model"]) == ("a" * 64, job_id, "fake@0")
        assert desk.next(RAE, Wanted()) is None

    def test_all_or_nothing(self, site: Site, desk: ReviewDesk) -> None:
        site.judged()
        case = take(desk)
        site.artifacts.away = True
        with pytest.raises(Unavailable):
            desk.resolve(ROB, case["id"], case["lease"]["token"], UPHOLD)
        assert (count(site, review_resolutions), count(site, training_samples), count(site, outbox)) == (0, 0, 1)
        site.artifacts.away = False
        assert desk.resolve(ROB, case["id"], case["lease"]["token"], UPHOLD)["action"] == "uphold"

    def test_the_same_request_twice_is_one_decision(self, site: Site, desk: ReviewDesk) -> None:
        site.judged()
        case = take(desk)
        for _ in range(2):
            made = desk.resolve(ROB, case["id"], case["lease"]["token"], UPHOLD, "key")
        assert made["action"] == "uphold"
        assert (count(site, review_resolutions), len(events(site))) == (1, 2)
        with pytest.raises(Conflict):
            desk.resolve(ROB, case["id"], case["lease"]["token"], OVERTURN, "key")

    def test_escalated_cases_are_a_leads(self, site: Site, desk: ReviewDesk) -> None:
        site.judged()
        decide(desk, ROB, Resolution(Action.ESCALATE, note="Not sure."))
        assert desk.next(ROB, Wanted()) is None
        case = take(desk, LEA)
        assert (case["state"], case["history"][0]["note"]) == ("escalated", "Not sure.")
        desk.resolve(LEA, case["id"], case["lease"]["token"], UPHOLD)
        assert site.record()["verdict"] == "reject"

    def test_a_hold_needs_a_reason_and_ends(self, site: Site, desk: ReviewDesk) -> None:
        site.judged()
        case = take(desk)
        soon = datetime.now(UTC) + timedelta(hours=1)
        for wrong in (Resolution(Action.HOLD, until=soon), Resolution(Action.HOLD, note="Why.")):
            with pytest.raises(InputRejected):
                desk.resolve(ROB, case["id"], case["lease"]["token"], wrong)
        desk.resolve(ROB, case["id"], case["lease"]["token"], Resolution(Action.HOLD, note="Asked.", until=soon))
        assert desk.next(RAE, Wanted()) is None
        with site.database.transaction() as connection:
            connection.execute(update(review_cases).values(hold_until=text("now()")))
        assert take(desk, RAE)["reason"] == "Asked."

    def test_a_superseded_photo_teaches_and_changes_nothing(self, site: Site, desk: ReviewDesk) -> None:
        site.judged()
        case = take(desk)
        site.judged(objects=(("spoon", 0.9),))
        before = site.record()["revision"]
        made = desk.resolve(ROB, case["id"], case["lease"]["token"], UPHOLD)
        assert (made["decision_after"], site.record()["revision"]) == (None, before)
        assert count(site, training_samples) == 1

    def test_look_alikes_are_decided_each_for_itself(self, site: Site, desk: ReviewDesk) -> None:
        for number in range(4):
            site.judged(product_id=f"p-{number}")
        held = take(desk, RAE)
        case = take(desk, ROB)
        done = desk.resolve_cluster(ROB, case["id"], case["lease"]["token"], UPHOLD)
        assert [one["case_id"] for one in done["left"]] == [held["id"]]
        assert {one["bulk_id"] for one in done["resolutions"]} == {done["bulk_id"]}
        assert len({one["id"] for one in done["resolutions"]}) == 3
        assert count(site, review_resolutions) == 3


class TestTakingBack:
    def test_an_undo_within_ten_seconds_tells_nobody(self, site: Site, desk: ReviewDesk) -> None:
        site.accounts.allow_private = True
        site.accounts.add_webhook("acme", "http://127.0.0.1:9/")
        site.judged()
        (first,) = Deliveries(site.database).lease(9)
        Deliveries(site.database).delivered(first, 200)
        made = decide(desk, ROB, UPHOLD)
        assert Deliveries(site.database).lease(9) == [], "held back"
        desk.resolutions.undo(ROB, made["id"])
        too_late(site)
        assert Deliveries(site.database).lease(9) == [], "and never sent"
        assert (site.record()["verdict"], site.record()["revision"]) == ("review", 3)
        assert desk.samples.list("acme")["items"] == []
        assert take(desk, RAE)["product_id"] == "sku-1"

    def test_nobody_undoes_late_twice_or_for_another(self, site: Site, desk: ReviewDesk) -> None:
        site.judged()
        made = decide(desk, ROB, UPHOLD)
        with pytest.raises(Forbidden):
            desk.resolutions.undo(RAE, made["id"])
        too_late(site)
        with pytest.raises(InputRejected, match="reopen"):
            desk.resolutions.undo(ROB, made["id"])

    def test_reopening_tells_the_shop_what_holds_now(self, site: Site, desk: ReviewDesk) -> None:
        job_id = site.judged()
        made = decide(desk, ROB, UPHOLD)
        too_late(site)
        with pytest.raises(Forbidden):
            desk.resolutions.reopen(RAE, made["id"])
        desk.resolutions.reopen(LEA, made["id"])
        assert events(site)[-1] == "review.reopened"
        assert (site.record()["verdict"], site.decision(job_id)["verdict"]) == ("review", "review")
        with pytest.raises(InputRejected):
            desk.resolutions.reopen(LEA, made["id"])
        decide(desk, RAE, OVERTURN)
        assert site.record()["verdict"] == "approve"


class TestCorrections:
    def test_a_person_s_caption_stands_through_every_machine(self, site: Site, desk: ReviewDesk) -> None:
        site.judged()
        decide(desk, ROB, correct("caption", "a blue boot"))
        assert site.record()["fields"]["caption"]["value"] == "a blue boot"
        site.judged(product_id="twin")  # the same photo elsewhere
        assert site.record("twin")["fields"]["caption"]["value"] == "a blue boot"
        site.judged()  # the same photo again, looked at anew
        assert site.record()["fields"]["caption"]["value"] == "a blue boot"
        site.publish_alone(a_rule(), redecide="all")
        assert keep_up(site)["changed"] >= 1
        for product in ("sku-1", "twin"):
            assert site.record(product)["fields"]["caption"]["value"] == "a blue boot"

    @pytest.mark.parametrize(("field", "name"), [("category", ""), ("attribute", "colour")])
    def test_what_a_person_says_of_the_product_outlives_its_photos(
        self, site: Site, desk: ReviewDesk, field: str, name: str
    ) -> None:
        site.judged()
        decide(desk, ROB, correct(field, "Boots", name))
        site.judged(category="Hats", attributes={"colour": "red"})
        site.judged(image_id="back", category="Gloves")
        fields = site.record()["fields"]
        found = fields["attributes"]["colour"] if name else fields["category"]
        assert (found["value"], found["source"]) == ("Boots", "reviewer")

    def test_undone_corrections_give_the_machines_value_back(self, site: Site, desk: ReviewDesk) -> None:
        site.judged()
        was = site.record()["fields"]
        made = decide(desk, ROB, correct("caption", "a blue boot"))
        desk.resolutions.undo(ROB, made["id"])
        assert site.record()["fields"] == was

    def test_boxes_and_text_with_their_lineage(self, site: Site, desk: ReviewDesk) -> None:
        site.judged()
        boxes = Correction.read({"field": "box", "value": [{"label": "boot", "box": [1, 2, 30, 40]}]})
        words = Correction.read({"field": "text", "value": [{"text": "SALE", "quad": [0, 0, 9, 0, 9, 9, 0, 9]}]})
        decide(desk, ROB, Resolution(Action.UPHOLD, corrections=(boxes, words)))
        fields = site.record()["fields"]
        assert [tag["value"] for tag in fields["tags"]] == ["boot"]
        assert [line["value"] for line in fields["text"]] == ["SALE"]
        samples = {one["field"]: one for one in desk.samples.list("acme")["items"]}
        assert samples["box"]["after"] == [{"label": "boot", "box": [1, 2, 30, 40]}]
        assert samples["box"]["before"][0]["value"] == "sneaker"


class TestSecondLooks:
    def test_an_appeal_is_decided_by_somebody_else(self, site: Site, desk: ReviewDesk) -> None:
        site.judged()
        made = decide(desk, ROB, UPHOLD)
        opened = desk.quality.appeal("acme", "shop", made["case_id"], "It is a print.")
        with pytest.raises(InputRejected, match="appealed"):
            desk.quality.appeal("acme", "shop", made["case_id"], "Again.")
        assert desk.next(ROB, Wanted()) is None
        with pytest.raises(InputRejected):
            desk.claim(ROB, opened["id"])
        case = take(desk, RAE)
        assert (case["kind"], case["reason"]) == ("appeal", "It is a print.")
        desk.resolve(RAE, case["id"], case["lease"]["token"], OVERTURN)
        assert site.record()["verdict"] == "approve"

    def test_nothing_to_appeal(self, site: Site, desk: ReviewDesk) -> None:
        site.judged()
        case = take(desk)
        with pytest.raises(InputRejected, match="No person"):
            desk.quality.appeal("acme", "shop", case["id"], "Why?")
        desk.resolve(ROB, case["id"], case["lease"]["token"], OVERTURN)
        with pytest.raises(InputRejected, match="approved"):
            desk.quality.appeal("acme", "shop", case["id"], "Why?")
        with pytest.raises(NotFound):
            desk.quality.appeal("other", "shop", case["id"], "Why?")

    def test_two_blind_opinions_that_differ_go_to_a_lead(self, site: Site) -> None:
        desk = a_review_desk(site.database, site.artifacts, blind_share=1.0)
        site.judged()
        decide(desk, ROB, UPHOLD)
        assert desk.next(ROB, Wanted()) is None, "not the own second opinion"
        blind = take(desk, RAE)
        assert (blind["kind"], blind["history"], blind["state"]) == ("flagged", [], "open")
        desk.resolve(RAE, blind["id"], blind["lease"]["token"], OVERTURN)
        assert site.record()["verdict"] == "reject", "the first decides"
        assert desk.next(RAE, Wanted()) is None
        case = take(desk, LEA)
        desk.resolve(LEA, case["id"], case["lease"]["token"], OVERTURN)
        assert site.record()["verdict"] == "approve"
        found = desk.quality.agreement("acme", datetime.now(UTC) - timedelta(days=1))
        assert (found["pairs"], found["people"]["rob"]["kappa"]) == (1, 0.0)

    def test_golden_items_are_unseen_and_change_nothing(self, site: Site, desk: ReviewDesk) -> None:
        site.judged()
        made = decide(desk, LEA, UPHOLD)
        desk.quality.add_golden(LEA, made["case_id"], "uphold")
        golden = a_review_desk(site.database, site.artifacts, golden_share=1.0)
        case = take(golden, ROB)
        assert (case["kind"], case["history"]) == ("flagged", [])
        before = count(site, record_revisions), count(site, outbox), count(site, training_samples)
        golden.resolve(ROB, case["id"], case["lease"]["token"], OVERTURN)
        assert (count(site, record_revisions), count(site, outbox), count(site, training_samples)) == before
        assert golden.next(ROB, Wanted()) is None, "once for each person"
        assert golden.next(LEA, Wanted()) is None, "who decided it knows it"
        (share,) = desk.quality.golden("acme", datetime.now(UTC) - timedelta(days=1))
        assert (share["person_id"], share["count"], share["total"]) == ("rob", 0, 1)

    def test_audits_are_drawn_by_stratum_and_their_misses_change_the_record(self, site: Site, desk: ReviewDesk) -> None:
        site.publish_alone(a_rule(causes=ONLY_SHOES, action="review"))
        for number in range(3):
            site.judged(product_id=f"p-{number}")
        since = datetime.now(UTC) - timedelta(days=1)
        assert desk.quality.draw_audit("acme", since, 2)["opened"] == 2
        assert desk.quality.draw_audit("acme", since, 2)["opened"] == 1, "none twice"
        case = take(desk)
        desk.resolve(ROB, case["id"], case["lease"]["token"], OVERTURN)
        assert site.record(case["product_id"])["verdict"] == "reject"
        decide(desk, ROB, UPHOLD)
        (stratum,) = desk.quality.audits("acme", since)
        assert (stratum["verdict"], stratum["count"], stratum["total"]) == ("approve", 1, 2)

    def test_how_often_a_rule_is_overturned(self, site: Site, desk: ReviewDesk) -> None:
        for number in range(3):
            site.judged(product_id=f"p-{number}")
        for resolution in (UPHOLD, OVERTURN, UPHOLD):
            decide(desk, ROB, resolution)
        (rule,) = desk.quality.overturned("acme", datetime.now(UTC) - timedelta(days=1))
        assert (rule["count"], rule["total"]) == (1, 3)
