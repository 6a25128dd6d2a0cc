"""Reviewing over HTTP: take a case, keep it, decide it, take it back."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from domain.corrections import Correction
from domain.errors import Forbidden, InputRejected
from domain.review import Action, Resolution, Reviewer
from worker.storage.review_queue import Wanted
from worker.web.bodies import SMALL_BODY, Model, parse_json, read_body, read_model
from worker.web.problems import documented
from worker.web.reviewers import Person
from worker.web.security import Tools

router = APIRouter(prefix="/v1/reviews", tags=["reviews"], responses=documented(401, 403, 422, 500, 503))
MOST_BODY = 1_000_000  # bytes; corrections of a photo full of text
MOST_KEY = 255  # characters
OfTenant = Annotated[str | None, Query(max_length=63)]
OfPolicy = Annotated[str | None, Query(max_length=200, description="a finding's policy_code")]
OfSeverity = Annotated[int | None, Query(ge=0, le=6)]
Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=MOST_KEY)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LeaseBody(Body):
    token: str = Field(description="`lease.token` of the claim", max_length=64)


class ReleaseBody(LeaseBody):
    skip: bool = Field(False, description="and do not give it to me again")


class ResolutionBody(LeaseBody):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"token": "6f1c…", "action": "uphold", "policy_code": "IMG-TEXT-OVERLAY", "note": "A price banner."},
                {"token": "6f1c…", "action": "hold", "note": "Asked the brand.", "until": "2026-12-01T09:00:00Z"},
            ]
        },
    )
    action: Literal["uphold", "overturn", "escalate", "hold"]
    policy_code: str | None = Field(None, max_length=200)
    note: str = Field("", max_length=4000, description="why; a hold needs it")
    until: datetime | None = Field(None, description="of a hold: when the case is opened again")
    corrections: list[dict[str, Any]] = Field(
        default_factory=list, max_length=100, description='{"field", "value", "name"?}: see domain/corrections.py'
    )

    def resolution(self) -> Resolution:
        corrections = tuple(Correction.read(one) for one in self.corrections)
        return Resolution(Action(self.action), self.policy_code, self.note, self.until, corrections)


class ClusterBody(ResolutionBody):
    cases: list[str] | None = Field(None, max_length=200, description="leave out for all look-alikes")


class WantedBody(Body):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"tenant": "acme", "severity": 6}]})
    tenant: str | None = Field(None, max_length=63)
    policy_code: str | None = Field(None, max_length=200)
    severity: int | None = Field(None, ge=0, le=6)


_ANY_OBJECT: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
}


def documented_body(model: type[BaseModel]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}


async def read(request: Request, model: type[Model], cap: int = SMALL_BODY) -> Model:
    return read_model(model, parse_json(await read_body(request, cap)))


def of_tenant(person: Reviewer, tenant: str | None) -> str | None:
    """Raises Forbidden for a tenant that is not the person's."""
    if person.tenant is None or tenant in (None, person.tenant):
        return tenant or person.tenant
    raise Forbidden("acting for another tenant", "Use a token of that tenant.")


@router.get("/queue", response_model=dict[str, Any], summary="Count what waits")
def queue(
    tools: Tools, person: Person, tenant: OfTenant = None, policy_code: OfPolicy = None, severity: OfSeverity = None
) -> JSONResponse:
    """How many cases wait, by tenant, policy and severity; how many are overdue, held, or with somebody now."""
    return JSONResponse(tools.reviews.queue.counts(Wanted(of_tenant(person, tenant), policy_code, severity)))


@router.post(
    "/next", response_model=dict[str, Any], openapi_extra=documented_body(WantedBody),
    responses=documented(400, 413) | {204: {"description": "Nothing waits for you"}}, summary="Claim the next case",
)  # fmt: skip
async def next_case(request: Request, tools: Tools, person: Person) -> Response:
    """The best case you may decide, yours until `lease.until`; renew it while you read."""
    asked = await read(request, WantedBody)
    wanted = Wanted(of_tenant(person, asked.tenant), asked.policy_code, asked.severity)
    found = await run_in_threadpool(tools.reviews.next, person, wanted)
    return Response(status_code=204) if found is None else JSONResponse(found)


@router.post("/{case_id}/claim", response_model=dict[str, Any], responses=documented(404), summary="Claim this case")
def claim(case_id: str, tools: Tools, person: Person) -> JSONResponse:
    return JSONResponse(tools.reviews.claim(person, case_id))


@router.get("/{case_id}", response_model=dict[str, Any], responses=documented(404), summary="Read a case")
def case(case_id: str, tools: Tools, person: Person) -> JSONResponse:
    """The case with what was seen, found and said, without claiming it."""
    return JSONResponse(tools.reviews.views.case(person, case_id))


