"""People who log in: names, roles, tenants, passwords, invitations. Every change is in the audit log."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from domain.audit import Actor
from domain.errors import InputRejected, NotFound
from worker.storage.accounts import Role, check_name, check_tenant, digest
from worker.storage.audit import record
from worker.storage.database import Database
from worker.storage.ids import printable, uuid_of
from worker.storage.passwords import Passwords
from worker.storage.tables import person_invitations, person_sessions, persons

MAX_LOGIN = 254  # characters; RFC 5321
INVITATION = timedelta(days=3)
_LOGIN = re.compile(r"[^\s@\x00-\x1f\x7f<>\"'(),:;\\\[\]]+@[a-z0-9.-]+")
ROLES = (Role.REVIEWER, Role.LEAD, Role.ML, Role.ADMIN)


@dataclass(frozen=True, slots=True)
class PersonAccount:
    """A person without the password. `tenants` None = every tenant."""

    id: str
    login: str
    name: str
    role: Role
    tenants: tuple[str, ...] | None
    has_password: bool
    created_at: datetime
    disabled_at: datetime | None

    @property
    def actor(self) -> Actor:
        return Actor("person", self.id, self.name)

    def sees(self, tenant: str | None) -> bool:
        """Whether what belongs to a tenant, or (None) to all, is theirs to see."""
        return self.tenants is None or tenant in self.tenants

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "login": self.login,
            "name": self.name,
            "role": self.role.value,
            "tenants": None if self.tenants is None else list(self.tenants),
            "has_password": self.has_password,
            "created_at": self.created_at.isoformat(),
            "disabled_at": self.disabled_at.isoformat() if self.disabled_at else None,
        }


Within = tuple[str, ...] | None  # the tenants whose people somebody may manage; None = everybody


class People:
    """`within` limits what an admin of some tenants sees and changes: people who belong to those tenants alone."""

    def __init__(self, database: Database, passwords: Passwords) -> None:
        self.database = database
        self.passwords = passwords

    def add(
        self, login: str, name: str, role: str, tenants: Sequence[str] | None, by: Actor, within: Within = None
    ) -> PersonAccount:
        """Raises InputRejected (form, taken, tenants), NotFound (no such enabled tenant)."""
        wanted = _tenants(tenants, within)
        values = {"login": check_login(login), "name": check_name(name), "role": check_role(role), "tenants": wanted}
        with self.database.transaction() as connection:
            for tenant in wanted or ():
                check_tenant(connection, tenant)
            added = upsert(persons).values(**values).on_conflict_do_nothing().returning(persons)
            row = connection.execute(added).mappings().first()
            if row is None:
                raise InputRejected("login_taken", "login: somebody has this login already.")
            made = account(row)
            _note(connection, by, "person.add", made, login=made.login, role=made.role.value)
        return made

    def list(self, within: Within = None) -> list[PersonAccount]:
        with self.database.transaction() as connection:
            rows = connection.execute(select(persons).order_by(persons.c.login)).mappings()
            return [one for one in map(account, rows) if _manages(within, one)]

    def find(self, who: str, within: Within = None) -> PersonAccount:
        """By id or login. Raises NotFound."""
        with self.database.transaction() as connection:
            return _find(connection, who, within)

    def set_role(self, who: str, role: str, by: Actor, within: Within = None) -> PersonAccount:
        """Raises NotFound, InputRejected."""
        return self._change(who, within, by, "person.role", {"role": check_role(role)})

    def disable(self, who: str, by: Actor, within: Within = None) -> PersonAccount:
        """End all sessions, and let nobody in by this login or its tokens any more."""
        return self._change(who, within, by, "person.disable", {"disabled_at": func.now()}, end=True)

    def enable(self, who: str, by: Actor, within: Within = None) -> PersonAccount:
        return self._change(who, within, by, "person.enable", {"disabled_at": None})

    def set_password(self, who: str, password: str, by: Actor, within: Within = None) -> PersonAccount:
        """Choose a password and end all sessions. Raises InputRejected, NotFound."""
        hashed = self.passwords.hash(password)
        return self._change(who, within, by, "person.password", {"password_hash": hashed}, end=True)

    def invite(self, who: str, by: Actor, within: Within = None) -> str:
        """A secret with which the person chooses a password, once and within three days; earlier ones end."""
        secret = secrets.token_urlsafe(32)
        with self.database.transaction() as connection:
            found = _find(connection, who, within)
            connection.execute(delete(person_invitations).where(person_invitations.c.person_id == found.id))
            connection.execute(
                insert(person_invitations).values(
                    digest=digest(secret), person_id=found.id, expires_at=func.now() + INVITATION
                )
            )
            _note(connection, by, "person.invite", found)
        return secret

    def invited(self, secret: str) -> PersonAccount | None:
        """Whose invitation it is; None when it is unknown, used or expired."""
        with self.database.transaction() as connection:
            return _invited(connection, secret)

    def accept(self, secret: str, password: str) -> PersonAccount:
        """Choose the password. Raises InputRejected, also for an invitation that is no longer one."""
        hashed = self.passwords.hash(password)
        with self.database.transaction() as connection:
            found = _invited(connection, secret)
            used = delete(person_invitations).where(person_invitations.c.digest == digest(secret))
            if found is None or connection.execute(used).rowcount != 1:
                raise InputRejected("bad_invitation", "This invitation was used or has expired; ask for another.")
            connection.execute(update(persons).where(persons.c.id == found.id).values(password_hash=hashed))
            end_sessions(connection, found.id)
            _note(connection, found.actor, "person.password", found)
        return found

    def _change(
        self, who: str, within: Within, by: Actor, act: str, values: dict[str, Any], *, end: bool = False
    ) -> PersonAccount:
        with self.database.transaction() as connection:
            found = _find(connection, who, within)
            changed = update(persons).where(persons.c.id == found.id).values(**values).returning(persons)
            made = account(connection.execute(changed).mappings().one())
            if end:
                end_sessions(connection, found.id)
            said = {"before": found.role.value, "after": made.role.value} if act == "person.role" else {}
            _note(connection, by, act, made, **said)
        return made


def account(row: RowMapping) -> PersonAccount:
    return PersonAccount(
        id=row["id"],
        login=row["login"],
        name=row["name"],
        role=Role(row["role"]),
        tenants=None if row["tenants"] is None else tuple(row["tenants"]),
        has_password=row["password_hash"] is not None,
        created_at=row["created_at"],
        disabled_at=row["disabled_at"],
    )


def end_sessions(connection: Connection, person_id: str) -> None:
    connection.execute(delete(person_sessions).where(person_sessions.c.person_id == person_id))


def check_login(login: str) -> str:
    """An e-mail address in lower case. Raises InputRejected."""
    found = login.strip().lower()
    if len(found) > MAX_LOGIN or not found.isprintable() or not _LOGIN.fullmatch(found):
        raise InputRejected("bad_login", f"login: send an e-mail address of at most {MAX_LOGIN} characters.")
    return found


def check_role(role: str) -> str:
    if role not in ROLES:
        raise InputRejected("bad_role", f"role: send one of {', '.join(ROLES)}.")
    return str(role)


def _tenants(tenants: Sequence[str] | None, within: Within) -> list[str] | None:
    if tenants is not None and not tenants:
        raise InputRejected("tenant_required", "tenants: name one at least, or leave it out for all.")
    if within is not None and (tenants is None or not set(tenants) <= set(within)):
        raise InputRejected("not_yours", "tenants: name only those that are yours.")
    return None if tenants is None else sorted(set(tenants))


def _manages(within: Within, person: PersonAccount) -> bool:
    return within is None or (person.tenants is not None and set(person.tenants) <= set(within))


def _find(connection: Connection, who: str, within: Within) -> PersonAccount:
    known = persons.c.login == _plain(who.strip().lower()) if "@" in who else persons.c.id == uuid_of("person", who)
    row = connection.execute(select(persons).where(known)).mappings().first()
    if row is None or not _manages(within, account(row)):
        raise NotFound("person", printable(who))
    return account(row)


def _plain(login: str) -> str:
    return login[:MAX_LOGIN].replace("\0", "").encode("utf-8", "replace").decode()


def _invited(connection: Connection, secret: str) -> PersonAccount | None:
    query = (
        select(persons)
        .join(person_invitations, person_invitations.c.person_id == persons.c.id)
        .where(
            person_invitations.c.digest == digest(secret),
            person_invitations.c.expires_at > func.now(),
            persons.c.disabled_at.is_(None),
        )
    )
    row = connection.execute(query).mappings().first()
    return None if row is None else account(row)


def _note(connection: Connection, by: Actor, act: str, person: PersonAccount, **said: Any) -> None:
    """An entry belongs to a tenant's own log where the person belongs to that tenant alone."""
    tenant = person.tenants[0] if person.tenants is not None and len(person.tenants) == 1 else None
    record(connection, by, act, f"person:{person.id}", tenant=tenant, data=said)
