"""The whole system as one process tree: servers, then migrations, then our programs, ended in reverse.

Two layers, each usable alone:

- `Supervisor` keeps a list of programs running.
- `System` puts embedded servers and migrations under it, for what the environment does not name already.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final, Self

from worker.local import ALL_SERVERS, LocalServers, ServerError, ServerName
from worker.processes import (
    Command,
    DirectoryLock,
    GuardedProcess,
    ProcessError,
    end_leftovers,
    log_tail,
)
from worker.telemetry import log

FIRST_BACKOFF_S = 0.5
LAST_BACKOFF_S = 10.0
STEADY_S = 30.0
"""A program that ran this long starts with the first backoff again when it dies."""
POLL_S = 0.1
SERVER_POLL_S = 0.5
MIGRATE_TIMEOUT_S = 300.0
SETTINGS_OF_SERVER: Final[Mapping[ServerName, tuple[str, ...]]] = {
    "postgres": ("SHELFGUARD_DATABASE_URL",),
    "valkey": ("SHELFGUARD_REDIS_URL",),
    # S3 at Amazon has no endpoint to name, only a bucket.
    "s3": ("SHELFGUARD_S3_ENDPOINT_URL", "SHELFGUARD_S3_BUCKET"),
}
"""A server whose setting is in the environment is external: none is started in its place."""


class SupervisorError(RuntimeError):
    """The system, or a part of it, could not be started or stopped. The message says which and why."""


@dataclass(frozen=True, slots=True)
class Program:
    """One program to keep running."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the supervisor's own environment."""
    ready: Callable[[], bool] | None = None
    """Asked again and again until it says yes; None: ready when started."""
    ready_timeout_s: float = 90.0
    stop_signal: signal.Signals = signal.SIGTERM


@dataclass(slots=True)
class _Slot:
    program: Program
    process: GuardedProcess | None = None
    started_at: float = 0.0
    due_at: float = 0.0
    failures: int = 0
    restarts: int = 0


