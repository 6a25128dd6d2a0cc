"""Names that callers send, checked before they reach SQL."""

from __future__ import annotations

from uuid import UUID

from domain.errors import NotFound
from domain.unicode import has_lone_surrogate


def uuid_of(kind: str, text: str) -> str:
    """The canonical form of an id of ours. Raises NotFound for anything that cannot be one."""
    try:
        return str(UUID(text))
    except ValueError:
        raise NotFound(kind, printable(text)) from None


def plain(kind: str, text: str) -> str:
    """A caller's own id as PostgreSQL can compare it. Raises NotFound: a NUL or a lone surrogate is in none."""
    if "\0" in text or has_lone_surrogate(text):
        raise NotFound(kind, printable(text))
    return text


def printable(text: str) -> str:
    """For messages: short, without control characters."""
    return "".join(character if character.isprintable() else "?" for character in text[:100])
