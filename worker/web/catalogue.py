"""What came of the jobs: product records, decisions, review cases."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from worker.storage.cursors import MAX_PAGE
from worker.web.problems import documented
from worker.web.security import Anyone, Reviewer, Tools, acting_for, own_or_hidden
from worker.web.views import CasePage, DecisionView

router = APIRouter(prefix="/v1", responses=documented(401, 403, 422, 500, 503))


# `:path`, because a shop's product id may contain a slash.
@router.get(
    "/products/{tenant}/{product_id:path}",
    tags=["products"],
    response_model=dict[str, Any],
    responses=documented(404),
    summary="Read a product's record",
)
def product(tenant: str, product_id: str, tools: Tools, caller: Anyone) -> JSONResponse:
    """The current record: fields, verdict by channel, photos, and its revision."""
    return JSONResponse(tools.reads.product_view(own_or_hidden(caller, tenant, "product", product_id), product_id))


@router.get(
    "/decisions/{decision_id}",
    tags=["products"],
    response_model=DecisionView,
    responses=documented(404),
    summary="Read a decision",
)
def decision(decision_id: str, tools: Tools, caller: Anyone) -> JSONResponse:
    """One decision with all its causes and its receipt."""
    return JSONResponse(tools.reads.decision_view(decision_id, caller.tenant))


@router.get("/reviews", tags=["reviews"], response_model=CasePage, summary="List review cases")
def reviews(
    tools: Tools,
    caller: Reviewer,
    tenant: Annotated[str | None, Query(max_length=63)] = None,
    state: Annotated[str, Query(max_length=20)] = "open",
    cursor: Annotated[str | None, Query(max_length=400)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    policy_code: Annotated[str | None, Query(max_length=200)] = None,
    severity: Annotated[int | None, Query(ge=0, le=6)] = None,
) -> JSONResponse:
    """What a person has to decide: gravest first, then oldest. Follow `next_cursor` to the end."""
    return JSONResponse(tools.reads.list_cases(acting_for(caller, tenant), state, cursor, limit, policy_code, severity))
