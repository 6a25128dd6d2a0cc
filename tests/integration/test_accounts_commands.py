"""`tenant`, `token` and `webhook` of the command line, on the database as on a site's own machine."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.fernet import Fernet
from typer.testing import CliRunner

from worker import wiring
from worker.cli.main import app
from worker.storage.accounts import Accounts
from worker.storage.database import Database

pytestmark = pytest.mark.integration


@pytest.fixture
def accounts(database: Database, monkeypatch: pytest.MonkeyPatch) -> Accounts:
    made = Accounts(database, Fernet.generate_key().decode())
    monkeypatch.setattr(wiring, "accounts", lambda: made)
    monkeypatch.setenv("SHELFGUARD_DATABASE_URL", "set: this machine has a database")
    monkeypatch.delenv("SHELFGUARD_API_URL", raising=False)
    return made


def run(*argv: str) -> Any:
    result = CliRunner().invoke(app, [*argv, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_from_the_first_tenant_to_its_last_token(accounts: Accounts) -> None:
    assert run("tenant", "add", "acme", "--name", "Acme")["id"] == "acme"
    token = run("token", "add", "--role", "submitter", "--tenant", "acme", "--days", "30")
    assert accounts.authenticate(token["secret"]) is not None
    hook = run("webhook", "add", "https://hooks.example/", "--tenant", "acme")
    assert hook["secret"].startswith("whsec_")

    assert [item["id"] for item in run("tenant", "list")["tenants"]] == ["acme"]
    (listed,) = run("token", "list", "--tenant", "acme")["tokens"]
    assert listed["id"] == token["id"]
    assert "secret" not in listed
    assert [item["url"] for item in run("webhook", "list")["webhooks"]] == ["https://hooks.example/"]

    assert run("webhook", "revoke", hook["id"])["disabled_reason"] == "revoked"
    assert run("token", "revoke", token["id"])["revoked_at"]
    assert accounts.authenticate(token["secret"]) is None
    assert run("tenant", "revoke", "acme")["disabled_at"]


def test_for_people_the_secret_alone_is_on_standard_output(accounts: Accounts) -> None:
    result = CliRunner().invoke(app, ["token", "add", "--role", "admin"], catch_exceptions=False)
    assert accounts.authenticate(result.stdout.strip()) is not None
    assert "not shown again" in result.stderr
