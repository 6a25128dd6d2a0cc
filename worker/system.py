"""The whole system on one machine: servers, schema, workers, API, under one supervisor. Behind `up` and `demo`.

External servers are used where the environment names them; nothing else differs.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
from cryptography.fernet import Fernet

from domain.errors import Unavailable
from worker.local import LocalServers
from worker.storage.accounts import Accounts
from worker.storage.database import Database
from worker.supervisor import Program, Supervisor, SupervisorError, System

DEFAULT_TENANT = "default"
_PREFERRED_PORT = 8080
_TOKEN_DAYS = 30
# By module, not by script: works from a checkout and from an installed wheel alike.
_SHELFGUARD = (sys.executable, "-m", "worker.cli.main")


@dataclass(frozen=True, slots=True)
class Up:
    """Where the running system answers, with what one needs to use it. Written to up.json, mode 0600."""

    api: str
    token: str
    tenant: str
    broker: str
    database: str
    s3: Mapping[str, str | None]

    def as_json(self) -> dict[str, Any]:
        return {
            "api": self.api,
            "docs": f"{self.api}/docs",
            # The reviewers' pages and their login; null until there are any.
            "review": None,
            "login": None,
            "token": self.token,
            "tenant": self.tenant,
            "broker": self.broker,
            "database": self.database,
            "s3": dict(self.s3),
        }


class LocalSystem:
    """Starts and stops everything; a context manager. One at a time for each state directory."""

    def __init__(self, state_dir: Path, *, durable: bool = True, settings: Mapping[str, str] | None = None) -> None:
        """`settings` are SHELFGUARD_* values for every process of this system."""
        self.state_dir = state_dir.absolute()
        self._port = _free_port(self.state_dir / "api.port")
        environ = {
            # A laptop's shop need not be announced first; a site's should be (README, "Tenants and tokens").
            "SHELFGUARD_TENANT_ON_FIRST_USE": "true",
            # The receiver that a developer writes first listens on this machine.
            "SHELFGUARD_WEBHOOK_ALLOW_PRIVATE": "true",
            # The pages are looked at on this machine, without a certificate.
            "SHELFGUARD_COOKIES_OVER_HTTP": "true",
            "SHELFGUARD_SECRET_KEY": _secret_key(self.state_dir),
            **os.environ,
            "SHELFGUARD_API_PORT": str(self._port),
            **(settings or {}),
        }
        self.system = System(self.state_dir, migrate=[*_SHELFGUARD, "migrate"], durable=durable, environ=environ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, say: Callable[[str], None] = lambda _: None) -> Up:
        """Bring everything up and wait until it is ready. Raises ServerError, SupervisorError; then nothing is left."""
        try:
            say("starting servers, migrating the schema")
            environ = self.system.prepare()
            up = _describe(self._port, environ)
            say("starting workers, loading the model")
            self.system.start(_programs(up.api))
        except BaseException:
            self.stop()
            raise
        return up

    @property
    def supervisor(self) -> Supervisor:
        """Of the running programs: api, intake, vision, publish, deliver, beat."""
        if self.system.supervisor is None:
            raise SupervisorError("the system has not been started")
        return self.system.supervisor

    @property
    def servers(self) -> LocalServers:
        """The embedded servers. Raises SupervisorError where all of them are external."""
        if self.system.servers is None:
            raise SupervisorError("all servers are external here")
        return self.system.servers

    def run_forever(self) -> None:
        """Block until SIGTERM or SIGINT, then stop everything. Main thread only."""
        self.system.run_forever()

    def stop(self) -> None:
        """Stop workers kindly, then the servers. Harmless when nothing runs."""
        self.system.stop()


def write_up(state_dir: Path, up: Up) -> Path:
    """Write up.json so that only its owner can read it: it holds a token and passwords."""
    path = state_dir / "up.json"
    new = state_dir / "up.json.new"
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:  # noqa: PTH123 (mode)
        json.dump(up.as_json(), file, indent=2)
    new.replace(path)
    return path


def wipe(state_dir: Path) -> None:
    """Remove what an earlier system kept in `state_dir`, also what its PostgreSQL kept outside it."""
    if state_dir.exists():
        LocalServers(state_dir).destroy()
        shutil.rmtree(state_dir, ignore_errors=True)


def _programs(api: str) -> list[Program]:
    stages = ("intake", "vision", "publish", "deliver", "beat")
    return [
        Program("api", [*_SHELFGUARD, "api"], ready=lambda: _answers(f"{api}/readyz")),
        *(Program(stage, [*_SHELFGUARD, "worker", stage]) for stage in stages),
    ]


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _describe(port: int, environ: Mapping[str, str]) -> Up:
    """Tenant and token for the person at this machine."""
    database = Database(environ["SHELFGUARD_DATABASE_URL"])
    try:
        accounts = Accounts(database, environ["SHELFGUARD_SECRET_KEY"])
        accounts.ensure_tenant(DEFAULT_TENANT)
        token = accounts.add_token("admin", None, "local system", days=_TOKEN_DAYS)
    finally:
        database.close()
    return Up(
        api=f"http://127.0.0.1:{port}",
        token=token.secret,
        tenant=DEFAULT_TENANT,
        broker=environ["SHELFGUARD_REDIS_URL"],
        database=environ["SHELFGUARD_DATABASE_URL"],
        s3={
            name: environ.get(f"SHELFGUARD_S3_{name.upper()}")
            for name in ("endpoint_url", "bucket", "access_key", "secret_key")
        },
    )


def _secret_key(state_dir: Path) -> str:
    """This machine's own key, made at first use; webhook secrets in its database are encrypted with it."""
    path = state_dir / "secret_key"
    state_dir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 (mode)
            file.write(Fernet.generate_key())
    return path.read_text().strip()


def _free_port(kept: Path) -> int:
    """The port of last time if it is free, else the usual one, else any: addresses in up.json stay the same."""
    if given := os.environ.get("SHELFGUARD_API_PORT"):
        return int(given)
    before = [int(kept.read_text())] if kept.exists() else []
    for candidate in [*before, _PREFERRED_PORT, 0]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            port: int = probe.getsockname()[1]
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(str(port))
            return port
    raise Unavailable("a port for the API", "none is free on 127.0.0.1")
