"""People and the audit log over HTTP, for admins. An admin of one tenant manages people of that tenant alone."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from worker.storage.accounts import Caller
from worker.web.bodies import SMALL_BODY, parse_json, read_body, read_model
from worker.web.pages.security import page_tools
from worker.web.pages.tools import PageTools
from worker.web.problems import documented
from worker.web.security import Admin

router = APIRouter(prefix="/v1", tags=["people"], responses=documented(401, 403, 422, 500, 503))
Desk = Annotated[PageTools, Depends(page_tools)]


class NewPerson(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    login: str = Field(description="e-mail address")
    name: str = Field(description="as others read it")
    role: str = Field(description="reviewer, lead, ml or admin")
    tenants: list[str] | None = Field(None, description="whose photos they see; leave out for all")


class NewRole(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    role: str = Field(description="reviewer, lead, ml or admin")


def _within(caller: Caller) -> tuple[str, ...] | None:
    return None if caller.tenant is None else (caller.tenant,)


def _documented(model: type[BaseModel]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}


@router.post(
    "/persons", status_code=201, response_model=dict[str, Any], openapi_extra=_documented(NewPerson),
    responses=documented(400, 404, 413), summary="Add a person",
)  # fmt: skip
async def add(request: Request, desk: Desk, caller: Admin) -> JSONResponse:
    """The person, and the path of an invitation to choose a password, shown this once."""
    asked = read_model(NewPerson, parse_json(await read_body(request, SMALL_BODY)))
    wanted = (asked.login, asked.name, asked.role, asked.tenants)
    made = await run_in_threadpool(desk.people.add, *wanted, caller.actor, _within(caller))
    code = await run_in_threadpool(desk.people.invite, made.id, caller.actor)
    return JSONResponse(made.as_json() | {"invitation": f"/invitation/{code}"}, 201)


@router.get("/persons", response_model=dict[str, Any], summary="List people")
def list_people(desk: Desk, caller: Admin) -> JSONResponse:
    """Everybody; for an admin of one tenant, that tenant's people."""
    return JSONResponse({"items": [one.as_json() for one in desk.people.list(_within(caller))]})


@router.put(
    "/persons/{person}/role", response_model=dict[str, Any], openapi_extra=_documented(NewRole),
    responses=documented(400, 404, 413), summary="Change a role",
)  # fmt: skip
async def set_role(person: str, request: Request, desk: Desk, caller: Admin) -> JSONResponse:
    """What somebody may do from now on."""
    asked = read_model(NewRole, parse_json(await read_body(request, SMALL_BODY)))
    made = await run_in_threadpool(desk.people.set_role, person, asked.role, caller.actor, _within(caller))
    return JSONResponse(made.as_json())


@router.delete("/persons/{person}", response_model=dict[str, Any], responses=documented(404), summary="Disable")
def disable(person: str, desk: Desk, caller: Admin) -> JSONResponse:
    """End their sessions and tokens, and let them in no more."""
    return JSONResponse(desk.people.disable(person, caller.actor, _within(caller)).as_json())


@router.get("/audit", response_model=dict[str, Any], summary="Read the audit log")
def audit(
    desk: Desk,
    caller: Admin,
    before: Annotated[int | None, Query(ge=1, lt=2**62)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> JSONResponse:
    """Entries, newest first; go on with the last one's number as `before`."""
    found = desk.audit.page(_within(caller), before, limit)
    return JSONResponse({"items": [entry.as_json() for entry in found]})
