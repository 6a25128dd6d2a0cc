"""Which IP addresses may be dialled. An allow-list of meaning: only what is publicly routed, and no translations.

Sources: IANA IPv4 and IPv6 special-purpose registries (RFC 6890 and successors); clouds' metadata addresses.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

BLOCKED_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # carrier-grade NAT
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local, cloud metadata
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments, Oracle's metadata
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarking
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
            "168.63.129.16/32",  # Azure's host agent answers here inside every virtual machine
        ),
    )
)
# All else is unspecified, loopback, mapped (::ffff:0:0/96), compatible (::/96), NAT64 (64:ff9b::/96 and
# 64:ff9b:1::/48), unique local, link-local, multicast or unassigned.
ROUTED_V6 = IPv6Network("2000::/3")
BLOCKED_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo among them
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: an IPv4 address inside
            "3fff::/20",  # documentation
        ),
    )
)
ISATAP = frozenset({0x00005EFE, 0x02005EFE})  # upper half of an interface identifier with an IPv4 address inside
# What `allow_private` opens, for development and tests. Link-local stays shut: metadata lives there.
PRIVATE: tuple[IPv4Network | IPv6Network, ...] = (
    *map(IPv4Network, ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")),
    *map(IPv6Network, ("::1/128", "fc00::/7")),
)


def is_allowed(address: str, *, allow_private: bool = False) -> bool:
    """Whether this textual IP address may be dialled. Anything with a zone, or that is no address, may not."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if allow_private and any(parsed in network for network in PRIVATE if network.version == parsed.version):
        return True
    return _is_public(parsed)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in BLOCKED_V4)
    if address.scope_id is not None or address not in ROUTED_V6:
        return False
    interface_upper = int(address) >> 32 & 0xFFFFFFFF
    return interface_upper not in ISATAP and not any(address in network for network in BLOCKED_V6)
