"""A system detached from the terminal: `make up` starts it, `make down` ends it with all of its processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.processes import (
    DirectoryLock,
    ProcessError,
    ProcessId,
    end_leftovers,
    log_tail,
    private_dir,
    recorded,
    write_private,
)
from worker.supervisor import POLL_S, SupervisorError

# Starts argv[2:] detached, its output in argv[1], and prints its pid; ends at once, so that init adopts the child.
_DETACH = """
import os, subprocess, sys
log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
child = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
print(child.pid, flush=True)
os._exit(0)
"""


@dataclass(frozen=True, slots=True)
class Background:
    """A system in the background."""

    pid: int
    already_running: bool


def background(argv: Sequence[str], state_dir: Path, ready: Path, timeout_s: float = 180) -> Background:
    """Run `argv` (a program that keeps a `System` and writes the file `ready` once it is up) detached.

    Its process id goes to `state_dir/supervisor.pid`, its output to `state_dir/logs/supervisor.log`. If one is up
    already, nothing is started. Returns when `ready` exists; raises SupervisorError, with the end of the log, if the
    program ends before or `timeout_s` seconds pass (then it is stopped).
    """
    lock = DirectoryLock(state_dir / "supervisor.lock")
    if not lock.acquire(timeout_s):
        raise SupervisorError(f"process {lock.holder()} has been starting or stopping {state_dir} for too long")
    try:
        running = running_background(state_dir)
        if running is None:
            ready.unlink(missing_ok=True)
            supervisor = _detach(argv, state_dir)
        else:
            supervisor = running
        _await_file(ready, supervisor, state_dir, timeout_s)
        return Background(supervisor.pid, already_running=running is not None)
    finally:
        lock.release()


def _detach(argv: Sequence[str], state_dir: Path) -> ProcessId:
    journal = private_dir(state_dir / "logs") / "supervisor.log"
    launcher = [sys.executable, "-I", "-S", "-c", _DETACH, str(journal), *argv]
    answer = subprocess.run(launcher, capture_output=True, text=True, timeout=30, check=False)
    if answer.returncode != 0:
        raise SupervisorError(f"could not start {argv[0]}: {answer.stderr.strip()}")
    supervisor = ProcessId.of(int(answer.stdout))
    if supervisor is None:
        raise SupervisorError(f"{argv[0]} ended at once:\n{log_tail(journal)}")
    write_private(_pid_file(state_dir), f"{supervisor.pid} {supervisor.began}\n")
    return supervisor


def _await_file(ready: Path, supervisor: ProcessId, state_dir: Path, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not ready.exists():
        tail = log_tail(state_dir / "logs" / "supervisor.log")
        if not supervisor.alive():
            raise SupervisorError(f"the system ended while starting:\n{tail}")
        if time.monotonic() > deadline:
            _end(supervisor, state_dir, 30)
            raise SupervisorError(f"the system was not up within {timeout_s:g} s:\n{tail}")
        time.sleep(POLL_S)


def running_background(state_dir: Path) -> ProcessId | None:
    """The supervisor of this state directory, if one lives; never another process that got its number."""
    try:
        pid, began = _pid_file(state_dir).read_text().strip().split(maxsplit=1)
    except (OSError, ValueError):
        return None
    supervisor = ProcessId(int(pid), began)
    return supervisor if supervisor.alive() else None


def stop_background(state_dir: Path, timeout_s: float = 60) -> bool:
    """Stop the background system and wait until all of its processes are gone; whether there was one.

    It gets `timeout_s` seconds to stop by itself; then it is killed, and its watchdogs end the rest. Raises
    SupervisorError if something survives.
    """
    lock = DirectoryLock(state_dir / "supervisor.lock")
    if not lock.acquire(timeout_s):
        raise SupervisorError(f"process {lock.holder()} has been starting or stopping {state_dir} for too long")
    try:
        supervisor = running_background(state_dir)
        was_up = supervisor is not None or any(recorded(part) for part in _run_dirs(state_dir))
        if supervisor is not None:
            _end(supervisor, state_dir, timeout_s)
        elif was_up:
            _end_parts(state_dir)
        _pid_file(state_dir).unlink(missing_ok=True)
        return was_up
    finally:
        lock.release()


def _end(supervisor: ProcessId, state_dir: Path, timeout_s: float) -> None:
    for number, seconds in ((signal.SIGTERM, timeout_s), (signal.SIGKILL, 10.0)):
        supervisor.signal(number)
        deadline = time.monotonic() + seconds
        while supervisor.alive() and time.monotonic() < deadline:
            time.sleep(0.05)
    if supervisor.alive():
        raise SupervisorError(f"the supervisor (pid {supervisor.pid}) does not end")
    _end_parts(state_dir)


def _end_parts(state_dir: Path) -> None:
    try:
        for part in _run_dirs(state_dir):
            end_leftovers(part)
    except ProcessError as error:
        raise SupervisorError(str(error)) from error


def _run_dirs(state_dir: Path) -> list[Path]:
    return [state_dir / "run" / "programs", state_dir / "run" / "servers"]


def _pid_file(state_dir: Path) -> Path:
    return state_dir / "supervisor.pid"
