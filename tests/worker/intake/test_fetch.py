"""Where photos come from: which places are allowed, and what a seller hears when they are not."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from domain.errors import InputRejected
from domain.jobs import ImageSource, SourceKind
from tests.fakes_artifacts import MemoryArtifacts
from worker.intake.fetch import Fetcher
from worker.net import Fetched, GuardedHttp


@pytest.fixture
def objects() -> MemoryArtifacts:
    objects = MemoryArtifacts("own")
    objects.foreign["feeds", "shoe.jpg"] = b"from a feed"
    objects.foreign["other", "shoe.jpg"] = b"not ours"
    return objects


@pytest.fixture
def fetcher(objects: MemoryArtifacts) -> Fetcher:
    http = Mock(spec=GuardedHttp)
    http.get.return_value = Fetched(b"from the web", "image/jpeg", "https://shop.example/a.jpg")
    return Fetcher(http, objects, source_buckets=("feeds", "shut"), max_bytes=20)


def fetch(fetcher: Fetcher, kind: SourceKind, value: str, tenant: str = "acme") -> bytes:
    return fetcher.fetch(ImageSource(kind, value), tenant)


def refusal(fetcher: Fetcher, kind: SourceKind, value: str, tenant: str = "acme") -> str:
    with pytest.raises(InputRejected) as refused:
        fetch(fetcher, kind, value, tenant)
    return refused.value.code


def test_each_kind_of_source_is_read(fetcher: Fetcher, objects: MemoryArtifacts) -> None:
    upload = objects.put_upload("acme", b"uploaded")
    assert fetch(fetcher, SourceKind.URL, "https://shop.example/a.jpg") == b"from the web"
    assert fetch(fetcher, SourceKind.S3, "s3://feeds/shoe.jpg") == b"from a feed"
    assert fetch(fetcher, SourceKind.S3, f"s3://own/{upload}") == b"uploaded"
    assert fetch(fetcher, SourceKind.UPLOAD, upload) == b"uploaded"


def test_other_buckets_and_other_tenants_are_forbidden(fetcher: Fetcher, objects: MemoryArtifacts) -> None:
    theirs = objects.put_upload("rival", b"secret")
    record = objects.put_record("acme", "shoe", 1, b"{}")
    assert refusal(fetcher, SourceKind.S3, "s3://other/shoe.jpg") == "s3_forbidden"
    for key in (theirs, record, "acme/uploads/../../rival/uploads/x", "acme/uploads/./x", ""):
        assert refusal(fetcher, SourceKind.UPLOAD, key) == "s3_forbidden"
    assert refusal(fetcher, SourceKind.S3, f"s3://own/{theirs}") == "s3_forbidden"
    assert fetch(fetcher, SourceKind.UPLOAD, theirs, tenant="rival") == b"secret"


def test_a_tenant_cannot_be_named_to_reach_another(fetcher: Fetcher, objects: MemoryArtifacts) -> None:
    theirs = objects.put_upload("rival", b"secret")
    for tenant in ("rival/uploads/..", "..", "./rival", "rival/"):
        assert refusal(fetcher, SourceKind.UPLOAD, theirs, tenant) == "s3_forbidden"


def test_missing_large_and_shut_objects_are_refused(fetcher: Fetcher, objects: MemoryArtifacts) -> None:
    objects.foreign["feeds", "large.jpg"] = bytes(21)
    objects.denied.add("shut")
    assert refusal(fetcher, SourceKind.S3, "s3://feeds/none.jpg") == "s3_not_found"
    assert refusal(fetcher, SourceKind.S3, "s3://feeds/large.jpg") == "too_large"
    assert refusal(fetcher, SourceKind.S3, "s3://shut/shoe.jpg") == "s3_forbidden"


@pytest.mark.parametrize(
    "address", ["s3://", "s3://feeds", "s3:/feeds/x", "S3://feeds/x", "s3://FEEDS/x", "s3://a_b/x"]
)
def test_what_is_no_s3_address_is_refused(fetcher: Fetcher, address: str) -> None:
    assert refusal(fetcher, SourceKind.S3, address) == "s3_invalid"


def test_an_object_that_grows_while_it_is_read_is_refused() -> None:
    objects = MemoryArtifacts("own")
    key = objects.put_upload("acme", bytes(21))
    objects.size = lambda bucket, key: 5  # type: ignore[method-assign]
    assert refusal(Fetcher(Mock(), objects, max_bytes=20), SourceKind.UPLOAD, key) == "too_large"
