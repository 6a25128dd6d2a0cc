"""Who may do what: tenants, bearer tokens with roles, and the webhook endpoints of tenants.

Of a token only its sha256 is kept: 32 random bytes cannot be guessed, so no slow hash is needed. Secrets are returned
once, by the call that makes them.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, RowMapping, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from domain.audit import SYSTEM, Actor
from domain.errors import InputRejected, NotFound
from worker.storage.audit import record
from worker.storage.database import Database
from worker.storage.ids import plain, printable, uuid_of
from worker.storage.tables import deliveries, persons, tenants, tokens, webhook_endpoints
from worker.storage.vault import Vault

TOKEN_PREFIX = "sg_"  # noqa: S105 - what leaked tokens are recognised by, not a token
SECRET_PREFIX = "whsec_"  # noqa: S105 - of Standard Webhooks
MAX_NAME = 200  # characters
MAX_URL = 2_048  # characters
MAX_DAYS = 3_650
_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_HOST = re.compile(r"[A-Za-z0-9.-]+|[0-9A-Fa-f:.]+")


class Role(StrEnum):
    SUBMITTER = "submitter"
    REVIEWER = "reviewer"
    LEAD = "lead"
    ML = "ml"
    ADMIN = "admin"


ROLES_ABOVE_TENANTS = frozenset({Role.ML, Role.ADMIN})


@dataclass(frozen=True, slots=True)
class Tenant:
    id: str
    name: str
    created_at: datetime
    disabled_at: datetime | None

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "created_at": self.created_at.isoformat(),
            "disabled_at": _iso(self.disabled_at),
        }


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its secret. `tenant` None = every tenant."""

    id: str
    name: str
    role: Role
    tenant: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = None
    person: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "role": self.role.value,
            "tenant": self.tenant,
            "created_at": self.created_at.isoformat(),
            "expires_at": _iso(self.expires_at),
            "revoked_at": _iso(self.revoked_at),
            "last_used_at": _iso(self.last_used_at),
            "person": self.person,
        }


@dataclass(frozen=True, slots=True)
class Webhook:
    """An endpoint without its secret."""

    id: str
    tenant: str
    url: str
    created_at: datetime
    disabled_at: datetime | None
    disabled_reason: str | None

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "tenant": self.tenant,
            "url": self.url,
            "created_at": self.created_at.isoformat(),
            "disabled_at": _iso(self.disabled_at),
            "disabled_reason": self.disabled_reason,
        }


