"""Who reviews: the one place that says which person stands behind a request."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from domain.review import Reviewer
from worker.storage.accounts import Caller, Role
from worker.web.security import Needs

_LEADS = (Role.LEAD, Role.ADMIN)


def reviewer_of(caller: Annotated[Caller, Depends(Needs(Role.REVIEWER, Role.LEAD))]) -> Reviewer:
    """The person behind a request; today a token is a person."""
    return Reviewer(caller.token_id, caller.name, caller.tenant, leads=caller.role in _LEADS)


Person = Annotated[Reviewer, Depends(reviewer_of)]
