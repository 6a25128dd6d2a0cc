"""Pages of admins: people, and the audit log. An admin of some tenants sees what belongs to those."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from domain.errors import InputRejected, NotFound
from worker.storage.people import ROLES, PersonAccount
from worker.web.pages.frame import page
from worker.web.pages.security import AdminPerson, Form, Pages
from worker.web.pages.tools import PageTools

router = APIRouter(include_in_schema=False)
_PAGE = 50


@router.get("/people")
def people(request: Request, tools: Pages, person: AdminPerson) -> Response:
    return _people(request, tools, person)


@router.post("/people")
async def add(request: Request, tools: Pages, person: AdminPerson, form: Form) -> Response:
    tenants = form.get("tenants", "").replace(",", " ").split() or None
    wanted = (form.get("login", ""), form.get("name", ""), form.get("role", ""), tenants)
    try:
        made = await run_in_threadpool(tools.people.add, *wanted, person.actor, person.tenants)
        code = await run_in_threadpool(tools.people.invite, made.id, person.actor, person.tenants)
    except (InputRejected, NotFound) as why:
        return _people(request, tools, person, error=getattr(why, "message", str(why)), typed=form, status=422)
    return _people(request, tools, person, invitation=f"{request.base_url}invitation/{code}", invited=made.login)


@router.post("/people/{who}/{act}")
async def change(who: str, act: str, request: Request, tools: Pages, person: AdminPerson, form: Form) -> Response:
    by, within = person.actor, person.tenants
    if who == person.id and act in ("disable", "role"):
        raise InputRejected("yourself", "Another admin has to do that: nobody locks themselves out.")
    match act:
        case "disable":
            await run_in_threadpool(tools.people.disable, who, by, within)
        case "enable":
            await run_in_threadpool(tools.people.enable, who, by, within)
        case "role":
            await run_in_threadpool(tools.people.set_role, who, form.get("role", ""), by, within)
        case "invite":
            code = await run_in_threadpool(tools.people.invite, who, by, within)
            found = await run_in_threadpool(tools.people.find, who, within)
            return _people(
                request, tools, person, invitation=f"{request.base_url}invitation/{code}", invited=found.login
            )
        case _:
            raise NotFound("act", act[:40])
    return RedirectResponse("/people", 303)


@router.get("/audit")
def audit(
    request: Request,
    tools: Pages,
    person: AdminPerson,
    before: Annotated[int | None, Query(ge=1, lt=2**62)] = None,
) -> Response:
    found = tools.audit.page(person.tenants, before, _PAGE + 1)
    older = found[_PAGE - 1].number if len(found) > _PAGE else None
    return page(request, "audit.html", found=found[:_PAGE], older=older)


def _people(
    request: Request,
    tools: PageTools,
    person: PersonAccount,
    *,
    status: int = 200,
    error: str = "",
    typed: dict[str, str] | None = None,
    invitation: str = "",
    invited: str = "",
) -> Response:
    return page(
        request,
        "people.html",
        status,
        known=tools.people.list(person.tenants),
        roles=[role.value for role in ROLES],
        error=error,
        typed=typed or {},
        invitation=invitation,
        invited=invited,
    )
