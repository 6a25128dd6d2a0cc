"""Objects in memory: worker.storage.artifacts.Artifacts without a store, held to the same contract."""

from __future__ import annotations

from collections.abc import Iterator

from domain.errors import Forbidden, NotFound, Unavailable
from worker.storage import keys


class MemoryArtifacts:
    """Keeps everything in a dict; `foreign` are other buckets' objects, `denied` buckets that may not be read."""

    def __init__(self, bucket: str = "memory") -> None:
        self.bucket = bucket
        self.objects: dict[str, bytes] = {}
        self.foreign: dict[tuple[str, str], bytes] = {}
        self.denied: set[str] = set()
        self.away = False  # whether the store answers

    def put_blob(self, tenant: str, data: bytes, content_type: str) -> str:
        return self._once(keys.blob(tenant, data), data)

    def put_upload(self, tenant: str, data: bytes) -> str:
        return self._once(keys.upload(tenant), data)

    def put_record(self, tenant: str, product_id: str, revision: int, data: bytes) -> str:
        key = keys.record(tenant, product_id, revision)
        self._answer()
        self.objects[key] = data
        return key

    def get(self, key: str) -> bytes:
        return self.read(self.bucket, key)

    def size(self, bucket: str, key: str) -> int:
        return len(self.read(bucket, key))

    def read(self, bucket: str, key: str, at_most: int | None = None) -> bytes:
        self._answer()
        if bucket in self.denied:
            raise Forbidden(f"reading s3://{bucket}/{key}", "Let Shelfguard's S3 user read that bucket.")
        found = self.objects.get(key) if bucket == self.bucket else self.foreign.get((bucket, key))
        if found is None:
            raise NotFound("object", key)
        return found[:at_most]

    def check(self) -> None:
        """Memory is always there."""

    def delete(self, key: str) -> None:
        self._answer()
        self.objects.pop(key, None)

    def presign(self, key: str, seconds: int) -> str:
        return f"memory://{self.bucket}/{key}?seconds={seconds}"

    def put_audit_head(self, number: int, data: bytes) -> None:
        self._once(keys.audit_head(number), data)

    def audit_heads(self) -> Iterator[bytes]:
        self._answer()
        for name in sorted(name for name in self.objects if name.startswith(keys.AUDIT_HEADS)):
            yield self.objects[name]

    def upload_prefix(self, tenant: str) -> str:
        return keys.upload_prefix(tenant)

    def _answer(self) -> None:
        if self.away:
            raise Unavailable("object store", "away")

    def _once(self, key: str, data: bytes) -> str:
        self._answer()
        self.objects.setdefault(key, data)
        return key
