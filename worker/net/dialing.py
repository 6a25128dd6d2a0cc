"""Resolve once, check every answer, connect to a checked address; and one deadline over everything on the wire."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpcore

from worker.net import refusals
from worker.net.addresses import is_allowed

# (host, port) -> textual IP addresses. Raises OSError when the name has none.
Resolver = Callable[[str, int], list[str]]
SocketOptions = Iterable[Any]
MOST_ADDRESSES = 4  # tried in order; a name with more is a content network, and one of four answers


def system_resolver(host: str, port: int) -> list[str]:
    """The operating system's answer, without duplicates, in its order of preference."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Deadline:
    """A moment by the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._at = time.monotonic() + seconds

    def left(self, timeout: float | None = None) -> float:
        """Seconds left, at most `timeout`. Raises TimeoutError when there are none."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for this request is over")
        return left if timeout is None else min(left, timeout)


class GuardedBackend(httpcore.NetworkBackend):
    """Connects to checked addresses only. TLS names and the Host header stay those of the address as given."""

    def __init__(self, resolve: Resolver, deadline: Deadline, *, allow_private: bool) -> None:
        self._resolve = resolve
        self._deadline = deadline
        self._allow_private = allow_private
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: SocketOptions | None = None,
    ) -> httpcore.NetworkStream:
        """Raises InputRejected (url_blocked) when any answer for the name is not public."""
        addresses = self._resolve_in_time(host, port)
        if not addresses:
            raise httpcore.ConnectError("the name has no address")
        # One private answer among public ones is an attack or a mistake; either way the others prove nothing.
        if not all(is_allowed(address, allow_private=self._allow_private) for address in addresses):
            raise refusals.blocked("its host is not on the public internet")
        failure: Exception = httpcore.ConnectError("no address")
        for address in addresses[:MOST_ADDRESSES]:
            try:
                stream = self._plain.connect_tcp(
                    address, port, self._deadline.left(timeout), local_address, socket_options
                )
                return _DeadlineStream(stream, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: SocketOptions | None = None
    ) -> httpcore.NetworkStream:
        """Never."""
        raise refusals.blocked("it names a socket of this machine")

    def _resolve_in_time(self, host: str, port: int) -> list[str]:
        """getaddrinfo takes no timeout, so it runs beside us; one that hangs ends with the system's own limit."""
        outcome: list[list[str] | OSError] = []

        def ask() -> None:
            try:
                outcome.append(self._resolve(host, port))
            except (OSError, UnicodeError) as error:
                outcome.append(error if isinstance(error, OSError) else OSError(str(error)))

        asker = threading.Thread(target=ask, name="resolve", daemon=True)
        asker.start()
        asker.join(self._deadline.left())
        if not outcome:
            raise TimeoutError("the name server did not answer in time")
        if isinstance(outcome[0], OSError):
            raise httpcore.ConnectError(f"the name does not resolve: {outcome[0]}")
        return outcome[0]


class _DeadlineStream(httpcore.NetworkStream):
    """A stream whose every read and write ends at the request's deadline, however slowly the bytes drip."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, self._deadline.left(timeout))
        return _DeadlineStream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
