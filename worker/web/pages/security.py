"""Who looks at a page: session cookies, and the tokens that forms carry against forgery.

A form's token is derived from the secret in the cookie, which another site can neither read nor choose: the `__Host-`
prefix keeps neighbours from setting it. Before login the cookie holds a random value of no other use.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request, Response
from starlette.exceptions import HTTPException

from domain.errors import Forbidden, InputRejected
from worker.storage.accounts import Role
from worker.storage.people import PersonAccount
from worker.web.bodies import SMALL_BODY, read_body
from worker.web.pages.tools import PageTools

CSRF_FIELD, CSRF_HEADER = "csrf", "x-csrf-token"


class LoginNeeded(Exception):
    """Nobody is logged in; the page leads to the login."""


def page_tools(request: Request) -> PageTools:
    tools: PageTools = request.app.state.tools.pages
    return tools


Pages = Annotated[PageTools, Depends(page_tools)]


def cookie_name(tools: PageTools) -> str:
    return "__Host-shelfguard" if tools.secure else "shelfguard"


def secret_of(request: Request, tools: PageTools) -> str:
    return request.cookies.get(cookie_name(tools), "")


def set_secret(response: Response, tools: PageTools, secret: str) -> None:
    """A cookie of the browser's session; how long it opens anything is the server's to say."""
    response.set_cookie(cookie_name(tools), secret, path="/", secure=tools.secure, httponly=True, samesite="lax")


def csrf_token(secret: str) -> str:
    return hmac.new(secret.encode(errors="replace"), b"shelfguard form", hashlib.sha256).hexdigest()


def before_login(request: Request, tools: PageTools) -> str:
    """The secret that a stranger's form is bound to: the one they have, else a new one, which has to be set."""
    secret = secret_of(request, tools) or secrets.token_urlsafe(32)
    request.state.csrf = csrf_token(secret)
    return secret


def looking(request: Request, tools: Pages) -> PersonAccount:
    """The person who is logged in. Raises LoginNeeded."""
    secret = secret_of(request, tools)
    found = tools.sessions.find(secret) if secret else None
    if found is None:
        raise LoginNeeded
    request.state.person, request.state.csrf = found, csrf_token(secret)
    return found


Person = Annotated[PersonAccount, Depends(looking)]


def an_admin(person: Person) -> PersonAccount:
    if person.role is not Role.ADMIN:
        raise Forbidden("managing people", "Ask an admin.")
    return person


AdminPerson = Annotated[PersonAccount, Depends(an_admin)]


async def sent_form(request: Request, tools: Pages) -> dict[str, str]:
    """The fields of a form, or (with the token in the header) of a call by a script. Raises InputRejected: forged."""
    try:
        text = (await read_body(request, SMALL_BODY)).decode()
        fields = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=50))
    except ValueError:
        raise HTTPException(400, "The form could not be read.") from None
    secret = secret_of(request, tools)
    sent = request.headers.get(CSRF_HEADER) or fields.pop(CSRF_FIELD, "")
    if not secret or not hmac.compare_digest(sent.encode(errors="replace"), csrf_token(secret).encode()):
        raise InputRejected("form_out_of_date", "This form is out of date. Go back, load the page anew and send again.")
    return fields


Form = Annotated[dict[str, str], Depends(sent_form)]


def address_of(request: Request) -> str:
    """Whom tries to log in are counted by; the server has put a trusted proxy's word in its place."""
    return request.client.host if request.client else "unknown"
