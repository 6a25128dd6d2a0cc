"""Logging in and out, and choosing the first password by an invitation."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from domain.errors import InputRejected, TooManyTries
from worker.web.pages.frame import page
from worker.web.pages.security import (
    Form,
    Pages,
    Person,
    address_of,
    before_login,
    cookie_name,
    secret_of,
    set_secret,
)

router = APIRouter(include_in_schema=False)
WRONG = "Login or password is wrong."


@router.get("/login")
def show_login(request: Request, tools: Pages) -> Response:
    secret = before_login(request, tools)
    shown = page(request, "login.html", error="", login="")
    set_secret(shown, tools, secret)
    return shown


@router.post("/login")
async def log_in(request: Request, tools: Pages, form: Form) -> Response:
    before_login(request, tools)
    login = form.get("login", "")
    try:
        found = await run_in_threadpool(tools.sessions.log_in, login, form.get("password", ""), address_of(request))
    except TooManyTries as why:
        waiting = page(request, "login.html", 429, error=str(why), login=login)
        waiting.headers["retry-after"] = str(why.seconds)
        return waiting
    if found is None:
        return page(request, "login.html", 422, error=WRONG, login=login)
    answer = RedirectResponse("/", 303)
    set_secret(answer, tools, found[0])  # a new one: what the browser had before login opens nothing
    return answer


@router.post("/logout")
async def log_out(request: Request, tools: Pages, person: Person, form: Form) -> Response:
    if "everywhere" in form:
        await run_in_threadpool(tools.sessions.log_out_everywhere, person)
    else:
        await run_in_threadpool(tools.sessions.log_out, secret_of(request, tools), person)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(cookie_name(tools), path="/", secure=tools.secure, httponly=True, samesite="lax")
    return answer


@router.get("/invitation/{code}")
def show_invitation(code: str, request: Request, tools: Pages) -> Response:
    secret = before_login(request, tools)
    invited = tools.people.invited(code)
    shown = page(request, "invitation.html", 200 if invited else 404, invited=invited, error="")
    set_secret(shown, tools, secret)
    return shown


@router.post("/invitation/{code}")
async def accept_invitation(code: str, request: Request, tools: Pages, form: Form) -> Response:
    before_login(request, tools)
    invited = await run_in_threadpool(tools.people.invited, code)
    try:
        await run_in_threadpool(tools.people.accept, code, twice(form))
    except InputRejected as why:
        return page(request, "invitation.html", 422, invited=invited, error=why.message)
    return RedirectResponse("/login", 303)


def twice(form: dict[str, str]) -> str:
    """The new password, which was typed twice. Raises InputRejected."""
    new = form.get("new", "")
    if new != form.get("again", ""):
        raise InputRejected("bad_password", "You typed two different new passwords.")
    return new
