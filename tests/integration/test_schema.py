"""The migrations make what the code's tables say, forwards and back."""

from __future__ import annotations

import pytest
from alembic import command
from sqlalchemy import inspect

from worker.storage.database import Database
from worker.storage.schema import alembic_config, current_and_head, migrate

pytestmark = pytest.mark.integration


def address(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


def test_migrations_and_tables_agree(database: Database) -> None:
    command.check(alembic_config(address(database)))
    current, head = current_and_head(address(database))
    assert current == head


def test_migrating_twice_changes_nothing_and_going_back_removes_everything(database: Database) -> None:
    migrate(address(database))
    command.downgrade(alembic_config(address(database)), "base")
    assert set(inspect(database.engine).get_table_names()) == {"alembic_version"}
    migrate(address(database))
    assert "jobs" in inspect(database.engine).get_table_names()
