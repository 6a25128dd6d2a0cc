"""The pages as part of an application, and their own errors as pages."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response

from domain.errors import Forbidden, InputRejected, NotFound, ShelfguardError
from worker.web.pages import administration, frame, home, login
from worker.web.pages.security import LoginNeeded

ROUTERS = (frame.router, login.router, home.router, administration.router)
# What belongs to machines: errors there are problem details.
_MACHINES = ("/v1/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/static/")


def install(app: FastAPI) -> None:
    for router in ROUTERS:
        app.include_router(router)

    @app.exception_handler(LoginNeeded)
    async def to_login(request: Request, error: LoginNeeded) -> Response:
        return RedirectResponse("/login", 303)


def error_page(request: Request, error: ShelfguardError) -> Response | None:
    """An error as a page, where a page was asked for and it is one that people can do something about."""
    if request.url.path.startswith(_MACHINES) or request.app.state.tools.pages is None:
        return None
    match error:
        case InputRejected():
            return frame.page(request, "error.html", 422, title="That did not work", message=error.message)
        case Forbidden():
            return frame.page(request, "error.html", 403, title="Not allowed", message=str(error))
        case NotFound():
            return frame.page(request, "error.html", 404, title="Not found", message=frame.visible(error))
    return None
