"""What the web application needs; built in the wiring, faked in tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from domain.moderation import Finding
from domain.observations import Observation
from worker.acceptance import AcceptTools
from worker.policy_desk import PolicyDesk
from worker.review_desk import ReviewDesk
from worker.storage.accounts import Accounts
from worker.storage.reads import Reads, SeenPhoto
from worker.web.pages.tools import PageTools


@dataclass(frozen=True, slots=True)
class WebTools:
    """Everything behind the routes.

    get_object: key -> bytes; raises NotFound or Unavailable. draw: model copy (JPEG) with what was seen -> JPEG.
    keep_annotated: keeps that picture for the next time.
    pages: None = the API alone. trusted_hosts: Host headers that are answered; empty = all.
    probes: by name, each raises when that server does not answer. backlog: rows waiting, by stage.
    """

    accept: AcceptTools
    reads: Reads
    accounts: Accounts
    policies: PolicyDesk
    reviews: ReviewDesk
    get_object: Callable[[str], bytes]
    draw: Callable[[bytes, Observation, Sequence[Finding]], bytes]
    keep_annotated: Callable[[SeenPhoto, bytes], None]
    probes: Mapping[str, Callable[[], object]]
    backlog: Callable[[], Mapping[str, int]]
    version: str
    max_body_bytes: int = 28_000_000
    pages: PageTools | None = None
    trusted_hosts: tuple[str, ...] = ()
