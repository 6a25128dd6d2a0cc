"""The job's layout: what is read, what is refused, and that every refusal says what to send."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InputRejected
from domain.jobs import ImageSource, Priority, SourceKind
from domain.moderation import CHANNELS
from worker.payload import (
    MAX_ATTRIBUTES,
    MAX_DESCRIPTION,
    MAX_UPLOAD_BYTES,
    MAX_VERSION,
    check_key,
    payload_schema,
    read_payload,
)

JOB: dict[str, Any] = {
    "schema": 1,
    "tenant": "acme",
    "product_id": "sku-1",
    "image_id": "front",
    "image": {"url": "https://photos.example/sku-1.jpg"},
}
FULL: dict[str, Any] = JOB | {
    "title": "Blue mug",
    "description": "A mug.\nIt is blue.",
    "category": "Kitchen > Mugs",
    "attributes": {"colour": "blue", "Größe": "0,3 l"},
    "condition": "new",
    "locale": "en-GB",
    "channels": ["ebay", "own_shop"],
    "priority": "high",
    "idempotency_key": "k-1",
    "source_version": 7,
}


def refusal(job: object) -> InputRejected:
    with pytest.raises(InputRejected) as caught:
        read_payload(job)
    return caught.value


def test_the_full_job_becomes_a_domain_job() -> None:
    source = ImageSource(SourceKind.URL, "https://photos.example/sku-1.jpg")
    job = read_payload(FULL).to_job(source, "k-1")
    assert (job.tenant, job.product_id, job.image_id, job.image) == ("acme", "sku-1", "front", source)
    assert (job.title, job.description, job.category) == ("Blue mug", "A mug.\nIt is blue.", "Kitchen > Mugs")
    assert (dict(job.attributes), job.condition, job.locale) == (FULL["attributes"], "new", "en-GB")
    assert (job.channels, job.priority, job.idempotency_key, job.source_version) == (
        ("ebay", "own_shop"),
        Priority.HIGH,
        "k-1",
        7,
    )


def test_defaults() -> None:
    payload = read_payload(JOB)
    assert (payload.channels, payload.priority, payload.attributes) == (["own_shop"], "normal", {})
    assert payload.image_bytes() is None


def test_null_means_absent() -> None:
    spelled_out = JOB | {"title": None, "channels": None, "attributes": None, "image": JOB["image"] | {"s3": None}}
    assert read_payload(spelled_out).digest() == read_payload(JOB).digest()


def test_bytes_are_decoded_and_may_be_empty() -> None:
    """An empty file is a photo that intake rejects with a reason, like every other unusable file."""
    encoded = base64.b64encode(b"\xff\xd8photo").decode()
    assert read_payload(JOB | {"image": {"bytes_b64": encoded}}).image_bytes() == b"\xff\xd8photo"
    assert read_payload(JOB | {"image": {"bytes_b64": ""}}).image_bytes() == b""


class TestDigest:
    def test_does_not_depend_on_key_or_order(self) -> None:
        shuffled = dict(reversed(FULL.items())) | {"idempotency_key": "another"}
        assert read_payload(shuffled).digest() == read_payload(FULL).digest()

    @pytest.mark.parametrize("field", sorted(set(FULL) - {"schema", "idempotency_key"}))
    def test_depends_on_everything_else(self, field: str) -> None:
        other: dict[str, Any] = {
            "image": {"s3": "s3://bucket/key"},
            "attributes": {"colour": "red"},
            "channels": ["meta"],
            "priority": "bulk",
            "source_version": 8,
        }
        changed = FULL | {field: other.get(field, "other")}
        assert read_payload(changed).digest() != read_payload(FULL).digest()

    def test_of_bytes_is_of_their_content(self) -> None:
        one, two = ({"bytes_b64": base64.b64encode(data).decode()} for data in (b"one", b"two"))
        assert read_payload(JOB | {"image": one}).digest() != read_payload(JOB | {"image": two}).digest()


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("51 tenant in capitals", {"tenant": "ACME"}, "tenant"),
    ("51 tenant with a newline", {"tenant": "acme\n"}, "tenant"),
    ("51 tenant that climbs", {"tenant": "../acme"}, "tenant"),
    ("51 number for text", {"title": 5}, "title"),
    ("51 text for number", {"source_version": "5"}, "source_version"),
    ("51 boolean for number", {"source_version": True}, "source_version"),
    ("51 boolean for version", {"schema": True}, "schema"),
    ("51 version zero", {"schema": 0}, "schema"),
    ("51 below zero", {"source_version": -1}, "source_version"),
    ("51 too large", {"source_version": MAX_VERSION + 1}, "source_version"),
    ("51 unknown field", {"colour": "red"}, "colour"),
    ("51 unknown channel", {"channels": ["tiktok"]}, "channels"),
    ("51 channel twice", {"channels": ["ebay", "ebay"]}, "channels"),
    ("51 no channel", {"channels": []}, "channels"),
    ("51 channel as text", {"channels": "ebay"}, "channels"),
    ("51 unknown priority", {"priority": "urgent"}, "priority"),
    ("51 no place of the photo", {"image": {}}, "image"),
    ("51 two places", {"image": {"url": "https://x.example/", "s3": "s3://b/k"}}, "image"),
    ("51 unknown place", {"image": {"path": "/etc/passwd"}}, "image"),
    ("51 not base64", {"image": {"bytes_b64": "@@@@"}}, "image.bytes_b64"),
    ("51 base64 without padding", {"image": {"bytes_b64": "YQ"}}, "image.bytes_b64"),
    ("51 base64 with a newline", {"image": {"bytes_b64": "YWJj\n"}}, "image.bytes_b64"),
    ("51 bytes as a list", {"image": {"bytes_b64": [1, 2]}}, "image.bytes_b64"),
    ("51 attribute that is a number", {"attributes": {"size": 5}}, "attributes"),
    ("51 attribute without a name", {"attributes": {"": "x"}}, "attributes"),
    ("51 attributes as a list", {"attributes": [["a", "b"]]}, "attributes"),
    ("52 NaN", {"source_version": float("nan")}, "source_version"),
    ("52 infinity", {"title": float("inf")}, "title"),
    ("52 deep nesting", {"attributes": {"a": {"b": {"c": {}}}}}, "attributes"),
    ("53 lone surrogate", {"title": "\ud800"}, "title"),
    ("53 lone surrogate in a name", {"attributes": {"\udfff": "x"}}, "attributes"),
    ("53 NUL", {"description": "a\0b"}, "description"),
    ("53 NUL in an attribute", {"attributes": {"a": "\0"}}, "attributes"),
    ("53 NUL in an address", {"image": {"url": "https://x.example/\0"}}, "image.url"),
    ("53 control character in an id", {"image_id": "a\x07"}, "image_id"),
    ("53 override of direction in an id", {"product_id": "a\u202eb"}, "product_id"),
    ("54 a megabyte of text", {"description": "x" * 1_000_000}, "description"),
    ("54 just over", {"description": "x" * (MAX_DESCRIPTION + 1)}, "description"),
    ("54 too many attributes", {"attributes": {str(n): "x" for n in range(MAX_ATTRIBUTES + 1)}}, "attributes"),
    ("54 long id", {"product_id": "x" * 201}, "product_id"),
    ("54 empty id", {"product_id": ""}, "product_id"),
    ("54 long address", {"image": {"url": "https://x.example/" + "a" * 5_000}}, "image.url"),
    ("58 id that climbs", {"product_id": "../../"}, "product_id"),
    ("58 id that climbs, other slash", {"image_id": "..\\x"}, "image_id"),
    ("59 a hundred thousand images", {"image": [{"url": "https://x.example/"}] * 100_000}, "image"),
]


@pytest.mark.parametrize(("change", "field"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refused_with_field_and_remedy(change: dict[str, Any], field: str) -> None:
    error = refusal(JOB | change)
    assert error.code == "malformed_job"
    assert error.message.startswith(field)
    assert any(word in error.message for word in ("send ", "leave it out"))
    assert len(error.message) < 2_000
    assert error.message.isprintable()


@pytest.mark.parametrize("field", ["schema", "tenant", "product_id", "image_id", "image"])
def test_required(field: str) -> None:
    error = refusal({name: value for name, value in JOB.items() if name != field})
    assert error.message.startswith(f"{field}: it is missing; send ")


@pytest.mark.parametrize("job", [None, [], "job", 5, b"\x80\x04pickle", [JOB]])
def test_what_is_no_object_is_refused(job: object) -> None:
    """Cases 48 and 49: whatever a broker or a body may hold."""
    assert refusal(job).code == "malformed_job"


def test_a_field_whose_name_is_a_lone_surrogate() -> None:
    assert refusal(JOB | {"\ud800": "x"}).code == "malformed_job"


@pytest.mark.parametrize("version", [2, 99, 10**400])
def test_a_later_version_says_so(version: int) -> None:
    """Case 56: told apart, so that it can be kept and sent again after an upgrade."""
    assert refusal(JOB | {"schema": version, "new": "field"}).code == "unsupported_schema"


def test_many_unknown_fields_cost_one_sentence() -> None:
    assert len(refusal(JOB | {f"f{n}": n for n in range(100_000)}).message) < 200


def test_photo_sent_inside_is_capped() -> None:
    at_cap = base64.b64encode(bytes(MAX_UPLOAD_BYTES)).decode()
    photo = read_payload(JOB | {"image": {"bytes_b64": at_cap}}).image_bytes()
    assert photo is not None
    assert len(photo) == MAX_UPLOAD_BYTES
    assert "too large" in refusal(JOB | {"image": {"bytes_b64": at_cap + "AAAA"}}).message


@pytest.mark.parametrize("key", ["", " ", "a\n", "x" * 256, "\ud800"])
def test_keys_beside_the_body_follow_the_same_rules(key: str) -> None:
    with pytest.raises(InputRejected):
        check_key(key)


ids = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="./\\"), min_size=1)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=50)
jobs = st.fixed_dictionaries(
    {
        "schema": st.just(1),
        "tenant": st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True),
        "product_id": ids.map(lambda text: text[:200]),
        "image_id": ids.map(lambda text: text[:200]),
        "image": st.one_of(
            st.builds(lambda data: {"bytes_b64": base64.b64encode(data).decode()}, st.binary(max_size=50)),
            st.builds(lambda path: {"s3": f"s3://bucket/{path}"}, texts),
        ),
    },
    optional={
        "title": texts,
        "description": texts,
        "attributes": st.dictionaries(ids.map(lambda text: text[:100]), texts, max_size=4),
        "channels": st.lists(st.sampled_from(CHANNELS), unique=True, min_size=1),
        "priority": st.sampled_from(list(Priority)).map(str),
        "source_version": st.integers(0, MAX_VERSION),
    },
)


@given(jobs)
def test_every_sound_job_is_read_and_its_digest_is_stable(job: dict[str, Any]) -> None:
    first, second = read_payload(job), read_payload(dict(reversed(job.items())))
    assert first.digest() == second.digest()
    sent = job["image"].get("bytes_b64")
    assert first.image_bytes() == (base64.b64decode(sent) if sent is not None else None)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*FULL, "extra"]) | st.text(), anything, max_size=12))
def test_anything_else_is_refused_and_nothing_else_is_raised(change: dict[str, Any]) -> None:
    try:
        read_payload(JOB | change).digest()
    except InputRejected as error:
        assert error.code in ("malformed_job", "unsupported_schema")


def test_the_documented_layout_names_every_field() -> None:
    schema = payload_schema()
    assert set(schema["properties"]) == set(FULL)
    assert schema["additionalProperties"] is False
