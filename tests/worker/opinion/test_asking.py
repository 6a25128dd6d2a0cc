"""Asking within limits, on fakes: cache, breaker, budget, and no failure that escapes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pytest

from domain.errors import Unavailable
from domain.opinions import NOTHING_SPENT, Answer, Failure, Opinion, Spending
from domain.ports import AskedPhoto
from tests.factories import a_job, a_stored_photo
from tests.fakes import FixedClock
from tests.fakes_opinions import FakeEndpoint, MemoryOpinions
from worker.opinion.answer import OpinionFailed, Usage
from worker.opinion.asking import Bounds, Opinions, Prices
from worker.opinion.breaker import Breaker
from worker.opinion.prompt import Wording

ASKED = AskedPhoto(a_job(), a_stored_photo(), "SALE")
QUESTION = "Is it a real weapon?"
DAY = date(2026, 11, 22)
PLENTY = Spending(100, 1_000_000, 1_000_000)


@dataclass
class Desk:
    """Everything an adviser needs; time stands still unless it is moved."""

    endpoint: FakeEndpoint = field(default_factory=FakeEndpoint)
    store: MemoryOpinions = field(default_factory=MemoryOpinions)
    daily: Spending = PLENTY
    prices: Prices = field(default_factory=lambda: Prices(2.0, 10.0, 4_000))
    at: float = 0.0
    fetched: int = 0

    def __post_init__(self) -> None:
        self.opinions = Opinions(
            self.store,
            self.endpoint,
            Bounds(20.0, 40.0, self.daily),
            self.prices,
            Breaker(3, 30.0, lambda: self.at),
            FixedClock().now,
            lambda: self.at,
        )

    def ask(self, asked: AskedPhoto = ASKED, *questions: str) -> Opinion:
        wanted = questions or (QUESTION,)
        return self.opinions.ask(asked, wanted, self.picture)[wanted[-1]]

    def picture(self) -> bytes:
        self.fetched += 1
        return b"jpeg"


def test_an_answer_comes_back_with_what_it_cost() -> None:
    desk = Desk()
    assert desk.ask() == Opinion(QUESTION, "fake-vlm", "1", Answer.NO, 0.9, "A toy.", cost_micros=900 * 2 + 40 * 10)
    assert desk.store.spent("acme", DAY) == Spending(1, 2_200, 0)


def test_what_was_answered_before_is_not_asked_again() -> None:
    desk = Desk()
    first = desk.ask()
    assert desk.ask(replace(ASKED, job=a_job(product_id="another"))) == replace(first, cached=True, cost_micros=0)
    assert (len(desk.endpoint.asked), desk.fetched, desk.store.spent("acme", DAY).calls) == (1, 1, 1)


@pytest.mark.parametrize(
    "other",
    [
        replace(ASKED, job=a_job(tenant="other")),
        replace(ASKED, job=a_job(title="Something else")),
        replace(ASKED, text="other text"),
        replace(ASKED, photo=a_stored_photo(sha256="b" * 64)),
        replace(ASKED, photo=a_stored_photo(model_copy_key="acme/blobs/another")),
    ],
    ids=["tenant", "seller's words", "text in the picture", "photo", "the model's copy"],
)
def test_what_an_answer_depends_on_is_asked_anew(other: AskedPhoto) -> None:
    desk = Desk()
    desk.ask()
    assert desk.ask(other).cached is False
    desk.ask(other, "Is it blue and round?")
    assert len(desk.endpoint.asked) == 3


def test_another_model_is_asked_anew() -> None:
    desk = Desk()
    desk.ask()
    desk.endpoint.wording = Wording("larger-vlm")
    assert desk.ask().model == "larger-vlm"


@pytest.mark.parametrize("failure", [one for one in Failure if one not in (Failure.BUDGET_SPENT, Failure.PAUSED)])
def test_a_failure_is_an_opinion_without_an_answer_and_is_not_remembered(failure: Failure) -> None:
    desk = Desk(FakeEndpoint(failure=OpinionFailed(failure, "why")))
    assert (desk.ask().answer, desk.ask().failure) == (None, failure)
    assert (len(desk.endpoint.asked), desk.store.kept) == (2, {})


def test_an_error_of_our_own_is_a_failure_too() -> None:
    desk = Desk(FakeEndpoint(failure=ZeroDivisionError("boom")))
    assert desk.ask().failure is Failure.UNEXPECTED


@pytest.mark.parametrize(
    ("failure", "micros"),
    [
        (OpinionFailed(Failure.AWAY, "why"), 0),
        (OpinionFailed(Failure.TIMED_OUT, "why", billed=True), 4_000 * 2 + 300 * 10),
        (
            OpinionFailed(Failure.UNREADABLE, "why", billed=True, usage=Usage(prompt_tokens=10, completion_tokens=1)),
            30,
        ),
    ],
)
def test_a_failed_call_costs_what_may_be_charged_for_it(failure: OpinionFailed, micros: int) -> None:
    desk = Desk(FakeEndpoint(failure=failure))
    assert desk.ask().cost_micros == micros
    assert desk.store.spent("acme", DAY) == Spending(1, micros, 0)


@pytest.mark.parametrize(
    "daily", [replace(PLENTY, calls=1), replace(PLENTY, micros=13_000), replace(PLENTY, milliseconds=20_000)]
)
def test_a_tenants_day_is_over_when_any_of_its_limits_is_reached(daily: Spending) -> None:
    desk = Desk(daily=daily)

    def slowly(*given: Any) -> Any:
        desk.at += 10.0
        return desk.endpoint.said, desk.endpoint.usage

    desk.endpoint.ask = slowly  # type: ignore[method-assign]
    assert desk.ask().failure is None
    assert desk.ask(ASKED, "Is it blue and round?").failure is Failure.BUDGET_SPENT
    assert desk.ask().cached, "what is known costs nothing"
    elsewhere = replace(ASKED, job=a_job(tenant="other"))
    assert desk.ask(elsewhere).failure is None, "tenants share nothing"


def test_an_endpoint_that_fails_again_and_again_is_left_alone_for_a_while() -> None:
    desk = Desk(FakeEndpoint(failure=OpinionFailed(Failure.SERVER_ERROR, "HTTP 500")))
    assert [desk.ask().failure for _ in range(4)] == [Failure.SERVER_ERROR] * 3 + [Failure.PAUSED]
    assert desk.store.spent("acme", DAY).calls == 3, "a pause costs nothing"
    desk.at = 31.0
    assert [desk.ask().failure for _ in range(2)] == [Failure.SERVER_ERROR, Failure.PAUSED]
    desk.at, desk.endpoint.failure = 62.0, None
    assert desk.ask().answer is Answer.NO
    assert desk.ask(ASKED, "Is it blue and round?").answer is Answer.NO


def test_a_model_that_answers_badly_is_not_an_endpoint_that_is_down() -> None:
    desk = Desk(FakeEndpoint(failure=OpinionFailed(Failure.UNREADABLE, "why")))
    assert {desk.ask().failure for _ in range(9)} == {Failure.UNREADABLE}


def test_the_questions_of_a_photo_share_its_time() -> None:
    desk = Desk()
    given: list[float] = []

    def slowly(asked: AskedPhoto, question: str, picture: bytes, timeout_s: float) -> Any:
        given.append(timeout_s)
        desk.at += timeout_s
        return desk.endpoint.said, desk.endpoint.usage

    desk.endpoint.ask = slowly  # type: ignore[method-assign]
    desk.opinions.bounds = Bounds(25.0, 40.0, PLENTY)
    opinions = desk.opinions.ask(ASKED, ["one", "two", "three"], desk.picture)
    assert given == [25.0, 15.0]
    assert [one.failure for one in opinions.values()] == [None, None, Failure.PHOTO_TIME_SPENT]


def test_our_own_store_being_away_puts_the_photo_off_before_anybody_is_asked() -> None:
    desk = Desk(store=MemoryOpinions(away=True))
    with pytest.raises(Unavailable):
        desk.ask()
    assert desk.endpoint.asked == []


def test_an_answer_counts_also_where_it_can_no_longer_be_kept() -> None:
    desk = Desk()

    def then_away(*given: Any) -> Any:
        desk.store.away = True
        return desk.endpoint.said, desk.endpoint.usage

    desk.endpoint.ask = then_away  # type: ignore[method-assign]
    assert desk.ask().answer is Answer.NO
    assert desk.store.spent("acme", DAY) != NOTHING_SPENT, "what was reserved stays counted"
