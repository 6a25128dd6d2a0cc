"""Which system the command line talks to, and as whom."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from domain.errors import InputRejected, ShelfguardError
from worker.cli.client import ApiClient, pointing_to


class Echo(BaseHTTPRequestHandler):
    """Answers with the caller's token."""

    def do_GET(self) -> None:
        body = json.dumps({"token": self.headers["Authorization"]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def local(api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local system that is up."""
    (tmp_path / "up.json").write_text(json.dumps({"api": api, "token": "sg_local"}))
    monkeypatch.setenv("SHELFGUARD_STATE_DIR", str(tmp_path))
    for name in ("SHELFGUARD_API_URL", "SHELFGUARD_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def whoever() -> str:
    with ApiClient.find() as client:
        return str(client.read("/")["token"])


@pytest.mark.usefixtures("local")
def test_the_local_system_with_its_own_token_or_another(monkeypatch: pytest.MonkeyPatch) -> None:
    assert whoever() == "Bearer sg_local"
    monkeypatch.setenv("SHELFGUARD_API_TOKEN", "sg_bea")
    assert whoever() == "Bearer sg_bea"


@pytest.mark.usefixtures("local")
def test_another_system_needs_a_token_of_its_own(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELFGUARD_API_URL", api)
    with pytest.raises(ShelfguardError, match="SHELFGUARD_API_TOKEN is not"):
        whoever()
    monkeypatch.setenv("SHELFGUARD_API_TOKEN", "sg_site")
    assert whoever() == "Bearer sg_site"


def test_a_name_that_is_not_known_says_where_to_find_one() -> None:
    with pytest.raises(InputRejected, match=r"no token 'x'\. Look there\."), pointing_to("Look there."):
        raise InputRejected("no_such_token", "There is no token 'x'.")
    with pytest.raises(InputRejected, match=r"^bad_role: Send another\.$"), pointing_to("Look there."):
        raise InputRejected("bad_role", "Send another.")
