"""People in a real database, with passwords that are quick to hash."""

from __future__ import annotations

from collections.abc import Iterator

from domain.audit import SYSTEM
from worker.storage.database import Database
from worker.storage.passwords import Passwords
from worker.storage.people import People, PersonAccount

QUICK = Passwords(memory_kib=8, passes=1, lanes=1)
PASSWORD = "a long enough pass phrase"


class MemoryHeads:
    """Heads as an object store keeps them: the first of a number stays."""

    def __init__(self) -> None:
        self.kept: dict[int, bytes] = {}

    def put_audit_head(self, number: int, data: bytes) -> None:
        self.kept.setdefault(number, data)

    def audit_heads(self) -> Iterator[bytes]:
        yield from self.kept.values()


def a_person(
    database: Database, login: str, role: str = "reviewer", tenants: tuple[str, ...] | None = None, name: str = "Ada"
) -> PersonAccount:
    people = People(database, QUICK)
    made = people.add(login, name, role, tenants, SYSTEM)
    people.set_password(made.id, PASSWORD, SYSTEM)
    return people.find(made.id)
