"""Who calls: bearer tokens, roles, and the tenant a token is bound to."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from domain.errors import Forbidden, NotFound
from worker.storage.accounts import Caller, Role
from worker.web.tools import WebTools

_bearer = HTTPBearer(auto_error=False, description="A token of `shelfguard token add`")


def web_tools(request: Request) -> WebTools:
    """The tools the application was made with."""
    tools: WebTools = request.app.state.tools
    return tools


Tools = Annotated[WebTools, Depends(web_tools)]


def authenticate(tools: Tools, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Caller:
    """Raises HTTPException 401 without a valid token."""
    found = tools.accounts.authenticate(credentials.credentials) if credentials else None
    if found is None:
        raise HTTPException(
            401,
            "Send the header 'Authorization: Bearer <token>' with a valid token (`shelfguard token add`).",
            headers={"www-authenticate": "Bearer"},
        )
    return found


class Needs:
    """A dependency: the caller, who has one of the roles. Admins may do everything."""

    def __init__(self, *roles: Role) -> None:
        self.roles = frozenset(roles) | {Role.ADMIN}

    def __call__(self, caller: Annotated[Caller, Depends(authenticate)]) -> Caller:
        if caller.role not in self.roles:
            names = ", ".join(sorted(self.roles))
            raise Forbidden(f"a token of role {caller.role.value}", f"Use one of role {names}.")
        return caller


Anyone = Annotated[Caller, Depends(Needs(*Role))]
Submitter = Annotated[Caller, Depends(Needs(Role.SUBMITTER))]
Reviewer = Annotated[Caller, Depends(Needs(Role.REVIEWER, Role.LEAD, Role.ML))]
Lead = Annotated[Caller, Depends(Needs(Role.LEAD))]
Admin = Annotated[Caller, Depends(Needs())]


def acting_for(caller: Caller, tenant: str | None) -> str | None:
    """The tenant that a request is about: the one it names, else the caller's own; None = every tenant.

    Raises Forbidden for a tenant that is not the caller's, whether or not there is such a tenant.
    """
    if caller.tenant is None or tenant in (None, caller.tenant):
        return tenant if tenant is not None else caller.tenant
    raise Forbidden("acting for another tenant", "Use a token of that tenant.")


def own_or_hidden(caller: Caller, tenant: str, kind: str, name: str) -> str:
    """`tenant`, if the caller may see it. Raises NotFound otherwise: what is not yours is not there."""
    if caller.tenant not in (None, tenant):
        raise NotFound(kind, name[:100])
    return tenant
