"""Home, and one's own account."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from domain.errors import InputRejected, TooManyTries
from worker.web.pages.frame import page
from worker.web.pages.login import twice
from worker.web.pages.security import Form, Pages, Person, address_of, csrf_token, set_secret

router = APIRouter(include_in_schema=False)


@router.get("/")
def home(request: Request, person: Person) -> Response:
    return page(request, "home.html")


@router.get("/account")
def account(request: Request, person: Person) -> Response:
    return page(request, "account.html", error="", done="")


@router.post("/account/password")
async def change_password(request: Request, tools: Pages, person: Person, form: Form) -> Response:
    try:
        new = twice(form)
        change = tools.sessions.change_password
        secret = await run_in_threadpool(change, person, form.get("old", ""), new, address_of(request))
    except (InputRejected, TooManyTries) as why:
        status = 429 if isinstance(why, TooManyTries) else 422
        error = why.message if isinstance(why, InputRejected) else str(why)
        return page(request, "account.html", status, error=error, done="")
    if secret is None:
        return page(request, "account.html", 422, error="The old password is wrong.", done="")
    request.state.csrf = csrf_token(secret)
    shown = page(request, "account.html", error="", done="Your password is changed; all other sessions have ended.")
    set_secret(shown, tools, secret)
    return shown
