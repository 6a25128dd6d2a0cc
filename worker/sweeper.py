"""The sweeper: finds rows whose holder fell silent and wake-ups that were lost. Runs in every publish worker."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from domain.errors import Unavailable
from worker.storage.sweeping import Sweeping
from worker.telemetry import log
from worker.wakeups import Wakeups


@dataclass(frozen=True, slots=True)
class Sweeper:
    """`batch`: rows that one wake-up of a stage serves. `workers`: assumed number of processes of a stage."""

    sweeping: Sweeping
    wakeups: Wakeups
    batch: Mapping[str, int]
    workers: int = 4

    def sweep(self) -> bool:
        """One sweep under the system-wide lock; False when another process is sweeping."""
        with self.sweeping.alone() as mine:
            if not mine:
                return False
            reaped = self.sweeping.reap()
            if reaped.released or reaped.quarantined:
                log.warning("rows_taken_back", released=reaped.released, quarantined=reaped.quarantined)
            self.wakeups.top_up(self.sweeping.backlog(), self.batch, self.workers)
            return True

    def run(self, every: float, stop: threading.Event) -> None:
        """Sweep each `every` seconds until told to stop; an outage is logged and swept up after."""
        while not stop.wait(every):
            try:
                self.sweep()
            except Unavailable as why:
                log.warning("sweep_put_off", why=str(why))
            except Exception:
                log.exception("sweep_failed")

    def start(self, every: float) -> threading.Event:
        """Run in a daemon thread; set the returned event to stop it."""
        stop = threading.Event()
        threading.Thread(target=self.run, args=(every, stop), name="sweeper", daemon=True).start()
        return stop
