"""Publishing policies over HTTP, on parts in memory: who may, and what is refused before anything is kept."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.worker.policy.conftest import HEAD, a_rule
from tests.worker.web.conftest import World, bearer
from tests.worker.web.test_jobs import problem

WHY = "Everybody else is asleep."


def a_policy(text: str = HEAD + a_rule(), **changes: Any) -> dict[str, Any]:
    return {"entry": "policy.yaml", "files": {"policy.yaml": text}} | changes


def test_an_admin_proposes_and_another_approves(client: TestClient, world: World) -> None:
    proposed = client.post("/v1/policies", json=a_policy(note="No sneakers."), headers=bearer("sg_admin"))
    assert (proposed.status_code, proposed.json()["state"]) == (201, "proposed")
    address = f"/v1/policies/proposals/{proposed.json()['proposal']}/approve"
    assert problem(client.post(address, headers=bearer("sg_admin"))) == (403, "forbidden")
    assert problem(client.post(address, headers=bearer("sg_lead"))) == (404, "no_such_proposal")
    assert world.policies.latest() == 0


def test_a_lead_and_an_admin_of_one_tenant_are_two_people(client: TestClient, world: World) -> None:
    proposed = client.post("/v1/policies", json=a_policy(), headers=bearer("sg_lead")).json()
    assert proposed["tenant"] == "acme"
    address = f"/v1/policies/proposals/{proposed['proposal']}/approve"
    published = client.post(address, headers=bearer("sg_acme_admin")).json()
    assert (published["author"]["name"], published["second"]["name"]) == ("lead", "acme's admin")
    assert problem(client.post(address, headers=bearer("sg_acme_admin"))) == (422, "already_published")


@pytest.mark.parametrize("token", ["sg_submitter", "sg_reviewer", "sg_ml"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/policies"),
        ("POST", "/v1/policies/proposals/1/approve"),
        ("POST", "/v1/policies/rollback"),
        ("POST", "/v1/policies/redecisions"),
        ("GET", "/v1/policies"),
        ("GET", "/v1/policies/versions/live"),
        ("GET", "/v1/policies/redecisions"),
        ("GET", "/v1/policies/alarms"),
    ],
)
def test_nobody_else(client: TestClient, token: str, method: str, path: str) -> None:
    assert problem(client.request(method, path, json={}, headers=bearer(token))) == (403, "forbidden")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (a_policy(HEAD + a_rule(causes="no_such")), "policy_invalid"),
        (a_policy("policy: x\ninclude: [../../etc/passwd.yaml]\n"), "policy_invalid"),
        (a_policy("policy: x\ninclude: [other.yaml]\n"), "policy_invalid"),
        (a_policy(HEAD + a_rule() + "#\0"), "policy_invalid"),
        (a_policy("policy: &a x\nother: *a\n"), "policy_invalid"),
        ({"entry": "nothing.yaml", "files": {}}, "policy_invalid"),
        (a_policy(files={"policy.yaml": 5}), "malformed_request"),
        (a_policy(colour="red"), "malformed_request"),
        (a_policy(alone=True), "reason_required"),
        (a_policy(redecide="rule=nothing"), "no_such_rule"),
        (a_policy(redecide="sometimes"), "bad_scope"),
    ],
)
def test_what_is_refused_keeps_nothing(client: TestClient, world: World, body: dict[str, Any], code: str) -> None:
    assert problem(client.post("/v1/policies", json=body, headers=bearer("sg_admin"))) == (422, code)
    assert world.policies.versions == {}


def test_rolling_back_and_reading_what_was_live(client: TestClient, world: World) -> None:
    admin = bearer("sg_admin")
    assert problem(client.post("/v1/policies/rollback", json={}, headers=admin)) == (422, "nothing_published")
    live = client.post("/v1/policies", json=a_policy(alone=True, reason=WHY), headers=admin).json()
    read = client.get("/v1/policies/versions/live", headers=admin).json()
    assert (read["version"], read["files"]) == (live["version"], a_policy()["files"])
    back = client.post("/v1/policies/rollback", json={"reason": "Too strict."}, headers=admin).json()
    assert (back["kind"], back["version"]) == ("rollback", None)
    overview = client.get("/v1/policies", headers=admin).json()
    assert [one["number"] for one in overview["publications"]] == [2, 1]
    for name in ("shipped", "live"):
        found = client.get(f"/v1/policies/versions/{name}", headers=admin).json()
        assert found["version"] == overview["shipped"]
    assert client.get("/v1/policies/versions/1", headers=admin).json()["version"] == live["version"]
    assert problem(client.get("/v1/policies/versions/zzzzzzzz", headers=admin)) == (404, "no_such_policy_version")
