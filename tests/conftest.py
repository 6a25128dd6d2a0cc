"""Real servers for every test that is marked `integration`, started once and only when first asked for."""

from __future__ import annotations

from collections.abc import Iterator

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
