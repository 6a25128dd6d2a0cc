"""Logging in and out: sessions of people, and the limit on tries, in SQL: a broker that forgets lifts no limit."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, delete, func, insert, select, update

from domain.audit import Actor
from domain.errors import TooManyTries
from worker.storage.accounts import digest
from worker.storage.audit import record
from worker.storage.database import Database
from worker.storage.passwords import Passwords
from worker.storage.people import PersonAccount, account, end_sessions
from worker.storage.tables import login_tries, person_sessions, persons

_SEEN_EVERY = timedelta(minutes=1)  # a session's last use is written this often


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """idle: without a request; absolute: since logging in. tries: failed ones by account and by address in a window."""

    idle: timedelta = timedelta(hours=1)
    absolute: timedelta = timedelta(hours=12)
    window: timedelta = timedelta(minutes=15)
    account_tries: int = 10
    address_tries: int = 50


class Sessions:
    def __init__(self, database: Database, passwords: Passwords, limits: SessionLimits | None = None) -> None:
        self.database = database
        self.passwords = passwords
        self.limits = limits or SessionLimits()

    def log_in(self, login: str, password: str, address: str) -> tuple[str, PersonAccount] | None:
        """The new session's secret and whose it is; None for a wrong login or password, whichever it is.

        Raises TooManyTries, whether or not there is such an account.
        """
        name = login.strip().lower()[:254].replace("\0", "").encode("utf-8", "replace").decode()
        subjects = {f"account:{name}": self.limits.account_tries, f"address:{address}": self.limits.address_tries}
        self._take_try(subjects)
        with self.database.transaction() as connection:
            row = connection.execute(select(persons).where(persons.c.login == name)).mappings().first()
        hashed = None if row is None or row["disabled_at"] is not None else row["password_hash"]
        # Hashing takes a tenth of a second: no connection is held meanwhile.
        if not self.passwords.matches(password, hashed) or row is None:
            with self.database.transaction() as connection:
                stranger = Actor("system", "", "somebody")
                record(connection, stranger, "login.failed", "", data={"login": name, "address": address})
            return None
        person = account(row)
        renewed = self.passwords.hash(password) if self.passwords.outdated(row["password_hash"]) else None
        return self._begin(person, address, renewed, subjects), person

    def find(self, secret: str) -> PersonAccount | None:
        """Whose session it is; None when it is unknown, ran out, or the person was disabled."""
        query = (
            select(persons, person_sessions.c.seen_at < func.now() - _SEEN_EVERY)
            .join(person_sessions, person_sessions.c.person_id == persons.c.id)
            .where(
                person_sessions.c.digest == digest(secret),
                person_sessions.c.expires_at > func.now(),
                person_sessions.c.seen_at > func.now() - self.limits.idle,
                persons.c.disabled_at.is_(None),
            )
        )
        with self.database.transaction() as connection:
            row = connection.execute(query).first()
            if row is None:
                return None
            if row[-1]:
                seen = update(person_sessions).where(person_sessions.c.digest == digest(secret))
                connection.execute(seen.values(seen_at=func.now()))
        return account(row._mapping)

    def log_out(self, secret: str, person: PersonAccount) -> None:
        with self.database.transaction() as connection:
            connection.execute(delete(person_sessions).where(person_sessions.c.digest == digest(secret)))
            record(connection, person.actor, "logout", f"person:{person.id}")

    def log_out_everywhere(self, person: PersonAccount) -> None:
        with self.database.transaction() as connection:
            end_sessions(connection, person.id)
            record(connection, person.actor, "logout.everywhere", f"person:{person.id}")

    def change_password(self, person: PersonAccount, old: str, new: str, address: str) -> str | None:
        """A new session, all others ended; None where the old password is wrong. Raises InputRejected, TooManyTries."""
        hashed = self.passwords.hash(new)
        subjects = {f"account:{person.login}": self.limits.account_tries}
        self._take_try(subjects)
        with self.database.transaction() as connection:
            query = select(persons.c.password_hash).where(persons.c.id == person.id)
            kept: str | None = connection.execute(query).scalar_one()
        if not self.passwords.matches(old, kept):
            return None
        with self.database.transaction() as connection:
            connection.execute(update(persons).where(persons.c.id == person.id).values(password_hash=hashed))
            end_sessions(connection, person.id)
            secret = self._new(connection, person)
            _forget_tries(connection, subjects)
            record(connection, person.actor, "person.password", f"person:{person.id}", data={"address": address})
        return secret

    def _begin(self, person: PersonAccount, address: str, renewed: str | None, subjects: dict[str, int]) -> str:
        with self.database.transaction() as connection:
            if renewed is not None:
                connection.execute(update(persons).where(persons.c.id == person.id).values(password_hash=renewed))
            connection.execute(delete(person_sessions).where(person_sessions.c.expires_at < func.now()))
            secret = self._new(connection, person)
            # The address keeps its tries: one known account must not open the way to guess at others.
            _forget_tries(connection, {name for name in subjects if name.startswith("account:")})
            record(connection, person.actor, "login", f"person:{person.id}", data={"address": address})
        return secret

    def _new(self, connection: Connection, person: PersonAccount) -> str:
        secret = secrets.token_urlsafe(32)
        until = func.now() + self.limits.absolute
        connection.execute(insert(person_sessions).values(digest=digest(secret), person_id=person.id, expires_at=until))
        return secret

    def _take_try(self, subjects: dict[str, int]) -> None:
        """Count a try before it is made, so that many at once cannot pass together. Raises TooManyTries."""
        with self.database.transaction() as connection:
            for subject, most in sorted(subjects.items()):
                connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(subject, 0))))
                recent = login_tries.c.at > func.now() - self.limits.window
                connection.execute(delete(login_tries).where(login_tries.c.subject == subject, ~recent))
                made = select(func.count()).select_from(login_tries).where(login_tries.c.subject == subject)
                if connection.execute(made).scalar_one() >= most:
                    raise TooManyTries(round(self.limits.window.total_seconds()))
                connection.execute(insert(login_tries).values(subject=subject))


def _forget_tries(connection: Connection, subjects: set[str] | dict[str, int]) -> None:
    connection.execute(delete(login_tries).where(login_tries.c.subject.in_(list(subjects))))
