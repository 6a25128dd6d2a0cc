"""Waking stages over the broker. A lost wake-up costs seconds, a doubled one nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from domain.errors import Unavailable
from worker.app import WAKE_QUEUES

_BROKER_ERRORS = (KombuError, RedisError, OSError)


class Wakeups:
    def __init__(self, app: Celery) -> None:
        self.app = app

    def wake(self, stage: str) -> None:
        """Say to a stage that there is something to lease. Raises Unavailable when the broker is away."""
        try:
            self.app.send_task(f"shelfguard.{stage}", queue=WAKE_QUEUES[stage], ignore_result=True)
        except _BROKER_ERRORS as error:
            raise Unavailable("the broker", str(error)) from error

    def lengths(self, queues: Sequence[str]) -> dict[str, int]:
        """Messages waiting in each queue. Raises Unavailable when the broker is away."""
        try:
            with self.app.connection_for_write() as connection:
                client = connection.default_channel.client
                return {queue: int(client.llen(queue)) for queue in queues}
        except _BROKER_ERRORS as error:
            raise Unavailable("the broker", str(error)) from error

    def top_up(self, backlog: Mapping[str, int], batch: Mapping[str, int], workers: int) -> dict[str, int]:
        """Send wake-ups so that min(backlog / batch, 2 x workers) are under way for each stage; returns those sent."""
        under_way = self.lengths([WAKE_QUEUES[stage] for stage in backlog])
        sent: dict[str, int] = {}
        for stage, waiting in backlog.items():
            wanted = min(-(-waiting // batch.get(stage, 1)), 2 * workers)
            sent[stage] = max(0, wanted - under_way[WAKE_QUEUES[stage]])
        for stage, count in sent.items():
            for _ in range(count):
                self.wake(stage)
        return sent
