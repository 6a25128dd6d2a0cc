"""People, sessions, the limit on tries and tokens of people, on a real PostgreSQL."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import func, select, text, update
from typer.testing import CliRunner

from domain.audit import SYSTEM
from domain.errors import InputRejected, NotFound, TooManyTries
from tests.integration.people_site import PASSWORD, QUICK, a_person
from tests.real import emptied
from worker import wiring
from worker.cli.main import app
from worker.storage.accounts import Accounts
from worker.storage.database import Database
from worker.storage.passwords import Passwords
from worker.storage.people import People
from worker.storage.sessions import SessionLimits, Sessions
from worker.storage.tables import login_tries, person_invitations, person_sessions, persons

pytestmark = pytest.mark.integration
WHERE = "198.51.100.7"


@pytest.fixture(autouse=True)
def empty(database: Database) -> Iterator[None]:
    yield
    emptied(database)


@pytest.fixture
def people(database: Database) -> People:
    accounts = Accounts(database, Fernet.generate_key().decode())
    for tenant in ("acme", "other"):
        accounts.ensure_tenant(tenant)
    return People(database, QUICK)


@pytest.fixture
def sessions(database: Database) -> Sessions:
    return Sessions(database, QUICK)


def log_in(sessions: Sessions, login: str = "ada@shop.example", password: str = PASSWORD) -> str | None:
    found = sessions.log_in(login, password, WHERE)
    return found and found[0]


class TestLoggingIn:
    def test_with_the_right_password_and_out_again(self, database: Database, sessions: Sessions) -> None:
        ada = a_person(database, "Ada@Shop.example")
        secret = log_in(sessions, " ADA@shop.example ")
        assert secret
        assert sessions.find(secret) == ada
        sessions.log_out(secret, ada)
        assert sessions.find(secret) is None

    @pytest.mark.parametrize(
        ("login", "password"),
        [("ada@shop.example", "wrong"), ("nobody@shop.example", PASSWORD), ("", ""), ("\0\ud800", "\ud800" * 9_999)],
    )
    def test_anything_else_is_refused_alike(
        self, database: Database, sessions: Sessions, login: str, password: str
    ) -> None:
        a_person(database, "ada@shop.example")
        assert sessions.log_in(login, password, WHERE) is None

    def test_not_without_a_password_and_not_when_disabled(self, people: People, sessions: Sessions) -> None:
        ada = people.add("ada@shop.example", "Ada", "lead", None, SYSTEM)
        assert log_in(sessions) is None
        people.set_password(ada.id, PASSWORD, SYSTEM)
        secret = log_in(sessions)
        assert secret
        people.disable(ada.id, SYSTEM)
        assert log_in(sessions) is None
        people.enable(ada.id, SYSTEM)
        assert sessions.find(secret) is None
        assert log_in(sessions)

    def test_only_hashes_are_kept(self, database: Database, people: People, sessions: Sessions) -> None:
        ada = a_person(database, "ada@shop.example")
        secrets = [log_in(sessions), people.invite(ada.id, SYSTEM), PASSWORD]
        with database.transaction() as connection:
            for table in (persons, person_sessions, person_invitations):
                rows = connection.execute(select(text(f"{table.name}::text")).select_from(table)).scalars().all()
                assert rows
                assert not any(secret in row for row in rows for secret in secrets if secret)

    def test_a_session_ends_when_idle_and_in_any_case(self, database: Database, sessions: Sessions) -> None:
        a_person(database, "ada@shop.example")
        for column, ago in (("seen_at", timedelta(hours=1)), ("expires_at", timedelta(0))):
            secret = log_in(sessions)
            assert secret
            with database.transaction() as connection:
                connection.execute(update(person_sessions).values({column: func.now() - ago}))
            assert sessions.find(secret) is None

    def test_everywhere_at_once(self, database: Database, sessions: Sessions) -> None:
        ada = a_person(database, "ada@shop.example")
        both = [log_in(sessions), log_in(sessions)]
        sessions.log_out_everywhere(ada)
        assert [sessions.find(secret) for secret in both if secret] == [None, None]

    def test_a_changed_password_ends_all_other_sessions(self, database: Database, sessions: Sessions) -> None:
        ada = a_person(database, "ada@shop.example")
        before = log_in(sessions)
        assert before
        assert sessions.change_password(ada, "wrong", "another long pass phrase", WHERE) is None
        now = sessions.change_password(ada, PASSWORD, "another long pass phrase", WHERE)
        assert now
        assert (sessions.find(before), sessions.find(now)) == (None, ada)
        assert log_in(sessions) is None
        with pytest.raises(InputRejected, match="12 to 256"):
            sessions.change_password(ada, "another long pass phrase", "short", WHERE)

    def test_stronger_parameters_are_taken_over_at_the_next_login(self, database: Database) -> None:
        a_person(database, "ada@shop.example")
        stronger = Passwords(memory_kib=16, passes=2, lanes=1)
        assert log_in(Sessions(database, stronger))
        with database.transaction() as connection:
            hashed = connection.execute(select(persons.c.password_hash)).scalar_one()
        assert hashed.startswith("$argon2id$v=19$m=16,t=2,p=1$")


class TestTries:
    def test_an_account_is_closed_for_a_while_whether_or_not_it_exists(self, database: Database) -> None:
        a_person(database, "ada@shop.example")
        sessions = Sessions(database, QUICK, SessionLimits(account_tries=3))
        for login in ("ada@shop.example", "nobody@shop.example"):
            for _ in range(3):
                assert log_in(sessions, login, "wrong") is None
            with pytest.raises(TooManyTries, match="15 minutes"):
                log_in(sessions, login)
        with database.transaction() as connection:
            connection.execute(update(login_tries).values(at=func.now() - text("interval '16 minutes'")))
        assert log_in(sessions)

    def test_an_address_that_tries_many_accounts_is_closed(self, database: Database) -> None:
        sessions = Sessions(database, QUICK, SessionLimits(address_tries=4))
        for number in range(4):
            assert log_in(sessions, f"{number}@shop.example") is None
        with pytest.raises(TooManyTries):
            log_in(sessions, "ada@shop.example")
        assert sessions.log_in("ada@shop.example", PASSWORD, "203.0.113.9") is None

    def test_many_at_once_get_no_more_tries(self, database: Database) -> None:
        sessions = Sessions(database, QUICK, SessionLimits(account_tries=5))
        refused: list[bool] = []

        def try_one() -> None:
            try:
                refused.append(log_in(sessions, password="wrong") is not None)
            except TooManyTries:
                refused.append(True)

        threads = [threading.Thread(target=try_one) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (refused.count(False), refused.count(True)) == (5, 7)


class TestPeople:
    def test_an_invitation_is_good_once(self, people: People, sessions: Sessions) -> None:
        ada = people.add("ada@shop.example", "Ada", "reviewer", ("acme",), SYSTEM)
        first, second = people.invite(ada.id, SYSTEM), people.invite(ada.login, SYSTEM)
        assert people.invited(first) is None
        assert people.accept(second, PASSWORD).id == ada.id
        assert log_in(sessions)
        for secret in (first, second, "", "\ud800"):
            with pytest.raises(InputRejected, match="expired"):
                people.accept(secret, PASSWORD)

    def test_an_admin_of_a_tenant_sees_and_changes_that_tenants_people_only(self, people: People) -> None:
        ours = people.add("ours@shop.example", "Ours", "reviewer", ("acme",), SYSTEM)
        for login, tenants in (("all@x.example", None), ("both@x.example", ("acme", "other"))):
            theirs = people.add(login, "Theirs", "reviewer", tenants, SYSTEM)
            with pytest.raises(NotFound):
                people.set_password(theirs.id, PASSWORD, SYSTEM, within=("acme",))
            with pytest.raises(InputRejected):
                people.add("new@x.example", "New", "admin", tenants, SYSTEM, within=("acme",))
        assert people.list(within=("acme",)) == [ours]

    @pytest.mark.parametrize(
        "login", ["", "ada", "a b@x.example", "<b>@x.example", "a@b@c", "a\0@x.example", "a@" + "x" * 300]
    )
    def test_logins_that_are_none(self, people: People, login: str) -> None:
        with pytest.raises(InputRejected):
            people.add(login, "Ada", "lead", None, SYSTEM)

    def test_a_login_is_taken_once(self, people: People) -> None:
        people.add("ada@shop.example", "Ada", "lead", None, SYSTEM)
        with pytest.raises(InputRejected, match="already"):
            people.add("ADA@shop.example", "Another", "lead", None, SYSTEM)


class TestTokensOfPeople:
    def test_they_count_as_their_person_and_end_with_them(self, database: Database, people: People) -> None:
        accounts = Accounts(database, Fernet.generate_key().decode())
        ada = a_person(database, "ada@shop.example", "lead", ("acme",))
        made = accounts.add_token("lead", "acme", "hers", person=ada.login)
        caller = accounts.authenticate(made.secret)
        assert caller is not None
        assert (caller.person_id, caller.actor) == (ada.id, ada.actor)
        assert accounts.list_tokens("acme")[0].last_used_at is not None
        people.disable(ada.id, SYSTEM)
        assert accounts.authenticate(made.secret) is None

    def test_what_somebody_makes_for_a_service_counts_as_whoever_made_it(
        self, database: Database, people: People
    ) -> None:
        accounts = Accounts(database, Fernet.generate_key().decode())
        ada = a_person(database, "ada@shop.example", "admin")
        made = accounts.add_token("admin", None, "Bea", by=ada.actor)
        caller = accounts.authenticate(made.secret)
        assert caller is not None
        assert caller.person_id == ada.id
        people.disable(ada.id, SYSTEM)
        assert accounts.authenticate(made.secret) is not None

    @pytest.mark.parametrize(("role", "tenant"), [("admin", "acme"), ("lead", "other")])
    def test_they_cannot_be_more_than_their_person(
        self, database: Database, people: People, role: str, tenant: str
    ) -> None:
        a_person(database, "ada@shop.example", "lead", ("acme",))
        with pytest.raises(InputRejected):
            Accounts(database, Fernet.generate_key().decode()).add_token(role, tenant, "x", person="ada@shop.example")


def test_the_command_line(people: People, sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "people", lambda: people)
    monkeypatch.setenv("SHELFGUARD_DATABASE_URL", "set: this machine has a database")

    def run(*argv: str, typed: str = "") -> dict[str, object]:
        result = CliRunner().invoke(app, ["person", *argv, "--json"], input=typed, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        found: dict[str, object] = json.loads(result.stdout)
        return found

    run("add", "ada@shop.example", "--name", "Ada", "--role", "reviewer", "--tenant", "acme")
    run("password", "ada@shop.example", typed=PASSWORD + "\n")
    assert log_in(sessions)
    assert run("role", "ada@shop.example", "lead")["role"] == "lead"
    path = run("password", "--invite", "ada@shop.example")["path"]
    assert people.invited(str(path).removeprefix("/invitation/")) is not None
    assert run("disable", "ada@shop.example")["disabled_at"]
    assert len(run("list")["persons"]) == 1  # type: ignore[arg-type]