@router.post(
    "/{case_id}/renew", response_model=dict[str, Any], openapi_extra=documented_body(LeaseBody),
    responses=documented(400, 409, 413), summary="Keep a case",
)  # fmt: skip
async def renew(case_id: str, request: Request, tools: Tools, person: Person) -> JSONResponse:
    """409 when it is no longer yours."""
    asked = await read(request, LeaseBody)
    until = await run_in_threadpool(tools.reviews.queue.renew, person, case_id, asked.token)
    return JSONResponse({"until": until.isoformat()})


@router.post(
    "/{case_id}/release", status_code=204, response_class=Response, openapi_extra=documented_body(ReleaseBody),
    responses=documented(400, 409, 413), summary="Give a case back",
)  # fmt: skip
async def release(case_id: str, request: Request, tools: Tools, person: Person) -> Response:
    asked = await read(request, ReleaseBody)
    await run_in_threadpool(tools.reviews.queue.release, person, case_id, asked.token, skip=asked.skip)
    return Response(status_code=204)


@router.post(
    "/{case_id}/resolutions", status_code=201, response_model=dict[str, Any],
    openapi_extra=documented_body(ResolutionBody), responses=documented(400, 404, 409, 413), summary="Decide a case",
)  # fmt: skip
async def resolve(case_id: str, request: Request, tools: Tools, person: Person, key: Key = None) -> JSONResponse:
    """Uphold what was flagged, overturn it, escalate it to a lead, or hold it. Nobody is told for 10 seconds."""
    asked = await read(request, ResolutionBody, MOST_BODY)
    said = asked.resolution()
    made = await run_in_threadpool(tools.reviews.resolve, person, case_id, asked.token, said, checked_key(key))
    return JSONResponse(made, 201)


@router.get("/{case_id}/cluster", response_model=dict[str, Any], responses=documented(404), summary="List look-alikes")
def cluster(case_id: str, tools: Tools, person: Person) -> JSONResponse:
    """Waiting cases about photos that look like this one."""
    return JSONResponse({"items": tools.reviews.views.cluster(person, case_id)})


@router.post(
    "/{case_id}/cluster/resolutions", status_code=201, response_model=dict[str, Any],
    openapi_extra=documented_body(ClusterBody), responses=documented(400, 404, 409, 413), summary="Decide look-alikes",
)  # fmt: skip
async def resolve_cluster(
    case_id: str, request: Request, tools: Tools, person: Person, key: Key = None
) -> JSONResponse:
    """Decide a case and its look-alikes, each for itself; `left` are those that somebody else holds."""
    asked = await read(request, ClusterBody, MOST_BODY)
    made = await run_in_threadpool(
        tools.reviews.resolve_cluster,
        person,
        case_id,
        asked.token,
        asked.resolution(),
        asked.cases,
        checked_key(key),
    )
    return JSONResponse(made, 201)


@router.put(
    "/{case_id}/draft", status_code=204, response_class=Response,
    openapi_extra=_ANY_OBJECT, responses=documented(400, 404, 413), summary="Keep what was typed",
)  # fmt: skip
async def keep_draft(case_id: str, request: Request, tools: Tools, person: Person) -> Response:
    """Any JSON object; kept for you and this case until you decide it, whether or not you still hold it."""
    body = parse_json(await read_body(request, MOST_BODY))
    if not isinstance(body, dict) or "\\u0000" in str(body) or "\0" in str(body):
        raise InputRejected("bad_draft", "Send one JSON object without NUL characters.")
    await run_in_threadpool(tools.reviews.views.keep_draft, person, case_id, body)
    return Response(status_code=204)


@router.post(
    "/resolutions/{resolution_id}/undo", response_model=dict[str, Any], responses=documented(404), summary="Undo"
)
def undo(resolution_id: str, tools: Tools, person: Person) -> JSONResponse:
    """Within 10 seconds: as if it had not been said, and nobody is told. 422 afterwards: reopen."""
    return JSONResponse(tools.reviews.resolutions.undo(person, resolution_id))


@router.post(
    "/resolutions/{resolution_id}/reopen", response_model=dict[str, Any], responses=documented(404), summary="Reopen"
)
def reopen(resolution_id: str, tools: Tools, person: Person) -> JSONResponse:
    """Put a decided case back into the queue; the shop is told what holds now."""
    return JSONResponse(tools.reviews.resolutions.reopen(person, resolution_id))


def checked_key(key: str | None) -> str | None:
    if key is not None and (not key.isprintable() or not key.strip()):
        raise InputRejected("bad_idempotency_key", "Idempotency-Key: send 1 to 255 printable characters.")
    return key
