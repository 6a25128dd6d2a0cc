"""Real servers for every test that is marked `integration`, started once and only when first asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.local import Endpoints, LocalServers
from worker.storage.schema import migrate


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServers]:
    """Valkey, PostgreSQL and SeaweedFS, started and empty; a test that kills one must bring it back."""
    local = LocalServers(tmp_path_factory.mktemp("servers"), durable=False)
    local.start()
    try:
        yield local
    finally:
        local.destroy()


@pytest.fixture(scope="session")
def endpoints(servers: LocalServers) -> Endpoints:
    """Where they answer."""
    return servers.endpoints()


@pytest.fixture(scope="session")
def database_url(endpoints: Endpoints) -> str:
    """A migrated database, shared by the session; a test that needs it empty truncates."""
    migrate(endpoints.database_url)
    return endpoints.database_url


# A skip hides a test. Locally it is printed with its reason; in CI it needs an entry in tests/allowed_skips.txt.
_skipped: list[tuple[str, str]] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _skipped.append((report.nodeid, reason))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not os.environ.get("CI"):
        return
    lines = (Path(__file__).parent / "allowed_skips.txt").read_text().splitlines()
    allowed = [line for line in lines if line and not line.startswith("#")]
    for nodeid, reason in _skipped:
        if not any(part in reason for part in allowed):
            print(f"\nSkipped in CI without an entry in tests/allowed_skips.txt: {nodeid}: {reason}")
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
