"""Child processes that cannot outlive us, and ways to name a process that survive the reuse of its number.

Every child runs under its own watchdog (`worker/watchdog.py`), which ends it when this process goes away, even by
SIGKILL. What is to be run travels to the watchdog over a socket, so only the program itself shows its command line.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import platform
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from worker import watchdog

LOG_LIMIT_BYTES = 10_000_000
"""A log longer than this is set aside (one generation) when its program next starts."""
START_TIMEOUT_S = 20.0
LINUX = platform.system() == "Linux"
KILL_TIMEOUT_S = 10.0
"""Seconds within which SIGKILL must have ended a whole tree, on a busy machine."""
FIRST_PORT, LAST_PORT = 20_000, 29_999
"""Below the ranges from which systems take the near end of outgoing connections: a client that knocks at a port in
those while its server is down can connect to itself, and then the server cannot come back."""


class ProcessError(RuntimeError):
    """A program could not be started, or did not end. The message says which, and what its log last said."""


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process: its number, and when it began, since numbers are used again."""

    pid: int
    began: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The living process with this number; None if there is none (one not yet collected counts as dead)."""
        began = _began(pid)
        return cls(pid, began) if began else None

    def alive(self) -> bool:
        """Whether this very process still lives."""
        return _began(self.pid) == self.began

    def command_line(self) -> str:
        """Its program and arguments; empty if it is gone or they cannot be read."""
        with contextlib.suppress(OSError):
            if LINUX:
                return Path(f"/proc/{self.pid}/cmdline").read_text(errors="replace").replace("\0", " ")
            return _ps(self.pid, "command=")
        return ""

    def signal(self, number: int) -> None:
        """Send a signal, unless the process is gone."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _began(pid: int) -> str | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None if LINUX else _began_by_ps(pid)
    return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"


def _began_by_ps(pid: int) -> str | None:
    state, _, began = _ps(pid, "stat=,lstart=").partition(" ")
    return began.strip() if began and "Z" not in state else None


def _ps(pid: int, columns: str) -> str:
    answer = subprocess.run(
        ["ps", "-p", str(pid), "-o", columns], capture_output=True, text=True, timeout=10, check=False
    )
    return answer.stdout.strip()


@dataclass(frozen=True, slots=True)
class Command:
    """What to run and how it likes to be stopped."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    user: tuple[int, int] | None = None
    """(uid, gid) to become; None keeps ours."""
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_grace_s: float = 3.0
    """Seconds the program gets to stop when we are gone."""


@dataclass(slots=True)
class GuardedProcess:
    """A running program under its watchdog."""

    name: str
    id: ProcessId
    log: Path
    _guard: subprocess.Popen[bytes]
    _link: socket.socket
    _record: Path | None = field(default=None)

    @classmethod
    def spawn(cls, name: str, command: Command, log: Path, run_dir: Path | None = None) -> Self:
        """Start the program, its output appended to `log`; note it in `run_dir` for `end_leftovers`.

        Keep what is returned: the lifeline ends with it, and so does the program.
        Raises ProcessError if it cannot be started.
        """
        ours, theirs = socket.socketpair()
        with theirs, _open_log(log) as output:
            guard = subprocess.Popen(
                [sys.executable, "-I", "-S", watchdog.__file__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        try:
            pid = _introduce(ours, command)
            identity = ProcessId.of(pid) or ProcessId(pid, "gone")
            process = cls(name, identity, log, guard, ours, run_dir / f"{name}.json" if run_dir else None)
        except (OSError, ValueError, KeyError) as error:
            ours.close()
            guard.kill()
            guard.wait(KILL_TIMEOUT_S)
            raise ProcessError(f"{name} could not be started ({command.argv[0]}): {error}") from error
        process._note()
        return process

    @property
    def pid(self) -> int:
        """The program's own process id, which is also its process group."""
        return self.id.pid

    def poll(self) -> int | None:
        """The exit status (128 + n for signal n), or None while it runs."""
        status = self._guard.poll()
        if status is None:
            return None
        if status < 0:
            # Somebody killed the watchdog itself; on Linux the program died with it, its group may have not.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        self._link.close()
        if self._record is not None:
            self._record.unlink(missing_ok=True)
        return status

    def wait(self, timeout_s: float) -> int:
        """The exit status, waiting for it. Raises ProcessError after `timeout_s` seconds."""
        try:
            self._guard.wait(max(timeout_s, 0.01))
        except subprocess.TimeoutExpired:
            raise ProcessError(f"{self.name} (pid {self.pid}) did not end within {timeout_s:g} s") from None
        status = self.poll()
        assert status is not None
        return status

    def ask_to_stop(self, grace_s: float) -> None:
        """Send the stop signal now; the watchdog sends SIGKILL to all of it after `grace_s` seconds."""
        self._tell({"stop": grace_s})

    def stop(self, grace_s: float) -> int:
        """Stop it: kindly first, SIGKILL after `grace_s` seconds. Returns the exit status."""
        self.ask_to_stop(grace_s)
        return self.wait(grace_s + KILL_TIMEOUT_S)

    def kill(self) -> int:
        """SIGKILL the program, its group and all its descendants, and wait until they are gone."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self._tell({"kill": True})
        return self.wait(KILL_TIMEOUT_S)

    def _tell(self, message: dict[str, Any]) -> None:
        if self._guard.poll() is None:
            with contextlib.suppress(OSError):
                self._link.sendall(json.dumps(message).encode() + b"\n")

    def _note(self) -> None:
        if self._record is not None:
            guard = ProcessId.of(self._guard.pid)
            noted = [[known.pid, known.began] for known in (guard, self.id) if known]
            write_private(self._record, json.dumps(noted))


def _introduce(link: socket.socket, command: Command) -> int:
    """Tell a fresh watchdog what to run; returns the program's process id."""
    link.settimeout(START_TIMEOUT_S)
    link.sendall(
        json.dumps(
            {
                "argv": [str(part) for part in command.argv],
                "env": dict(command.env),
                "cwd": str(command.cwd),
                "user": command.user,
                "stop_signal": int(command.stop_signal),
                "orphan_grace_s": command.orphan_grace_s,
            }
        ).encode()
        + b"\n"
    )
    answer = b""
    while not answer.endswith(b"\n"):
        part = link.recv(4096)
        if not part:
            raise OSError("its watchdog ended before starting it")
        answer += part
    said: dict[str, Any] = json.loads(answer)
    if "error" in said:
        raise OSError(said["error"])
    return int(said["pid"])


