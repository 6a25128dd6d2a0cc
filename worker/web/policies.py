"""Publishing policies over HTTP. The token that authenticates a request is the person who made it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from domain.policies import Bundle, Person
from worker.policy_desk import Wish
from worker.storage.accounts import Caller
from worker.web.bodies import SMALL_BODY, Model, parse_json, read_body, read_model
from worker.web.problems import documented
from worker.web.security import Anyone, Lead, Tools, acting_for

router = APIRouter(prefix="/v1", tags=["policies"], responses=documented(401, 403, 422, 500, 503))
OfTenant = Annotated[str | None, Query(max_length=63)]
MOST_POLICY_BODY = 20_000_000  # bytes; the files are text and have 16 million characters at most


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class NewPolicy(_Body):
    entry: str = Field(description="name of the policy file among the files", max_length=200)
    files: dict[str, str] = Field(description="every file of the policy: its name and its text")
    tenant: str | None = Field(None, description="leave out for every tenant without a policy of its own")
    note: str = Field("", description="what changed, for people to read", max_length=2000)
    alone: bool = Field(False, description="publish without a second person")
    reason: str | None = Field(None, description="why nobody else can approve", max_length=2000)
    redecide: str | None = Field(None, description='judge again: "all", "tenant=NAME" or "rule=ID"', max_length=2000)


class Rollback(_Body):
    to: str | None = Field(
        None, description='number or version; "shipped"; leave out for the one before', max_length=80
    )
    tenant: str | None = Field(None, description="leave out for the policy of every tenant")
    reason: str = Field("rolled back", description="why, for people to read", max_length=2000)
    redecide: str | None = Field(None, description='judge again: "all", "tenant=NAME" or "rule=ID"', max_length=2000)


class NewRedecision(_Body):
    scope: str = Field(description='"all", "tenant=NAME" or "rule=ID"', max_length=2000)
    tenant: str | None = Field(None, description="whose policy `rule` is of; leave out for every tenant's")


def _documented_body(model: type[BaseModel]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}


async def _read(request: Request, model: type[Model], cap: int = SMALL_BODY) -> Model:
    return read_model(model, parse_json(await read_body(request, cap)))


def person(caller: Caller) -> Person:
    if caller.person_id is not None:
        return Person(f"person:{caller.person_id}", caller.person_name or caller.name, account=True)
    return Person(caller.token_id, caller.name)


@router.post(
    "/policies", status_code=201, response_model=dict[str, Any], openapi_extra=_documented_body(NewPolicy),
    responses=documented(400, 404, 413), summary="Publish a policy",
)  # fmt: skip
async def publish(request: Request, tools: Tools, caller: Lead) -> JSONResponse:
    """Check the files, run their tests, and propose the policy for a second person to approve; or publish it alone."""
    asked = await _read(request, NewPolicy, MOST_POLICY_BODY)
    wish = Wish(
        bundle=Bundle(asked.entry, asked.files),
        tenant=acting_for(caller, asked.tenant),
        person=person(caller),
        note=asked.note,
        alone=asked.alone,
        reason=asked.reason,
        redecide=asked.redecide,
    )
    return JSONResponse(await run_in_threadpool(tools.policies.publish, wish), 201)


@router.post(
    "/policies/proposals/{number}/approve", response_model=dict[str, Any], responses=documented(404),
    summary="Approve a proposal",
)  # fmt: skip
def approve(number: int, tools: Tools, caller: Lead) -> JSONResponse:
    """Put a proposal live. Its author cannot."""
    return JSONResponse(tools.policies.approve(number, person(caller), caller.tenant))


@router.post(
    "/policies/rollback", response_model=dict[str, Any], openapi_extra=_documented_body(Rollback),
    responses=documented(400, 413), summary="Roll back",
)  # fmt: skip
async def roll_back(request: Request, tools: Tools, caller: Lead) -> JSONResponse:
    """Put back what was live before, at once."""
    asked = await _read(request, Rollback)
    tenant = acting_for(caller, asked.tenant)
    return JSONResponse(
        await run_in_threadpool(
            tools.policies.roll_back, tenant, person(caller), asked.reason, asked.to, asked.redecide
        )
    )


@router.get("/policies", response_model=dict[str, Any], summary="List versions")
def overview(tools: Tools, caller: Lead, tenant: OfTenant = None) -> JSONResponse:
    """What is live, what was published when and by whom, and what waits for a second person."""
    return JSONResponse(tools.policies.overview(acting_for(caller, tenant)))


@router.get(
    "/policies/versions/{version}", response_model=dict[str, Any], responses=documented(404), summary="Read a version"
)
def version(version: str, tools: Tools, caller: Lead, tenant: OfTenant = None) -> JSONResponse:
    """All files of a version: "live", "shipped", the number of a publication, or the version's first digits."""
    return JSONResponse(tools.policies.version(version, acting_for(caller, tenant)))


@router.post(
    "/policies/redecisions", status_code=202, response_model=dict[str, Any],
    openapi_extra=_documented_body(NewRedecision), responses=documented(400, 413), summary="Judge again",
)  # fmt: skip
async def redecide(request: Request, tools: Tools, caller: Lead) -> JSONResponse:
    """Judge current photos again by what is live, in the background, newest first."""
    asked = await _read(request, NewRedecision)
    tenant = acting_for(caller, asked.tenant)
    return JSONResponse(await run_in_threadpool(tools.policies.redecide, asked.scope, tenant, person(caller)), 202)


@router.get("/policies/redecisions", response_model=dict[str, Any], summary="How far judging again has come")
def redecisions(tools: Tools, caller: Lead, tenant: OfTenant = None) -> JSONResponse:
    """What was asked to be judged again, newest first."""
    return JSONResponse({"redecisions": tools.policies.redecided(acting_for(caller, tenant))})


@router.get("/policies/alarms", response_model=dict[str, Any], summary="List alarms")
def alarms(tools: Tools, caller: Lead, tenant: OfTenant = None) -> JSONResponse:
    """What somebody has to look at: versions that do not load, caps that were reached, rules unlike themselves."""
    return JSONResponse({"alarms": tools.policies.alarms.list(acting_for(caller, tenant))})


@router.get(
    "/decisions/{decision_id}/explanation", response_model=dict[str, Any], responses=documented(404),
    summary="Explain a decision",
)  # fmt: skip
def explanation(decision_id: str, tools: Tools, caller: Anyone) -> JSONResponse:
    """Each cause with its rule as it was then, and whether judging the stored receipt again gives the same."""
    return JSONResponse(tools.policies.explain(decision_id, caller.tenant))


@router.get(
    "/decisions/{decision_id}/statement", response_model=dict[str, Any], responses=documented(404),
    summary="State the reasons",
)  # fmt: skip
def reasons(
    decision_id: str, tools: Tools, caller: Anyone, channel: Annotated[str | None, Query(max_length=40)] = None
) -> JSONResponse:
    """A statement of reasons as the EU's DSA transparency database takes it. 422 for an approval."""
    return JSONResponse(tools.policies.statement(decision_id, caller.tenant, channel))
