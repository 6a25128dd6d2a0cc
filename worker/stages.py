"""Lease, keep the lease alive, run the story's function, wake the next stage. What Celery's tasks are shells over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from domain.errors import Unavailable
from domain.jobs import JobState
from domain.ports import LeasedJob, Ledger
from worker.delivery import DeliverTools, deliver_due
from worker.heartbeat import heartbeat
from worker.pipeline import (
    IntakeTools,
    PublishTools,
    VisionTools,
    all_of,
    each,
    observe,
    publish_all,
    take_in,
)
from worker.telemetry import log

Wake = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Pace:
    """heartbeat_seconds: between renewals. limit_seconds: for one batch. batch_size: rows leased together."""

    heartbeat_seconds: float
    limit_seconds: float
    batch_size: int = 1


def run_intake(tools: IntakeTools, pace: Pace, wake: Wake) -> int:
    """Take in one photo; returns how many rows were leased (0 or 1)."""
    rows = tools.ledger.lease(JobState.RECEIVED, 1)
    _run(rows, tools.ledger, pace, lambda row: each(row, tools.ledger, partial(take_in, row, tools)))
    return _go_on(rows, wake, "intake", "vision")


def run_vision(tools: VisionTools, pace: Pace, wake: Wake) -> int:
    """Look at one batch; returns how many rows were leased."""
    rows = tools.ledger.lease(JobState.READY, pace.batch_size, tools.route)
    if rows:
        with heartbeat(tools.ledger, [row.lease for row in rows], pace.heartbeat_seconds, pace.limit_seconds):
            all_of(rows, tools.ledger, partial(observe, rows, tools))
    return _go_on(rows, wake, "vision", "publish")


def run_publish(tools: PublishTools, pace: Pace, wake: Wake) -> int:
    """Publish one batch; returns how many rows were leased."""
    rows = tools.ledger.lease(JobState.OBSERVED, pace.batch_size)
    if rows:
        with heartbeat(tools.ledger, [row.lease for row in rows], pace.heartbeat_seconds, pace.limit_seconds):
            publish_all(rows, tools)
    return _go_on(rows, wake, "publish", "deliver")


def run_deliver(tools: DeliverTools, wake: Wake) -> int:
    """Send one set of due webhooks; returns how many there were."""
    sent = deliver_due(tools)
    if sent:
        _wake("deliver", wake)
    return sent


def _run(rows: Sequence[LeasedJob], ledger: Ledger, pace: Pace, step: Callable[[LeasedJob], None]) -> None:
    for row in rows:
        with heartbeat(ledger, [row.lease], pace.heartbeat_seconds, pace.limit_seconds):
            step(row)


def _go_on(rows: Sequence[LeasedJob], wake: Wake, own: str, following: str) -> int:
    """Wake the next stage, and our own again: one wake-up goes round until there is nothing left to lease."""
    if rows:
        _wake(following, wake)
        _wake(own, wake)
    return len(rows)


def _wake(stage: str, wake: Wake) -> None:
    """Where the broker is away the work stays in the ledger, and the sweeper wakes the stage later."""
    try:
        wake(stage)
    except Unavailable as why:
        log.warning("wake_failed", stage=stage, why=str(why))