class Supervisor:
    """Keeps programs running: each in its own process group, its output in `log_dir/<name>.log`.

    One supervisor at a time for the parent of `log_dir`, where it keeps the process ids of its programs.
    A program that ends, for whatever reason, is started again after 0.5 s, doubling to 10 s while it keeps dying.
    """

    def __init__(
        self, programs: Sequence[Program], log_dir: Path, *, environment: Mapping[str, str] | None = None
    ) -> None:
        names = [program.name for program in programs]
        if len(set(names)) != len(names):
            raise ValueError(f"two programs have the same name: {names}")
        self._slots = {program.name: _Slot(program) for program in programs}
        self._log_dir = log_dir.absolute()
        self._run_dir = self._log_dir.parent / "run" / "programs"
        self._lock = DirectoryLock(self._run_dir.parent / "programs.lock")
        self._environment = dict(os.environ if environment is None else environment)
        self._change = threading.RLock()
        self._stopping = threading.Event()
        self._stop_requests = 0
        self._monitor: threading.Thread | None = None

    def start(self) -> None:
        """Start all programs, in order, and wait until each is ready. From now on they are restarted.

        Raises SupervisorError, with the end of its log, if one cannot be started or is not ready in time; then
        nothing is left running.
        """
        if not self._lock.acquire(timeout_s=2.0):
            raise SupervisorError(f"process {self._lock.holder()} already supervises {self._run_dir}; stop it first")
        self._stopping.clear()
        try:
            end_leftovers(self._run_dir)
            for slot in self._slots.values():
                self._spawn(slot)
            self._monitor = threading.Thread(target=self._watch, name="supervisor", daemon=True)
            self._monitor.start()
            for slot in self._slots.values():
                self._await_ready(slot)
        except ProcessError as error:
            self.stop(grace_s=5)
            raise SupervisorError(str(error)) from error
        except BaseException:
            self.stop(grace_s=5)
            raise

    def _spawn(self, slot: _Slot) -> None:
        program = slot.program
        slot.started_at = time.monotonic()
        slot.process = GuardedProcess.spawn(
            program.name,
            Command(program.argv, {**self._environment, **program.env}, Path.cwd(), stop_signal=program.stop_signal),
            self._log_dir / f"{program.name}.log",
            self._run_dir,
        )
        log.info("program started", program=program.name, pid=slot.process.pid)

    def _await_ready(self, slot: _Slot) -> None:
        program = slot.program
        deadline = time.monotonic() + program.ready_timeout_s
        while program.ready is not None and not program.ready():
            if self._stopping.is_set():
                raise SupervisorError("stopped while starting")
            if time.monotonic() > deadline:
                tail = log_tail(self._log_dir / f"{program.name}.log")
                raise SupervisorError(
                    f"{program.name} was not ready within {program.ready_timeout_s:g} s "
                    f"({slot.restarts} restarts). The end of its log:\n{tail or '(empty)'}"
                )
            self._stopping.wait(POLL_S)

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_S):
            for slot in self._slots.values():
                with self._change:
                    if not self._stopping.is_set():
                        self._look_after(slot)

    def _look_after(self, slot: _Slot) -> None:
        now = time.monotonic()
        if slot.process is not None:
            status = slot.process.poll()
            if status is None:
                return
            slot.process = None
            slot.failures = 0 if now - slot.started_at > STEADY_S else slot.failures
            delay = min(LAST_BACKOFF_S, FIRST_BACKOFF_S * 2**slot.failures)
            slot.failures += 1
            slot.due_at = now + delay
            log.warning("program ended", program=slot.program.name, status=status, restart_in_s=delay)
        elif now >= slot.due_at:
            slot.restarts += 1
            try:
                self._spawn(slot)
            except (ProcessError, OSError) as error:
                slot.failures += 1
                slot.due_at = now + min(LAST_BACKOFF_S, FIRST_BACKOFF_S * 2**slot.failures)
                log.warning("program not started", program=slot.program.name, error=str(error))

    def run_forever(self) -> None:
        """Block until SIGTERM, SIGINT or SIGHUP (a second one hurries), then stop. Main thread only."""
        with self.signals_request_stop():
            while not self._stopping.wait(1.0):
                pass
            self.stop()

    @contextmanager
    def signals_request_stop(self) -> Iterator[None]:
        """While inside, SIGTERM, SIGINT and SIGHUP ask `run_forever` to end instead of ending this process."""
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = [signal.signal(number, self._on_signal) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_requests += 1
        self._stopping.set()

    def request_stop(self) -> None:
        """Make `run_forever` end, from any thread."""
        self._stopping.set()

    def stop(self, grace_s: float = 20) -> None:
        """Send the stop signals in reverse order, wait `grace_s` seconds for all, then SIGKILL what is left.

        Raises SupervisorError if something survives even that.
        """
        self._stopping.set()
        if self._monitor is not None and self._monitor is not threading.current_thread():
            self._monitor.join()
            self._monitor = None
        with self._change:
            running = [slot for slot in reversed(self._slots.values()) if slot.process is not None]
            for slot in running:
                assert slot.process is not None
                slot.process.ask_to_stop(grace_s)
            survivors = [slot.program.name for slot in running if not self._collect(slot, grace_s)]
        self._lock.release()
        if survivors:
            raise SupervisorError(f"still running after SIGKILL: {', '.join(survivors)}")

    def _collect(self, slot: _Slot, grace_s: float) -> bool:
        """Wait for a program that was asked to stop; its watchdog kills it after the grace. Whether it is gone."""
        assert slot.process is not None
        deadline = time.monotonic() + grace_s
        while slot.process.poll() is None and time.monotonic() < deadline and self._stop_requests < 2:
            time.sleep(0.02)
        try:
            status = slot.process.kill() if slot.process.poll() is None else slot.process.poll()
        except ProcessError:
            return False
        log.info("program stopped", program=slot.program.name, status=status)
        slot.process = None
        return True

    def pid_of(self, name: str) -> int:
        """The process (and process group) id of a program. Raises SupervisorError while it is down."""
        process = self._slots[name].process
        if process is None or process.poll() is not None:
            raise SupervisorError(f"{name} is not running")
        return process.pid

    def kill_group(self, name: str) -> None:
        """SIGKILL a program with everything it started, for fault tests; it is restarted like after any death.

        Returns when all of it is gone. Raises SupervisorError while it is down.
        """
        with self._change:
            process = self._slots[name].process
            if process is None:
                raise SupervisorError(f"{name} is not running")
            process.kill()

    def restarts(self, name: str) -> int:
        """How often a program has been started again."""
        return self._slots[name].restarts


class System:
    """Servers, migrations and programs of one state directory; a context manager that stops them.

        with System(state_dir) as system:
            environment = system.prepare()      # servers are up, the database is migrated
            system.start(programs)              # programs see that environment
            system.run_forever()

    Servers named by the environment (SHELFGUARD_DATABASE_URL, SHELFGUARD_REDIS_URL, SHELFGUARD_S3_*) are
    external and left alone; the others are started from wheels.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        migrate: Sequence[str] | None = None,
        durable: bool = True,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.state_dir = state_dir.absolute()
        self.log_dir = self.state_dir / "logs"
        self.environment = dict(os.environ if environ is None else environ)
        """What programs see; complete after `prepare`."""
        self._migrate = [str(Path(sys.executable).parent / "shelfguard"), "migrate"] if migrate is None else migrate
        wanted = [
            name for name in ALL_SERVERS if not any(self.environment.get(key) for key in SETTINGS_OF_SERVER[name])
        ]
        self.servers = LocalServers(self.state_dir, durable=durable, servers=wanted) if wanted else None
        self.supervisor: Supervisor | None = None
        self._reviver: threading.Thread | None = None
        self._stopped = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def prepare(self) -> dict[str, str]:
        """Start the servers that are ours, migrate the database; returns the environment for programs.

        Raises ServerError, SupervisorError. From now on a server that dies comes back at the same address.
        """
        if self.servers is not None:
            self.environment |= self.servers.start().environment()
            self._reviver = threading.Thread(target=self._revive_servers, name="servers", daemon=True)
            self._reviver.start()
        if self._migrate:
            self._run_migrations()
        return dict(self.environment)

    def _run_migrations(self) -> None:
        journal = self.log_dir / "migrate.log"
        try:
            command = Command(self._migrate, self.environment, Path.cwd())
            status = GuardedProcess.spawn("migrate", command, journal).wait(MIGRATE_TIMEOUT_S)
        except ProcessError as error:
            raise SupervisorError(f"the database could not be migrated: {error}") from error
        if status != 0:
            raise SupervisorError(f"the migration ended with status {status}:\n{log_tail(journal, 30)}")

    def _revive_servers(self) -> None:
        assert self.servers is not None
        while not self._stopped.wait(SERVER_POLL_S):
            try:
                for name in self.servers.revive():
                    log.warning("server restarted", server=name)
            except ServerError as error:
                log.error("server not restarted", error=str(error))

    def start(self, programs: Sequence[Program]) -> Supervisor:
        """Start the programs with the prepared environment and wait until they are ready. Raises SupervisorError."""
        self.supervisor = Supervisor(programs, self.log_dir, environment=self.environment)
        self.supervisor.start()
        return self.supervisor

    def run_forever(self) -> None:
        """Block until SIGTERM, SIGINT or SIGHUP, then stop everything. Main thread only, after `start`."""
        if self.supervisor is None:
            raise SupervisorError("nothing has been started")
        with self.supervisor.signals_request_stop():
            self.supervisor.run_forever()
            self.stop()

    def stop(self, grace_s: float = 20) -> None:
        """Stop programs (within `grace_s` seconds, then SIGKILL), then servers; harmless if nothing runs."""
        self._stopped.set()
        try:
            if self.supervisor is not None:
                self.supervisor.stop(grace_s)
        finally:
            if self.servers is not None:
                self.servers.stop()
