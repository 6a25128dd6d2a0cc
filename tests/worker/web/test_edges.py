"""What surrounds the routes: authentication, errors, headers, health, numbers, documentation."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from tests.worker.web.conftest import World, a_body, bearer
from tests.worker.web.test_jobs import problem
from worker.web import create_app, health


class TestAuthentication:
    @pytest.mark.parametrize("value", [None, "", "Bearer", "Bearer nonsense", "Basic c2c6c2c=", "Bearer sg_\xe9"])
    def test_no_valid_token(self, world: World, value: str | None) -> None:
        headers = {} if value is None else {"Authorization": value.encode("latin-1")}
        with TestClient(create_app(world.tools())) as client:
            answer = client.get("/v1/jobs", headers=headers)
        assert problem(answer) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"

    def test_comes_before_the_body_is_read(self, world: World) -> None:
        with TestClient(create_app(world.tools())) as client:
            assert client.post("/v1/jobs", content=b"not json").status_code == 401


class TestErrors:
    def test_no_such_address(self, client: TestClient) -> None:
        assert problem(client.get("/v1/nothing")) == (404, "not_found")

    def test_no_such_method(self, client: TestClient) -> None:
        answer = client.put("/v1/jobs", json={})
        assert problem(answer) == (405, "method_not_allowed")
        assert answer.headers["allow"]

    @pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=100000", "state=" + "x" * 99])
    def test_bad_parameter(self, client: TestClient, query: str) -> None:
        assert problem(client.get(f"/v1/jobs?{query}")) == (422, "bad_parameter")

    def test_bad_cursor(self, client: TestClient) -> None:
        assert problem(client.get("/v1/jobs?cursor=bad")) == (422, "bad_cursor")

    def test_nobody_sees_a_stack_trace(self, client: TestClient, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        def crash(*_: object) -> None:
            raise RuntimeError("password is hunter2")

        monkeypatch.setattr(world.reads, "find_jobs", crash)
        with capture_logs() as logged:
            answer = client.get("/v1/jobs")
        assert problem(answer) == (500, "internal_error")
        assert "hunter2" not in answer.text
        assert "x-request-id" in answer.headers
        assert [(entry["event"], entry["exc_info"]) for entry in logged] == [("request_crashed", True)]


@pytest.mark.parametrize("path", ["/v1/jobs", "/healthz", "/docs", "/v1/nothing"])
def test_security_headers_everywhere(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == ("public, max-age=300" if path == "/docs" else "no-store")


class TestHealth:
    def test_alive_and_ready(self, client: TestClient) -> None:
        assert client.get("/healthz", headers={"Authorization": ""}).json() == {"status": "ok"}
        answer = client.get("/readyz")
        assert (answer.status_code, set(answer.json()["checks"].values())) == (200, {"ok"})

    def test_names_what_is_wrong_without_addresses(self, world: World) -> None:
        def away() -> None:
            raise OSError("connection to 10.0.0.5 refused")

        world.probes["broker"] = away
        with TestClient(create_app(world.tools())) as client:
            answer = client.get("/readyz")
        assert problem(answer) == (503, "not_ready")
        assert answer.json()["checks"]["database"] == "ok"
        assert "OSError" in answer.json()["checks"]["broker"]
        assert "10.0.0.5" not in answer.text

    def test_a_server_that_hangs(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        released, calls = threading.Event(), []

        def hang() -> None:
            calls.append(1)
            released.wait(30)

        monkeypatch.setattr(health, "PROBE_SECONDS", 0.05)
        world.probes["database"] = hang
        with TestClient(create_app(world.tools())) as client:
            for _ in range(3):
                assert "did not answer" in client.get("/readyz").json()["checks"]["database"]
            assert len(calls) == 1
            released.set()


def test_metrics_count_by_route(client: TestClient) -> None:
    job_id = client.post("/v1/jobs", json=a_body()).json()["job_id"]
    client.get(f"/v1/jobs/{job_id}")
    client.get("/v1/nothing/at/all")
    text = client.get("/metrics").text
    assert 'shelfguard_http_requests_total{method="POST",route="/v1/jobs",status="202"} 1.0' in text
    assert 'route="/v1/jobs/{job_id}",status="200"} 1.0' in text
    assert 'route="unmatched",status="404"} 1.0' in text
    assert job_id not in text
    assert 'shelfguard_backlog{stage="intake"} 1.0' in text
    assert 'shelfguard_policy_alarms{kind="cap_reached"} 2.0' in text


class TestDocumentation:
    def test_openapi_describes_the_job_problems_and_the_bearer(self, client: TestClient) -> None:
        document = client.get("/openapi.json").json()
        assert "bytes_b64" in str(document["components"]["schemas"]["ImageField"])
        assert "JobPayload" in str(document["paths"]["/v1/jobs"]["post"]["requestBody"])
        assert document["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
        for path, operations in document["paths"].items():
            for operation in operations.values():
                if path.startswith("/v1/"):
                    assert operation["security"], path
                    for status in ("401", "403", "422", "503"):
                        assert "application/problem+json" in operation["responses"][status]["content"], (path, status)

    def test_every_reference_leads_somewhere(self, client: TestClient) -> None:
        document = client.get("/openapi.json").json()
        for name in _references(document):
            assert name in document["components"]["schemas"]

    def test_the_page_needs_no_other_host(self, client: TestClient) -> None:
        answer = client.get("/docs")
        assert answer.headers["content-type"].startswith("text/html")
        assert "<script" not in answer.text
        assert "/v1/jobs/{job_id}/annotated" in answer.text
        assert "bytes_b64" in answer.text


class TestAdmin:
    def test_tokens_are_shown_once(self, client: TestClient, world: World) -> None:
        made = client.post(
            "/v1/tokens", json={"role": "submitter", "tenant": "acme", "name": "till"}, headers=bearer("sg_admin")
        )
        assert (made.status_code, made.json()["secret"]) == (201, "sg_new")
        listed = client.get("/v1/tokens", headers=bearer("sg_admin")).json()["items"]
        assert all("secret" not in item for item in listed)
        assert world.accounts.made == [("token", "submitter", "acme", "till")]

    def test_webhooks_and_tenants(self, client: TestClient) -> None:
        admin = bearer("sg_admin")
        assert client.post("/v1/tenants", json={"id": "acme"}, headers=admin).status_code == 201
        hook = client.post("/v1/webhooks", json={"tenant": "acme", "url": "https://hooks.example/"}, headers=admin)
        assert (hook.status_code, hook.json()["secret"]) == (201, "whsec_new")
        assert client.delete("/v1/webhooks/8", headers=admin).json()["disabled_reason"] == "revoked"
        assert client.delete("/v1/tenants/acme", headers=admin).json()["disabled_at"]
        assert [item["id"] for item in client.get("/v1/tenants", headers=admin).json()["items"]] == ["acme", "other"]

    def test_an_admin_of_one_tenant_stays_within_it(self, client: TestClient, world: World) -> None:
        admin = bearer("sg_acme_admin")
        client.post("/v1/tokens", json={"role": "admin", "name": "second"}, headers=admin)
        assert world.accounts.made == [("token", "admin", "acme", "second")]
        other = {"role": "admin", "name": "x", "tenant": "other"}
        assert problem(client.post("/v1/tokens", json=other, headers=admin)) == (403, "forbidden")
        assert problem(client.post("/v1/tenants", json={"id": "new"}, headers=admin)) == (403, "forbidden")
        assert problem(client.delete("/v1/tenants/other", headers=admin)) == (403, "forbidden")
        assert problem(client.delete("/v1/tokens/6", headers=admin)) == (404, "no_such_token")
        assert [item["id"] for item in client.get("/v1/tenants", headers=admin).json()["items"]] == ["acme"]

    @pytest.mark.parametrize("path", ["/v1/tenants", "/v1/tokens", "/v1/webhooks"])
    @pytest.mark.parametrize("token", ["sg_submitter", "sg_reviewer", "sg_ml"])
    def test_nobody_else(self, client: TestClient, path: str, token: str) -> None:
        assert problem(client.get(path, headers=bearer(token))) == (403, "forbidden")
        assert problem(client.post(path, json={}, headers=bearer(token))) == (403, "forbidden")

    @pytest.mark.parametrize(
        "body", [{"role": "admin"}, {"role": 5, "name": "x"}, {"role": "ml", "name": "x", "y": 1}, []]
    )
    def test_bodies_are_strict(self, client: TestClient, body: Any) -> None:
        answer = client.post("/v1/tokens", json=body, headers=bearer("sg_admin"))
        assert problem(answer) == (422, "malformed_request")


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"].rsplit("/", 1)[-1]] if isinstance(node.get("$ref"), str) else []
        return own + [name for value in node.values() for name in _references(value)]
    if isinstance(node, list):
        return [name for value in node for name in _references(value)]
    return []
