"""Recall: what banks and earlier decisions say about a photo, looked up before it is judged.

Rules see the answer as signals, so it stands in the receipt, and judging a receipt again looks nothing up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from domain.banks import NOTHING_RECALLED, BankMatch, Recalled, counts_of, settle
from domain.jobs import ImageJob
from domain.photos import StoredPhoto
from domain.ports import BankStore, EarlierPhotos
from worker.policy.hash_index import HashIndex
from worker.telemetry import log

CHECK_SECONDS = 2.0  # between looks at whether a bank has changed


class Recall:
    """Keeps the banks in memory. Everything raises Unavailable when the database is away. Safe between threads."""

    def __init__(
        self, banks: BankStore, earlier: EarlierPhotos, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._banks = banks
        self._earlier = earlier
        self._clock = clock
        self._lock = threading.Lock()
        self._version = ""
        self._index = HashIndex(())
        self._checked = float("-inf")

    def look_up(self, job: ImageJob, photo: StoredPhoto) -> Recalled:
        """Of a photo without an inspection there is no hash, so nothing is known; its signals say so."""
        if photo.inspection is None:
            return NOTHING_RECALLED
        version, index = self._current()
        matches = index.near(photo.inspection.pdq, job.tenant)
        self._count(matches)
        return Recalled(version, settle(matches), tuple(self._earlier.near(job, photo)))

    def _current(self) -> tuple[str, HashIndex]:
        with self._lock:
            if self._clock() - self._checked >= CHECK_SECONDS:
                version = self._banks.version()
                if version != self._version:
                    self._version, entries = self._banks.entries()
                    self._index = HashIndex(entries)
                self._checked = self._clock()
            return self._version, self._index

    def _count(self, matches: list[BankMatch]) -> None:
        """Count before settling: an allowed picture hides a flood of a bad entry from sellers, not from us."""
        if not (counted := counts_of(matches)):
            return
        for flooded in self._banks.count(counted):
            log.error(
                "bank_flood", set_aside=flooded, remedy="look at it: shelfguard bank list; then revoke or release"
            )
            self._checked = float("-inf")
