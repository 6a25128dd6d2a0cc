"""Ends a worker whose consumer has gone deaf, so that its supervisor starts a fresh one.

After a broker was killed and came back, a Celery consumer sometimes stays connected to nothing while its messages pile
up (celery/celery#8030, #8091, #10205 and others of that family). Nothing is lost then, but nothing moves either. The
sign is plain: messages wait in our queues, no task runs or has been received, and it stays so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from domain.errors import Unavailable
from worker.telemetry import log


@dataclass(frozen=True, slots=True)
class StallGuard:
    """`waiting`: messages in the given queues. `busy`: whether a task runs or is about to. `end`: ends the worker."""

    queues: Sequence[str]
    waiting: Callable[[Sequence[str]], int]
    busy: Callable[[], bool]
    end: Callable[[], None]
    every_seconds: float = 2.0
    # A healthy consumer takes a message within a second; its own reconnecting takes 2 to 6 seconds.
    patience: int = 6  # looks in a row that have to see the sign

    def look(self, seen_before: int) -> int:
        """One look; returns how often in a row the sign has been seen. A broker that is away is no sign."""
        try:
            stalled = not self.busy() and self.waiting(self.queues) > 0
        except Unavailable:
            stalled = False
        seen = seen_before + 1 if stalled else 0
        if seen >= self.patience:
            log.error("consumer_stalled", queues=list(self.queues), seconds=seen * self.every_seconds)
            self.end()
        return seen

    def start(self) -> None:
        """Look on in a daemon thread."""
        threading.Thread(target=self._run, name="stall-guard", daemon=True).start()

    def _run(self) -> None:
        never, seen = threading.Event(), 0
        while not never.wait(self.every_seconds):
            seen = self.look(seen)
