"""The pages as people meet them: in Chromium, by keyboard alone, at 360 pixels, checked by axe-core."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import uvicorn
from sqlalchemy import create_engine, make_url, text

from domain.audit import SYSTEM
from tests.integration.people_site import PASSWORD, QUICK, MemoryHeads, a_person
from tests.worker.web.conftest import World
from worker.local import Endpoints
from worker.storage.audit import AuditLog
from worker.storage.database import Database
from worker.storage.people import People
from worker.storage.schema import migrate
from worker.storage.sessions import Sessions
from worker.web import create_app
from worker.web.pages.tools import PageTools

sync_api = pytest.importorskip("playwright.sync_api", reason="no Chromium to look at pages with: playwright is missing")
axe_api = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no Chromium: axe is missing")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to look at pages with"),
]
ADA = "ada@shop.example"
# Where to keep pictures of the pages for people to look at; unset = nowhere.
PICTURES = os.environ.get("SHELFGUARD_TEST_PICTURES")


@dataclass
class Site:
    address: str
    database: Database


@pytest.fixture(scope="module")
def site(endpoints: Endpoints) -> Iterator[Site]:
    name = f"pages_{uuid4().hex}"
    server = create_engine(endpoints.database_url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = make_url(endpoints.database_url).set(database=name).render_as_string(hide_password=False)
    migrate(url)
    database = Database(url)
    a_person(database, ADA, "admin", name="Ada Example")
    people = People(database, QUICK)
    people.add("long@shop.example", "N" * 200, "lead", None, SYSTEM)
    people.add("bidi@shop.example", "Bea <b>שלום</b>", "reviewer", None, SYSTEM)
    pages = PageTools(people, Sessions(database, QUICK), AuditLog(database, MemoryHeads()), secure=False)
    listening = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(create_app(replace(World().tools(), pages=pages)), log_level="error"))
    thread = threading.Thread(target=running.run, args=([listening],), daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.02)
    yield Site(f"http://127.0.0.1:{listening.getsockname()[1]}", database)
    running.should_exit = True
    thread.join()
    listening.close()
    database.close()
    server.dispose()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


def by_keyboard(page: Any, *keys: str) -> None:
    for key in keys:
        if key.startswith("type:"):
            page.keyboard.type(key.removeprefix("type:"))
        else:
            page.keyboard.press(key)


def log_in(page: Any, site: Site) -> None:
    """From the address bar on, without a mouse: past the skip link and the brand to the first field."""
    page.goto(site.address + "/")
    by_keyboard(page, "Tab", "Tab", "Tab", f"type:{ADA}", "Tab", f"type:{PASSWORD}", "Enter")
    page.wait_for_url(site.address + "/")


def test_a_visit_by_keyboard_alone(site: Site, chromium: Any) -> None:
    page = chromium.new_page()
    log_in(page, site)
    by_keyboard(page, "Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    by_keyboard(page, "Enter", "Tab", "Enter")
    page.wait_for_url("**/people")
    while page.evaluate("document.activeElement.textContent") != "Log out":
        by_keyboard(page, "Tab")
    by_keyboard(page, "Enter")
    page.wait_for_url("**/login")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390, 360])
def test_every_page_fits_and_axe_finds_nothing(site: Site, chromium: Any, width: int, scheme: str) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(site.address + "/login")
    look(page, f"login-{width}-{scheme}")
    log_in(page, site)
    for path in ("", "account", "people", "audit"):
        page.goto(f"{site.address}/{path}")
        look(page, f"{path or 'home'}-{width}-{scheme}")
    assert complaints == []
    context.close()


def look(page: Any, name: str) -> None:
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"), full_page=True)
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide == 0, f"{name} has to be scrolled sideways"
    found = axe_api.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
