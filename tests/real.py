"""Real servers as tests want them: a database without rows, the object store."""

from __future__ import annotations

from sqlalchemy import text

from worker.local import Endpoints
from worker.storage.artifacts import Artifacts, S3Config
from worker.storage.database import Database
from worker.storage.tables import metadata


def emptied(database: Database) -> Database:
    """The database itself, with its tables and without a row in them."""
    names = ", ".join(table.name for table in metadata.sorted_tables)
    with database.transaction() as connection:
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
    return database


def a_store(endpoints: Endpoints) -> Artifacts:
    return Artifacts(
        S3Config(
            bucket=endpoints.s3_bucket,
            endpoint_url=endpoints.s3_endpoint_url,
            access_key=endpoints.s3_access_key,
            secret_key=endpoints.s3_secret_key,
        )
    )
