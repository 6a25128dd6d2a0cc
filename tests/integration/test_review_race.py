"""Twenty reviewers who close tabs and let leases run out; deliveries that die between decision and shop."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from domain.moderation import Verdict
from domain.review import Action, CaseLost, Resolution, Reviewer
from tests.factories import a_decision
from tests.fakes_artifacts import MemoryArtifacts
from tests.integration.storage import a_ledger, a_review_desk, published
from tests.integration.test_deliveries import Receiver, World
from tests.real import emptied
from worker.storage.database import Database
from worker.storage.review_queue import Wanted
from worker.storage.tables import deliveries, outbox, review_cases, review_resolutions

pytestmark = pytest.mark.integration

REVIEWERS = 20
LEASE_SECONDS = 0.5
FLAGGED = a_decision(Verdict.REVIEW)


@pytest.fixture
def clean(database: Database) -> Iterator[Database]:
    yield database
    emptied(database)


class Race:
    """Reviewers who work until no case is open."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.desk = a_review_desk(database, MemoryArtifacts(), lease_seconds=LEASE_SECONDS)
        self.failed: list[BaseException] = []
        self.late: list[str] = []

    def run(self) -> None:
        threads = [threading.Thread(target=self._work, args=(seed,)) for seed in range(REVIEWERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self, seed: int) -> None:
        dice, person = random.Random(seed), Reviewer(f"person-{seed}", f"Person {seed}", "acme")
        try:
            while self._left():
                if case := self.desk.next(person, Wanted()):
                    self._try(person, case, dice)
                else:
                    time.sleep(0.05)
        except BaseException as error:
            self.failed.append(error)

    def _try(self, person: Reviewer, case: dict[str, Any], dice: random.Random) -> None:
        fate = dice.random()
        if fate < 0.1:
            return  # the tab is closed
        if fate < 0.15:
            time.sleep(LEASE_SECONDS + 0.1)  # the lease runs out, somebody else may have it
        action = dice.choice((Action.UPHOLD, Action.OVERTURN))
        try:
            self.desk.resolve(person, case["id"], case["lease"]["token"], Resolution(action))
        except CaseLost:
            self.late.append(case["id"])

    def _left(self) -> int:
        query = select(func.count()).select_from(review_cases).where(review_cases.c.state == "open")
        with self.database.transaction() as connection:
            return int(connection.execute(query).scalar_one())


def race(database: Database, cases: int) -> None:
    ledger = a_ledger(database)
    for number in range(cases):
        published(ledger, FLAGGED, product_id=f"p-{number}")
    made = Race(database)
    made.run()
    assert made.failed == []
    with database.transaction() as connection:
        decided = connection.execute(select(review_resolutions.c.case_id)).scalars().all()
        states = set(connection.execute(select(review_cases.c.state)).scalars())
        told = connection.execute(select(outbox.c.product_id).where(outbox.c.kind == "review.resolved")).scalars().all()
    assert len(decided) == len(set(decided)) == cases, "each once, none lost"
    assert len(told) == len(set(told)) == cases
    assert states == {"upheld", "overturned"}
    assert made.late, "some leases ran out"


def test_each_case_is_decided_once_and_none_is_lost(clean: Database) -> None:
    race(clean, 300)


@pytest.mark.soak
def test_the_same_over_two_thousand(clean: Database) -> None:
    race(clean, 2_000)


def test_a_sender_killed_after_the_decision_leaves_one_effect_with_one_id(clean: Database) -> None:
    """It died with the delivery leased, sent or not: what is sent again carries the same webhook-id and body."""
    receiver, world = Receiver(), World(clean)
    try:
        world.endpoint(receiver.url)
        published(a_ledger(clean), FLAGGED)
        world.deliver()
        desk = a_review_desk(clean, MemoryArtifacts())
        person = Reviewer("rob", "Rob", "acme")
        case = desk.next(person, Wanted())
        assert case is not None
        made = desk.resolve(person, case["id"], case["lease"]["token"], Resolution(Action.UPHOLD))
        assert world.deliver() == 0, "held back while it can be undone"
        world.make_due()
        (taken,) = world.queue.lease(8)
        world.tools.post(taken.url, b"{}", {"webhook-id": taken.event_id, "content-length": "2"})
        with clean.transaction() as connection:  # killed before it could say so: the lease runs out
            connection.execute(update(deliveries).values(lease_until=text("now() - interval '1 second'")))
        world.deliver()
        assert receiver.ids()[1:] == [made["event_id"], made["event_id"]]
        told = receiver.bodies()[-1]
        assert (told["type"], told["data"]["resolution_id"]) == ("review.resolved", made["id"])
        assert (told["data"]["decision"]["verdict"], told["data"]["record"]["verdict"]) == ("reject", "reject")
        assert world.deliver() == 0
    finally:
        receiver.close()
