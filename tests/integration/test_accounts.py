"""Tenants, tokens and webhooks on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import func, select, text, update
from standardwebhooks import Webhook

from domain.errors import InputRejected, NotFound, ShelfguardError, Unavailable
from worker.storage.accounts import Accounts, Role
from worker.storage.database import Database
from worker.storage.tables import tokens, webhook_endpoints
from worker.storage.vault import Vault

pytestmark = pytest.mark.integration


@pytest.fixture
def accounts(database: Database) -> Accounts:
    made = Accounts(database, Fernet.generate_key().decode())
    made.ensure_tenant("acme")
    made.ensure_tenant("other", "The Other Shop")
    return made


class TestTenants:
    def test_adding_again_changes_nothing_and_enables(self, accounts: Accounts) -> None:
        accounts.revoke_tenant("other")
        again = accounts.ensure_tenant("other")
        assert (again.name, again.disabled_at) == ("The Other Shop", None)
        assert [tenant.id for tenant in accounts.list_tenants()] == ["acme", "other"]

    def test_a_revoked_tenants_tokens_stop_working(self, accounts: Accounts) -> None:
        secret = accounts.add_token("submitter", "other", "till").secret
        accounts.revoke_tenant("other")
        assert accounts.authenticate(secret) is None

    @pytest.mark.parametrize("tenant", ["", "ACME", "a/b", "a" * 64, "acme\n", "\0"])
    def test_ids_that_no_job_could_carry(self, accounts: Accounts, tenant: str) -> None:
        with pytest.raises(InputRejected):
            accounts.ensure_tenant(tenant)


class TestTokens:
    def test_a_token_opens_what_it_was_made_for(self, accounts: Accounts) -> None:
        made = accounts.add_token("submitter", "acme", "till")
        caller = accounts.authenticate(made.secret)
        assert caller is not None
        assert (caller.role, caller.tenant, caller.token_id) == (Role.SUBMITTER, "acme", made.token.id)

    def test_only_a_hash_is_kept(self, accounts: Accounts, database: Database) -> None:
        secret = accounts.add_token("submitter", "acme", "till").secret
        assert len(secret) >= 43 + len("sg_")
        with database.transaction() as connection:
            rows = connection.execute(select(text("tokens::text")).select_from(tokens)).scalars().all()
        assert rows
        assert not any(secret in row or secret.removeprefix("sg_") in row for row in rows)

    def test_revoked_and_expired_ones_are_closed(self, accounts: Accounts, database: Database) -> None:
        revoked, expired = (accounts.add_token("submitter", "acme", "till", days=1) for _ in range(2))
        accounts.revoke_token(revoked.token.id)
        with database.transaction() as connection:
            past = func.now() - text("interval '1 second'")
            connection.execute(update(tokens).where(tokens.c.id == expired.token.id).values(expires_at=past))
        assert accounts.authenticate(revoked.secret) is None
        assert accounts.authenticate(expired.secret) is None

    @pytest.mark.parametrize("secret", ["", "sg_", "sg_nonsense", "\0", "sg_\ud800", "x" * 100_000])
    def test_nonsense_opens_nothing(self, accounts: Accounts, secret: str) -> None:
        assert accounts.authenticate(secret) is None

    @pytest.mark.parametrize("role", ["submitter", "reviewer", "lead"])
    def test_most_roles_belong_to_a_tenant(self, accounts: Accounts, role: str) -> None:
        with pytest.raises(InputRejected) as caught:
            accounts.add_token(role, None, "x")
        assert caught.value.code == "tenant_required"

    def test_ml_and_admin_may_be_above(self, accounts: Accounts) -> None:
        for role in ("ml", "admin"):
            caller = accounts.authenticate(accounts.add_token(role, None, "x").secret)
            assert caller is not None
            assert caller.tenant is None

    @pytest.mark.parametrize(
        ("role", "tenant", "name", "days"),
        [("king", "acme", "x", None), ("admin", None, " ", None), ("admin", None, "x", 0), ("admin", None, "x", 1e9)],
    )
    def test_refusals(self, accounts: Accounts, role: str, tenant: str | None, name: str, days: float | None) -> None:
        with pytest.raises(InputRejected):
            accounts.add_token(role, tenant, name, days)

    def test_another_tenants_token_is_not_there(self, accounts: Accounts) -> None:
        made = accounts.add_token("submitter", "other", "till")
        with pytest.raises(NotFound):
            accounts.revoke_token(made.token.id, tenant="acme")
        assert accounts.authenticate(made.secret) is not None
        assert made.token.id not in [token.id for token in accounts.list_tokens("acme")]


class TestWebhooks:
    def test_the_secret_signs_and_is_kept_encrypted(self, accounts: Accounts, database: Database) -> None:
        made = accounts.add_webhook("acme", "https://hooks.example/shelfguard?a=1")
        Webhook(made.secret)  # a secret that the public libraries accept
        with database.transaction() as connection:
            sealed = connection.execute(
                select(webhook_endpoints.c.secret_encrypted).where(webhook_endpoints.c.id == made.webhook.id)
            ).scalar_one()
        assert made.secret.encode() not in sealed
        assert accounts.vault.open(sealed) == made.secret
        with pytest.raises(Unavailable, match="SHELFGUARD_SECRET_KEY"):
            Vault(Fernet.generate_key().decode()).open(sealed)

    @pytest.mark.parametrize(
        "url",
        [
            "http://hooks.example/",
            "ftp://hooks.example/",
            "https:///path",
            "https://user:password@hooks.example/",
            "https://hooks.example/#fragment",
            "https://hooks.example/a b",
            "https://hooks.example\\@evil.example/",
            "https://hooks.example/\n",
            "https://höoks.example/",
            "https://hooks.example:99999/",
            "https://[::1",
            "https://hooks.example/" + "a" * 3_000,
            "javascript:alert(1)",
            "",
        ],
    )
    def test_addresses_of_a_wrong_form(self, accounts: Accounts, url: str) -> None:
        with pytest.raises(InputRejected) as caught:
            accounts.add_webhook("acme", url)
        assert caught.value.code == "bad_url"

    def test_plain_http_is_for_development(self, database: Database) -> None:
        developing = Accounts(database, Fernet.generate_key().decode(), allow_private=True)
        developing.ensure_tenant("acme")
        assert developing.add_webhook("acme", "http://127.0.0.1:9000/").webhook.url == "http://127.0.0.1:9000/"

    def test_revoking(self, accounts: Accounts) -> None:
        made = accounts.add_webhook("acme", "https://hooks.example/")
        with pytest.raises(NotFound):
            accounts.revoke_webhook(made.webhook.id, tenant="other")
        assert accounts.revoke_webhook(made.webhook.id).disabled_reason == "revoked"
        assert accounts.revoke_webhook(made.webhook.id).disabled_reason == "revoked"


@pytest.mark.parametrize(
    "call",
    [
        lambda accounts: accounts.revoke_tenant("nobody"),
        lambda accounts: accounts.revoke_tenant("\0"),
        lambda accounts: accounts.revoke_token("not-a-uuid"),
        lambda accounts: accounts.revoke_token(str(uuid4())),
        lambda accounts: accounts.revoke_webhook(str(uuid4())),
        lambda accounts: accounts.add_token("submitter", "nobody", "x"),
        lambda accounts: accounts.add_webhook("\0", "https://hooks.example/"),
    ],
)
def test_what_is_not_there(accounts: Accounts, call: Callable[[Accounts], object]) -> None:
    with pytest.raises(NotFound) as caught:
        call(accounts)
    assert isinstance(caught.value, ShelfguardError)