@dataclass(frozen=True, slots=True)
class NewToken:
    """`secret` is what the caller sends as bearer token; it is not kept."""

    token: Token
    secret: str

    def as_json(self) -> dict[str, Any]:
        return self.token.as_json() | {"secret": self.secret}


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """`secret` is what the shop verifies signatures with."""

    webhook: Webhook
    secret: str

    def as_json(self) -> dict[str, Any]:
        return self.webhook.as_json() | {"secret": self.secret}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request. `tenant` None = may act for every tenant.

    person_id, person_name: whom the token counts as: whose it is, else who made it; None for neither.
    """

    token_id: str
    name: str
    role: Role
    tenant: str | None
    person_id: str | None = None
    person_name: str | None = None

    @property
    def actor(self) -> Actor:
        if self.person_id is not None:
            return Actor("person", self.person_id, self.person_name or self.name)
        return Actor("token", self.token_id, self.name)


class Accounts:
    """`fernet_key`: see Vault. `allow_private`: plain http addresses are accepted too, for development."""

    def __init__(self, database: Database, fernet_key: str, *, allow_private: bool = False) -> None:
        self.database = database
        self.vault = Vault(fernet_key)
        self.allow_private = allow_private

    # tenants ---------------------------------------------------------------------------------------------------

    def ensure_tenant(self, tenant: str, name: str | None = None) -> Tenant:
        """See that the tenant exists and is enabled. Raises InputRejected for an id that no job could carry."""
        if not _TENANT.fullmatch(tenant):
            raise InputRejected(
                "bad_tenant",
                "tenant: send 1 to 63 lower-case letters, digits, '-' or '_', starting with a letter or digit.",
            )
        values = {"name": check_name(name or tenant), "disabled_at": None}
        with self.database.transaction() as connection:
            row = (
                connection.execute(
                    upsert(tenants)
                    .values(id=tenant, **values)
                    .on_conflict_do_update(
                        index_elements=[tenants.c.id], set_=values if name else {"disabled_at": None}
                    )
                    .returning(tenants)
                )
                .mappings()
                .one()
            )
        return Tenant(**row)

    def list_tenants(self) -> list[Tenant]:
        with self.database.transaction() as connection:
            return [Tenant(**row) for row in connection.execute(select(tenants).order_by(tenants.c.id)).mappings()]

    def revoke_tenant(self, tenant: str) -> Tenant:
        """Nothing more is accepted for the tenant and its tokens stop working; its records stay."""
        with self.database.transaction() as connection:
            row = (
                connection.execute(
                    update(tenants)
                    .where(tenants.c.id == plain("tenant", tenant))
                    .values(disabled_at=func.coalesce(tenants.c.disabled_at, func.now()))
                    .returning(tenants)
                )
                .mappings()
                .first()
            )
        if row is None:
            raise NotFound("tenant", printable(tenant))
        return Tenant(**row)

    # tokens ----------------------------------------------------------------------------------------------------

    def add_token(
        self,
        role: str,
        tenant: str | None,
        name: str,
        days: float | None = None,
        *,
        person: str | None = None,
        by: Actor = SYSTEM,
    ) -> NewToken:
        """Make a token. `days`: until it expires; None = it does not. `person`: whose it is, by login.

        Raises InputRejected (role, name, days, more than the person may), NotFound (no such enabled tenant, person).
        """
        chosen = _role(role)
        if tenant is None and chosen not in ROLES_ABOVE_TENANTS:
            raise InputRejected(
                "tenant_required", f"tenant: a token of role {chosen.value} belongs to one tenant; name it."
            )
        expires_at = _expiry(days)
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        with self.database.transaction() as connection:
            if tenant is not None:
                check_tenant(connection, tenant)
            row = (
                connection.execute(
                    insert(tokens)
                    .values(
                        person_id=None if person is None else _owner(connection, person, chosen, tenant),
                        made_by=by.id if by.kind == "person" else None,
                        tenant=tenant,
                        name=check_name(name),
                        role=chosen.value,
                        digest=digest(secret),
                        expires_at=expires_at,
                    )
                    .returning(*_TOKEN_COLUMNS)
                )
                .mappings()
                .one()
            )
            made = _token(row)
            said = {"role": made.role.value, "name": made.name}
            record(connection, by, "token.add", f"token:{made.id}", tenant=tenant, data=said)
        return NewToken(made, secret)

    def list_tokens(self, tenant: str | None = None) -> list[Token]:
        """All tokens, or those of one tenant; newest first."""
        query = select(*_TOKEN_COLUMNS).order_by(tokens.c.created_at.desc(), tokens.c.id)
        if tenant is not None:
            query = query.where(tokens.c.tenant == plain("tenant", tenant))
        with self.database.transaction() as connection:
            return [_token(row) for row in connection.execute(query).mappings()]

    def revoke_token(self, token_id: str, tenant: str | None = None, *, by: Actor = SYSTEM) -> Token:
        """Raises NotFound, also for another tenant's token where `tenant` is given."""
        change = (
            update(tokens)
            .where(tokens.c.id == uuid_of("token", token_id))
            .values(revoked_at=func.coalesce(tokens.c.revoked_at, func.now()))
            .returning(*_TOKEN_COLUMNS)
        )
        if tenant is not None:
            change = change.where(tokens.c.tenant == tenant)
        with self.database.transaction() as connection:
            row = connection.execute(change).mappings().first()
            if row is None:
                raise NotFound("token", printable(token_id))
            record(connection, by, "token.revoke", f"token:{row['id']}", tenant=row["tenant"])
        return _token(row)

    def authenticate(self, secret: str) -> Caller | None:
        """The caller behind a token; None when it is unknown, expired or revoked, or its tenant or person disabled.

        Notes the use.
        """
        if not secret.startswith(TOKEN_PREFIX):
            return None
        query = (
            select(
                tokens.c.id,
                tokens.c.name,
                tokens.c.role,
                tokens.c.tenant,
                persons.c.id.label("person_id"),
                persons.c.name.label("person_name"),
                or_(tokens.c.last_used_at.is_(None), tokens.c.last_used_at < func.now() - _USED_EVERY).label("stale"),
            )
            .outerjoin(tenants, tenants.c.id == tokens.c.tenant)
            .outerjoin(persons, persons.c.id == func.coalesce(tokens.c.person_id, tokens.c.made_by))
            .where(
                tokens.c.digest == digest(secret),
                tokens.c.revoked_at.is_(None),
                or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > func.now()),
                tenants.c.disabled_at.is_(None),
                # A person's own tokens end with the account; those made for services go on without whoever made them.
                or_(tokens.c.person_id.is_(None), persons.c.disabled_at.is_(None)),
            )
        )
        with self.database.transaction() as connection:
            row = connection.execute(query).first()
            if row is not None and row.stale:
                used = update(tokens).where(tokens.c.id == row.id).values(last_used_at=func.now())
                connection.execute(used)
        if row is None:
            return None
        return Caller(row.id, row.name, Role(row.role), row.tenant, row.person_id, row.person_name)

    # webhooks --------------------------------------------------------------------------------------------------

    def add_webhook(self, tenant: str, url: str) -> NewWebhook:
        """Register an endpoint with a secret of our making. Raises InputRejected (address), NotFound (tenant)."""
        _check_url(url, allow_http=self.allow_private)
        secret = SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
        with self.database.transaction() as connection:
            check_tenant(connection, tenant)
            row = (
                connection.execute(
                    insert(webhook_endpoints)
                    .values(tenant=tenant, url=url, secret_encrypted=self.vault.seal(secret))
                    .returning(*_WEBHOOK_COLUMNS)
                )
                .mappings()
                .one()
            )
        return NewWebhook(Webhook(**row), secret)

    def list_webhooks(self, tenant: str | None = None) -> list[Webhook]:
        query = select(*_WEBHOOK_COLUMNS).order_by(webhook_endpoints.c.created_at.desc(), webhook_endpoints.c.id)
        if tenant is not None:
            query = query.where(webhook_endpoints.c.tenant == plain("tenant", tenant))
        with self.database.transaction() as connection:
            return [Webhook(**row) for row in connection.execute(query).mappings()]

    def revoke_webhook(self, webhook_id: str, tenant: str | None = None) -> Webhook:
        """Nothing more is sent there. Raises NotFound, also for another tenant's where `tenant` is given."""
        endpoint = uuid_of("webhook", webhook_id)
        query = select(webhook_endpoints.c.id).where(webhook_endpoints.c.id == endpoint)
        if tenant is not None:
            query = query.where(webhook_endpoints.c.tenant == tenant)
        with self.database.transaction() as connection:
            if connection.execute(query).first() is None:
                raise NotFound("webhook", printable(webhook_id))
            disable_endpoint(connection, endpoint, "revoked")
            row = connection.execute(select(*_WEBHOOK_COLUMNS).where(webhook_endpoints.c.id == endpoint)).mappings()
            return Webhook(**row.one())


