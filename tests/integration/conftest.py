"""Integration tests; the servers' fixtures stand in tests/conftest.py, because the contract suites use them too."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text

from worker.local import Endpoints
from worker.storage.database import Database
from worker.storage.schema import migrate


@pytest.fixture(scope="module")
def database(endpoints: Endpoints) -> Iterator[Database]:
    """A database of the module's own, migrated and empty."""
    name = f"test_{uuid4().hex}"
    server = create_engine(endpoints.database_url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = make_url(endpoints.database_url).set(database=name).render_as_string(hide_password=False)
    migrate(url)
    own = Database(url, pool_size=20)
    yield own
    own.close()
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()
