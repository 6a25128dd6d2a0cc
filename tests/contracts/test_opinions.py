"""What asking for second opinions relies on: any store, and any endpoint, the real ones against real servers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import delete, update

from domain.opinions import NOTHING_SPENT, Answer, Failure, Opinion, Spending
from domain.ports import AskedPhoto, OpinionKey, OpinionStore
from tests.factories import a_job, a_stored_photo, some_jpeg
from tests.fakes_opinions import FakeEndpoint, MemoryOpinions
from tests.opinion_server import serving
from worker.net.client import GuardedHttp
from worker.opinion.answer import OpinionFailed
from worker.opinion.endpoint import ChatEndpoint, Endpoint
from worker.opinion.prompt import Wording
from worker.storage.database import Database
from worker.storage.opinions import SqlOpinions
from worker.storage.tables import opinion_cache, opinion_spending

KEY = OpinionKey("acme", "a" * 64, "d" * 64)
OPINION = Opinion("Is it real?", "vlm", "1", Answer.NO, 0.75, "Ein Spielzeug é 🙂", cost_micros=12)
FAILED = Opinion("Is it real?", "vlm", "1", failure=Failure.TIMED_OUT)
DAY = date(2026, 11, 22)
LIMIT = Spending(10, 1_000, 60_000)
ONE = Spending(1, 10, 1_000)


@pytest.fixture(params=["memory", pytest.param("postgresql", marks=pytest.mark.integration)])
def store(request: pytest.FixtureRequest) -> Iterator[OpinionStore]:
    if request.param == "memory":
        yield MemoryOpinions()
        return
    database = Database(request.getfixturevalue("database_url"))
    with database.transaction() as connection:
        connection.execute(delete(opinion_cache))
        connection.execute(delete(opinion_spending))
    yield SqlOpinions(database)
    database.close()


def test_an_opinion_is_found_as_it_was_and_under_no_other_key(store: OpinionStore) -> None:
    assert store.find(KEY) is None
    for opinion in (FAILED, OPINION):
        store.keep(KEY, opinion)
        assert store.find(KEY) == opinion
    for other in (replace(KEY, tenant="other"), replace(KEY, sha256="b" * 64), replace(KEY, digest="e" * 64)):
        assert store.find(other) is None


def test_a_photo_is_forgotten_for_its_tenant_only(store: OpinionStore) -> None:
    others = [replace(KEY, tenant="other"), replace(KEY, sha256="b" * 64)]
    for key in (KEY, replace(KEY, digest="e" * 64), *others):
        store.keep(key, OPINION)
    assert store.forget("acme", KEY.sha256) == 2
    assert store.find(KEY) is None
    assert [store.find(key) for key in others] == [OPINION, OPINION]


@pytest.mark.parametrize("wanted", [Spending(11, 0, 0), Spending(0, 1_001, 0), Spending(0, 0, 60_001)])
def test_nothing_is_taken_where_any_limit_would_be_passed(store: OpinionStore, wanted: Spending) -> None:
    assert not store.reserve("acme", DAY, wanted, LIMIT)
    assert store.spent("acme", DAY) == NOTHING_SPENT
    assert store.reserve("acme", DAY, LIMIT, LIMIT)
    assert not store.reserve("acme", DAY, Spending(1, 0, 0), LIMIT)


def test_what_is_settled_takes_the_place_of_what_was_reserved(store: OpinionStore) -> None:
    assert store.reserve("acme", DAY, ONE, LIMIT)
    assert store.spent("acme", DAY) == ONE
    store.settle("acme", DAY, ONE, Spending(1, 4, 250))
    assert store.spent("acme", DAY) == Spending(1, 4, 250)


def test_tenants_and_days_have_limits_of_their_own(store: OpinionStore) -> None:
    assert store.reserve("acme", DAY, LIMIT, LIMIT)
    assert store.reserve("other", DAY, LIMIT, LIMIT)
    assert store.reserve("acme", date(2026, 11, 23), LIMIT, LIMIT)


def test_many_at_once_never_take_more_than_there_is(store: OpinionStore) -> None:
    with ThreadPoolExecutor(5) as pool:
        taken = list(pool.map(lambda _: store.reserve("acme", DAY, ONE, LIMIT), range(40)))
    assert taken.count(True) == 10
    assert store.spent("acme", DAY) == Spending(10, 100, 10_000)


@pytest.mark.integration
def test_a_form_of_another_time_is_missing_until_it_is_replaced(database_url: str) -> None:
    database = Database(database_url)
    store = SqlOpinions(database)
    store.keep(KEY, OPINION)
    for data in ({}, [], {"answer": "perhaps", "failure": None}, OPINION.as_json() | {"mood": "good"}):
        with database.transaction() as connection:
            connection.execute(update(opinion_cache).values(data=data))
        assert store.find(KEY) is None
    store.keep(KEY, OPINION)
    assert store.find(KEY) == OPINION
    database.close()


ASKED = AskedPhoto(a_job(), a_stored_photo(), "SALE")


@pytest.fixture(params=["fake", "served"])
def endpoint(request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    if request.param == "fake":
        yield FakeEndpoint()
        return
    with serving() as chat:
        yield ChatEndpoint(GuardedHttp(allow_private=True), chat.url, Wording("fake-vlm"))


def test_an_endpoint_answers_a_question_and_says_what_it_took(endpoint: Endpoint) -> None:
    said, usage = endpoint.ask(ASKED, "Is it real?", some_jpeg(), 10.0)
    assert (said.verdict(), said.confidence, said.words()) == (Answer.NO, 0.9, "A toy.")
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (900, 40)
    assert endpoint.wording == Wording("fake-vlm")


@pytest.fixture(params=["fake", "served"])
def broken_endpoint(request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    if request.param == "fake":
        yield FakeEndpoint(failure=OpinionFailed(Failure.BUSY, "HTTP 429"))
        return
    with serving(status=429, body=b"slow down") as chat:
        yield ChatEndpoint(GuardedHttp(allow_private=True), chat.url, Wording("fake-vlm"))


def test_an_endpoint_that_cannot_answer_says_why(broken_endpoint: Endpoint) -> None:
    with pytest.raises(OpinionFailed) as caught:
        broken_endpoint.ask(ASKED, "Is it real?", some_jpeg(), 10.0)
    assert (caught.value.failure, caught.value.billed) == (Failure.BUSY, False)