def disable_endpoint(connection: Connection, endpoint: str, reason: str) -> None:
    """Send nothing more to an endpoint; what was waiting for it fails, and what is under way is fenced off."""
    connection.execute(
        update(webhook_endpoints)
        .where(webhook_endpoints.c.id == endpoint, webhook_endpoints.c.disabled_at.is_(None))
        .values(disabled_at=func.now(), disabled_reason=reason)
    )
    connection.execute(
        update(deliveries)
        .where(deliveries.c.endpoint_id == endpoint, deliveries.c.state == "pending")
        .values(
            state="failed",
            last_error=f"The endpoint was disabled: {reason}.",
            lease_token=None,
            lease_until=None,
            finished_at=func.now(),
        )
    )


_TOKEN_COLUMNS = (
    tokens.c.id,
    tokens.c.name,
    tokens.c.role,
    tokens.c.tenant,
    tokens.c.created_at,
    tokens.c.expires_at,
    tokens.c.revoked_at,
    tokens.c.last_used_at,
    tokens.c.person_id.label("person"),
)
_USED_EVERY = timedelta(minutes=1)  # a token's last use is written this often
_WEBHOOK_COLUMNS = (
    webhook_endpoints.c.id,
    webhook_endpoints.c.tenant,
    webhook_endpoints.c.url,
    webhook_endpoints.c.created_at,
    webhook_endpoints.c.disabled_at,
    webhook_endpoints.c.disabled_reason,
)


