"""Tenants, tokens and webhooks over HTTP. An admin of one tenant manages that tenant's tokens and webhooks only."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from domain.errors import Forbidden, InputRejected
from worker.storage.accounts import Caller
from worker.web.bodies import SMALL_BODY, Model, parse_json, read_body, read_model
from worker.web.problems import documented
from worker.web.security import Admin, Tools, acting_for
from worker.web.views import (
    NewTokenView,
    NewWebhookView,
    TenantList,
    TenantView,
    TokenList,
    TokenView,
    WebhookList,
    WebhookView,
)

router = APIRouter(prefix="/v1", tags=["admin"], responses=documented(401, 403, 422, 500, 503))
OfTenant = Annotated[str | None, Query(max_length=63)]


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class NewTenant(_Body):
    id: str = Field(description="1 to 63 lower-case letters, digits, '-' or '_'")
    name: str | None = Field(None, description="for people to read")


class NewToken(_Body):
    role: str = Field(description="submitter, reviewer, lead, ml or admin")
    tenant: str | None = Field(None, description="leave out for every tenant (roles ml and admin)")
    name: str = Field(description="what it is for")
    days: float | None = Field(None, description="until it expires; leave out for never", allow_inf_nan=False)
    person: str | None = Field(None, description="login of whose it is; leave out for a service's", max_length=254)


class NewWebhook(_Body):
    tenant: str | None = None
    url: str = Field(description="https address that events are sent to")


def _documented_body(model: type[BaseModel]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}


async def _read(request: Request, model: type[Model]) -> Model:
    return read_model(model, parse_json(await read_body(request, SMALL_BODY)))


def _above_tenants(caller: Caller) -> None:
    if caller.tenant is not None:
        raise Forbidden("managing tenants with a token of one tenant", "Use an admin token for every tenant.")


@router.post(
    "/tenants", status_code=201, response_model=TenantView, openapi_extra=_documented_body(NewTenant),
    responses=documented(400, 413),
)  # fmt: skip
async def add_tenant(request: Request, tools: Tools, caller: Admin) -> JSONResponse:
    """See that a tenant exists and is enabled."""
    _above_tenants(caller)
    asked = await _read(request, NewTenant)
    made = await run_in_threadpool(tools.accounts.ensure_tenant, asked.id, asked.name)
    return JSONResponse(made.as_json(), 201)


@router.get("/tenants", response_model=TenantList)
def list_tenants(tools: Tools, caller: Admin) -> JSONResponse:
    """All tenants; for an admin of one tenant, that one."""
    known = [item.as_json() for item in tools.accounts.list_tenants() if caller.tenant in (None, item.id)]
    return JSONResponse({"items": known})


@router.delete("/tenants/{tenant}", response_model=TenantView, responses=documented(404))
def revoke_tenant(tenant: str, tools: Tools, caller: Admin) -> JSONResponse:
    """Disable a tenant: nothing more is accepted for it, and its tokens stop working."""
    _above_tenants(caller)
    return JSONResponse(tools.accounts.revoke_tenant(tenant).as_json())


@router.post(
    "/tokens", status_code=201, response_model=NewTokenView, openapi_extra=_documented_body(NewToken),
    responses=documented(400, 404, 413),
)  # fmt: skip
async def add_token(request: Request, tools: Tools, caller: Admin) -> JSONResponse:
    """Make a token; its secret is shown this once."""
    asked = await _read(request, NewToken)
    tenant = acting_for(caller, asked.tenant)
    made = await run_in_threadpool(
        tools.accounts.add_token, asked.role, tenant, asked.name, asked.days, person=asked.person, by=caller.actor
    )
    return JSONResponse(made.as_json(), 201)


@router.get("/tokens", response_model=TokenList)
def list_tokens(tools: Tools, caller: Admin, tenant: OfTenant = None) -> JSONResponse:
    """Tokens without their secrets, newest first."""
    return JSONResponse({"items": [item.as_json() for item in tools.accounts.list_tokens(acting_for(caller, tenant))]})


@router.delete("/tokens/{token_id}", response_model=TokenView, responses=documented(404))
def revoke_token(token_id: str, tools: Tools, caller: Admin) -> JSONResponse:
    """End a token now."""
    return JSONResponse(tools.accounts.revoke_token(token_id, caller.tenant, by=caller.actor).as_json())


@router.post(
    "/webhooks", status_code=201, response_model=NewWebhookView, openapi_extra=_documented_body(NewWebhook),
    responses=documented(400, 404, 413),
)  # fmt: skip
async def add_webhook(request: Request, tools: Tools, caller: Admin) -> JSONResponse:
    """Send a tenant's events to an address; the secret that verifies them is shown this once."""
    asked = await _read(request, NewWebhook)
    tenant = acting_for(caller, asked.tenant)
    if tenant is None:
        raise InputRejected("tenant_required", "tenant: name the tenant whose events are sent.")
    made = await run_in_threadpool(tools.accounts.add_webhook, tenant, asked.url)
    return JSONResponse(made.as_json(), 201)


@router.get("/webhooks", response_model=WebhookList)
def list_webhooks(tools: Tools, caller: Admin, tenant: OfTenant = None) -> JSONResponse:
    """Endpoints without their secrets, newest first."""
    return JSONResponse(
        {"items": [item.as_json() for item in tools.accounts.list_webhooks(acting_for(caller, tenant))]}
    )


@router.delete("/webhooks/{webhook_id}", response_model=WebhookView, responses=documented(404))
def revoke_webhook(webhook_id: str, tools: Tools, caller: Admin) -> JSONResponse:
    """Send nothing more to an endpoint."""
    return JSONResponse(tools.accounts.revoke_webhook(webhook_id, caller.tenant).as_json())
