"""`shelfguard tenant|token|webhook add|list|revoke`: who may use Shelfguard, and where events are sent.

On a site's own machine, where SHELFGUARD_DATABASE_URL is set, they work on the database, so that the first token can
be made; anywhere else they talk to the API.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from typing import Annotated, Any, Protocol
from urllib.parse import quote

import typer

from worker.cli.client import ApiClient

tenant_app = typer.Typer(help="Shops. A tenant sees nothing of another.", no_args_is_help=True)
token_app = typer.Typer(help="Bearer tokens for the API, each with a role.", no_args_is_help=True)
webhook_app = typer.Typer(help="Addresses that a tenant's events are sent to.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
OneTenant = Annotated[str | None, typer.Option("--tenant", help="Only of this tenant.")]
Json = dict[str, Any]


class RoleName(StrEnum):
    SUBMITTER = "submitter"
    REVIEWER = "reviewer"
    LEAD = "lead"
    ML = "ml"
    ADMIN = "admin"


class Desk(Protocol):
    """Where accounts are kept, as JSON in and out. `kind` is tenants, tokens or webhooks."""

    def add(self, kind: str, wanted: Mapping[str, Any]) -> Json: ...

    def list(self, kind: str, tenant: str | None) -> list[Json]: ...

    def revoke(self, kind: str, name: str) -> Json: ...


class ApiDesk:
    """Over HTTP."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    def add(self, kind: str, wanted: Mapping[str, Any]) -> Json:
        given = {name: value for name, value in wanted.items() if value is not None}
        made: Json = self._client.ask("POST", f"/v1/{kind}", given)
        return made

    def list(self, kind: str, tenant: str | None) -> list[Json]:
        items: list[Json] = self._client.ask("GET", f"/v1/{kind}", query={"tenant": tenant} if tenant else {})["items"]
        return items

    def revoke(self, kind: str, name: str) -> Json:
        ended: Json = self._client.ask("DELETE", f"/v1/{kind}/{quote(name, safe='')}")
        return ended


class DatabaseDesk:
    """On the database."""

    def __init__(self) -> None:
        from worker.wiring import accounts

        self._accounts = accounts()

    def add(self, kind: str, wanted: Mapping[str, Any]) -> Json:
        match kind:
            case "tenants":
                return self._accounts.ensure_tenant(wanted["id"], wanted["name"]).as_json()
            case "tokens":
                return self._accounts.add_token(**wanted).as_json()
            case _:
                return self._accounts.add_webhook(**wanted).as_json()

    def list(self, kind: str, tenant: str | None) -> list[Json]:
        match kind:
            case "tenants":
                return [item.as_json() for item in self._accounts.list_tenants()]
            case "tokens":
                return [item.as_json() for item in self._accounts.list_tokens(tenant)]
            case _:
                return [item.as_json() for item in self._accounts.list_webhooks(tenant)]

    def revoke(self, kind: str, name: str) -> Json:
        revoke: Mapping[str, Callable[[str], Any]] = {
            "tenants": self._accounts.revoke_tenant,
            "tokens": self._accounts.revoke_token,
            "webhooks": self._accounts.revoke_webhook,
        }
        ended: Json = revoke[kind](name).as_json()
        return ended


def desk() -> AbstractContextManager[Desk]:
    """SHELFGUARD_API_URL, else the database of this site, else the local system's API."""
    if "SHELFGUARD_API_URL" not in os.environ and "SHELFGUARD_DATABASE_URL" in os.environ:
        return nullcontext(DatabaseDesk())
    return _Remote()


class _Remote(AbstractContextManager[Desk]):
    def __enter__(self) -> Desk:
        self._client = ApiClient.find()
        return ApiDesk(self._client)

    def __exit__(self, *_: object) -> None:
        self._client.__exit__()


