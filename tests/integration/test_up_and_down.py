"""`make up` and `make down` from the outside."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.integration.whole import sample_files

pytestmark = pytest.mark.integration


def shelfguard(state_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "worker.cli.main", *arguments],
        env=os.environ | {"SHELFGUARD_STATE_DIR": str(state_dir)},
        capture_output=True,
        text=True,
        timeout=240,
    )


def processes_of(state_dir: Path) -> list[Any]:
    return [
        process.info["cmdline"]
        for process in psutil.process_iter(["cmdline"])
        if any(str(state_dir) in part for part in process.info["cmdline"] or [])
    ]


def test_up_submit_down_up_again(tmp_path: Path) -> None:
    try:
        started = shelfguard(tmp_path, "up")
        assert started.returncode == 0, started.stderr
        path = tmp_path / "up.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        up = json.loads(path.read_text())
        assert {"api", "review", "token", "login", "broker", "database", "s3"} <= set(up)

        answer = shelfguard(tmp_path, "submit", str(sample_files()[0]), "--product-id", "kept", "--wait", "--json")
        assert answer.returncode == 0, answer.stderr
        job = json.loads(answer.stdout)
        assert job["state"] == "DONE"

        again = shelfguard(tmp_path, "up")
        assert again.returncode == 0
        assert "already" in again.stderr

        assert shelfguard(tmp_path, "down").returncode == 0
        assert processes_of(tmp_path) == []
        assert not path.exists()

        assert shelfguard(tmp_path, "up").returncode == 0
        later = json.loads(path.read_text())
        assert later["api"] == up["api"], "the address stays"
        kept = httpx.get(
            f"{later['api']}/v1/products/default/kept", headers={"Authorization": f"Bearer {later['token']}"}
        )
        assert kept.json()["revision"] == job["record"]["revision"], "what it held is kept"
    finally:
        shelfguard(tmp_path, "down")
    assert processes_of(tmp_path) == []


def test_without_a_system_the_commands_say_what_to_do(tmp_path: Path) -> None:
    answer = shelfguard(tmp_path, "submit", str(sample_files()[0]), "--product-id", "nowhere")
    assert answer.returncode == 1
    assert "make up" in answer.stderr
    assert shelfguard(tmp_path, "down").returncode == 0
