"""Jobs over HTTP: sending them, reading them, their pictures."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from worker.acceptance import accept
from worker.payload import MAX_KEY, JobPayload, check_key, read_payload
from worker.storage.accounts import Caller
from worker.storage.cursors import MAX_PAGE
from worker.web.bodies import parse_json, read_body
from worker.web.problems import documented
from worker.web.security import Anyone, Submitter, Tools, acting_for
from worker.web.tools import WebTools
from worker.web.views import JobAccepted, JobPage, JobView

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=documented(401, 403, 422, 500, 503))
_JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}, "description": "JPEG"}}
_JOB_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/JobPayload"}}},
    }
}


@router.post(
    "",
    status_code=202,
    response_model=JobAccepted,
    responses=documented(400, 404, 409, 413, 415),
    openapi_extra=_JOB_BODY,
    summary="Send a photo",
)
async def submit(
    request: Request,
    tools: Tools,
    caller: Submitter,
    idempotency_key: Annotated[str | None, Header(description="the same as idempotency_key in the body")] = None,
) -> JSONResponse:
    """Accept one photo of one product. 202 means that the job is committed and will end.

    Send again whenever no answer came, with the same idempotency key: the same job answers. The same key with another
    body is a conflict (409).
    """
    body = await read_body(request, tools.max_body_bytes)
    return await run_in_threadpool(_accept, body, idempotency_key, caller, tools)


@router.get("", response_model=JobPage, summary="List jobs")
def find(
    tools: Tools,
    caller: Anyone,
    tenant: Annotated[str | None, Query(max_length=63)] = None,
    state: Annotated[str | None, Query(max_length=20)] = None,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    idempotency_key: Annotated[
        str | None, Query(max_length=MAX_KEY, description="of a job sent by task name: the task id")
    ] = None,
) -> JSONResponse:
    """Jobs, newest first. Follow `next_cursor` to the end."""
    return JSONResponse(tools.reads.find_jobs(acting_for(caller, tenant), state, cursor, limit, idempotency_key))


@router.get("/{job_id}", response_model=JobView, responses=documented(404), summary="Read a job")
def read(job_id: str, tools: Tools, caller: Anyone) -> JSONResponse:
    """The job with its record, decision and observation, once there are any."""
    return JSONResponse(tools.reads.job_view(caller.tenant, job_id))


@router.get("/{job_id}/photo", response_class=Response, responses=_JPEG | documented(404), summary="See the photo")
def photo(job_id: str, tools: Tools, caller: Anyone) -> Response:
    """The upright copy that the model looked at (longest side at most 1536 pixels)."""
    stored = tools.reads.stored_photo(caller.tenant, job_id)
    return _jpeg(tools.get_object(stored.model_copy_key))


@router.get(
    "/{job_id}/annotated", response_class=Response, responses=_JPEG | documented(404), summary="See what was seen"
)
def annotated(job_id: str, tools: Tools, caller: Anyone) -> Response:
    """The photo with what was seen and found drawn onto it: made when first asked for, then kept."""
    found = tools.reads.seen_photo(caller.tenant, job_id)
    if found.annotated_key:
        return _jpeg(tools.get_object(found.annotated_key))
    picture = tools.draw(tools.get_object(found.photo.model_copy_key), found.seen, found.findings)
    if found.decision_id:  # before the decision, what is drawn is not final
        tools.keep_annotated(found, picture)
    return _jpeg(picture)


def _accept(body: bytes, header_key: str | None, caller: Caller, tools: WebTools) -> JSONResponse:
    payload = read_payload(parse_json(body))
    acting_for(caller, payload.tenant)
    accepted = accept(payload, _key(header_key, payload), tools.accept)
    return JSONResponse(
        {"job_id": accepted.job_id, "state": accepted.state.value},
        202,
        headers={"location": f"/v1/jobs/{accepted.job_id}"},
    )


def _key(header: str | None, payload: JobPayload) -> str | None:
    if header is None:
        return payload.idempotency_key
    # The draft standard writes the key as a quoted string; many clients send it bare.
    quoted = len(header) > 2 and header[0] == header[-1] == '"'
    key = check_key(header[1:-1] if quoted else header)
    if payload.idempotency_key not in (None, key):
        raise HTTPException(400, "The Idempotency-Key header and the body's idempotency_key differ; send one of them.")
    return key


def _jpeg(data: bytes) -> Response:
    # A later decision may add to the picture, so it is kept for minutes only, and by the caller alone.
    return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=300"})
