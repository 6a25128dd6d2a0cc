"""GuardedHttp: GET a stranger's file and POST to a stranger's server, within limits.

Built on httpcore (what httpx itself stands on), because it lets us dial; httpx resolves names by itself.
Nothing is kept between requests: no connections, no cookies, no proxy from the environment.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import httpcore

from domain.errors import InputRejected, Unavailable
from worker.net import refusals
from worker.net.dialing import Deadline, GuardedBackend, Resolver, system_resolver
from worker.net.urls import PORTS, Target, parse, redirect

USER_AGENT = "Shelfguard/1"
REDIRECTS = frozenset({301, 302, 303, 307, 308})
FOUND = frozenset({200, 203})
GONE = frozenset({404, 410})
LATER = frozenset({408, 425, 429})  # with all of 5xx: the server asks to come again
MEDIA = ("image/", "application/octet-stream", "binary/octet-stream")
POST_ANSWER_BYTES = 65_536  # read and dropped, so that the server sees a proper end


@dataclass(frozen=True, slots=True)
class Fetched:
    """A downloaded file. content_type is lower-case without parameters, "" if the server named none."""

    body: bytes
    content_type: str
    final_url: str


@dataclass(frozen=True, slots=True)
class Received:
    """An answer to a POST. cut_off: there was more than was read, or it came compressed although asked not to."""

    status: int
    body: bytes
    cut_off: bool


class TimedOut(Unavailable):
    """No complete answer in time; whether the server did what it was asked is not known."""


class GuardedHttp:
    """Outbound HTTP for untrusted addresses. Safe to share between threads and to use after a fork."""

    def __init__(
        self,
        *,
        allow_private: bool = False,
        timeout_s: float = 10.0,
        max_bytes: int = 20_000_000,
        max_redirects: int = 3,
        ports: frozenset[int] = PORTS,
        resolver: Resolver = system_resolver,
    ) -> None:
        """timeout_s is for a whole request, redirects included. `allow_private` (development and tests only) opens
        loopback, private addresses and all ports; link-local stays shut."""
        self._allow_private = allow_private
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._max_redirects = max_redirects
        self._ports = None if allow_private else ports
        self._resolver = resolver

    def check(self, url: str) -> Target:
        """What can be said about an address without the network. Raises InputRejected: url_invalid, url_blocked."""
        return parse(url, ports=self._ports)

    def get(self, url: str) -> Fetched:
        """Download an image, following redirects.

        Raises InputRejected for what will not get better: url_invalid, url_blocked, url_not_found, url_refused,
        url_not_an_image, too_large, too_many_redirects. Raises Unavailable for the rest: no answer in time, a
        connection or a name that fails, HTTP 5xx, 408, 425 and 429.
        """
        deadline = Deadline(self._timeout_s)
        target = self.check(url)
        for _ in range(self._max_redirects + 1):
            with self._answer("GET", target, deadline, {"Accept": "image/*"}, None) as answer:
                location = _header(answer, b"location")
                if answer.status not in REDIRECTS or not location:
                    return self._download(answer, target)
            target = redirect(target, location, ports=self._ports)
        raise refusals.too_many_redirects(self._max_redirects)

    def post(
        self, url: str, content: bytes, headers: Mapping[str, str], *, timeout_s: float | None = None
    ) -> tuple[int, dict[str, str]]:
        """Send bytes; returns the status and the headers (lower-case names). Redirects are not followed.

        Raises InputRejected (url_invalid, url_blocked) or Unavailable (no answer); every status is an answer.
        """
        deadline = Deadline(timeout_s or self._timeout_s)
        with self._answer("POST", self.check(url), deadline, headers, content) as answer:
            _skim(answer)
            return answer.status, {name.decode("latin-1").lower(): _text(value) for name, value in answer.headers}

    def post_for(
        self, url: str, content: bytes, headers: Mapping[str, str], *, timeout_s: float, max_bytes: int
    ) -> Received:
        """Send bytes and read the answer, `max_bytes` at most. Redirects are not followed.

        Raises InputRejected (url_invalid, url_blocked), TimedOut or Unavailable (no answer).
        """
        with self._answer("POST", self.check(url), Deadline(timeout_s), headers, content) as answer:
            if _header(answer, b"content-encoding").lower() not in ("", "identity"):
                return Received(answer.status, b"", cut_off=True)
            body = bytearray()
            for piece in answer.iter_stream():
                body += piece
                if len(body) > max_bytes:
                    return Received(answer.status, b"", cut_off=True)
            return Received(answer.status, bytes(body), cut_off=False)

    @contextmanager
    def _answer(
        self, method: str, target: Target, deadline: Deadline, headers: Mapping[str, str], content: bytes | None
    ) -> Iterator[httpcore.Response]:
        """One request on a connection of its own; the body is not read yet. Transport errors become Unavailable."""
        ours = {"Host": target.authority, "User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        given = {name: value for name, value in headers.items() if name.lower() != "host"}
        backend = GuardedBackend(self._resolver, deadline, allow_private=self._allow_private)
        try:
            with (
                httpcore.ConnectionPool(ssl_context=self._tls, network_backend=backend) as pool,
                pool.stream(method, target.url, headers=_encoded(ours | given), content=content) as answer,
            ):
                yield answer
        except InputRejected:
            raise
        except (httpcore.TimeoutException, TimeoutError) as error:
            raise TimedOut(target.authority, f"no complete answer within {deadline.seconds:g} seconds") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise Unavailable(target.authority, str(error) or type(error).__name__) from error

    def _download(self, answer: httpcore.Response, target: Target) -> Fetched:
        _check_status(answer.status, target)
        kind = _header(answer, b"content-type").partition(";")[0].strip().lower()
        if kind and not kind.startswith(MEDIA):
            raise refusals.wrong_type(kind[:60])
        if _header(answer, b"content-encoding").lower() not in ("", "identity"):
            raise refusals.compressed()  # what it unpacks to is unknown, and a photo gains nothing by it
        declared = _header(answer, b"content-length")
        if declared.isdigit() and int(declared) > self._max_bytes:
            raise refusals.too_large(self._max_bytes)
        body = bytearray()
        for piece in answer.iter_stream():
            body += piece
            if len(body) > self._max_bytes:
                raise refusals.too_large(self._max_bytes)
        return Fetched(bytes(body), kind, target.url)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Built once: reading the certificates takes 20 ms."""
        return httpcore.default_ssl_context()


def _check_status(status: int, target: Target) -> None:
    if status in FOUND:
        return
    if status in GONE:
        raise refusals.not_found(status)
    if status >= 500 or status in LATER:
        raise Unavailable(target.authority, f"it answers HTTP {status}")
    raise refusals.refused(status)


def _skim(answer: httpcore.Response) -> None:
    left = POST_ANSWER_BYTES
    for piece in answer.iter_stream():
        left -= len(piece)
        if left < 0:
            return


def _header(answer: httpcore.Response, name: bytes) -> str:
    return next((_text(value) for key, value in answer.headers if key.lower() == name), "")


def _text(value: bytes) -> str:
    return value.decode("latin-1").strip()


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
