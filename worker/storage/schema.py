"""Running migrations from code: `shelfguard migrate`, `make demo` and the tests all come through here."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

import migrations
from domain.errors import Unavailable


def alembic_config(database_url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["database_url"] = database_url
    return config


def migrate(database_url: str, revision: str = "head") -> None:
    """Bring the schema to `revision`. Safe to run again. Raises Unavailable when the server is away."""
    try:
        command.upgrade(alembic_config(database_url), revision)
    except OperationalError as error:
        raise Unavailable("the database", str(error).splitlines()[0]) from error


def current_and_head(database_url: str) -> tuple[str | None, str | None]:
    """The schema's revision and the newest one this code knows."""
    head = ScriptDirectory.from_config(alembic_config(database_url)).get_current_head()
    engine = create_engine(database_url)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision(), head
    except OperationalError as error:
        raise Unavailable("the database", str(error).splitlines()[0]) from error
    finally:
        engine.dispose()
