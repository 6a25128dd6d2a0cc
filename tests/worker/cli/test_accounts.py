"""The same commands over the API, as from anybody's desk."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from domain.errors import InputRejected
from tests.worker.web.conftest import World
from worker.cli.client import ApiClient
from worker.cli.main import app
from worker.web import create_app


@pytest.fixture(autouse=True)
def api(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command opens and closes a client of its own."""
    monkeypatch.delenv("SHELFGUARD_DATABASE_URL", raising=False)
    api = create_app(World().tools())

    def find() -> ApiClient:
        client = ApiClient("http://shelfguard.example", "sg_admin")
        monkeypatch.setattr(client, "_http", TestClient(api, headers={"Authorization": "Bearer sg_admin"}))
        return client

    monkeypatch.setattr(ApiClient, "find", find)


def run(*argv: str) -> Any:
    result = CliRunner().invoke(app, [*argv, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_add_list_revoke() -> None:
    assert run("tenant", "add", "acme")["id"] == "acme"
    assert run("token", "add", "--role", "submitter", "--tenant", "acme")["secret"] == "sg_new"
    assert run("webhook", "add", "https://hooks.example/", "--tenant", "acme")["secret"] == "whsec_new"
    assert [item["id"] for item in run("tenant", "list")["tenants"]] == ["acme", "other"]
    assert {item["tenant"] for item in run("token", "list", "--tenant", "acme")["tokens"]} == {"acme"}
    assert run("token", "revoke", "6")["id"] == "6"


def test_a_refusal_says_what_to_do() -> None:
    with pytest.raises(InputRejected, match="no_such_token"):
        run("token", "revoke", "nobody")
