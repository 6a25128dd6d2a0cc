"""Page by page: a cursor holds the sort key of the last row shown, so that new rows never shift a page."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from uuid import UUID

from domain.errors import InputRejected

MAX_PAGE = 200


def write_cursor(*key: object) -> str:
    """The key's values as text, wrapped url-safe: opaque to callers."""
    text = json.dumps([value.isoformat() if isinstance(value, datetime) else value for value in key])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str, *kinds: type) -> list[object]:
    """The values, each of its kind (int, datetime or UUID). Raises InputRejected for what is not of our making."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        values = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(values, list):
            raise TypeError("not a list")
        return [_read(value, kind) for value, kind in zip(values, kinds, strict=True)]
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InputRejected(
            "bad_cursor", "cursor: it is not one of ours; send the last page's next_cursor, or leave it out."
        ) from error


def _read(value: object, kind: type) -> object:
    if kind is int:
        if type(value) is not int or abs(value) > 2**31:
            raise TypeError("not a whole number")
        return value
    if not isinstance(value, str):
        raise TypeError("not text")
    if kind is UUID:
        return str(UUID(value))
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    return moment


def page_size(limit: int) -> int:
    """Raises InputRejected outside 1 to MAX_PAGE."""
    if not 1 <= limit <= MAX_PAGE:
        raise InputRejected("bad_limit", f"limit: send a number from 1 to {MAX_PAGE}.")
    return limit
