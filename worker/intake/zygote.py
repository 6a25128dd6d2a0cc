"""The parent's end of the sandbox: start the zygote when first needed, hand it photos, and say how each one ended.

One zygote for each process of ours, one photo at a time in it. Nothing here uses `multiprocessing`, so that it works
inside Celery's daemonic prefork children; after a fork the new process starts a zygote of its own.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from struct import Struct
from typing import Any

from domain.errors import Unavailable
from worker.intake import framing
from worker.intake.limits import DecodeLimits
from worker.intake.sandbox import ENDED, STARTED

ROOT = Path(__file__).resolve().parents[2]  # where `domain` and `worker` are imported from
START_SECONDS = 60.0  # importing Pillow and numpy takes 0.3 s, and far longer on a machine that swaps
START_TRIES = 3
GRACE_SECONDS = 2.0  # what the kernel's own limits get before we kill
INHERITED = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # and nothing secret
GIVEN = {
    "PYTHONPATH": str(ROOT),
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    # A child touches tens of megabytes once; in huge pages that is a third less CPU where the kernel has them.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
MAX_REPLY = 512_000_000  # bytes; a model copy and an original, both far smaller


@dataclass(frozen=True, slots=True)
class Answer:
    """What a child sent back before it ended well."""

    header: dict[str, Any]
    blobs: list[bytes]


@dataclass(frozen=True, slots=True)
class Death:
    """A child that gave no answer. signal is 0 when it ended by itself or its end is unknown."""

    signal: int
    cpu_seconds: float
    overdue: bool


class Zygote:
    """Owns one sandbox process. Safe to share between threads; not between processes (see `forget`)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def develop(self, data: bytes, limits: DecodeLimits) -> Answer | Death:
        """Decode one photo in a fresh child. Raises Unavailable when no child can be started."""
        with self._lock:
            try:
                return self._develop(data, limits)
            except OSError as error:
                self._stop()
                raise Unavailable("decode sandbox", f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """End the sandbox process; the next photo starts another one."""
        with self._lock:
            self._stop()

    def forget(self) -> None:
        """In a forked process: drop what belongs to the parent without touching the parent's sandbox."""
        self._lock = threading.Lock()
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.returncode = 0  # not our child, so there is nothing to wait for
        self._process = self._control = None

    @property
    def pid(self) -> int | None:
        """Process id of the running sandbox, for tests and diagnosis."""
        return self._process.pid if self._process else None

    def _develop(self, data: bytes, limits: DecodeLimits) -> Answer | Death:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                control, child = self._begin(theirs)
            deadline = time.monotonic() + limits.wall_seconds + GRACE_SECONDS
            try:
                answer = _converse(ours, data, limits, deadline)
                if answer is None and time.monotonic() >= deadline:
                    with suppress(ProcessLookupError, PermissionError):
                        os.kill(child, signal.SIGKILL)
                code, killer, cpu_seconds = _read(control, ENDED, time.monotonic() + GRACE_SECONDS)
            except (framing.BrokenFrame, TimeoutError):
                self._stop()  # the zygote itself died or hangs; whether the photo did it shows when it is tried again
                return Death(signal.SIGKILL, 0.0, overdue=time.monotonic() >= deadline)
        if answer is not None and code == 0:
            return answer
        return Death(killer, cpu_seconds, overdue=killer == signal.SIGALRM or time.monotonic() >= deadline)

    def _begin(self, channel: socket.socket) -> tuple[socket.socket, int]:
        """Have a child forked on its end of a channel; a zygote that died since the last photo is replaced."""
        for _ in range(START_TRIES):
            try:
                control = self._running()
                socket.send_fds(control, [b"p"], [channel.fileno()])
                (child,) = _read(control, STARTED, time.monotonic() + START_SECONDS)
            except (ConnectionError, framing.BrokenFrame):
                self._stop()
                continue
            if child < 0:
                raise OSError(-child, os.strerror(-child))
            return control, child
        raise ChildProcessError("it ends before it takes a photo; `shelfguard doctor` says more")

    def _running(self) -> socket.socket:
        if self._control is None or self._process is None or self._process.poll() is not None:
            self._stop()
            self._start()
        assert self._control is not None
        return self._control

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-B", "-m", "worker.intake.sandbox", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment | GIVEN,
            )
        self._control = ours

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._control = self._process = None


def _converse(channel: socket.socket, data: bytes, limits: DecodeLimits, deadline: float) -> Answer | None:
    """Send the request, read the answer; None when the child went away or was too slow."""
    try:
        channel.settimeout(max(0.001, deadline - time.monotonic()))
        framing.send(channel, {"limits": asdict(limits)}, data)
        header, blobs = framing.receive(channel, MAX_REPLY, deadline)
        return Answer(header, blobs)
    except (OSError, framing.BrokenFrame):
        return None


def _read(control: socket.socket, layout: Struct, deadline: float) -> tuple[Any, ...]:
    return layout.unpack(framing.exactly(control, layout.size, deadline))
