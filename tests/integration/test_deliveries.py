"""Webhooks from a real outbox to a real receiver on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select, text, update
from standardwebhooks import Webhook

from domain.events import Event, EventKind
from tests.integration.storage import a_ledger, published
from worker.delivery import DeliverTools, deliver_due
from worker.net import GuardedHttp
from worker.storage import outbox
from worker.storage.accounts import Accounts, NewWebhook
from worker.storage.database import Database
from worker.storage.deliveries import Deliveries
from worker.storage.tables import deliveries, metadata, webhook_endpoints
from worker.storage.tables import outbox as outbox_table

pytestmark = pytest.mark.integration


class Receiver:
    """A shop's endpoint: answers from a list, then 200; keeps what came."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.came: list[tuple[dict[str, str], bytes]] = []
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["content-length"]))
                with receiver._lock:
                    receiver.came.append(({k.lower(): v for k, v in self.headers.items()}, content))
                    status = receiver.answers.pop(0) if receiver.answers else 200
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.came]

    def bodies(self) -> list[Any]:
        return [json.loads(content) for _, content in self.came]


class Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class World:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.accounts = Accounts(database, Fernet.generate_key().decode(), allow_private=True)
        self.accounts.ensure_tenant("acme")
        self.queue = Deliveries(database)
        self.tools = DeliverTools(
            self.queue, GuardedHttp(allow_private=True, timeout_s=5).post, self.accounts.vault.open, Clock()
        )

    def endpoint(self, url: str) -> NewWebhook:
        return self.accounts.add_webhook("acme", url)

    def event(self, number: int, product: str = "sku-1", kind: EventKind = EventKind.RECORD_PUBLISHED) -> str:
        with self.database.transaction() as connection:
            return outbox.write(connection, Event(kind, "acme", product, {"number": number}))

    def deliver(self) -> int:
        """Deliver until nothing is due."""
        total = 0
        while handled := deliver_due(self.tools):
            total += handled
        return total

    def make_due(self) -> None:
        """As if the backoff were over."""
        with self.database.transaction() as connection:
            connection.execute(update(deliveries).values(next_at=text("now() - interval '1 second'")))

    def states(self) -> list[str]:
        """Of all deliveries, in the order of their events."""
        with self.database.transaction() as connection:
            return list(
                connection.execute(
                    select(deliveries.c.state)
                    .join(outbox_table, outbox_table.c.id == deliveries.c.event_id)
                    .order_by(outbox_table.c.seq)
                ).scalars()
            )


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    yield World(database)
    with database.transaction() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def test_a_published_record_arrives_signed(world: World, receiver: Receiver) -> None:
    secret = world.endpoint(receiver.url).secret
    job_id = published(a_ledger(world.database))
    assert world.deliver() == 1
    ((headers, content),) = receiver.came
    body = Webhook(secret).verify(content, headers)
    assert set(body) == {"type", "timestamp", "data"}
    assert (body["type"], body["data"]["job_id"]) == ("record.published", job_id)
    assert body["data"]["record"]["product_id"] == "sku-1"
    assert world.states() == ["delivered"]
    assert world.deliver() == 0


def test_a_second_try_is_the_same_event(world: World, receiver: Receiver) -> None:
    secret = world.endpoint(receiver.url).secret
    event_id = world.event(1)
    receiver.answers = [500]
    assert world.deliver() == 1
    assert world.deliver() == 0, "backoff"
    world.make_due()
    assert world.deliver() == 1
    assert receiver.ids() == [event_id, event_id]
    assert receiver.came[0][1] == receiver.came[1][1]
    for headers, content in receiver.came:
        Webhook(secret).verify(content, headers)
    assert world.states() == ["delivered"]


def test_gone_disables_the_endpoint_alone(world: World, receiver: Receiver) -> None:
    """Fault 32."""
    other = Receiver()
    try:
        gone, kept = world.endpoint(receiver.url), world.endpoint(other.url)
        receiver.answers = [410]
        for number, product in enumerate(("a", "b", "c", "d")):
            world.event(number, product)
        world.deliver()
        world.event(9, "e")
        world.deliver()
        with world.database.transaction() as connection:
            rows = connection.execute(select(webhook_endpoints.c.id, webhook_endpoints.c.disabled_reason)).all()
        assert {str(row.id): row.disabled_reason for row in rows} == {
            gone.webhook.id: "the receiver answered 410 Gone",
            kept.webhook.id: None,
        }
        told = len(receiver.came)
        assert told <= 2, "what was being sent at that moment, and nothing after"
        assert len(other.came) == 5
        states = world.states()
        assert 5 <= states.count("delivered") <= 4 + told
        assert states.count("delivered") + states.count("failed") == 9
    finally:
        other.close()


