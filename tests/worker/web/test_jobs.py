"""Jobs over HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException
from starlette.requests import Request

from domain.errors import Unavailable
from domain.jobs import SourceKind
from tests.factories import some_jpeg
from tests.worker.web.conftest import World, a_body, bearer
from worker.web.bodies import read_body


def test_a_job_is_accepted_and_can_be_read(client: TestClient, world: World) -> None:
    answer = client.post("/v1/jobs", json=a_body())
    assert answer.status_code == 202
    assert set(answer.json()) == {"job_id", "state"}
    assert answer.json()["state"] == "RECEIVED"
    assert world.woken == ["intake"]
    read = client.get(answer.headers["location"])
    assert (read.status_code, read.json()["job_id"]) == (200, answer.json()["job_id"])


def test_bytes_are_uploaded_before_the_row_names_them(client: TestClient, world: World) -> None:
    photo = some_jpeg()
    client.post("/v1/jobs", json=a_body(image={"bytes_b64": base64.b64encode(photo).decode()}))
    (row,) = world.ledger.rows.values()
    assert row.job.image.kind is SourceKind.UPLOAD
    assert world.uploads[row.job.image.value] == photo


class TestIdempotency:
    def test_the_same_job_again_answers_the_same(self, client: TestClient, world: World) -> None:
        first = client.post("/v1/jobs", json=a_body(), headers={"Idempotency-Key": "k"})
        again = client.post("/v1/jobs", json=a_body(idempotency_key="k"))
        quoted = client.post("/v1/jobs", json=a_body(), headers={"Idempotency-Key": '"k"'})
        assert {answer.json()["job_id"] for answer in (first, again, quoted)} == {first.json()["job_id"]}
        assert len(world.ledger.rows) == 1

    def test_another_body_is_a_conflict(self, client: TestClient) -> None:
        """Case 55."""
        client.post("/v1/jobs", json=a_body(), headers={"Idempotency-Key": "k"})
        answer = client.post("/v1/jobs", json=a_body(title="other"), headers={"Idempotency-Key": "k"})
        assert problem(answer) == (409, "idempotency_conflict")

    def test_header_and_body_must_agree(self, client: TestClient) -> None:
        answer = client.post("/v1/jobs", json=a_body(idempotency_key="a"), headers={"Idempotency-Key": "b"})
        assert problem(answer) == (400, "bad_request")
        agreed = client.post("/v1/jobs", json=a_body(idempotency_key="a"), headers={"Idempotency-Key": "a"})
        assert agreed.status_code == 202

    def test_an_unusable_key(self, client: TestClient) -> None:
        answer = client.post("/v1/jobs", json=a_body(), headers={"Idempotency-Key": "x" * 300})
        assert problem(answer) == (422, "malformed_job")


MALFORMED: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("no JSON", b"tenant=acme"),
    ("pickle", b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00K\x01."),
    ("NaN", json.dumps(a_body()).replace("1,", "NaN,", 1).encode()),
    (
        "infinity",
        json.dumps(a_body(source_version=1)).replace('"source_version": 1', '"source_version": 1e999').encode(),
    ),
    ("digits without end", b'{"schema": ' + b"9" * 10_000 + b"}"),
    ("key twice", json.dumps(a_body()).replace("{", '{"tenant": "acme", ', 1).encode()),
    ("nesting", b"[" * 50_000),
    ("nested object", b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
    ("UTF-16", json.dumps(a_body()).encode("utf-16")),
    ("two values", json.dumps(a_body()).encode() * 2),
    ("broken UTF-8", b'{"tenant": "\xff"}'),
]


@pytest.mark.parametrize("body", [case[1] for case in MALFORMED], ids=[case[0] for case in MALFORMED])
def test_what_is_not_strict_json(client: TestClient, world: World, body: bytes) -> None:
    """Cases 48, 49 and 52."""
    answer = client.post("/v1/jobs", content=body)
    assert problem(answer) == (422, "not_json")
    assert not world.ledger.rows


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"tenant": "ACME"}, "malformed_job"),
        ({"title": "\ud800"}, "malformed_job"),
        ({"product_id": "../../"}, "malformed_job"),
        ({"extra": 1}, "malformed_job"),
        ({"schema": 2}, "unsupported_schema"),
    ],
)
def test_a_malformed_job_is_told_what_to_send(
    client: TestClient, world: World, change: dict[str, Any], code: str
) -> None:
    answer = client.post("/v1/jobs", content=json.dumps(a_body(**change)))
    assert problem(answer) == (422, code)
    assert any(word in answer.json()["detail"] for word in ("send", "leave it out"))
    assert not world.ledger.rows


class TestSize:
    def test_announced(self, client: TestClient) -> None:
        answer = client.post("/v1/jobs", content=b" " * 100_001)
        assert problem(answer) == (413, "body_too_large")

    def test_not_announced(self) -> None:
        """Only the cap ends a body without end."""

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b" " * 10_000, "more_body": True}

        request = Request({"type": "http", "method": "POST", "headers": []}, receive)
        with pytest.raises(HTTPException) as caught:
            asyncio.run(read_body(request, 100_000))
        assert caught.value.status_code == 413

    def test_compressed(self, client: TestClient) -> None:
        answer = client.post("/v1/jobs", content=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
        assert problem(answer) == (415, "unsupported_media_type")


class TestOutage:
    def test_of_the_database(self, client: TestClient, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        def away(*_: object) -> None:
            raise Unavailable("the database", "connection to 10.0.0.5 refused for user shelfguard")

        monkeypatch.setattr(world.ledger, "accept", away)
        answer = client.post("/v1/jobs", json=a_body())
        assert problem(answer) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert "10.0.0.5" not in answer.text

    def test_of_the_broker_costs_nothing(
        self, world: World, monkeypatch: pytest.MonkeyPatch, client: TestClient
    ) -> None:
        """The row is committed: the sweeper wakes intake. (The wake-up is bound when the tools are made.)"""

        def away(stage: str) -> None:
            raise Unavailable("the broker", "gone")

        monkeypatch.setattr(client.app.state, "tools", _with_wake(world, away))  # type: ignore[attr-defined]
        assert client.post("/v1/jobs", json=a_body()).status_code == 202
        assert len(world.ledger.rows) == 1


class TestScope:
    def test_another_tenant_may_not_send(self, client: TestClient, world: World) -> None:
        answer = client.post("/v1/jobs", json=a_body(), headers=bearer("sg_other"))
        assert problem(answer) == (403, "forbidden")
        assert not world.ledger.rows

    def test_another_tenant_sees_nothing(self, client: TestClient) -> None:
        job_id = client.post("/v1/jobs", json=a_body()).json()["job_id"]
        for path in ("", "/photo", "/annotated"):
            answer = client.get(f"/v1/jobs/{job_id}{path}", headers=bearer("sg_other"))
            assert problem(answer) == (404, "no_such_job")
        assert problem(client.get("/v1/products/acme/sku-1", headers=bearer("sg_other"))) == (404, "no_such_product")

    def test_unknown_tenant(self, client: TestClient) -> None:
        answer = client.post("/v1/jobs", json=a_body(tenant="nobody"), headers=bearer("sg_admin"))
        assert problem(answer) == (404, "no_such_tenant")

    @pytest.mark.parametrize("token", ["sg_reviewer", "sg_ml"])
    def test_only_submitters_send(self, client: TestClient, token: str) -> None:
        assert problem(client.post("/v1/jobs", json=a_body(), headers=bearer(token))) == (403, "forbidden")

    def test_lists_are_of_the_own_tenant(self, client: TestClient, world: World) -> None:
        client.get("/v1/jobs?state=DONE&limit=7")
        client.get("/v1/jobs", headers=bearer("sg_ml"))
        client.get("/v1/jobs?tenant=acme", headers=bearer("sg_ml"))
        assert world.reads.asked == [("acme", "DONE", None, 7), (None, None, None, 50), ("acme", None, None, 50)]
        assert problem(client.get("/v1/jobs?tenant=other")) == (403, "forbidden")

    def test_reviews_are_for_reviewers(self, client: TestClient, world: World) -> None:
        assert client.get("/v1/reviews", headers=bearer("sg_reviewer")).json() == {"items": [], "next_cursor": None}
        assert world.reads.asked == [("acme", "open", None, 50)]
        assert problem(client.get("/v1/reviews")) == (403, "forbidden")


def test_pictures(client: TestClient, world: World) -> None:
    job_id = client.post("/v1/jobs", json=a_body()).json()["job_id"]
    photo, annotated = client.get(f"/v1/jobs/{job_id}/photo"), client.get(f"/v1/jobs/{job_id}/annotated")
    assert photo.headers["content-type"] == annotated.headers["content-type"] == "image/jpeg"
    assert photo.content == some_jpeg()
    assert annotated.content == some_jpeg() + b"a red sneaker"
    assert world.kept == [annotated.content], "drawn once, kept for the next time"


def test_a_product_id_may_hold_a_slash(client: TestClient) -> None:
    assert client.get("/v1/products/acme/sku/1%2F2").json()["product_id"] == "sku/1/2"


def problem(answer: Any) -> tuple[int, str]:
    """Status and code, after checking that the answer is a problem detail."""
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert {"type", "title", "status", "detail", "code"} <= set(body)
    assert body["status"] == answer.status_code
    return answer.status_code, body["code"]


def _with_wake(world: World, wake: Any) -> Any:
    from dataclasses import replace

    tools = world.tools()
    return replace(tools, accept=replace(tools.accept, wake=wake))