def _token(row: RowMapping) -> Token:
    return Token(**{**row, "role": Role(row["role"])})


def digest(secret: str) -> bytes:
    """What is kept of a secret: of a token, an invitation, a session. Random secrets need no slow hash."""
    return hashlib.sha256(secret.encode(errors="replace")).digest()


def _role(role: str) -> Role:
    try:
        return Role(role)
    except ValueError:
        raise InputRejected("bad_role", f"role: send one of {', '.join(Role)}.") from None


def check_name(name: str) -> str:
    if not name.strip() or not name.isprintable() or len(name) > MAX_NAME:
        raise InputRejected("bad_name", f"name: send 1 to {MAX_NAME} printable characters.")
    return name


def _expiry(days: float | None) -> datetime | None:
    if days is None:
        return None
    if not 0 < days <= MAX_DAYS:
        raise InputRejected("bad_expiry", f"days: send a number above 0, {MAX_DAYS} at most, or leave it out.")
    return datetime.now(UTC) + timedelta(days=days)


def _owner(connection: Connection, login: str, role: Role, tenant: str | None) -> str:
    """The id of whose token it is, who may do what it may. Raises NotFound, InputRejected."""
    query = select(persons).where(
        persons.c.login == plain("person", login.strip().lower()), persons.c.disabled_at.is_(None)
    )
    row = connection.execute(query).first()
    if row is None:
        raise NotFound("person", printable(login))
    if row.role != Role.ADMIN and role not in (row.role, Role.SUBMITTER):
        raise InputRejected("more_than_theirs", f"role: {login} is a {row.role}; their tokens cannot be more.")
    if row.tenants is not None and tenant not in row.tenants:
        raise InputRejected("more_than_theirs", f"tenant: name one of {login}'s: {', '.join(row.tenants)}.")
    return str(row.id)


def check_tenant(connection: Connection, tenant: str) -> None:
    known = select(tenants.c.id).where(tenants.c.id == plain("tenant", tenant), tenants.c.disabled_at.is_(None))
    if connection.execute(known).first() is None:
        raise NotFound("tenant", printable(tenant))


def _check_url(url: str, *, allow_http: bool) -> None:
    """The form of an address. Where it leads is checked at each connection, not here."""
    schemes: Sequence[str] = ("https", "http") if allow_http else ("https",)
    try:
        parts = urlsplit(url)
        sound = (
            len(url) <= MAX_URL
            and url.isascii()
            and url.isprintable()
            and not set(url) & set(' \\"<>')
            and parts.scheme in schemes
            and _HOST.fullmatch(parts.hostname or "") is not None
            and parts.username is None
            and parts.password is None
            and not parts.fragment
            and parts.port != 0
        )
    except ValueError:
        sound = False
    if not sound:
        raise InputRejected(
            "bad_url",
            f"url: send one {' or '.join(schemes)} address of at most {MAX_URL} ASCII characters, "
            "with a host and without user name or fragment.",
        )


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
