"""What the pages need; built in the wiring."""

from __future__ import annotations

from dataclasses import dataclass

from worker.storage.audit import AuditLog
from worker.storage.people import People
from worker.storage.sessions import Sessions


@dataclass(frozen=True, slots=True)
class PageTools:
    """secure: cookies over https only, with the `__Host-` prefix; off for loopback alone."""

    people: People
    sessions: Sessions
    audit: AuditLog
    secure: bool = True
