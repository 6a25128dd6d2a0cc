"""Keys of the object store. Names come from shops, so every part is made safe for a path first."""

from __future__ import annotations

import hashlib
from urllib.parse import quote
from uuid import uuid4

LONGEST_PART = 200  # characters; S3 allows 1,024 bytes for a whole key
KEPT_OF_LONG = 120


def part(name: str) -> str:
    """One part of a key: letters, digits and `_.-~` stay, the rest is percent-encoded; never empty, `.` or `..`.

    Different names give different parts: a long one is cut and ends in its SHA-256, which makes it longer than any
    name that is kept whole.
    """
    if not name:
        raise ValueError("a part of an object key is empty; tenants and products have names")
    raw = name.encode("utf-8", "surrogatepass")
    encoded = quote(raw, safe="")
    if not encoded.strip("."):
        encoded = encoded.replace(".", "%2E")
    if len(encoded) > LONGEST_PART:
        filler = "~" * (LONGEST_PART - KEPT_OF_LONG - 63)
        return encoded[:KEPT_OF_LONG] + filler + hashlib.sha256(raw).hexdigest()
    return encoded


def blob(tenant: str, data: bytes) -> str:
    return f"{part(tenant)}/blobs/{hashlib.sha256(data).hexdigest()}"


def record(tenant: str, product_id: str, revision: int) -> str:
    return f"{part(tenant)}/records/{part(product_id)}/{revision}.json"


def upload(tenant: str) -> str:
    """A key of its own for each upload, so that deleting one after intake can never take another job's bytes."""
    return f"{upload_prefix(tenant)}{uuid4().hex}"


def upload_prefix(tenant: str) -> str:
    return f"{part(tenant)}/uploads/"


AUDIT_HEADS = ".audit/heads/"  # no tenant's id begins with a dot


def audit_head(number: int) -> str:
    return f"{AUDIT_HEADS}{number:020d}.json"
