"""The pages over a real database: who gets in, what forms need, what is escaped, who sees what."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import httpx2
import pytest
from cryptography.fernet import Fernet
from fastapi.testclient import TestClient

from domain.audit import SYSTEM
from tests.integration.people_site import PASSWORD, QUICK, MemoryHeads, a_person
from tests.real import emptied
from tests.worker.web.conftest import World
from worker.storage.accounts import Accounts
from worker.storage.audit import AuditLog
from worker.storage.database import Database
from worker.storage.people import People
from worker.storage.sessions import SessionLimits, Sessions
from worker.web import create_app
from worker.web.pages.tools import PageTools

pytestmark = pytest.mark.integration
ADA = "ada@shop.example"


@pytest.fixture(autouse=True)
def empty(database: Database) -> Iterator[None]:
    accounts = Accounts(database, Fernet.generate_key().decode())
    for tenant in ("acme", "other"):
        accounts.ensure_tenant(tenant)
    yield
    emptied(database)


@pytest.fixture
def browser(database: Database) -> Iterator[Callable[[], TestClient]]:
    sessions = Sessions(database, QUICK, SessionLimits(account_tries=4))
    pages = PageTools(People(database, QUICK), sessions, AuditLog(database, MemoryHeads()))
    app = create_app(replace(World().tools(), pages=pages, trusted_hosts=("shop.example",)))
    opened = []

    def open_one() -> TestClient:
        made = TestClient(app, base_url="https://shop.example", follow_redirects=False)
        opened.append(made)
        return made

    yield open_one
    for one in opened:
        one.close()


def token(shown: httpx2.Response) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', shown.text)
    assert found, shown.text[:500]
    return found[1]


def post(client: TestClient, path: str, on: str, **fields: str) -> httpx2.Response:
    """Send a form of the page `on`."""
    return client.post(path, data=fields | {"csrf": token(client.get(on))})


def log_in(client: TestClient, login: str = ADA, password: str = PASSWORD) -> httpx2.Response:
    return post(client, "/login", "/login", login=login, password=password)


class TestGettingIn:
    def test_pages_lead_to_the_login(self, browser: Callable[[], TestClient]) -> None:
        for path in ("/", "/account", "/people", "/audit"):
            answer = browser().get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, "/login")

    def test_in_and_out(self, database: Database, browser: Callable[[], TestClient]) -> None:
        a_person(database, ADA)
        client = browser()
        assert log_in(client).headers["location"] == "/"
        assert "logged in as reviewer" in client.get("/").text
        assert post(client, "/logout", "/").headers["location"] == "/login"
        assert client.get("/").status_code == 303

    def test_the_cookie_is_a_new_one_and_guarded(self, database: Database, browser: Callable[[], TestClient]) -> None:
        a_person(database, ADA)
        client = browser()
        client.cookies.set("__Host-shelfguard", "chosen-by-somebody-else", domain="shop.example", path="/")
        answer = log_in(client)
        cookie = answer.headers["set-cookie"]
        assert "chosen-by-somebody-else" not in cookie
        assert cookie.startswith("__Host-shelfguard=")
        for part in ("HttpOnly", "Secure", "SameSite=lax", "Path=/"):
            assert part in cookie
        assert "Domain" not in cookie

    def test_wrong_words_are_refused_alike_and_then_no_more(
        self, database: Database, browser: Callable[[], TestClient]
    ) -> None:
        a_person(database, ADA)
        client = browser()
        wrong = log_in(client, password="no")
        unknown = log_in(client, login="nobody@shop.example", password="no")
        assert (wrong.status_code, unknown.status_code) == (422, 422)
        masked = [re.sub(r"[0-9a-f]{64}|value=\"[^\"]*@[^\"]*\"", "", answer.text) for answer in (wrong, unknown)]
        assert masked[0] == masked[1]
        for _ in range(3):
            log_in(client, password="no")
        answer = log_in(client)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "900")

    def test_logging_out_everywhere(self, database: Database, browser: Callable[[], TestClient]) -> None:
        a_person(database, ADA)
        here, there = browser(), browser()
        log_in(here)
        log_in(there)
        post(here, "/logout", "/account", everywhere="yes")
        assert (here.get("/").status_code, there.get("/").status_code) == (303, 303)

    def test_a_new_password_keeps_this_session_alone(
        self, database: Database, browser: Callable[[], TestClient]
    ) -> None:
        a_person(database, ADA)
        here, there = browser(), browser()
        log_in(here)
        log_in(there)
        new = {"new": "quite another phrase", "again": "quite another phrase"}
        assert post(here, "/account/password", "/account", old="wrong", **new).status_code == 422
        assert "is changed" in post(here, "/account/password", "/account", old=PASSWORD, **new).text
        assert (here.get("/").status_code, there.get("/").status_code) == (200, 303)

    def test_by_invitation(self, database: Database, browser: Callable[[], TestClient]) -> None:
        people = People(database, QUICK)
        people.add(ADA, "Ada", "lead", None, SYSTEM)
        path = f"/invitation/{people.invite(ADA, SYSTEM)}"
        client = browser()
        assert post(client, path, path, new=PASSWORD, again="another one, mistyped").status_code == 422
        assert post(client, path, path, new=PASSWORD, again=PASSWORD).status_code == 303
        assert client.get(path).status_code == 404
        assert log_in(client).status_code == 303


class TestApi:
    def test_an_admin_adds_changes_and_disables(self, browser: Callable[[], TestClient]) -> None:
        client = browser()
        client.headers["Authorization"] = "Bearer sg_acme_admin"
        wanted = {"login": "bea@x.example", "name": "Bea", "role": "reviewer", "tenants": ["acme"]}
        made = client.post("/v1/persons", json=wanted)
        assert made.status_code == 201
        assert client.get(made.json()["invitation"]).status_code == 200
        path = f"/v1/persons/{made.json()['id']}"
        assert client.put(f"{path}/role", json={"role": "lead"}).json()["role"] == "lead"
        assert client.delete(path).json()["disabled_at"]
        assert [one["login"] for one in client.get("/v1/persons").json()["items"]] == ["bea@x.example"]
        acts = [entry["act"] for entry in client.get("/v1/audit").json()["items"]]
        assert acts == ["person.disable", "person.role", "person.invite", "person.add"]

    def test_only_admins_and_within_their_tenant(self, database: Database, browser: Callable[[], TestClient]) -> None:
        hidden = a_person(database, "hidden@other.example", "reviewer", ("other",))
        client = browser()
        client.headers["Authorization"] = "Bearer sg_acme_admin"
        assert client.delete(f"/v1/persons/{hidden.id}").status_code == 404
        assert client.get("/v1/persons").json()["items"] == client.get("/v1/audit").json()["items"] == []
        wanted = {"login": "a@x.example", "name": "A", "role": "admin"}
        assert client.post("/v1/persons", json=wanted).json()["code"] == "not_yours"
        client.headers["Authorization"] = "Bearer sg_lead"
        for path in ("/v1/persons", "/v1/audit"):
            assert client.get(path).status_code == 403


class TestForgery:
    @pytest.mark.parametrize("path", ["/logout", "/account/password", "/people", "/people/x/disable"])
    @pytest.mark.parametrize("sent", [{}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": "é"}])
    def test_a_form_without_its_token_changes_nothing(
        self, database: Database, browser: Callable[[], TestClient], path: str, sent: dict[str, str]
    ) -> None:
        a_person(database, ADA, "admin")
        client = browser()
        log_in(client)
        assert client.post(path, data=sent).status_code == 422
        assert client.get("/").status_code == 200

    def test_the_login_needs_one_too_and_anothers_is_none(
        self, database: Database, browser: Callable[[], TestClient]
    ) -> None:
        a_person(database, ADA)
        theirs = token(browser().get("/login"))
        client = browser()
        client.get("/login")
        answer = client.post("/login", data={"csrf": theirs, "login": ADA, "password": PASSWORD})
        assert answer.status_code == 422
        assert client.get("/").status_code == 303

    def test_a_script_sends_it_as_a_header(self, database: Database, browser: Callable[[], TestClient]) -> None:
        a_person(database, ADA)
        client = browser()
        log_in(client)
        sent = {"x-csrf-token": token(client.get("/"))}
        assert client.post("/logout", headers=sent).status_code == 303
        assert client.get("/").status_code == 303


class TestHeaders:
    def test_nothing_inline_and_nothing_from_elsewhere(
        self, database: Database, browser: Callable[[], TestClient]
    ) -> None:
        a_person(database, ADA, "admin")
        client = browser()
        log_in(client)
        for path in ("/", "/login", "/account", "/people", "/audit"):
            shown = client.get(path)
            policy = shown.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert shown.headers["x-content-type-options"] == "nosniff"
            assert shown.headers["referrer-policy"] == "no-referrer"
            assert "permissions-policy" in shown.headers
            assert shown.headers["cache-control"] == "no-store"
            assert not re.search(r"<script(?![^>]* src=)|<style|\son[a-z]+=|\sstyle=", shown.text)

    def test_static_files_stay_for_ever(self, browser: Callable[[], TestClient]) -> None:
        client = browser()
        shown = client.get("/login").text
        for address in re.findall(r'"(/static/[^"]+)"', shown):
            answer = client.get(address)
            assert (answer.status_code, "immutable" in answer.headers["cache-control"]) == (200, True)
        assert client.get("/static/../frame.py").status_code == 404

    def test_other_hosts_are_not_answered(self, browser: Callable[[], TestClient]) -> None:
        assert browser().get("/login", headers={"host": "evil.example"}).status_code == 400


HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7654321*7 }}", "' onfocus='x"]


class TestWhoSeesWhat:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_names_are_escaped(self, database: Database, browser: Callable[[], TestClient], name: str) -> None:
        a_person(database, ADA, "admin", name=name)
        client = browser()
        log_in(client)
        for path in ("/", "/people", "/audit", "/account"):
            shown = client.get(path).text
            assert "<script>alert" not in shown
            assert "<img src=x" not in shown
            assert "' onfocus='" not in shown
            assert "53580247" not in shown or name != "{{ 7654321*7 }}"

    def test_what_a_stranger_typed_is_cut_and_shown_for_what_it_is(
        self, database: Database, browser: Callable[[], TestClient]
    ) -> None:
        a_person(database, ADA, "admin")
        typed = "\u202e<b>" + "x" * 50_000
        shown = log_in(browser(), login=typed, password="no")
        assert "⟨U+202E⟩&lt;b&gt;xxx" in shown.text
        assert len(shown.text) < 10_000
        client = browser()
        log_in(client)
        log = client.get("/audit").text
        assert "\u202e" not in log
        assert "⟨U+202E⟩&lt;b&gt;xxx" in log

    def test_only_admins_manage(self, database: Database, browser: Callable[[], TestClient]) -> None:
        a_person(database, ADA, "lead")
        client = browser()
        log_in(client)
        for path in ("/people", "/audit"):
            assert path not in client.get("/").text
            assert client.get(path).status_code == 403

    def test_an_admin_of_a_tenant_sees_that_tenants_people_and_entries(
        self, database: Database, browser: Callable[[], TestClient]
    ) -> None:
        a_person(database, ADA, "admin", ("acme",))
        hidden = a_person(database, "hidden@other.example", "reviewer", ("other",))
        client = browser()
        log_in(client)
        for path in ("/people", "/audit"):
            assert "hidden@" not in client.get(path).text
            assert hidden.id not in client.get(path).text
        assert post(client, f"/people/{hidden.id}/disable", "/people").status_code == 404
        made = post(client, "/people", "/people", login="new@acme.example", name="New", role="lead", tenants="other")
        assert made.status_code == 422

    def test_an_admin_adds_changes_and_disables(self, database: Database, browser: Callable[[], TestClient]) -> None:
        ada = a_person(database, ADA, "admin")
        client = browser()
        log_in(client)
        made = post(client, "/people", "/people", login="bea@x.example", name="Bea", role="lead", tenants="acme other")
        path = re.search(r"https://shop\.example(/invitation/[\w-]+)", made.text)
        assert path
        newcomer = browser()
        assert post(newcomer, path[1], path[1], new=PASSWORD, again=PASSWORD).status_code == 303
        assert log_in(newcomer, "bea@x.example").status_code == 303
        bea = People(database, QUICK).find("bea@x.example")
        assert bea.tenants == ("acme", "other")
        post(client, f"/people/{bea.id}/role", "/people", role="reviewer")
        assert "as reviewer" in newcomer.get("/").text
        post(client, f"/people/{bea.id}/disable", "/people")
        assert newcomer.get("/").status_code == 303
        assert post(client, f"/people/{ada.id}/disable", "/people").status_code == 422
        acts = {entry.act for entry in AuditLog(database, MemoryHeads()).page(None)}
        assert {"person.add", "person.invite", "person.role", "person.disable", "login"} <= acts
