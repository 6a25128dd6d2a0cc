"""Telling shops: due deliveries go out as signed webhooks (Standard Webhooks), at least once, with days of backoff."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

from standardwebhooks import Webhook

from domain.errors import InputRejected, Unavailable
from domain.events import LeasedDelivery
from domain.ports import Clock
from worker.telemetry import log

MINUTE, HOUR = 60.0, 3600.0
# Seconds before each further try, about 76 hours in all: the schedule that Standard Webhooks proposes.
BACKOFF = (5.0, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)
MAX_RETRY_AFTER = 24 * HOUR  # seconds; a receiver may not put us off for longer
_JITTER = 0.2  # share added at random, so that a returning receiver is not met by everything at once
_GONE = 410


class Queue(Protocol):
    """Deliveries that are due. A settling call answers False when the delivery is no longer ours."""

    def lease(self, limit: int) -> Sequence[LeasedDelivery]: ...

    def delivered(self, taken: LeasedDelivery, status: int) -> bool: ...

    def retry(self, taken: LeasedDelivery, status: int | None, why: str, delay_seconds: float) -> bool: ...

    def failed(self, taken: LeasedDelivery, status: int | None, why: str) -> bool: ...

    def gone(self, taken: LeasedDelivery, status: int, why: str) -> bool: ...


# (url, content, headers) -> (status, headers in lower case); follows no redirects. Raises Unavailable (no answer) or
# InputRejected (an address that must not be connected to).
Post = Callable[[str, bytes, Mapping[str, str]], tuple[int, Mapping[str, str]]]


@dataclass(frozen=True, slots=True)
class DeliverTools:
    """`set_size`: deliveries sent side by side. `jitter` returns 0..1."""

    queue: Queue
    post: Post
    open_secret: Callable[[bytes], str]
    clock: Clock
    set_size: int = 8
    jitter: Callable[[], float] = random.random


def deliver_due(tools: DeliverTools) -> int:
    """Lease one set of due deliveries, send them side by side, settle each; returns how many there were.

    Raises Unavailable when the database is away. Safe to run twice: what is sent again carries the same webhook-id.
    """
    taken = tools.queue.lease(tools.set_size)
    if taken:
        with ThreadPoolExecutor(max_workers=len(taken), thread_name_prefix="deliver") as pool:
            list(pool.map(lambda one: _deliver(one, tools), taken))
    return len(taken)


def body_of(taken: LeasedDelivery) -> bytes:
    """The same bytes in every transmission."""
    body = {"type": taken.kind, "timestamp": taken.created_at.astimezone(UTC).isoformat(), "data": dict(taken.data)}
    return json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of one transmission. `status` None = no answer."""

    status: int | None
    why: str
    retry_after: float | None = None


def _deliver(taken: LeasedDelivery, tools: DeliverTools) -> None:
    """Send and settle one delivery. Never raises: what cannot be settled is sent again when its lease runs out."""
    try:
        if not _settle(taken, _send(taken, tools), tools):
            log.warning("delivery_lease_lost", event_id=taken.event_id, endpoint=taken.endpoint_id)
    except Exception:
        log.exception("delivery_not_settled", event_id=taken.event_id, endpoint=taken.endpoint_id)


def _send(taken: LeasedDelivery, tools: DeliverTools) -> _Outcome:
    try:
        content = body_of(taken)
        headers = _headers(taken, tools.open_secret(taken.sealed_secret), content, tools.clock.now())
        status, answered = tools.post(taken.url, content, headers)
    except (Unavailable, InputRejected) as why:
        return _Outcome(None, str(why))
    except Exception as error:
        log.exception("delivery_failed", event_id=taken.event_id, endpoint=taken.endpoint_id)
        return _Outcome(None, f"{type(error).__name__}: {error}")
    return _Outcome(status, f"The receiver answered {status}.", _retry_after(answered, tools.clock.now()))


def _settle(taken: LeasedDelivery, outcome: _Outcome, tools: DeliverTools) -> bool:
    status, why = outcome.status, outcome.why
    if status is not None and 200 <= status < 300:
        return tools.queue.delivered(taken, status)
    if status == _GONE:
        return tools.queue.gone(taken, _GONE, "the receiver answered 410 Gone")
    if taken.attempts > len(BACKOFF):
        return tools.queue.failed(taken, status, why)
    delay = BACKOFF[taken.attempts - 1]
    if outcome.retry_after is not None:
        delay = max(delay, min(outcome.retry_after, MAX_RETRY_AFTER))
    return tools.queue.retry(taken, status, why, delay * (1 + _JITTER * tools.jitter()))


def _headers(taken: LeasedDelivery, secret: str, content: bytes, now: datetime) -> dict[str, str]:
    return {
        "content-type": "application/json",
        "webhook-id": taken.event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(taken.event_id, now, content.decode()),
    }


def _retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds from a Retry-After header, as a number or as a date (RFC 9110, 10.2.3); None for anything else."""
    wish = headers.get("retry-after", "").strip()
    if wish.isdecimal() and wish.isascii():
        return float(wish[:9])
    try:
        until = parsedate_to_datetime(wish)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())
