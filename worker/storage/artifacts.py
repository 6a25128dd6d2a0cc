"""Objects in any S3: content-addressed blobs, immutable records, uploads that wait for intake.

Writes are conditional (`If-None-Match: *`), so that two workers with the same photo write it once and nobody
overwrites what is there. SQL names the current objects; what no row names is an orphan and collected later.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from domain.errors import Forbidden, NotFound, Unavailable
from worker.storage import keys

CONNECT_SECONDS = 3.0
READ_SECONDS = 20.0
ATTEMPTS = 3  # of botocore for one call, with its own backoff
CONFLICT_TRIES = 5  # two conditional writes of one key at the same moment answer 409: one of them has to ask again

MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
DENIED = frozenset({"403", "AccessDenied"})
EXISTS = frozenset({"412", "PreconditionFailed"})
CONFLICT = frozenset({"409", "ConditionalRequestConflict"})


@dataclass(frozen=True, slots=True)
class S3Config:
    """Where the bucket is. No endpoint = AWS; no keys = the SDK's own credential chain."""

    bucket: str
    endpoint_url: str | None = None
    region: str = "us-east-1"
    access_key: str | None = None
    secret_key: str | None = None


class Artifacts:
    """Objects of all tenants in one bucket. Safe to share between threads; a forked process gets a client of its own.

    Every method raises Unavailable when the store does not answer or refuses us.
    """

    def __init__(self, config: S3Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._client: Any = None
        self._owner = 0  # process that built the client

    @property
    def bucket(self) -> str:
        """The name of our own bucket."""
        return self._config.bucket

    def put_blob(self, tenant: str, data: bytes, content_type: str) -> str:
        """Store bytes under their own SHA-256; returns the key. Storing them again changes nothing."""
        key = keys.blob(tenant, data)
        self._put_once(key, data, content_type)
        return key

    def put_upload(self, tenant: str, data: bytes) -> str:
        """Store bytes as received, until intake has looked at them; returns the key, a new one each time."""
        key = keys.upload(tenant)
        self._put(key, data, "application/octet-stream")
        return key

    def put_record(self, tenant: str, product_id: str, revision: int, data: bytes) -> str:
        """Store one revision of a product's record (JSON bytes); returns the key.

        The caller holds the product's lock. So a different record under this key belongs to a transaction that never
        committed, and is replaced.
        """
        key = keys.record(tenant, product_id, revision)
        if not self._put_once(key, data, "application/json") and self.get(key) != data:
            self._put(key, data, "application/json")
        return key

    def get(self, key: str) -> bytes:
        """The whole object. Raises NotFound."""
        return self.read(self.bucket, key)

    def size(self, bucket: str, key: str) -> int:
        """Bytes of an object in any bucket. Raises NotFound, or Forbidden where the bucket is not ours to read."""
        with self._translated(bucket, key):
            return int(self._s3().head_object(Bucket=bucket, Key=key)["ContentLength"])

    def read(self, bucket: str, key: str, at_most: int | None = None) -> bytes:
        """Up to `at_most` bytes (None = all) of an object in any bucket. Raises NotFound, Forbidden."""
        with self._translated(bucket, key), closing(self._s3().get_object(Bucket=bucket, Key=key)["Body"]) as body:
            data: bytes = body.read(at_most)
            return data

    def check(self) -> None:
        """Ask whether our bucket is there and ours to use. Raises NotFound, Forbidden, Unavailable."""
        with self._translated(self.bucket, ""):
            self._s3().head_bucket(Bucket=self.bucket)

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is fine."""
        with self._translated(self.bucket, key):
            self._s3().delete_object(Bucket=self.bucket, Key=key)

    def presign(self, key: str, seconds: int) -> str:
        """An address that reads this one object for `seconds` without credentials."""
        with self._translated(self.bucket, key):
            address: str = self._s3().generate_presigned_url(
                "get_object", Params={"Bucket": self.bucket, "Key": key}, ExpiresIn=seconds
            )
            return address

    def put_audit_head(self, number: int, data: bytes) -> None:
        """Keep the audit log's head of one number; what is kept already stays as it is."""
        self._put_once(keys.audit_head(number), data, "application/json")

    def audit_heads(self) -> Iterator[bytes]:
        """Every kept head of the audit log, by number."""
        with self._translated(self.bucket, keys.AUDIT_HEADS):
            pages = self._s3().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=keys.AUDIT_HEADS)
            names = [item["Key"] for page in pages for item in page.get("Contents", ())]
        for name in names:
            yield self.get(name)

    def upload_prefix(self, tenant: str) -> str:
        """Where a tenant's uploads are, with the closing slash."""
        return keys.upload_prefix(tenant)

    def _put_once(self, key: str, data: bytes, content_type: str) -> bool:
        """Write if nothing is there; False when something was."""
        for _ in range(CONFLICT_TRIES):
            try:
                with self._translated(self.bucket, key):
                    self._put(key, data, content_type, IfNoneMatch="*")
                return True
            except _AlreadyThere:
                return False
            except _WrittenNow:
                continue
        raise Unavailable("object store", f"{key} is being written by others all the time")

    def _put(self, key: str, data: bytes, content_type: str, **condition: str) -> None:
        with self._translated(self.bucket, key):
            self._s3().put_object(Bucket=self.bucket, Key=key, Body=data, ContentType=content_type, **condition)

    def _s3(self) -> Any:
        with self._lock:
            if self._client is None or self._owner != os.getpid():
                self._client = self._build()
                self._owner = os.getpid()
            return self._client

    def _build(self) -> Any:
        config = self._config
        return boto3.session.Session().client(
            "s3",
            endpoint_url=config.endpoint_url,
            region_name=config.region,
            aws_access_key_id=config.access_key,
            aws_secret_access_key=config.secret_key,
            config=Config(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                signature_version="s3v4",
                # A store of one's own rarely has a name for every bucket.
                s3={"addressing_style": "path" if config.endpoint_url else "auto"},
                # Stores other than AWS do not all know the newer checksum headers.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    @contextmanager
    def _translated(self, bucket: str, key: str) -> Iterator[None]:
        """botocore's errors become ours."""
        try:
            yield
        except ClientError as error:
            raise self._meaning(error, bucket, key) from error
        except (BotoCoreError, HTTPClientError, OSError) as error:
            raise Unavailable("object store", f"{type(error).__name__}: {error}") from error

    def _meaning(self, error: ClientError, bucket: str, key: str) -> Exception:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in EXISTS:
            return _AlreadyThere(key)
        if code in CONFLICT:
            return _WrittenNow(key)
        if code in MISSING or (code == "NoSuchBucket" and bucket != self.bucket):
            return NotFound("object", key)
        if code in DENIED and bucket != self.bucket:
            return Forbidden(f"reading s3://{bucket}/{key}", "Let Shelfguard's S3 user read that bucket.")
        return Unavailable("object store", f"{code} for {key!r}; check bucket, keys and permissions")


class _AlreadyThere(Exception):
    """An object of this key exists."""


class _WrittenNow(Exception):
    """Another conditional write of this key is in flight."""
