"""Reviewing over HTTP, on a real site: who may, what it answers, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.policy_site import Site, a_site
from tests.real import emptied
from worker.storage.database import Database

pytestmark = pytest.mark.integration


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Iterator[Site]:
    with a_site(emptied(database), tmp_path) as made:
        for name, tenant in (("Rob", "acme"), ("Rae", "acme"), ("Olga", "other")):
            made.tokens[name] = made.accounts.add_token("reviewer", tenant, name).secret
        yield made


def get(site: Site, who: str, path: str) -> httpx.Response:
    return httpx.get(site.address + path, headers={"Authorization": f"Bearer {site.tokens[who]}"}, timeout=30)


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


def claimed(site: Site, who: str = "Rob") -> tuple[str, dict[str, Any]]:
    case = site.post(who, "/v1/reviews/next", {}).json()
    return f"/v1/reviews/{case['id']}", {"token": case["lease"]["token"]}


def test_a_shift(site: Site) -> None:
    site.judged()
    assert get(site, "Rob", "/v1/reviews/queue").json()["waiting"] == 1
    path, lease = claimed(site)
    assert site.post("Rae", "/v1/reviews/next", {}).status_code == 204
    assert site.post("Rob", f"{path}/renew", lease).status_code == 200
    draft = {"note": "half"}
    headers = {"Authorization": f"Bearer {site.tokens['Rob']}"}
    assert httpx.put(site.address + f"{path}/draft", json=draft, headers=headers).status_code == 204
    assert get(site, "Rob", path).json()["draft"] == draft
    made = site.post("Rob", f"{path}/resolutions", {**lease, "action": "uphold", "note": "Banner."})
    assert made.status_code == 201
    undone = site.post("Rob", f"/v1/reviews/resolutions/{made.json()['id']}/undo", {})
    assert undone.json()["undone_at"]
    again = site.post("Rob", f"{path}/claim", {}).json()
    lease = {"token": again["lease"]["token"]}
    assert site.post("Rob", f"{path}/release", {**lease, "skip": True}).status_code == 204
    assert site.post("Rob", "/v1/reviews/next", {}).status_code == 204
    path, lease = claimed(site, "Rae")
    assert site.post("Rae", f"{path}/cluster/resolutions", {**lease, "action": "uphold"}).json()["left"] == []
    assert site.post("Sue", f"{path}/appeals", {"reason": "A print."}).status_code == 201
    quality = get(site, "Lea", "/v1/review-quality").json()
    assert quality["overturned"][0]["total"] == 1
    assert get(site, "Lea", "/v1/policies/overturned").json()["items"] == quality["overturned"]
    assert len(get(site, "Lea", "/v1/training-samples").json()["items"]) == 1


def test_tokens_see_only_their_tenant(site: Site) -> None:
    site.judged()
    path, _ = claimed(site)
    assert site.post("Olga", "/v1/reviews/next", {}).status_code == 204
    assert problem(site.post("Olga", "/v1/reviews/next", {"tenant": "acme"})) == (403, "forbidden")
    assert problem(get(site, "Olga", path)) == (404, "no_such_review_case")
    assert problem(get(site, "Sue", path)) == (403, "forbidden")
    assert problem(site.post("Rob", "/v1/golden-items", {})) == (403, "forbidden")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"token": "x"}, (409, "case_lost")),
        ({"action": "hold"}, (422, "reason_required")),
        ({"action": "destroy"}, (422, "malformed_request")),
        ({"note": "\0"}, (422, "bad_note")),
        ({"corrections": [{"field": "price", "value": "1"}]}, (422, "bad_correction")),
        ({"corrections": [{"field": "box", "value": [{"label": "x", "box": [1]}]}]}, (422, "bad_correction")),
    ],
)
def test_what_is_refused_changes_nothing(site: Site, change: dict[str, Any], expected: tuple[int, str]) -> None:
    site.judged()
    path, lease = claimed(site)
    assert problem(site.post("Rob", f"{path}/resolutions", {**lease, "action": "uphold"} | change)) == expected
    assert site.record()["revision"] == 1
    assert site.post("Rob", f"{path}/resolutions", {**lease, "action": "uphold"}).status_code == 201
