"""The audit log in PostgreSQL: nothing can be changed, and what was changed all the same is found."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from domain.audit import Actor
from domain.policies import Bundle, Draft, Person
from tests.integration.people_site import MemoryHeads
from tests.real import a_store
from worker.local import Endpoints
from worker.storage.audit import AuditLog, record
from worker.storage.database import Database
from worker.storage.policies import SqlPolicies

pytestmark = pytest.mark.integration
ADA = Actor("person", "1", "Ada")


@pytest.fixture(autouse=True)
def empty(database: Database) -> Iterator[None]:
    yield
    with database.transaction() as connection:
        connection.execute(text("TRUNCATE audit_log"))


@pytest.fixture
def log(database: Database) -> AuditLog:
    made = AuditLog(database, MemoryHeads())
    for number in range(6):
        with database.transaction() as connection:
            record(
                connection, ADA, "test", f"thing:{number}", tenant="acme", data={"é": ["\0", "\ud800", 1, None, True]}
            )
    return made


def tamper(database: Database, *statements: str) -> None:
    """As somebody who owns the database."""
    with database.transaction() as connection:
        connection.execute(text("ALTER TABLE audit_log DISABLE TRIGGER audit_log_stays"))
        for statement in statements:
            connection.execute(text(statement))
        connection.execute(text("ALTER TABLE audit_log ENABLE TRIGGER audit_log_stays"))


def found(log: AuditLog) -> list[tuple[int, str]]:
    return [(fault.number, fault.kind) for fault in log.verify()[1]]


def test_what_was_written_verifies(log: AuditLog) -> None:
    log.seal()
    assert log.verify() == (6, [])


@pytest.mark.parametrize("statement", ["UPDATE audit_log SET subject = 'x'", "DELETE FROM audit_log WHERE number = 6"])
def test_the_database_refuses_changes(log: AuditLog, database: Database, statement: str) -> None:
    with pytest.raises(DBAPIError, match="only ever added"), database.transaction() as connection:
        connection.execute(text(statement))
    assert found(log) == []


@pytest.mark.parametrize("change", ["actor_name = 'Bea'", "at = at + interval '1 us'", "data = '{}'", "tenant = NULL"])
def test_a_changed_row(log: AuditLog, database: Database, change: str) -> None:
    tamper(database, f"UPDATE audit_log SET {change} WHERE number = 3")
    assert found(log) == [(3, "changed")]


def test_a_removed_row(log: AuditLog, database: Database) -> None:
    tamper(database, "DELETE FROM audit_log WHERE number IN (3, 4)")
    assert found(log) == [(3, "removed")]


def test_reordered_rows(log: AuditLog, database: Database) -> None:
    tamper(
        database,
        "UPDATE audit_log SET number = 99 WHERE number = 3",
        "UPDATE audit_log SET number = 3 WHERE number = 4",
        "UPDATE audit_log SET number = 4 WHERE number = 99",
    )
    assert found(log)[:2] == [(3, "changed"), (4, "changed")]


def test_a_log_cut_short(log: AuditLog, database: Database) -> None:
    log.seal()
    tamper(database, "DELETE FROM audit_log WHERE number > 4")
    assert found(log) == [(5, "truncated")]
    for _ in range(3):
        with database.transaction() as connection:
            record(connection, ADA, "test")
    assert found(log) == [(6, "rewritten")]


def test_an_act_that_fails_leaves_no_entry_and_no_gap(log: AuditLog, database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction() as connection:
        record(connection, ADA, "never")
        raise ZeroDivisionError
    with database.transaction() as connection:
        assert record(connection, ADA, "after").number == 7
    assert found(log) == []


def test_many_at_once_make_one_chain(log: AuditLog, database: Database) -> None:
    def act() -> None:
        for _ in range(5):
            with database.transaction() as connection:
                record(connection, ADA, "race")

    threads = [threading.Thread(target=act) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.verify() == (46, [])


def test_a_tenants_own_entries_only(log: AuditLog, database: Database) -> None:
    with database.transaction() as connection:
        record(connection, ADA, "secret", tenant="other")
        record(connection, ADA, "secret")
    assert {entry.act for entry in log.page(("acme",))} == {"test"}
    assert [entry.number for entry in log.page(None, before=4, limit=2)] == [3, 2]


def test_a_publication_is_an_entry_of_the_person_who_put_it_live(log: AuditLog, database: Database) -> None:
    policies, bundle = SqlPolicies(database), Bundle("policy.yaml", {"policy.yaml": "policy: x"})
    policies.keep(bundle, "x")
    author, second = Person("token-1", "Ada"), Person("person:2", "Bea", account=True)
    proposal = policies.propose(Draft(bundle.version, None, author))
    assert log.page(None)[0].number == 6
    policies.approve(proposal.id, second)
    (entry, *_) = log.page(None)
    assert (entry.act, entry.actor) == ("policy.publish", Actor("person", "2", "Bea"))
    assert (entry.data["version"], entry.data["author"]) == (bundle.version, "Ada")
    assert found(log) == []


def test_heads_in_a_real_object_store(log: AuditLog, database: Database, endpoints: Endpoints) -> None:
    store = a_store(endpoints)
    kept = AuditLog(database, store)
    before = len(list(store.audit_heads()))
    assert (kept.seal(), kept.seal()) == (6, 6)
    assert len(list(store.audit_heads())) == before + 1
    tamper(database, "DELETE FROM audit_log WHERE number = 6")
    assert found(kept) == [(6, "truncated")]
