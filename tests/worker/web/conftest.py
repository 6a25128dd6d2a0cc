"""The API over parts in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from domain.errors import InputRejected, NotFound
from domain.moderation import Finding
from domain.observations import Observation
from domain.policies import Bundle
from tests.factories import a_stored_photo, an_observation, some_jpeg
from tests.fakes import MemoryLedger
from tests.fakes_policies import MemoryPolicies
from tests.worker.policy.conftest import HEAD, a_rule
from worker.acceptance import AcceptTools
from worker.policy.engine import PolicyEngine
from worker.policy_desk import PolicyDesk
from worker.storage.accounts import Caller, NewToken, NewWebhook, Role, Tenant, Token, Webhook
from worker.storage.reads import SeenPhoto
from worker.web import WebTools, create_app

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TOKENS = {
    "sg_submitter": Caller("1", "shop", Role.SUBMITTER, "acme"),
    "sg_reviewer": Caller("2", "reviewer", Role.REVIEWER, "acme"),
    "sg_ml": Caller("3", "ml", Role.ML, None),
    "sg_admin": Caller("4", "admin", Role.ADMIN, None),
    "sg_acme_admin": Caller("5", "acme's admin", Role.ADMIN, "acme"),
    "sg_other": Caller("6", "other shop", Role.SUBMITTER, "other"),
    "sg_lead": Caller("7", "lead", Role.LEAD, "acme"),
}


class FakeAccounts:
    def __init__(self) -> None:
        self.made: list[tuple[Any, ...]] = []

    def authenticate(self, secret: str) -> Caller | None:
        return TOKENS.get(secret)

    def ensure_tenant(self, tenant: str, name: str | None = None) -> Tenant:
        self.made.append(("tenant", tenant, name))
        return Tenant(tenant, name or tenant, NOW, None)

    def list_tenants(self) -> list[Tenant]:
        return [Tenant(name, name, NOW, None) for name in ("acme", "other")]

    def revoke_tenant(self, tenant: str) -> Tenant:
        return Tenant(tenant, tenant, NOW, NOW)

    def add_token(
        self, role: str, tenant: str | None, name: str, days: float | None = None, *, person: str | None, by: Any
    ) -> NewToken:
        self.made.append(("token", role, tenant, name))
        until = NOW + timedelta(days=days) if days else None
        return NewToken(Token("9", name, Role(role), tenant, NOW, until, None), "sg_new")

    def list_tokens(self, tenant: str | None = None) -> list[Token]:
        every = [Token(c.token_id, c.name, c.role, c.tenant, NOW, None, None) for c in TOKENS.values()]
        return [token for token in every if tenant in (None, token.tenant)]

    def revoke_token(self, token_id: str, tenant: str | None = None, *, by: Any = None) -> Token:
        for token in self.list_tokens(tenant):
            if token.id == token_id:
                return token
        raise NotFound("token", token_id)

    def add_webhook(self, tenant: str, url: str) -> NewWebhook:
        self.made.append(("webhook", tenant, url))
        return NewWebhook(Webhook("8", tenant, url, NOW, None, None), "whsec_new")

    def list_webhooks(self, tenant: str | None = None) -> list[Webhook]:
        return [Webhook("8", "acme", "https://hooks.example/", NOW, None, None)]

    def revoke_webhook(self, webhook_id: str, tenant: str | None = None) -> Webhook:
        return Webhook(webhook_id, "acme", "https://hooks.example/", NOW, NOW, "revoked")


class FakeReads:
    """Views over the ledger in memory."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self.ledger = ledger
        self.asked: list[tuple[Any, ...]] = []

    def job_view(self, tenant: str | None, job_id: str) -> dict[str, Any]:
        row = self.ledger.rows.get(job_id)
        if row is None or tenant not in (None, row.job.tenant):
            raise NotFound("job", job_id)
        return {"job_id": job_id, "state": row.state.value, "tenant": row.job.tenant, "record": None, "decision": None}

    def find_jobs(
        self, tenant: str | None, state: str | None, cursor: str | None, limit: int, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        self.asked.append((tenant, state, cursor, limit))
        if cursor == "bad":
            raise InputRejected("bad_cursor", "cursor: it is not one of ours.")
        return {"items": [], "next_cursor": None}

    def list_cases(
        self, tenant: str | None, state: str, cursor: str | None, limit: int, *filters: object
    ) -> dict[str, Any]:
        self.asked.append((tenant, state, cursor, limit))
        return {"items": [], "next_cursor": None}

    def product_view(self, tenant: str, product_id: str) -> dict[str, Any]:
        return {"tenant": tenant, "product_id": product_id, "revision": 1}

    def decision_view(self, decision_id: str, tenant: str | None = None) -> dict[str, Any]:
        return {"id": decision_id, "verdict": "approve"}

    def stored_photo(self, tenant: str | None, job_id: str) -> Any:
        self.job_view(tenant, job_id)
        return a_stored_photo()

    def seen_photo(self, tenant: str | None, job_id: str) -> SeenPhoto:
        return SeenPhoto(
            tenant=tenant or "acme",
            photo=self.stored_photo(tenant, job_id),
            seen=an_observation(),
            findings=(),
            decision_id="d-1",
            annotated_key=None,
        )


@cache
def shipped_policy() -> PolicyEngine:
    return PolicyEngine.of_bundle(Bundle("policy.yaml", {"policy.yaml": HEAD + a_rule(action="review")}))


@dataclass
class World:
    """What a test may look at and change behind the API."""

    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    accounts: FakeAccounts = field(default_factory=FakeAccounts)
    uploads: dict[str, bytes] = field(default_factory=dict)
    woken: list[str] = field(default_factory=list)
    probes: dict[str, Callable[[], object]] = field(
        default_factory=lambda: dict.fromkeys(("database", "broker", "object store"), lambda: None)
    )

    kept: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reads = FakeReads(self.ledger)
        self.policies = MemoryPolicies()
        # Requests to judge again, alarms and stored decisions are SQL alone: tests/integration/test_policies.py.
        no_sql: Any = SimpleNamespace()
        alarms: Any = SimpleNamespace(recent=lambda: {"cap_reached": 2}, list=lambda tenant: [])
        self.desk = PolicyDesk(self.policies, shipped_policy, no_sql, alarms, no_sql)

    def put_upload(self, tenant: str, data: bytes) -> str:
        key = f"{tenant}/uploads/{len(self.uploads)}"
        self.uploads[key] = data
        return key

    def _uploads(self) -> Any:
        return SimpleNamespace(put_upload=self.put_upload, delete=self.uploads.pop)

    def tools(self) -> WebTools:
        def draw(photo: bytes, seen: Observation, findings: Sequence[Finding]) -> bytes:
            return photo + seen.caption.encode()

        return WebTools(
            accept=AcceptTools(self.ledger, self._uploads(), self.woken.append),
            reads=self.reads,  # type: ignore[arg-type]
            accounts=self.accounts,  # type: ignore[arg-type]
            policies=self.desk,
            reviews=SimpleNamespace(),  # type: ignore[arg-type]  # SQL alone: tests/integration/test_reviews.py
            get_object={"acme/blobs/copy": some_jpeg()}.__getitem__,
            draw=draw,
            keep_annotated=lambda found, picture: self.kept.append(picture),
            probes=self.probes,
            backlog=lambda: {"intake": len(self.ledger.rows), "vision": 0},
            version="1.2.3",
            max_body_bytes=100_000,
        )


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    """Sends as the tenant's submitter unless told otherwise."""
    with TestClient(create_app(world.tools()), headers=bearer("sg_submitter")) as open_client:
        yield open_client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def a_body(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "schema": 1,
        "tenant": "acme",
        "product_id": "sku-1",
        "image_id": "front",
        "image": {"url": "https://photos.example/sku-1.jpg"},
    }
    return body | changes
