"""What the embedded servers share: remembered ports and passwords, and waiting until a server truly answers."""

from __future__ import annotations

import json
import os
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from worker.processes import (
    Command,
    GuardedProcess,
    ProcessError,
    free_ports,
    log_tail,
    port_is_free,
    private_dir,
    write_private,
)

ServerName = Literal["valkey", "postgres", "s3"]

READY_TIMEOUT_S = 90.0
"""Seconds a server may take to answer: the slowest part is PostgreSQL replaying its log on a busy machine."""
READY_PAUSE_S = 0.05
PORT_CHANGES = 3
SAME_PORT_TIMEOUT_S = 10.0


class ServerError(RuntimeError):
    """An embedded server did not start or stop. The message says what to do and shows the end of its log."""


class StateFile:
    """Ports, passwords and places of one state directory, kept from run to run in a file only we may read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._kept: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:
            self._kept = {}
        except ValueError as error:
            raise ServerError(f"{path} is not readable as JSON ({error}); move it away to begin afresh") from error

    def get(self, key: str) -> Any:
        """What was kept under this key, or None."""
        return self._kept.get(key)

    def put(self, key: str, value: object) -> None:
        """Keep a value that JSON can hold; None forgets it."""
        if value is None:
            self._kept.pop(key, None)
        else:
            self._kept[key] = value
        write_private(self._path, json.dumps(self._kept, indent=1))

    def secret(self, key: str) -> str:
        """The secret of that name, made at random the first time; safe in URLs and configuration files."""
        if self.get(key) is None:
            self.put(key, secrets.token_hex(24))
        return str(self.get(key))


class EmbeddedServer(ABC):
    """One server: its files, its command line and its proof of life. `launch` does the rest."""

    name: ClassVar[ServerName]
    port_names: ClassVar[tuple[str, ...]] = ("main",)
    grace_s: ClassVar[float] = 10.0
    """Seconds between the request to stop and SIGKILL."""

    def __init__(self, state_dir: Path, *, durable: bool) -> None:
        self.home = private_dir(state_dir / self.name)
        self.log = state_dir / "logs" / f"{self.name}.log"
        self.run_dir = state_dir / "run" / "servers"
        self.durable = durable
        # One file for each server, as they start in parallel; not in `home`, which may belong to a service account.
        self.state = StateFile(state_dir / "servers" / f"{self.name}.json")

    @abstractmethod
    def prepare(self) -> Command:
        """Write the files, initialise the data if need be, and say what to run. Raises ServerError, ProcessError."""

    @abstractmethod
    def probe(self) -> str | None:
        """None once the server has answered in its own protocol and is ready for use, else why not."""

    @abstractmethod
    def clear(self) -> None:
        """Remove its data; the server must not be running."""

    def destroy(self) -> None:  # noqa: B027 - a hook
        """Remove what it keeps outside the state directory, if anything."""

    def before_start(self) -> None:  # noqa: B027 - a hook
        """Clear away what a crashed run may have left in the way."""

    def after_stop(self) -> None:  # noqa: B027 - a hook
        """Clear away what the server itself leaves behind."""

    def port(self, name: str = "main") -> int:
        """The port kept for this purpose."""
        return int(self.state.get("ports")[name])

    def ports(self) -> dict[str, int]:
        """All ports, by purpose."""
        return dict(self.state.get("ports") or {})

    def settle_ports(self) -> None:
        """Keep the ports of the last run where they are free, choose others where they are not."""
        kept = self.ports()
        if set(kept) != set(self.port_names) or not all(map(port_is_free, kept.values())):
            self.state.put("ports", self.choose_ports())

    def choose_ports(self) -> dict[str, int]:
        """Fresh ports for every purpose."""
        return dict(zip(self.port_names, free_ports(len(self.port_names)), strict=True))

    def environment(self) -> Mapping[str, str]:
        """A bare environment: what the user has exported for other programs must not change how ours behave."""
        return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.home), "LC_ALL": "C", "TZ": "UTC"}


def launch(server: EmbeddedServer, *, keep_ports: bool = False) -> GuardedProcess:
    """Start a server and wait until it is ready.

    With `keep_ports` it comes back at the address it had (clients are waiting there), else a port that somebody
    else has taken meanwhile is replaced. Raises ServerError.
    """
    for attempt in range(PORT_CHANGES):
        if keep_ports:
            _await_own_ports(server)
        else:
            server.settle_ports()
        try:
            server.before_start()
            command = server.prepare()
            process = GuardedProcess.spawn(server.name, command, server.log, server.run_dir)
        except (OSError, ProcessError) as error:
            raise ServerError(f"{server.name} could not be started: {error}{_log_excerpt(server)}") from error
        trouble = _await_ready(server, process)
        if trouble is None:
            return process
        process.kill()
        server.after_stop()
        port_was_stolen = not all(map(port_is_free, server.ports().values()))
        if keep_ports or not port_was_stolen or attempt == PORT_CHANGES - 1:
            raise ServerError(f"{server.name} {trouble}.{_log_excerpt(server)}")
    raise AssertionError("unreachable")


def _await_own_ports(server: EmbeddedServer) -> None:
    deadline = time.monotonic() + SAME_PORT_TIMEOUT_S
    while not all(map(port_is_free, server.ports().values())):
        if time.monotonic() > deadline:
            raise ServerError(f"another program has taken a port of {server.name} ({server.ports()}); end it first")
        time.sleep(READY_PAUSE_S)


def _await_ready(server: EmbeddedServer, process: GuardedProcess) -> str | None:
    """None once the server is ready, else what went wrong."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while True:
        trouble = server.probe()
        if process.poll() is not None:
            return f"ended with status {process.poll()} before it was ready"
        if trouble is None:
            return None
        if time.monotonic() > deadline:
            return f"did not answer within {READY_TIMEOUT_S:g} s ({trouble})"
        time.sleep(READY_PAUSE_S)


def _log_excerpt(server: EmbeddedServer) -> str:
    return f"\nThe end of {server.log}:\n{log_tail(server.log) or '(empty)'}"
