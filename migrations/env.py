"""Alembic's entry: one transaction for each migration, with the lock limits that script.py.mako explains."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, text

from worker.storage.tables import metadata


def run() -> None:
    engine = create_engine(context.config.attributes["database_url"])
    with engine.connect() as connection:
        # A migration that cannot get its lock at once gives up instead of queueing all traffic behind itself.
        connection.execute(text("SET lock_timeout = '5s'"))
        connection.commit()
        context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


run()
