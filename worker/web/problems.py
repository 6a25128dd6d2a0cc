"""Errors as RFC 9457 problem details. Nothing that a caller did not send or may not know goes into them."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from domain.errors import (
    Conflict,
    Forbidden,
    InputRejected,
    NotFound,
    PolicyInvalid,
    ShelfguardError,
    TooManyTries,
    Unavailable,
)
from domain.review import CaseLost
from worker.telemetry import log
from worker.web.pages.install import error_page

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5  # until a caller should ask again after 503

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "Problem details (RFC 9457)",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "urn:shelfguard:problem:<code>"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what is wrong and what to do"},
        "code": {"type": "string", "description": "stable, machine-readable"},
    },
}
# Of errors that the framework or a route raises by status alone. Stable: phrases differ between releases of Python.
_CODES = {
    400: "bad_request",
    401: "unauthorized",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
}
_REFERENCE = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def problem(
    status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **extra: Any
) -> JSONResponse:
    """A problem response; `extra` are members beside the standard ones."""
    body = {
        "type": f"urn:shelfguard:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        **extra,
    }
    return JSONResponse(body, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route, for the API's documentation."""
    return {status: {"description": HTTPStatus(status).phrase, "content": _REFERENCE} for status in statuses}


def of_error(error: ShelfguardError) -> JSONResponse:
    """The response that an error of ours deserves."""
    match error:
        case InputRejected():
            return problem(422, error.code, error.message)
        case Conflict():
            return problem(409, "idempotency_conflict", str(error))
        case CaseLost():
            return problem(409, "case_lost", str(error))
        case NotFound():
            return problem(404, f"no_such_{error.kind.replace(' ', '_')}", str(error))
        case PolicyInvalid():
            return problem(422, "policy_invalid", str(error), problems=list(error.problems))
        case Forbidden():
            return problem(403, "forbidden", str(error))
        case TooManyTries():
            return problem(429, "too_many_tries", str(error), headers={"retry-after": str(error.seconds)})
        case Unavailable():
            log.warning("request_put_off", what=error.what, why=error.why)
            return problem(
                503,
                "unavailable",
                f"Something Shelfguard needs does not answer: {error.what}. Nothing was changed; send again later.",
                headers={"retry-after": str(RETRY_SECONDS)},
            )
    log.error("request_failed", error=f"{type(error).__name__}: {error}")
    return internal_error()


def internal_error() -> JSONResponse:
    return problem(500, "internal_error", "Something went wrong here; it was logged. Send again, or ask an operator.")


def install(app: FastAPI) -> None:
    """Every error of `app` becomes a problem, the framework's own included."""

    @app.exception_handler(ShelfguardError)
    async def ours(request: Request, error: ShelfguardError) -> Response:
        return error_page(request, error) or of_error(error)

    @app.exception_handler(RequestValidationError)
    async def parameters(request: Request, error: RequestValidationError) -> JSONResponse:
        wrong = [f"{'.'.join(str(step) for step in item['loc'][1:])}: {item['msg']}" for item in error.errors()[:3]]
        return problem(422, "bad_parameter", "; ".join(wrong) or "The request could not be read.")

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> JSONResponse:
        code = _CODES.get(error.status_code, f"http_{error.status_code}")
        detail = {
            404: "There is nothing at this address. See /docs for those there are.",
            405: "This address knows other methods; they are in the Allow header.",
        }.get(error.status_code, str(error.detail))
        return problem(error.status_code, code, detail, headers=error.headers)