class TestOrder:
    def test_the_newest_record_replaces_those_not_told_yet(self, world: World, receiver: Receiver) -> None:
        world.endpoint(receiver.url)
        for number in range(3):
            world.event(number)
        world.event(0, "other product")
        world.deliver()
        told = [(body["data"]["number"]) for body in receiver.bodies()]
        assert sorted(told) == [0, 2]
        assert sorted(world.states()) == ["delivered", "delivered", "dropped", "dropped"]

    def test_a_record_in_backoff_is_replaced(self, world: World, receiver: Receiver) -> None:
        world.endpoint(receiver.url)
        receiver.answers = [503]
        world.event(1)
        world.deliver()
        world.event(2)
        world.deliver()
        world.make_due()
        world.deliver()
        assert [body["data"]["number"] for body in receiver.bodies()] == [1, 2]
        assert world.states() == ["dropped", "delivered"]

    def test_a_record_replaced_while_it_was_being_sent_is_not_tried_again(
        self, world: World, receiver: Receiver
    ) -> None:
        world.endpoint(receiver.url)
        world.event(1)
        (taken,) = world.queue.lease(5)
        world.event(2)
        assert world.queue.lease(5) == [], "the newer one waits for the one under way"
        assert world.queue.retry(taken, 500, "down", 0.0)
        assert world.deliver() == 1
        assert [body["data"]["number"] for body in receiver.bodies()] == [2]
        assert world.states() == ["dropped", "delivered"]

    def test_other_events_wait_their_turn_and_are_never_dropped(self, world: World, receiver: Receiver) -> None:
        world.endpoint(receiver.url)
        receiver.answers = [500]
        for number in range(4):
            world.event(number, kind=EventKind.JOB_REJECTED)
        world.deliver()
        assert [body["data"]["number"] for body in receiver.bodies()] == [0]
        world.make_due()
        world.deliver()
        assert [body["data"]["number"] for body in receiver.bodies()] == [0, 0, 1, 2, 3]
        assert set(world.states()) == {"delivered"}

    def test_one_silent_endpoint_does_not_hold_up_another(self, world: World, receiver: Receiver) -> None:
        world.endpoint("http://127.0.0.1:9/")
        for number in range(20):
            world.event(number, f"sku-{number}")
        world.endpoint(receiver.url)
        event_id = world.event(99, "sku-99")
        first = world.queue.lease(4)
        assert event_id in [taken.event_id for taken in first]


class TestLeases:
    def test_many_senders_send_each_event_once(self, world: World, receiver: Receiver) -> None:
        world.endpoint(receiver.url)
        for number in range(60):
            world.event(number, f"sku-{number % 20}", EventKind.JOB_REJECTED)
        with ThreadPoolExecutor(6) as pool:
            while any(list(pool.map(lambda _: deliver_due(world.tools), range(6)))):
                pass
        assert len(receiver.came) == len(set(receiver.ids())) == 60
        for product in range(20):
            numbers = [b["data"]["number"] for b in receiver.bodies() if b["data"]["number"] % 20 == product]
            assert numbers == sorted(numbers)

    def test_a_late_sender_changes_nothing(self, world: World, receiver: Receiver) -> None:
        world.endpoint(receiver.url)
        world.event(1)
        hasty = Deliveries(world.database, lease_seconds=0.0)
        (late,) = hasty.lease(1)
        (holder,) = world.queue.lease(1)
        assert (late.event_id, late.attempts, holder.attempts) == (holder.event_id, 1, 2)
        assert not world.queue.delivered(late, 200)
        assert not world.queue.gone(late, 410, "gone")
        assert world.states() == ["pending"]
        assert world.queue.delivered(holder, 200)
        assert world.states() == ["delivered"]

    def test_revoking_an_endpoint_fences_what_is_under_way(self, world: World, receiver: Receiver) -> None:
        hook = world.endpoint(receiver.url)
        world.event(1)
        (taken,) = world.queue.lease(1)
        world.accounts.revoke_webhook(hook.webhook.id)
        assert not world.queue.delivered(taken, 200)
        assert world.states() == ["failed"]

    def test_what_was_written_while_the_endpoint_went_away_is_not_left_waiting(
        self, world: World, receiver: Receiver
    ) -> None:
        hook = world.endpoint(receiver.url)
        world.event(1)
        with world.database.transaction() as connection:
            disabled = update(webhook_endpoints).where(webhook_endpoints.c.id == hook.webhook.id)
            connection.execute(disabled.values(disabled_at=text("now()")))
        assert world.deliver() == 0
        assert world.states() == ["failed"]
