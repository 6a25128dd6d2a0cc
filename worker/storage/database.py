"""The PostgreSQL connection pool, and the translation of its errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, TimeoutError

from domain.errors import Unavailable

# psycopg's SQLSTATE classes that say "try again": serialization failure, deadlock, lock timeout.
_RETRY_STATES = ("40001", "40P01", "55P03")


class Database:
    """A lazily connecting pool. Make one in each process, after forking."""

    def __init__(self, url: str, *, pool_size: int = 5, statement_timeout_ms: int = 30_000) -> None:
        self.engine: Engine = create_engine(
            url,
            pool_size=pool_size,
            max_overflow=5,
            pool_pre_ping=True,  # a server restart costs one ping, not one failed job
            pool_timeout=10,
            connect_args={
                "connect_timeout": 5,
                "options": f"-c statement_timeout={statement_timeout_ms} -c lock_timeout=15000 -c timezone=UTC",
                # A vanished host is noticed within half a minute instead of two hours.
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 20_000,
            },
        )

    @contextmanager
    def transaction(self, isolation: str | None = None) -> Iterator[Connection]:
        """One transaction: commits on a clean exit. Raises Unavailable when the server is away or asks for a retry.

        isolation: PostgreSQL's name of a level other than READ COMMITTED.
        """
        engine = self.engine if isolation is None else self.engine.execution_options(isolation_level=isolation)
        try:
            with engine.begin() as connection:
                yield connection
        except (OperationalError, InterfaceError, TimeoutError) as error:
            raise Unavailable("the database", _first_line(error)) from error
        except DBAPIError as error:
            if error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _RETRY_STATES:
                raise Unavailable("the database", _first_line(error)) from error
            raise

    def close(self) -> None:
        self.engine.dispose()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