@tenant_app.command("add")
def add_tenant(
    tenant: Annotated[str, typer.Argument(help="Lower-case letters, digits, '-' and '_'.")],
    name: Annotated[str | None, typer.Option(help="For people to read.")] = None,
    as_json: AsJson = False,
) -> None:
    """See that a tenant exists and is enabled."""
    _add("tenants", {"id": tenant, "name": name}, as_json)


@tenant_app.command("list")
def list_tenants(as_json: AsJson = False) -> None:
    """List all tenants."""
    _list("tenants", None, as_json)


@tenant_app.command("revoke")
def revoke_tenant(tenant: Annotated[str, typer.Argument(help="Its id.")], as_json: AsJson = False) -> None:
    """Accept nothing more for a tenant and stop its tokens. What it has stays."""
    _revoke("tenants", tenant, as_json)


@token_app.command("add")
def add_token(
    role: Annotated[RoleName, typer.Option(help="What it may do.")],
    tenant: Annotated[str | None, typer.Option(help="The tenant it is for; none = all (ml and admin only).")] = None,
    name: Annotated[str, typer.Option(help="What it is for.")] = "made by the command line",
    days: Annotated[float | None, typer.Option(help="Days until it expires; default: never.")] = None,
    person: Annotated[
        str | None, typer.Option(help="Login of whose it is: what it does, that person does. Left out for a service.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a token. It is printed once and kept nowhere."""
    wanted = {"role": role.value, "tenant": tenant, "name": name, "days": days, "person": person}
    _add("tokens", wanted, as_json)


@token_app.command("list")
def list_tokens(tenant: OneTenant = None, as_json: AsJson = False) -> None:
    """List tokens, without their secrets."""
    _list("tokens", tenant, as_json)


@token_app.command("revoke")
def revoke_token(
    token: Annotated[str, typer.Argument(help="Its id, from `token list`.")], as_json: AsJson = False
) -> None:
    """End a token now."""
    _revoke("tokens", token, as_json)


@webhook_app.command("add")
def add_webhook(
    url: Annotated[str, typer.Argument(help="https address that takes the events.")],
    tenant: Annotated[str, typer.Option(help="Whose events.")],
    as_json: AsJson = False,
) -> None:
    """Send a tenant's events to an address. The secret that verifies them is printed once."""
    _add("webhooks", {"tenant": tenant, "url": url}, as_json)


@webhook_app.command("list")
def list_webhooks(tenant: OneTenant = None, as_json: AsJson = False) -> None:
    """List endpoints, without their secrets."""
    _list("webhooks", tenant, as_json)


@webhook_app.command("revoke")
def revoke_webhook(
    webhook: Annotated[str, typer.Argument(help="Its id, from `webhook list`.")], as_json: AsJson = False
) -> None:
    """Send nothing more to an endpoint."""
    _revoke("webhooks", webhook, as_json)


def _add(kind: str, wanted: Mapping[str, Any], as_json: bool) -> None:
    with desk() as open_desk:
        made = open_desk.add(kind, wanted)
    if as_json:
        typer.echo(json.dumps(made))
    elif "secret" in made:
        typer.echo(made["secret"])
        typer.echo(f"This is {kind.rstrip('s')} {made['id']}. Its secret is not shown again: keep it now.", err=True)
    else:
        typer.echo(made["id"])


def _list(kind: str, tenant: str | None, as_json: bool) -> None:
    with desk() as open_desk:
        items = open_desk.list(kind, tenant)
    if as_json:
        typer.echo(json.dumps({kind: items}))
        return
    for item in items:
        typer.echo("  ".join(str(value) for name, value in item.items() if value is not None and name != "created_at"))
    if not items:
        typer.echo(f"No {kind}.", err=True)


def _revoke(kind: str, name: str, as_json: bool) -> None:
    with desk() as open_desk:
        ended = open_desk.revoke(kind, name)
    typer.echo(json.dumps(ended) if as_json else f"{kind.rstrip('s')} {ended['id']} is revoked.")
