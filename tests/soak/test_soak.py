"""What takes long: thousands of real photographs, and kills of everything while work goes on."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.whole import Whole, outcome
from tests.soak import report
from worker.cli.client import ApiClient
from worker.system import LocalSystem

pytestmark = [pytest.mark.soak]

DATA = Path(os.environ.get("SHELFGUARD_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
ROUNDS = 8  # times that all samples are sent while things are killed
KILLS = 30
SEED = 20261122


def test_every_real_photograph_ends(tmp_path: Path) -> None:
    photos = DATA / "images" / "products"
    if not photos.is_dir():
        pytest.skip(f"the development photographs are not at {DATA} (see SHELFGUARD_TEST_DATA)")
    command = [sys.executable, "-m", "worker.cli.main", "demo", "--state-dir", str(tmp_path), "--photos", str(photos)]
    subprocess.run(command, check=True, timeout=3600)
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert summary["jobs"] >= 1900
    assert summary["lost"] == summary["quarantined"] == 0
    shown = {name: summary[name] for name in ("jobs", "done", "rejected", "lost", "seconds", "verdicts")}
    report.write("real photographs", json.dumps(shown))


def test_kills_of_everything_lose_and_change_nothing(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    quick = {
        "SHELFGUARD_LEASE_SECONDS": "6",
        "SHELFGUARD_HEARTBEAT_SECONDS": "1.5",
        "SHELFGUARD_SWEEP_SECONDS": "1",
        # One row may meet several of these kills while it runs alone; that does not make it poison.
        "SHELFGUARD_DEATH_CAP": "10",
        # Every round sends the same samples, and each is to be looked at while things are killed.
        "SHELFGUARD_OBSERVATION_CACHE": "false",
    }
    with LocalSystem(tmp_path / "system", durable=False, settings=quick) as system:
        up = system.start()
        with ApiClient(up.api, up.token) as client:
            whole = Whole(system, up, client)
            sent = whole.send_samples("calm")
            calm_jobs = whole.wait(sent.values(), 600)
            calm = {name: outcome(calm_jobs[job_id]) for name, job_id in sent.items()}
            rounds = [whole.send_samples(f"round-{number}") for number in range(ROUNDS)]
            killed = Counter[str]()
            for _ in range(KILLS):
                killed[_kill_something(system, rng)] += 1
                time.sleep(rng.uniform(0.5, 3.0))
            for number, sent_now in enumerate(rounds):
                jobs = whole.wait(sent_now.values(), 1200)
                assert {name: outcome(jobs[job_id]) for name, job_id in sent_now.items()} == calm, number
    jobs_in_all = ROUNDS * len(calm)
    report.write(
        "kills of everything", f"{KILLS} kills {dict(killed)} in {jobs_in_all} jobs: all ended as without kills"
    )


def _kill_something(system: LocalSystem, rng: random.Random) -> str:
    victim = rng.choice(["intake", "vision", "publish", "deliver", "valkey", "postgres", "s3"])
    if victim in ("valkey", "postgres", "s3"):
        system.servers.kill(victim)  # type: ignore[arg-type]
        system.servers.restart(victim, empty=victim == "valkey")  # type: ignore[arg-type]
        return victim
    try:
        system.supervisor.kill_group(victim)
    except RuntimeError:
        return f"{victim} (was down already)"
    return victim
