"""When a deaf consumer is ended, and when it is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from domain.errors import Unavailable
from worker.stall_guard import StallGuard


def ended_after(looks: int, waiting: Callable[[int], int], busy: Callable[[int], bool] = lambda _: False) -> list[int]:
    """At which looks a guard with patience 3 ended its worker."""
    now, ended = [0], []

    def count(queues: Sequence[str]) -> int:
        assert queues == ["wake"]
        return waiting(now[0])

    guard = StallGuard(["wake"], count, lambda: busy(now[0]), lambda: ended.append(now[0]), patience=3)
    seen = 0
    for now[0] in range(1, looks + 1):
        seen = guard.look(seen)
        if ended:
            break
    return ended


def test_messages_that_nobody_takes_end_the_worker() -> None:
    assert ended_after(9, lambda _: 4) == [3]


def test_an_empty_queue_does_not() -> None:
    assert ended_after(9, lambda _: 0) == []


def test_a_busy_worker_may_let_messages_wait() -> None:
    assert ended_after(9, lambda _: 4, busy=lambda _: True) == []


def test_the_sign_has_to_stay() -> None:
    assert ended_after(9, lambda now: now % 3) == []


def test_a_broker_that_is_away_is_no_sign() -> None:
    def away(now: int) -> int:
        if now % 2:
            raise Unavailable("the broker", "away")
        return 4

    assert ended_after(9, away) == []


@pytest.mark.parametrize("moved_at", [2, 5])
def test_it_counts_from_the_last_movement(moved_at: int) -> None:
    assert ended_after(12, lambda _: 4, busy=lambda now: now == moved_at) == [3 if moved_at > 3 else moved_at + 3]
