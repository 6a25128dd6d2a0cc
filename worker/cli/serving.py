"""What the HTTP API stands on: its tools, built from the wiring, and the probes behind /readyz."""

from __future__ import annotations

from importlib.metadata import version

from sqlalchemy import text, update

from domain.errors import Unavailable
from worker import wiring
from worker.drawing import draw
from worker.settings import PeopleSettings
from worker.storage.reads import SeenPhoto
from worker.storage.tables import decisions
from worker.web import WebTools
from worker.web.pages.tools import PageTools

_PROBE_SECONDS = 2.0


def web_tools(max_body_bytes: int, *, loopback: bool = False) -> WebTools:
    people = PeopleSettings()
    return WebTools(
        accept=wiring.accept_tools(),
        reads=wiring.reads(),
        accounts=wiring.accounts(),
        policies=wiring.policy_desk(),
        reviews=wiring.review_desk(),
        get_object=wiring.artifacts().get,
        draw=draw,
        keep_annotated=_keep_annotated,
        probes={"database": _database, "broker": _broker, "object store": wiring.artifacts().check},
        backlog=wiring.sweeping().backlog,
        version=version("shelfguard"),
        max_body_bytes=max_body_bytes,
        pages=PageTools(
            wiring.people(),
            wiring.sessions(),
            wiring.audit_log(),
            secure=not (people.cookies_over_http and loopback),
        ),
        trusted_hosts=people.trusted_hosts,
    )


def _keep_annotated(found: SeenPhoto, picture: bytes) -> None:
    key = wiring.artifacts().put_blob(found.tenant, picture, "image/jpeg")
    with wiring.database().transaction() as connection:
        connection.execute(update(decisions).where(decisions.c.id == found.decision_id).values(annotated_key=key))


def _database() -> None:
    with wiring.database().transaction() as connection:
        connection.execute(text("SELECT 1"))


def _broker() -> None:
    try:
        with wiring.celery_app().connection_for_write(connect_timeout=_PROBE_SECONDS) as connection:
            connection.default_channel.client.ping()
    except Exception as error:  # the broker library raises errors of three families
        raise Unavailable("the broker", str(error)) from error
