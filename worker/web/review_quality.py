"""What leads ask of reviewing, what sellers may say against it, and what it teaches."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from domain.review import Reviewer
from worker.storage.cursors import MAX_PAGE
from worker.web.problems import documented
from worker.web.review import Body, documented_body, read
from worker.web.security import Lead, Submitter, Tools, acting_for
from worker.web.security import Reviewer as AnyReviewer

router = APIRouter(prefix="/v1", tags=["reviews"], responses=documented(401, 403, 422, 500, 503))
OfTenant = Annotated[str | None, Query(max_length=63)]
Days = Annotated[int, Query(ge=1, le=3650)]


class AppealBody(Body):
    reason: str = Field(description="why it should be sold", min_length=1, max_length=4000)


class AuditBody(Body):
    tenant: str | None = Field(None, max_length=63)
    days: int = Field(7, ge=1, le=3650, description="draw from decisions of so many days")
    per_stratum: int = Field(20, ge=1, le=1000, description="photos of each tenant, verdict, rule and adapter")


class GoldenBody(Body):
    case_id: str = Field(max_length=64)
    answer: Literal["uphold", "overturn"]


def _since(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


@router.post(
    "/reviews/{case_id}/appeals", status_code=201, response_model=dict[str, Any],
    openapi_extra=documented_body(AppealBody), responses=documented(400, 404, 413), summary="Appeal",
)  # fmt: skip
async def appeal(case_id: str, request: Request, tools: Tools, caller: Submitter) -> JSONResponse:
    """A seller disagrees with a person's decision: somebody else decides again."""
    asked = await read(request, AppealBody)
    quality = tools.reviews.quality
    return JSONResponse(
        await run_in_threadpool(quality.appeal, caller.tenant, caller.token_id, case_id, asked.reason), 201
    )


@router.get("/review-quality", response_model=dict[str, Any], summary="How good decisions are")
def summary(tools: Tools, caller: Lead, tenant: OfTenant = None, days: Days = 30) -> JSONResponse:
    """Agreement, golden items, audits with the share missed and its interval, overturned findings by rule."""
    return JSONResponse(tools.reviews.quality.summary(acting_for(caller, tenant), _since(days)))


@router.get("/policies/overturned", response_model=dict[str, Any], summary="Overturned findings by rule")
def overturned(tools: Tools, caller: Lead, tenant: OfTenant = None, days: Days = 30) -> JSONResponse:
    """Of the cases with a rule's findings that people decided, how many they overturned."""
    found = tools.reviews.quality.overturned(acting_for(caller, tenant), _since(days))
    return JSONResponse({"items": found})


@router.post(
    "/review-audits", status_code=201, response_model=dict[str, Any], openapi_extra=documented_body(AuditBody),
    responses=documented(400, 413), summary="Draw an audit sample",
)  # fmt: skip
async def draw(request: Request, tools: Tools, caller: Lead) -> JSONResponse:
    """Mix automatic approvals and rejections into the queue, so many of each stratum."""
    asked = await read(request, AuditBody)
    tenant = acting_for(caller, asked.tenant)
    drawn = tools.reviews.quality.draw_audit
    return JSONResponse(await run_in_threadpool(drawn, tenant, _since(asked.days), asked.per_stratum), 201)


@router.post(
    "/golden-items", status_code=201, response_model=dict[str, Any], openapi_extra=documented_body(GoldenBody),
    responses=documented(400, 404, 413), summary="Add a golden item",
)  # fmt: skip
async def golden(request: Request, tools: Tools, caller: Lead) -> JSONResponse:
    """Mix a decided case into the queue unseen, its answer known. It never changes a record."""
    asked = await read(request, GoldenBody)
    person = Reviewer(caller.token_id, caller.name, caller.tenant, leads=True)
    add = tools.reviews.quality.add_golden
    return JSONResponse(await run_in_threadpool(add, person, asked.case_id, asked.answer), 201)


@router.get("/training-samples", response_model=dict[str, Any], summary="List training samples")
def samples(
    tools: Tools,
    caller: AnyReviewer,
    tenant: OfTenant = None,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> JSONResponse:
    """What people taught, oldest first, with its lineage. Follow `next_cursor` to the end."""
    return JSONResponse(tools.reviews.samples.list(acting_for(caller, tenant), cursor, limit))
