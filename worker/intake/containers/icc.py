"""Is this colour profile fit to be kept? It is carried along in `original`; we never interpret it ourselves."""

from __future__ import annotations

MAX_PROFILE = 1_000_000  # bytes; printer profiles reach 600 kB, and Pillow refuses more than 1 MiB
SIGNATURE = slice(36, 40)


def acceptable(profile: bytes) -> bool:
    """The declared size and the file signature fit (ICC.1:2022, section 7.2)."""
    return (
        132 <= len(profile) <= MAX_PROFILE
        and profile[SIGNATURE] == b"acsp"
        and int.from_bytes(profile[:4], "big") <= len(profile)
    )
