"""Passwords: argon2id (RFC 9106) through argon2-cffi."""

from __future__ import annotations

import secrets
import unicodedata

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from domain.errors import InputRejected

SHORTEST, LONGEST = 12, 256  # characters; length is what helps (NIST SP 800-63B), no rules about kinds of characters


class Passwords:
    """Defaults are RFC 9106's second recommended option: 64 MiB, 3 passes, 4 lanes."""

    def __init__(self, memory_kib: int = 65_536, passes: int = 3, lanes: int = 4) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes, type=Type.ID)
        # Checked against where there is no such person, so that the time taken says nothing.
        self._nobody = self._hasher.hash(secrets.token_hex(16))

    def hash(self, password: str) -> str:
        """Raises InputRejected for one that is too short or too long."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise InputRejected("bad_password", f"password: choose {SHORTEST} to {LONGEST} characters.")
        return self._hasher.hash(_normal(password))

    def matches(self, password: str, hashed: str | None) -> bool:
        """Takes as long without a hash as with one."""
        try:
            self._hasher.verify(hashed or self._nobody, _normal(password[:LONGEST]))
        except (VerificationError, InvalidHashError):
            return False
        return hashed is not None

    def outdated(self, hashed: str) -> bool:
        """Made with other parameters than today's."""
        return self._hasher.check_needs_rehash(hashed)


def _normal(password: str) -> bytes:
    """The same bytes however a keyboard composes an accent (RFC 8265)."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "replace")
