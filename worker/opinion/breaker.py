"""A circuit breaker: an endpoint that fails again and again is left alone for a while, so that photos do not wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Breaker:
    """Opens after `failures` in a row; after `pause_seconds` one call may try, and the others when that went well."""

    failures: int = 5
    pause_seconds: float = 30.0
    monotonic: Callable[[], float] = time.monotonic
    _in_a_row: int = 0
    _closed_until: float = float("-inf")
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def lets_through(self) -> bool:
        with self._lock:
            if self._in_a_row < self.failures:
                return True
            if self.monotonic() < self._closed_until:
                return False
            self._closed_until = self.monotonic() + self.pause_seconds  # this one tries; the others wait for it
            return True

    def went_well(self) -> None:
        with self._lock:
            self._in_a_row = 0

    def failed(self) -> None:
        with self._lock:
            self._in_a_row += 1
            if self._in_a_row >= self.failures:
                self._closed_until = self.monotonic() + self.pause_seconds
