"""Sending and settling, on a queue in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from standardwebhooks import Webhook

from domain.errors import InputRejected, Unavailable
from domain.events import LeasedDelivery
from worker.delivery import BACKOFF, DeliverTools, body_of, deliver_due

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TAKEN = LeasedDelivery(
    event_id="11111111-1111-1111-1111-111111111111",
    endpoint_id="e",
    token=UUID(int=1),
    attempts=1,
    url="https://hooks.example/",
    sealed_secret=b"sealed",
    kind="record.published",
    created_at=datetime(2026, 11, 22, 11, tzinfo=UTC),
    data={"product_id": "sku-1", "title": "Größe"},
)


class Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass
class FakeQueue:
    waiting: list[LeasedDelivery]
    settled: list[tuple[Any, ...]] = field(default_factory=list)
    settles: bool | Exception = True

    def lease(self, limit: int) -> list[LeasedDelivery]:
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return taken

    def _settle(self, *what: Any) -> bool:
        self.settled.append(what)
        if isinstance(self.settles, Exception):
            raise self.settles
        return self.settles

    def delivered(self, taken: LeasedDelivery, status: int) -> bool:
        return self._settle("delivered", status)

    def retry(self, taken: LeasedDelivery, status: int | None, why: str, delay_seconds: float) -> bool:
        return self._settle("retry", status, why, delay_seconds)

    def failed(self, taken: LeasedDelivery, status: int | None, why: str) -> bool:
        return self._settle("failed", status, why)

    def gone(self, taken: LeasedDelivery, status: int, why: str) -> bool:
        return self._settle("gone", status, why)


def run(
    answer: tuple[int, Mapping[str, str]] | Exception,
    taken: LeasedDelivery = TAKEN,
    jitter: float = 0.0,
    **of_queue: Any,
) -> tuple[FakeQueue, list[tuple[str, bytes, Mapping[str, str]]]]:
    queue, sent = FakeQueue([taken], **of_queue), []

    def post(url: str, content: bytes, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str]]:
        sent.append((url, content, headers))
        if isinstance(answer, Exception):
            raise answer
        return answer

    secrets = {b"sealed": SECRET}
    assert deliver_due(DeliverTools(queue, post, secrets.__getitem__, Clock(), jitter=lambda: jitter)) == 1
    return queue, sent


def test_what_is_sent_verifies_with_the_public_library() -> None:
    queue, ((url, content, headers),) = run((204, {}))
    assert url == TAKEN.url
    Webhook(SECRET).verify(content, dict(headers))
    assert headers["webhook-id"] == TAKEN.event_id
    assert json.loads(content) == {
        "type": "record.published",
        "timestamp": "2026-11-22T11:00:00+00:00",
        "data": {"product_id": "sku-1", "title": "Größe"},
    }
    assert queue.settled == [("delivered", 204)]


def test_every_transmission_has_the_same_bytes() -> None:
    assert body_of(TAKEN) == body_of(replace(TAKEN, attempts=5, data=dict(reversed(TAKEN.data.items()))))


@pytest.mark.parametrize("attempts", range(1, len(BACKOFF) + 1))
def test_backoff_grows_to_days(attempts: int) -> None:
    for jitter in (0.0, 1.0):
        queue, _ = run((500, {}), replace(TAKEN, attempts=attempts), jitter)
        ((what, status, why, delay),) = queue.settled
        assert (what, status, why) == ("retry", 500, "The receiver answered 500.")
        assert delay == pytest.approx(BACKOFF[attempts - 1] * (1 + 0.2 * jitter))


def test_gives_up_after_three_days() -> None:
    assert 72 * 3600 < sum(BACKOFF) < 80 * 3600
    queue, _ = run((500, {}), replace(TAKEN, attempts=len(BACKOFF) + 1))
    assert queue.settled == [("failed", 500, "The receiver answered 500.")]


@pytest.mark.parametrize("status", [301, 302, 400, 401, 404, 429, 503])
def test_everything_but_success_is_tried_again(status: int) -> None:
    queue, _ = run((status, {"location": "https://elsewhere.example/"}))
    assert queue.settled[0][:2] == ("retry", status)


def test_gone_means_gone() -> None:
    queue, _ = run((410, {}))
    assert queue.settled == [("gone", 410, "the receiver answered 410 Gone")]


@pytest.mark.parametrize(
    ("wish", "low", "high"),
    [
        ("120", 120, 120),
        ("1", 5, 5),  # never sooner than the schedule
        ("999999999999", 86_400, 86_400),
        ("Fri, 31 Dec 2100 23:59:59 GMT", 86_400, 86_400),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 5, 5),
        ("soon", 5, 5),
        ("-5", 5, 5),
        ("٣", 5, 5),
        ("", 5, 5),
    ],
)
def test_retry_after_is_honoured_within_reason(wish: str, low: float, high: float) -> None:
    queue, _ = run((503, {"retry-after": wish}))
    assert low <= queue.settled[0][3] <= high


@pytest.mark.parametrize("error", [Unavailable("hooks.example", "no answer"), InputRejected("url_blocked", "private")])
def test_no_answer_is_tried_again(error: Exception) -> None:
    queue, _ = run(error)
    assert queue.settled[0][:3] == ("retry", None, str(error))


def test_a_secret_that_cannot_be_opened_is_tried_again() -> None:
    queue, sent = run((200, {}), replace(TAKEN, sealed_secret=b"other"))
    assert queue.settled[0][:2] == ("retry", None)
    assert not sent


@pytest.mark.parametrize("settles", [False, Unavailable("the database", "away")])
def test_what_cannot_be_settled_stops_nobody(settles: bool | Exception) -> None:
    queue, sent = run((200, {}), settles=settles)
    assert len(sent) == 1
    assert queue.settled == [("delivered", 200)]


def test_a_set_is_sent_side_by_side() -> None:
    queue, sent = FakeQueue([replace(TAKEN, event_id=str(n)) for n in range(10)]), []

    def post(url: str, content: bytes, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str]]:
        sent.append(headers["webhook-id"])
        return 200, {}

    tools = DeliverTools(queue, post, lambda _: SECRET, Clock(), set_size=8)
    assert [deliver_due(tools), deliver_due(tools), deliver_due(tools)] == [8, 2, 0]
    assert sorted(sent, key=int) == [str(n) for n in range(10)]
