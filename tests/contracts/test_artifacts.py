"""The object store's promises, kept by S3 and by the fake alike."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit
from urllib.request import urlopen
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import NotFound, Unavailable
from tests.fakes_artifacts import MemoryArtifacts
from tests.real import a_store
from worker.storage import keys
from worker.storage.artifacts import Artifacts, S3Config

Store = Artifacts | MemoryArtifacts


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.integration)])
def store(request: pytest.FixtureRequest) -> Store:
    if request.param == "memory":
        return MemoryArtifacts()
    at = request.getfixturevalue("endpoints")
    return a_store(at)


@pytest.fixture
def tenant() -> str:
    return f"acme-{uuid4().hex[:8]}"


def test_a_blob_lies_under_the_hash_of_its_bytes(store: Store, tenant: str) -> None:
    key = store.put_blob(tenant, b"pixels", "image/jpeg")
    assert key == f"{tenant}/blobs/{hashlib.sha256(b'pixels').hexdigest()}"
    assert store.get(key) == b"pixels"
    assert store.size(store.bucket, key) == 6


def test_a_head_of_the_audit_log_that_is_kept_stays_as_it_is(store: Store) -> None:
    number = uuid4().int % 1_000_000_000
    store.put_audit_head(number, b"first")
    store.put_audit_head(number, b"second")
    store.put_audit_head(number + 1, b"next")
    kept = list(store.audit_heads())
    for one in (number, number + 1):  # other tests read every head of this bucket
        store.delete(keys.audit_head(one))
    assert kept.index(b"first") < kept.index(b"next")
    assert b"second" not in kept


def test_storing_the_same_blob_again_is_fine(store: Store, tenant: str) -> None:
    assert store.put_blob(tenant, b"same", "image/jpeg") == store.put_blob(tenant, b"same", "image/jpeg")


def test_twenty_writers_of_one_blob_all_succeed(store: Store, tenant: str) -> None:
    with ThreadPoolExecutor(20) as pool:
        found = set(pool.map(lambda _: store.put_blob(tenant, b"crowd", "image/jpeg"), range(20)))
    assert len(found) == 1
    assert store.get(found.pop()) == b"crowd"


def test_an_empty_object_and_a_large_one_come_back_whole(store: Store, tenant: str) -> None:
    large = os.urandom(3_000_000)
    assert store.get(store.put_upload(tenant, b"")) == b""
    assert store.get(store.put_upload(tenant, large)) == large


def test_reading_stops_where_it_is_told_to(store: Store, tenant: str) -> None:
    key = store.put_upload(tenant, b"0123456789")
    assert store.read(store.bucket, key, 4) == b"0123"


def test_uploads_lie_under_their_tenant(store: Store, tenant: str) -> None:
    key = store.put_upload(tenant, b"as received")
    assert key.startswith(store.upload_prefix(tenant))
    again = store.put_upload(tenant, b"as received")
    assert again != key, "deleting one job's upload must not take another's"
    assert store.get(key) == b"as received"


def test_a_record_replaces_the_orphan_of_a_transaction_that_never_committed(store: Store, tenant: str) -> None:
    orphan = store.put_record(tenant, "shoe", 1, b'{"orphan":true}')
    assert store.put_record(tenant, "shoe", 1, b'{"revision":1}') == orphan
    assert store.put_record(tenant, "shoe", 1, b'{"revision":1}') == orphan
    assert store.get(orphan) == b'{"revision":1}'


@pytest.mark.parametrize(
    "product", ["../../etc/passwd", "..", "a/b", "a%2Fb", "Größe 42 €", "x" * 1000, "a b+c?d#e", "\\"]
)
def test_any_product_id_makes_a_key_of_its_own(store: Store, tenant: str, product: str) -> None:
    key = store.put_record(tenant, product, 3, product.encode())
    assert store.get(key) == product.encode()
    folder, records, name, revision = key.split("/")
    assert (folder, records, revision) == (tenant, "records", "3.json")
    assert name.isascii() and set(name) - {"."}


def test_what_is_not_there_is_not_found(store: Store, tenant: str) -> None:
    with pytest.raises(NotFound):
        store.get(f"{tenant}/blobs/missing")
    with pytest.raises(NotFound):
        store.size(store.bucket, f"{tenant}/blobs/missing")
    with pytest.raises(NotFound):
        store.read("no-such-bucket-here", "key")


def test_deleting_twice_is_fine(store: Store, tenant: str) -> None:
    key = store.put_blob(tenant, b"gone", "image/jpeg")
    store.delete(key)
    store.delete(key)
    with pytest.raises(NotFound):
        store.get(key)


def test_a_presigned_address_names_the_object(store: Store, tenant: str) -> None:
    key = store.put_blob(tenant, b"for a while", "text/plain")
    address = store.presign(key, 60)
    assert key in address
    if urlsplit(address).scheme == "http":
        with urlopen(address) as answer:
            assert answer.read() == b"for a while"


def test_fake_and_real_have_the_same_methods() -> None:
    def public(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert public(Artifacts) == public(MemoryArtifacts) | {"bucket"}


def test_the_store_is_there(store: Store) -> None:
    store.check()


def test_a_store_that_is_away_is_unavailable() -> None:
    away = Artifacts(S3Config("bucket", endpoint_url="http://127.0.0.1:9", access_key="a", secret_key="b"))
    for call in (away.check, lambda: away.get("key"), lambda: away.put_upload("acme", b"x")):
        with pytest.raises(Unavailable, match="object store"):
            call()


@given(st.text(min_size=1), st.text(min_size=1))
def test_different_names_never_share_a_part(one: str, other: str) -> None:
    assert (keys.part(one) == keys.part(other)) == (one == other)
    assert "/" not in keys.part(one)
    assert len(keys.part(one)) <= 255


def test_a_name_that_looks_like_a_cut_one_stays_apart() -> None:
    cut = keys.part("x" * 500)
    assert keys.part(cut) != cut
