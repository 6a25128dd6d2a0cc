"""A heartbeat outside the compute thread: it keeps leases alive while their work goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from domain.errors import Unavailable
from domain.ports import Lease, Ledger
from worker.telemetry import log


@contextmanager
def heartbeat(ledger: Ledger, leases: Sequence[Lease], every: float, limit: float) -> Iterator[None]:
    """Renew the leases each `every` seconds, for `limit` seconds at most.

    The limit is what ends a hang: the thread of a hung computation would renew for ever, so after the limit the
    lease runs out, the row goes to another worker, and the hard time limit ends this one.
    """
    done = threading.Event()
    beat = threading.Thread(target=_beat, args=(ledger, leases, every, limit, done), name="heartbeat", daemon=True)
    beat.start()
    try:
        yield
    finally:
        done.set()
        beat.join(timeout=5)


def _beat(ledger: Ledger, leases: Sequence[Lease], every: float, limit: float, done: threading.Event) -> None:
    until = time.monotonic() + limit
    while not done.wait(every) and time.monotonic() < until:
        try:
            ledger.renew(leases)
        except Unavailable as why:
            log.warning("heartbeat_missed", why=str(why))
