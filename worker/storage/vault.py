"""Secrets at rest: webhook secrets have to be read again for signing, so they are encrypted, not hashed."""

from __future__ import annotations

from cryptography.fernet import Fernet, InvalidToken

from domain.errors import Unavailable


class Vault:
    """Fernet (AES-128-CBC with HMAC-SHA256) under the site's secret key: 32 bytes, url-safe base64.

    Raises ValueError for a key of another form.
    """

    def __init__(self, key: str) -> None:
        self._fernet = Fernet(key)

    def seal(self, secret: str) -> bytes:
        return self._fernet.encrypt(secret.encode())

    def open(self, sealed: bytes) -> str:
        """Raises Unavailable when the secret was sealed under another key."""
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken as error:
            raise Unavailable(
                "a webhook's secret",
                "it was sealed under another SHELFGUARD_SECRET_KEY; "
                "restore that key, or revoke the webhook and add it again",
            ) from error
