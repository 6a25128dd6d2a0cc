"""Fetcher: the bytes of a photo from wherever the shop says they are. All addresses are untrusted."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Protocol

from domain.errors import Forbidden, InputRejected, NotFound
from domain.jobs import ImageSource, SourceKind
from worker.intake import refusals
from worker.net import GuardedHttp

S3_ADDRESS = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.{1,1024})", re.DOTALL)


class Objects(Protocol):
    """What is needed of the object store (worker.storage.artifacts.Artifacts)."""

    @property
    def bucket(self) -> str: ...

    def upload_prefix(self, tenant: str) -> str: ...

    def size(self, bucket: str, key: str) -> int: ...

    def read(self, bucket: str, key: str, at_most: int | None = None) -> bytes: ...


class Fetcher:
    """Reads URLs, S3 objects and uploads within one size limit."""

    def __init__(
        self, http: GuardedHttp, objects: Objects, *, source_buckets: Collection[str] = (), max_bytes: int = 20_000_000
    ) -> None:
        """`source_buckets` may be named by every tenant; in our own bucket a tenant reaches its own uploads only."""
        self._http = http
        self._objects = objects
        self._source_buckets = frozenset(source_buckets)
        self._max_bytes = max_bytes

    def fetch(self, source: ImageSource, tenant: str) -> bytes:
        """The bytes as received. Raises InputRejected when they cannot be had, Unavailable when not now."""
        match source.kind:
            case SourceKind.URL:
                return self._http.get(source.value).body
            case SourceKind.S3:
                return self._from_s3(source.value, tenant)
            case SourceKind.UPLOAD:
                return self._own(source.value, tenant)

    def _from_s3(self, address: str, tenant: str) -> bytes:
        found = S3_ADDRESS.fullmatch(address)
        if found is None:
            raise InputRejected("s3_invalid", "The address is not of the form s3://bucket/key; send it in full.")
        bucket, key = found.groups()
        if bucket == self._objects.bucket:
            return self._own(key, tenant)
        if bucket not in self._source_buckets:
            raise _forbidden(bucket)
        return self._read(bucket, key)

    def _own(self, key: str, tenant: str) -> bytes:
        # No dot segments: a store that normalises paths would leave the tenant's folder.
        if not key.startswith(self._objects.upload_prefix(tenant)) or {".", ".."} & set(key.split("/")):
            raise _forbidden(self._objects.bucket)
        return self._read(self._objects.bucket, key)

    def _read(self, bucket: str, key: str) -> bytes:
        try:
            if self._objects.size(bucket, key) > self._max_bytes:
                raise refusals.too_large(self._max_bytes)
            data = self._objects.read(bucket, key, self._max_bytes + 1)
        except NotFound as error:
            raise InputRejected(
                "s3_not_found",
                "There is no object at this S3 address; check bucket and key, or upload the photo first.",
            ) from error
        except Forbidden as error:
            raise _forbidden(bucket) from error
        if len(data) > self._max_bytes:  # it grew since it was measured
            raise refusals.too_large(self._max_bytes)
        return data


def _forbidden(bucket: str) -> InputRejected:
    return InputRejected(
        "s3_forbidden",
        f"Photos may not be read from this place in bucket {bucket}; use an allowed source bucket or your own uploads.",
    )
