"""Runs one program and makes sure that nothing of it outlives whoever asked for it.

Started by `worker.processes` as a script of its own (`python -I -S watchdog.py FD`), never imported by it, so that it
needs no installed package and starts in a few hundredths of a second. FD is one end of a socket pair. The owner
writes one JSON line saying what to run, the watchdog answers with the program's process id or an error, and from
then on the socket is the lifeline: when it closes, or the owner is gone, the program is ended.

The program gets a session and process group of its own. On Linux the watchdog is also a "child subreaper": what a
program leaves behind in other sessions (PostgreSQL's backends, pool processes) comes back here and is ended, too.
Elsewhere only the process group and the descendants alive at that moment are.

Lines understood on the socket: `{"stop": seconds}` (the program's stop signal, then SIGKILL after that many
seconds) and `{"kill": true}`. Exit status: that of the program; 128 + n if signal n ended it.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
OWNER_CHECK_S = 1.0
"""How often to look whether the owner still lives; the socket tells sooner unless somebody inherited its other end."""
KILL_ROUNDS = 200
KILL_PAUSE_S = 0.01


def _prctl() -> Any:
    """The C library's prctl, or None where there is none. Loaded before any fork."""
    if sys.platform != "linux":
        return None
    try:
        return ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return None


class Watchdog:
    """One program, from start to the last of its descendants."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._prctl = _prctl()
        self._owner = os.getppid()
        self._inbox = b""
        self._child = 0
        self._deadline: float | None = None
        self._status: int | None = None
        self._signalled = False
        self._wake, self._wake_writer = socket.socketpair()
        for end in (self._wake, self._wake_writer):
            end.setblocking(False)

    def run(self) -> int:
        """Start what the owner asks for, watch it, clean up; return the exit status."""
        spec = self._read_spec()
        if spec is None:
            return 0
        self._listen_for_signals()
        if self._prctl is not None:
            self._prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        try:
            child = self._start(spec)
        except (OSError, subprocess.SubprocessError) as error:
            self._say({"error": f"{type(error).__name__}: {error}"})
            return 127
        self._child = child.pid
        self._say({"pid": child.pid})
        try:
            while not self._finished():
                self._wait_for_something(spec)
        finally:
            self._end_everything()
        # The status was collected here, not by subprocess: tell it, or it would warn about a child still running.
        child.returncode = self._status if self._status is not None else 128 + signal.SIGKILL
        return child.returncode

    def _read_spec(self) -> dict[str, Any] | None:
        while b"\n" not in self._inbox:
            data = self._link.recv(65536)
            if not data:
                return None
            self._inbox += data
        line, self._inbox = self._inbox.split(b"\n", 1)
        spec: dict[str, Any] = json.loads(line)
        return spec

    def _listen_for_signals(self) -> None:
        # Handlers, not SIG_IGN: what is ignored stays ignored in the program after exec.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signalled = True

    def _start(self, spec: dict[str, Any]) -> "subprocess.Popen[bytes]":
        prctl, death = self._prctl, int(signal.SIGKILL)

        def before_exec() -> None:
            # After the change of user, which would clear the death signal; this process has a single thread.
            if prctl is not None:
                prctl(PR_SET_PDEATHSIG, death, 0, 0, 0)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())

        identity: dict[str, Any] = {}
        if spec["user"] is not None:
            uid, gid = spec["user"]
            identity = {"user": uid, "group": gid, "extra_groups": []}
        return subprocess.Popen(
            spec["argv"],
            env=spec["env"],
            cwd=spec["cwd"],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=before_exec,  # noqa: PLW1509
            umask=0o077,
            **identity,
        )

    def _wait_for_something(self, spec: dict[str, Any]) -> None:
        timeout = OWNER_CHECK_S
        if self._deadline is not None:
            timeout = min(timeout, max(0.0, self._deadline - time.monotonic()))
        sources = [self._wake] if self._link.fileno() < 0 else [self._wake, self._link]
        ready, _, _ = select.select(sources, [], [], timeout)
        if self._wake in ready:
            with contextlib.suppress(BlockingIOError):
                self._wake.recv(4096)
        if self._link in ready:
            self._read_commands(spec)
        if os.getppid() != self._owner:
            self._hang_up(spec)
        if self._signalled:
            self._signalled = False
            self._ask_to_stop(spec, spec["orphan_grace_s"])

    def _read_commands(self, spec: dict[str, Any]) -> None:
        try:
            data = self._link.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._hang_up(spec)
            return
        *lines, self._inbox = (self._inbox + data).split(b"\n")
        for line in lines:
            command = json.loads(line)
            self._ask_to_stop(spec, 0.0 if command.get("kill") else float(command["stop"]))

    def _hang_up(self, spec: dict[str, Any]) -> None:
        """The owner is gone: end the program, kindly but soon."""
        if self._link.fileno() >= 0:
            self._link.close()
            self._ask_to_stop(spec, spec["orphan_grace_s"])

    def _ask_to_stop(self, spec: dict[str, Any], grace_s: float) -> None:
        due = time.monotonic() + grace_s
        if grace_s > 0 and self._deadline is None:
            self._reap()
            if self._status is None:
                os.kill(self._child, spec["stop_signal"])
        self._deadline = due if self._deadline is None else min(self._deadline, due)

    def _finished(self) -> bool:
        self._reap()
        return self._status is not None or (self._deadline is not None and time.monotonic() >= self._deadline)

    def _reap(self) -> None:
        """Collect everything that ended, remembering how the program itself did."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._child:
                code = os.waitstatus_to_exitcode(status)
                self._status = code if code >= 0 else 128 - code

    def _end_everything(self) -> None:
        """SIGKILL until nothing is left; in rounds, because what is being killed may be forking."""
        for _ in range(KILL_ROUNDS):
            left = descendants(os.getpid())
            for pid in left:
                _kill(pid)
            if self._status is None:
                _kill(-self._child)
            self._reap()
            if not left and self._status is not None:
                return
            time.sleep(KILL_PAUSE_S)

    def _say(self, answer: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._link.sendall(json.dumps(answer).encode() + b"\n")


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def descendants(root: int) -> list[int]:
    """The living processes below `root`, without the dead that only wait to be collected."""
    below: dict[int, list[int]] = {}
    for pid, parent in _processes():
        below.setdefault(parent, []).append(pid)
    found: list[int] = []
    queue = [root]
    while queue:
        children = below.get(queue.pop(), [])
        found += children
        queue += children
    return found


def _processes() -> list[tuple[int, int]]:
    """(pid, parent) of every living process one may see."""
    proc = Path("/proc/self/stat")
    if not proc.exists():
        return _processes_by_ps()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # The name in parentheses may hold spaces and parentheses; fields are counted from its end.
                state, parent = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            except (OSError, ValueError):
                continue
            if state not in "ZX":
                found.append((int(entry.name), int(parent)))
    return found


def _processes_by_ps() -> list[tuple[int, int]]:
    listing = subprocess.Popen(["ps", "-A", "-o", "pid=,ppid=,stat="], stdout=subprocess.PIPE, text=True)
    output, _ = listing.communicate(timeout=10)
    rows = [line.split() for line in output.splitlines()]
    return [(int(pid), int(parent)) for pid, parent, state in rows if "Z" not in state and int(pid) != listing.pid]


def main() -> int:
    """Serve the owner at the other end of the socket whose descriptor is the only argument."""
    link = socket.socket(fileno=int(sys.argv[1]))
    link.set_inheritable(False)
    return Watchdog(link).run()


if __name__ == "__main__":
    sys.exit(main())
