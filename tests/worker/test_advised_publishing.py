"""Publishing with second opinions, on fakes: who waits for whom, and that no job is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import pytest

from domain.errors import Unavailable
from domain.jobs import ImageJob, JobState
from domain.moderation import Decision, Finding, Verdict
from domain.observations import Observation
from domain.opinions import Answer, Opinion, SecondOpinion
from domain.photos import StoredPhoto
from domain.ports import Advice, AskedPhoto
from tests.factories import a_decision, a_job, a_stored_photo, an_observation
from tests.fakes import FakeJudge, FixedClock, MemoryLedger
from tests.fakes_artifacts import MemoryArtifacts
from tests.fakes_opinions import FakeAdvice
from worker.pipeline import PublishTools
from worker.stages import Pace, run_publish

ASKS = SecondOpinion("Is it a real weapon?", Answer.NO, 0.8)
UNCERTAIN = a_decision(
    Verdict.REVIEW,
    findings=(Finding("r", 1, "CODE", 4, Verdict.REVIEW, "own_shop", "Look.", ({"kind": "object"},)),),
    asks={"r": ASKS},
)
PACE = Pace(heartbeat_seconds=5, limit_seconds=60, batch_size=4)


class Judge(FakeJudge):
    """Certain of photos called "plain", uncertain of all others."""

    def decide(
        self, job: ImageJob, photo: StoredPhoto, seen: Observation, at: datetime, plan: str | None = None
    ) -> Decision:
        return a_decision() if job.image_id.startswith("plain") else self.decision


class Shop:
    def __init__(self, advice: Advice | None) -> None:
        self.ledger = MemoryLedger()
        self.artifacts = MemoryArtifacts()
        self.tools = PublishTools(self.ledger, self.artifacts, Judge(UNCERTAIN), FixedClock(), advice)

    def add(self, image_id: str) -> str:
        job_id = self.ledger.accept(a_job(image_id=image_id, product_id=image_id), "digest").job_id
        row = next(row for row in self.ledger.lease(JobState.RECEIVED, 1))
        self.ledger.ready(row.lease, a_stored_photo())
        row = next(row for row in self.ledger.lease(JobState.READY, 1))
        self.ledger.observed(row.lease, an_observation(lines=("SALE",)), "plan")
        return job_id

    def run(self) -> int:
        return run_publish(self.tools, PACE, lambda stage: None)

    def verdict(self, image_id: str) -> Verdict:
        record = self.ledger.products["acme", image_id].record
        assert record is not None
        return record.verdict


@pytest.mark.parametrize(
    ("advice", "verdict"),
    [
        (None, Verdict.REVIEW),
        (FakeAdvice(Answer.NO), Verdict.APPROVE),
        (FakeAdvice(Answer.YES), Verdict.REVIEW),
        (FakeAdvice(Answer.UNSURE), Verdict.REVIEW),
    ],
)
def test_an_uncertain_photo_ends_as_its_opinion_says(advice: FakeAdvice | None, verdict: Verdict) -> None:
    shop = Shop(advice)
    job_id = shop.add("front")
    shop.run()
    assert (shop.ledger.rows[job_id].state, shop.verdict("front")) == (JobState.DONE, verdict)
    assert [asked.text for asked in advice.asked] == ["SALE"] if advice else True


class Waiting:
    """Answers only when so many ask at once, and when the photo `after` is done."""

    def __init__(self, together: int, after: Callable[[], bool]) -> None:
        self.all_here = threading.Barrier(together)
        self.after = after
        self.certain_were_done: list[bool] = []

    def ask(self, asked: AskedPhoto, questions: Sequence[str], picture: Callable[[], bytes]) -> Mapping[str, Opinion]:
        self.all_here.wait(timeout=20)
        self.certain_were_done.append(self.after())
        return FakeAdvice().ask(asked, questions, picture)


def test_photos_of_a_batch_are_asked_about_at_once_and_a_certain_one_waits_for_nobody() -> None:
    shop = Shop(None)
    uncertain = [shop.add(f"front-{number}") for number in range(3)]
    plain = shop.add("plain")
    waiting = Waiting(3, lambda: shop.ledger.rows[plain].state is JobState.DONE)
    shop.tools = replace(shop.tools, advice=waiting)
    assert shop.run() == 4
    assert waiting.certain_were_done == [True] * 3
    assert {shop.ledger.rows[job_id].state for job_id in uncertain} == {JobState.DONE}


def test_no_lock_is_held_while_somebody_is_asked() -> None:
    shop = Shop(None)
    shop.add("front")
    opened: list[str] = []
    open_product = shop.ledger.open_product

    class Looking(FakeAdvice):
        def ask(
            self, asked: AskedPhoto, questions: Sequence[str], picture: Callable[[], bytes]
        ) -> Mapping[str, Opinion]:
            assert opened == []
            return super().ask(asked, questions, picture)

    def opening(row):  # type: ignore[no-untyped-def]
        opened.append(row.lease.job_id)
        return open_product(row)

    shop.ledger.open_product = opening  # type: ignore[method-assign]
    shop.tools = replace(shop.tools, advice=Looking())
    shop.run()
    assert (len(opened), shop.verdict("front")) == (1, Verdict.APPROVE)


@pytest.mark.parametrize(
    ("error", "counted"), [(Unavailable("the database", "away"), (1, 0)), (ZeroDivisionError("boom"), (0, 0))]
)
def test_a_row_whose_asking_breaks_goes_back_and_its_neighbours_end(error: Exception, counted: tuple[int, int]) -> None:
    shop = Shop(FakeAdvice(error))
    front, plain = shop.add("front"), shop.add("plain")
    shop.run()
    row = shop.ledger.rows[front]
    assert (row.state, row.token, (row.deferrals, row.failures)) == (JobState.OBSERVED, None, counted)
    assert shop.ledger.rows[plain].state is JobState.DONE