@contextlib.contextmanager
def _open_log(log: Path) -> Iterator[int]:
    private_dir(log.parent)
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_LIMIT_BYTES:
            log.replace(log.with_name(log.name + ".1"))
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        yield output
    finally:
        os.close(output)


def log_tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, for error messages; empty if there is none."""
    with contextlib.suppress(OSError), log.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(0, stream.tell() - 16_384))
        return "\n".join(stream.read().decode(errors="replace").splitlines()[-lines:])
    return ""


def recorded(run_dir: Path) -> list[ProcessId]:
    """The processes noted in `run_dir` that still live: watchdogs first, then their programs."""
    noted: list[tuple[int, str]] = []
    for record in sorted(run_dir.glob("*.json")):
        with contextlib.suppress(OSError, ValueError):
            noted += [(int(pid), str(began)) for pid, began in json.loads(record.read_text())]
    return [known for known in (ProcessId(pid, began) for pid, began in noted) if known.alive()]


def end_leftovers(run_dir: Path, grace_s: float = 8.0) -> None:
    """End what an earlier owner of `run_dir` left behind, and wait until it is gone.

    A watchdog whose owner died is already stopping its program: it gets `grace_s` seconds to finish, then everything
    is killed. Raises ProcessError if something survives that.
    """
    for process in recorded(run_dir):
        process.signal(signal.SIGTERM)
    if not _gone_within(run_dir, grace_s):
        for process in recorded(run_dir):
            process.signal(signal.SIGKILL)
    if not _gone_within(run_dir, KILL_TIMEOUT_S):
        numbers = ", ".join(str(process.pid) for process in recorded(run_dir))
        raise ProcessError(f"processes of an earlier run do not end: {numbers}; end them by hand and try again")
    for record in run_dir.glob("*.json"):
        record.unlink(missing_ok=True)


def _gone_within(run_dir: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while recorded(run_dir):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


class DirectoryLock:
    """Holds a directory for this process alone; the system lets go of it when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self, timeout_s: float = 0.0) -> bool:
        """Whether the lock is ours now, trying for `timeout_s` seconds."""
        private_dir(self._path.parent)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                os.close(descriptor)
                return False
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            self._descriptor = descriptor
            return True

    def holder(self) -> str:
        """The process id of the holder, as text, for messages."""
        with contextlib.suppress(OSError):
            return self._path.read_text().strip() or "unknown"
        return "unknown"

    def release(self) -> None:
        """Let go; harmless if not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def private_dir(path: Path) -> Path:
    """The directory, made with its parents if need be; new ones are ours alone (0700)."""
    for missing in reversed([part for part in (path, *path.parents) if not part.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file that only we may read, at once or not at all."""
    private_dir(path.parent)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{random.getrandbits(32):x}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    draft.replace(path)


def free_ports(count: int, span: int = 0) -> list[int]:
    """`count` different loopback ports that nobody listens on now; with `span`, port + span is free for each, too.

    Raises ProcessError if none can be found.
    """
    found: list[int] = []
    for port in random.sample(range(FIRST_PORT, LAST_PORT + 1), 2_000):
        if port_is_free(port) and (span == 0 or port_is_free(port + span)):
            found.append(port)
            if len(found) == count:
                return found
    raise ProcessError(f"no {count} free ports between {FIRST_PORT} and {LAST_PORT} on 127.0.0.1")


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True
