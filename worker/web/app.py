"""The HTTP API as one ASGI application, made from its tools."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware

from worker.web import (
    admin,
    catalogue,
    documentation,
    health,
    jobs,
    persons,
    policies,
    problems,
    review,
    review_quality,
)
from worker.web.pages.install import install as install_pages
from worker.web.shell import Shell
from worker.web.tools import WebTools


def create_app(tools: WebTools) -> FastAPI:
    """Routes below /v1 (bearer tokens), /healthz, /readyz, /metrics, /docs and /openapi.json."""
    readiness = health.Readiness(tools.probes)
    metrics = health.Metrics(tools.backlog, tools.policies.alarms.recent)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        readiness.close()

    app = FastAPI(
        title="Shelfguard",
        version=tools.version,
        lifespan=lifespan,
        docs_url=None,  # the framework's page loads scripts from another host
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.tools = tools
    app.state.readiness = readiness
    app.state.metrics = metrics
    for module in (jobs, policies, catalogue, review_quality, review, admin, health, documentation):
        app.include_router(module.router)
    if tools.pages is not None:
        app.include_router(persons.router)
        install_pages(app)
    problems.install(app)
    app.openapi = partial(documentation.describe, app)  # type: ignore[method-assign]
    if tools.trusted_hosts:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(tools.trusted_hosts), www_redirect=False)
    app.add_middleware(Shell, metrics=metrics)
    return app
