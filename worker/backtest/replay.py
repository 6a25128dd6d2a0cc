"""Replaying past decisions: spans of the table over several processes, one tally. The order of nothing matters."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from multiprocessing.connection import wait as wait_for
from typing import Protocol

from domain.errors import Unavailable
from worker.backtest.figures import Tally
from worker.storage.database import Database
from worker.storage.history import History, PastDecision, Reader, Scan, Wanted

STATEMENT_LIMIT_MS = 600_000  # finding where a limit falls sorts the whole table
AHEAD = 2  # spans handed out for each process, so that none waits

Progress = Callable[[int, int], None]  # done, total


class Judge(Protocol):
    """Counts past decisions; lives in one process."""

    @property
    def wanted(self) -> Wanted:
        """What it needs of receipts."""

    def count(self, chunk: Sequence[PastDecision], reader: Reader, tally: Tally) -> None:
        """Add these decisions to the tally."""


class Work(Protocol):
    """What is to be done, as it travels to other processes (pickled)."""

    @property
    def seed(self) -> int:
        """Draws the samples."""

    def judge(self) -> Judge:
        """Made once in each process."""


def replay(url: str, scan: Scan, work: Work, processes: int, progress: Progress) -> Tally:
    """Count everything in the scan, which its opener keeps open meanwhile.

    One process works here, in this one. Raises Unavailable when the database is away or a process was ended from
    outside; KeyboardInterrupt ends the processes within a span, about a second.
    """
    tally, spans = Tally(work.seed), scan.spans()
    counted = _here if processes <= 1 else _apart
    for done, part in enumerate(counted(url, scan, work, spans, processes), 1):
        tally.merge(part)
        progress(done, len(spans))
    return tally


def _here(url: str, scan: Scan, work: Work, spans: Sequence[tuple[int, int]], processes: int) -> Iterator[Tally]:
    with _worker(url, scan, work) as counter:
        for span in spans:
            yield counter.count(span)


def _apart(url: str, scan: Scan, work: Work, spans: Sequence[tuple[int, int]], processes: int) -> Iterator[Tally]:
    # Spawned, not forked: a fork would share the database's sockets and whatever threads hold.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, _start, (url, scan, work))
    try:
        waiting = iter(spans)
        running: set[Future[Tally]] = {pool.submit(_count, span) for span in islice(waiting, processes * AHEAD)}
        while running:
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {pool.submit(_count, span) for span in islice(waiting, len(finished))}
            yield from (future.result() for future in finished)
    except BrokenProcessPool as error:
        raise Unavailable(
            "a process of the replay", "it was ended from outside (out of memory?); try --processes 1"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Counter:
    """What one process holds."""

    def __init__(self, history: History, scan: Scan, work: Work) -> None:
        self._history, self._scan, self._work = history, scan, work

    @cached_property
    def _judge(self) -> Judge:
        """Made with the first span: what it raises then reaches whoever waits for the span."""
        return self._work.judge()

    def count(self, span: tuple[int, int]) -> Tally:
        tally, judge = Tally(self._work.seed), self._judge
        with self._history.reading(self._scan) as reader:
            for chunk in reader.chunks(span, judge.wanted):
                judge.count(chunk, reader, tally)
        return tally


@contextmanager
def _worker(url: str, scan: Scan, work: Work) -> Iterator[_Counter]:
    database = Database(url, pool_size=1, statement_timeout_ms=STATEMENT_LIMIT_MS)
    try:
        yield _Counter(History(database), scan, work)
    finally:
        database.close()


_counter: _Counter


def _start(url: str, scan: Scan, work: Work) -> None:
    """In a new process. Ctrl-C reaches all of a terminal's processes; the one in front alone decides what to do."""
    global _counter  # noqa: PLW0603  # the pool's way of giving a process something to keep
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    database = Database(url, pool_size=1, statement_timeout_ms=STATEMENT_LIMIT_MS)
    _counter = _Counter(History(database), scan, work)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _count(span: tuple[int, int]) -> Tally:
    return _counter.count(span)
