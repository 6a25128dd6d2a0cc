"""An address as text: what is refused before any name is resolved.

Parsers disagree about odd addresses, and attacks live in the disagreement. So whatever is odd is refused instead of
repaired (RFC 3986; WHATWG URL, "ends in a number" hosts).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import quote, urljoin, urlsplit

from worker.net import refusals

PORTS = frozenset({80, 443, 8080, 8443})
DEFAULT_PORTS = {"http": 80, "https": 443}
LONGEST = 2_048  # characters
CONTROL = re.compile(
    r"[\x00-\x20\x7f\\]"
)  # control characters, blanks, and the backslash that browsers read as a slash
HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")
NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
PATH_SAFE = "/%:@!$&'()*+,;=~-._?"


@dataclass(frozen=True, slots=True)
class Target:
    """A checked address. host has no brackets; path begins with a slash and carries the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """host or host:port as the Host header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def parse(url: str, *, ports: frozenset[int] | None = PORTS) -> Target:
    """Check an address as text; `ports` None = any. Raises InputRejected: url_invalid, url_blocked."""
    if len(url) > LONGEST:
        raise refusals.invalid(f"it is longer than {LONGEST} characters")
    if CONTROL.search(url):
        raise refusals.invalid("it contains blanks, control characters or a backslash")
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError as error:
        raise refusals.invalid("it cannot be read") from error
    if split.scheme not in DEFAULT_PORTS:
        raise refusals.blocked(f"its scheme is {split.scheme[:20]!r}" if split.scheme else "it has no scheme")
    if "@" in split.netloc:
        raise refusals.blocked("it contains a user name or password")
    port = DEFAULT_PORTS[split.scheme] if port is None else port
    if ports is not None and port not in ports:
        raise refusals.blocked(f"port {port} is not among {', '.join(map(str, sorted(ports)))}")
    path = quote(split.path or "/", safe=PATH_SAFE)
    query = f"?{quote(split.query, safe=PATH_SAFE)}" if split.query else ""
    return Target(split.scheme, _host(split.netloc, split.hostname or ""), port, path + query)


def redirect(base: Target, location: str, *, ports: frozenset[int] | None = PORTS) -> Target:
    """The target of a Location header, checked like any other address."""
    if CONTROL.search(location):
        raise refusals.invalid("it redirects to an address with blanks, control characters or a backslash")
    try:
        return parse(urljoin(base.url, location), ports=ports)
    except ValueError as error:
        raise refusals.invalid("it redirects to an address that cannot be read") from error


def _host(netloc: str, host: str) -> str:
    if not host.isascii():
        raise refusals.invalid("its host name has letters beyond ASCII (write it in its xn-- form)")
    if netloc.startswith("["):
        return _ipv6(host)
    if len(host) > 253 or not HOST.fullmatch(host):
        raise refusals.invalid("its host name is not a host name")
    if NUMERIC_LABEL.fullmatch(host.rstrip(".").rsplit(".", 1)[-1]):
        return _ipv4(host)
    return host


def _ipv4(host: str) -> str:
    """Four decimal numbers and nothing else: 0x7f.1, 2130706433 and 0177.0.0.1 are ways round a filter."""
    try:
        return str(IPv4Address(host))
    except AddressValueError as error:
        raise refusals.blocked("its host is a number in an unusual notation") from error


def _ipv6(host: str) -> str:
    if "%" in host:
        raise refusals.blocked("its host has a zone")
    try:
        return str(IPv6Address(host))
    except AddressValueError as error:
        raise refusals.invalid("its host is not an IPv6 address") from error
