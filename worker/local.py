"""The three servers on this machine, from pip wheels: Valkey, PostgreSQL and SeaweedFS, the real ones.

They listen on loopback only, with random passwords, on ports kept in the state directory. Each runs under a watchdog
that ends it when this process goes away, however it goes.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from worker.embedded.common import EmbeddedServer, ServerError, ServerName, launch
from worker.embedded.postgres import Postgres
from worker.embedded.seaweed import BUCKET, Seaweed
from worker.embedded.valkey import Valkey
from worker.processes import DirectoryLock, GuardedProcess, ProcessError, end_leftovers, private_dir

__all__ = ["ALL_SERVERS", "Endpoints", "LocalServers", "ServerError", "ServerName"]

ALL_SERVERS: Final[tuple[ServerName, ...]] = ("valkey", "postgres", "s3")


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the servers answer. A server that was not asked for has empty fields."""

    database_url: str
    redis_url: str
    s3_endpoint_url: str
    s3_access_key: str
    s3_secret_key: str
    s3_bucket: str

    def environment(self) -> dict[str, str]:
        """The same as SHELFGUARD_* settings, without the empty ones."""
        return {
            f"SHELFGUARD_{name.upper()}": value
            for name in self.__dataclass_fields__
            if (value := str(getattr(self, name)))
        }


class LocalServers:
    """Starts and stops the servers of one state directory; a context manager.

    `durable` keeps PostgreSQL's and Valkey's promises across a power cut; without it they are faster, for tests.
    Only one process at a time can hold a state directory.
    """

    def __init__(self, state_dir: Path, *, durable: bool = True, servers: Iterable[ServerName] = ALL_SERVERS) -> None:
        self.state_dir = state_dir.absolute()
        self._durable = durable
        self._names = tuple(name for name in ALL_SERVERS if name in set(servers))
        self._servers: dict[ServerName, EmbeddedServer] = {}
        self._running: dict[ServerName, GuardedProcess] = {}
        self._lock = DirectoryLock(self.state_dir / "servers.lock")
        self._change = threading.RLock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Endpoints:
        """Start all servers side by side and wait until each is ready; harmless if they run.

        Raises ServerError with the end of the log; then none is left running.
        """
        with self._change:
            if not self._servers:
                self._take_hold()
            missing = [name for name in self._names if name not in self._running]
            try:
                with ThreadPoolExecutor(max_workers=len(ALL_SERVERS)) as pool:
                    list(pool.map(self._bring_up, missing))
            except BaseException:
                self.stop()
                raise
            return self.endpoints()

    def _bring_up(self, name: ServerName) -> None:
        self._running[name] = launch(self._servers[name])

    def _take_hold(self) -> None:
        private_dir(self.state_dir)
        if not self._lock.acquire(timeout_s=2.0):
            raise ServerError(
                f"process {self._lock.holder()} already runs the servers of {self.state_dir}; "
                "stop it (`make down`) or use another state directory"
            )
        try:
            end_leftovers(self._run_dir)
            kinds: dict[ServerName, type[EmbeddedServer]] = {"valkey": Valkey, "postgres": Postgres, "s3": Seaweed}
            self._servers = {name: kinds[name](self.state_dir, durable=self._durable) for name in self._names}
        except BaseException as error:
            self._lock.release()
            if isinstance(error, ProcessError):
                raise ServerError(str(error)) from error
            raise

    @property
    def _run_dir(self) -> Path:
        return self.state_dir / "run" / "servers"

    def endpoints(self) -> Endpoints:
        """Where the servers answer; known once they have been started."""
        valkey, postgres, s3 = (self._servers.get(name) for name in ALL_SERVERS)
        return Endpoints(
            database_url=postgres.url if isinstance(postgres, Postgres) else "",
            redis_url=valkey.url if isinstance(valkey, Valkey) else "",
            s3_endpoint_url=s3.url if isinstance(s3, Seaweed) else "",
            s3_access_key=s3.access_key if isinstance(s3, Seaweed) else "",
            s3_secret_key=s3.secret_key if isinstance(s3, Seaweed) else "",
            s3_bucket=BUCKET if isinstance(s3, Seaweed) else "",
        )

    def stop(self) -> None:
        """Stop all servers kindly, SIGKILL after each one's grace period, and let go of the directory."""
        with self._change:
            for name, process in self._running.items():
                process.ask_to_stop(self._servers[name].grace_s)
            for name, process in self._running.items():
                process.stop(self._servers[name].grace_s)
                self._servers[name].after_stop()
            self._running.clear()
            self._servers = {}
            self._lock.release()

    def destroy(self) -> None:
        """Stop all servers and remove the state directory, with what PostgreSQL may keep outside it."""
        with self._change:
            if not self._servers:
                self._take_hold()
            for server in self._servers.values():
                server.destroy()
            self.stop()
            shutil.rmtree(self.state_dir, ignore_errors=True)

    def kill(self, name: ServerName) -> None:
        """SIGKILL a server with all its processes, for fault tests; it stays down until `restart`."""
        with self._change:
            self._running.pop(name).kill()
            self._servers[name].after_stop()

    def restart(self, name: ServerName, *, empty: bool = False) -> None:
        """Bring a server back at the same address, stopping it first if it runs; `empty` makes Valkey forget all.

        Raises ServerError if it does not come back, ValueError for `empty` with another server.
        """
        if empty and name != "valkey":
            raise ValueError(f"only valkey can be restarted empty, not {name}")
        with self._change:
            server = self._servers[name]
            if name in self._running:
                self._running.pop(name).stop(server.grace_s)
                server.after_stop()
            if empty:
                server.clear()
            self._running[name] = launch(server, keep_ports=True)

    def revive(self) -> list[ServerName]:
        """Bring back what died without having been told to, at the same address; returns which.

        Raises ServerError if one does not come back; call again to try again.
        """
        with self._change:
            dead = [name for name, process in self._running.items() if process.poll() is not None]
            for name in dead:
                self._running[name] = launch(self._servers[name], keep_ports=True)
            return dead

    def pids(self) -> dict[str, int]:
        """The main process of each server that should be running."""
        with self._change:
            return {name: process.pid for name, process in self._running.items()}
