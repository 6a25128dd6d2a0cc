"""A site in one process: a real database and API, a publish worker's judge and upkeep, and people at a terminal."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import uvicorn
from cryptography.fernet import Fernet
from typer.testing import CliRunner, Result

from domain.jobs import JobState
from domain.observations import Observation
from domain.photos import StoredPhoto
from domain.policies import Bundle
from tests.factories import a_job, a_stored_photo, an_observation
from tests.fakes_artifacts import MemoryArtifacts
from tests.integration.storage import a_ledger, a_review_desk, accepted
from tests.integration.whole import until
from tests.worker.policy.conftest import HEAD, a_rule
from worker.acceptance import AcceptTools
from worker.cli.main import app
from worker.pipeline import PublishTools, publish
from worker.policy.engine import PolicyEngine
from worker.policy.live import LivePolicies
from worker.policy_desk import PolicyDesk
from worker.redeciding import RedecideTools
from worker.storage.accounts import Accounts
from worker.storage.alarms import Alarms
from worker.storage.artifacts import Artifacts
from worker.storage.caps import SqlDailyCaps
from worker.storage.database import Database
from worker.storage.decided import StoredDecisions
from worker.storage.match_rates import MatchRates
from worker.storage.policies import SqlPolicies
from worker.storage.reads import Reads
from worker.storage.redecisions import SqlRedecisions
from worker.upkeep import Upkeep
from worker.web import WebTools, create_app
from worker.wiring import SystemClock

WHY = "Everybody else is asleep."


def a_policy(*rules: str) -> str:
    return HEAD + "".join(rules)


SHIPPED = PolicyEngine.of_bundle(Bundle("policy.yaml", {"policy.yaml": a_policy(a_rule(action="review"))}))


@dataclass
class StoppedClock:
    """The system's time until it is set."""

    at: datetime | None = None

    def now(self) -> datetime:
        return self.at or SystemClock().now()


@dataclass
class Site:
    database: Database
    folder: Path
    clock: StoppedClock = field(default_factory=StoppedClock)
    address: str = ""
    tokens: dict[str, str] = field(default_factory=dict)
    shipped: PolicyEngine = SHIPPED
    artifacts: MemoryArtifacts | Artifacts = field(default_factory=MemoryArtifacts)

    def __post_init__(self) -> None:
        self.ledger = a_ledger(self.database)
        self.store = SqlPolicies(self.database)
        self.redecisions = SqlRedecisions(self.database)
        self.alarms = Alarms(self.database)
        self.accounts = Accounts(self.database, Fernet.generate_key().decode())
        self.desk = PolicyDesk(
            self.store, lambda: self.shipped, self.redecisions, self.alarms, StoredDecisions(self.database)
        )
        self.live = self.worker()

    def worker(self) -> LivePolicies:
        """What a publish worker judges by; asks at every decision."""
        return LivePolicies(self.store, self.shipped, SqlDailyCaps(self.database), self.alarms.sound, poll_seconds=0.0)

    def upkeep(self, per_second: float = 1000.0) -> Upkeep:
        tools = RedecideTools(self.redecisions, self.artifacts, self.live, self.clock)
        rates = MatchRates(self.database)
        return Upkeep(self.redecisions, self.live, tools, per_second, self.store.kept_since, rates, self.alarms.sound)

    def judged(self, objects: tuple[tuple[str, float], ...] = (("sneaker", 0.9),), **of_job: Any) -> str:
        """Take one new photo all the way, by what is live; returns the job's id."""
        return self.looked_at(a_stored_photo(), an_observation(objects=objects), **of_job)

    def looked_at(self, photo: StoredPhoto, seen: Observation, **of_job: Any) -> str:
        """The same of this photo, in which this was seen."""
        job_id = accepted(self.ledger, a_job(**of_job))
        (row,) = self.ledger.lease(JobState.RECEIVED, 1)
        self.ledger.ready(row.lease, photo)
        (row,) = self.ledger.lease(JobState.READY, 1)
        self.ledger.observed(row.lease, seen, "plan")
        (row,) = self.ledger.lease(JobState.OBSERVED, 1)
        assert row.lease.job_id == job_id
        publish(row, PublishTools(self.ledger, self.artifacts, self.live, self.clock))
        return job_id

    def decision(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = Reads(self.database).job_view(None, job_id)["decision"]
        return found

    def record(self, product_id: str = "sku-1") -> dict[str, Any]:
        return Reads(self.database).product_view("acme", product_id)

    def write(self, *rules: str, files: dict[str, str] | None = None) -> Path:
        for name, text in ({"policy.yaml": a_policy(*rules)} | (files or {})).items():
            (self.folder / name).write_text(text)
        return self.folder / "policy.yaml"

    def run(self, who: str, *argv: str) -> Result:
        """The command line, with somebody's token."""
        environ = {"SHELFGUARD_API_URL": self.address, "SHELFGUARD_API_TOKEN": self.tokens[who]}
        return CliRunner().invoke(app, list(argv), env=environ)

    def ask(self, who: str, *argv: str) -> dict[str, Any]:
        """The same, its JSON; the command has to succeed."""
        result = self.run(who, *argv, "--json")
        assert result.exit_code == 0, result.output + str(result.exception)
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    def post(self, who: str, path: str, body: dict[str, Any]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        return httpx.post(self.address + path, json=body, headers=headers, timeout=30)

    def publish_alone(self, *rules: str, **options: str) -> dict[str, Any]:
        path = self.write(*rules)
        more = [part for name, value in options.items() for part in (f"--{name}", value)]
        return self.ask("Ada", "policy", "publish", str(path), "--alone", "--reason", WHY, *more)


@contextmanager
def a_site(database: Database, folder: Path, **parts: Any) -> Iterator[Site]:
    """People: Ada and Bea may do everything, Lea leads the tenant acme, Sue only submits there.

    `parts` of the site in the place of the usual ones.
    """
    site = Site(database, folder, **parts)
    site.accounts.ensure_tenant("acme")
    site.accounts.ensure_tenant("other")
    for name, role, tenant in (
        ("Ada", "admin", None),
        ("Bea", "admin", None),
        ("Lea", "lead", "acme"),
        ("Sue", "submitter", "acme"),
    ):
        site.tokens[name] = site.accounts.add_token(role, tenant, name).secret
    tools = WebTools(
        accept=AcceptTools(site.ledger, site.artifacts, lambda stage: None),
        reads=Reads(database),
        accounts=site.accounts,
        policies=site.desk,
        reviews=a_review_desk(database, site.artifacts),
        get_object=site.artifacts.get,
        draw=lambda photo, seen, findings: photo,
        keep_annotated=lambda found, picture: None,
        probes={},
        backlog=dict,
        version="0",
    )
    # What a worker may still decide by the old version needs no waiting for: this worker asks at every decision.
    with patch("worker.storage.redecisions.GRACE_SECONDS", 0), serving(tools) as address:
        site.address = address
        yield site


@contextmanager
def serving(tools: WebTools) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(create_app(tools), port=port, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
