"""The process tree: programs come back when they die, and all of it goes when it is told to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from worker import supervisor as module
from worker.background import background, running_background, stop_background
from worker.processes import ProcessId
from worker.supervisor import (
    Program,
    Supervisor,
    SupervisorError,
    System,
)

SLEEPER = "import time; time.sleep(600)"
# Says when it stopped, in a file that all share, so that the order can be read.
POLITE = """
import os, pathlib, signal, sys, time
def end(*_):
    with open(os.environ["ORDER"], "a") as order: order.write(os.environ["NAME"] + " ")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
pathlib.Path(os.environ["ORDER"] + "." + os.environ["NAME"]).touch()
time.sleep(600)
"""
DETACHED = """
import sys
from pathlib import Path
from worker.supervisor import Program, System
state_dir = Path(sys.argv[1])
with System(state_dir, migrate=[], environ={"SHELFGUARD_DATABASE_URL": "x", "SHELFGUARD_REDIS_URL": "x",
            "SHELFGUARD_S3_BUCKET": "x"}) as system:
    system.prepare()
    system.start([Program("sleeper", [sys.executable, "-S", "-c", "import time; time.sleep(600)"])])
    (state_dir / "up.json").write_text("{}")
    system.run_forever()
"""


def python(name: str, script: str, **env: str) -> Program:
    return Program(name, [sys.executable, "-S", "-c", script], env=env)


def wait_until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def running(supervisor: Supervisor, name: str) -> bool:
    try:
        return supervisor.pid_of(name) > 0
    except SupervisorError:
        return False


def alive(pid: int) -> bool:
    return ProcessId.of(pid) is not None


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path / "logs"


@pytest.fixture
def up(logs: Path) -> Iterator[Callable[..., Supervisor]]:
    started: list[Supervisor] = []

    def start(*programs: Program) -> Supervisor:
        supervisor = Supervisor(programs, logs)
        started.append(supervisor)
        supervisor.start()
        return supervisor

    yield start
    for supervisor in started:
        supervisor.stop(grace_s=1)


def test_a_killed_program_comes_back(up: Callable[..., Supervisor]) -> None:
    supervisor = up(python("a", SLEEPER), python("b", SLEEPER))
    first, neighbour = supervisor.pid_of("a"), supervisor.pid_of("b")
    supervisor.kill_group("a")
    assert not alive(first)
    wait_until(lambda: supervisor.restarts("a") == 1 and running(supervisor, "a"))
    assert supervisor.pid_of("a") != first
    assert (supervisor.pid_of("b"), supervisor.restarts("b")) == (neighbour, 0)


def test_a_program_that_ends_comes_back_ever_more_slowly(
    up: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_BACKOFF_S", 0.2)
    monkeypatch.setattr(module, "LAST_BACKOFF_S", 0.8)
    supervisor = up(python("brief", "print('once more')"))
    began = time.monotonic()
    wait_until(lambda: supervisor.restarts("brief") == 3)
    assert time.monotonic() - began >= 0.2 + 0.4 + 0.8


def test_each_program_is_a_process_group_with_a_log_of_its_own(up: Callable[..., Supervisor], logs: Path) -> None:
    supervisor = up(python("a", "import os; print(os.environ['WHO'], flush=True); " + SLEEPER, WHO="me"))
    assert os.getpgid(supervisor.pid_of("a")) == supervisor.pid_of("a")
    wait_until(lambda: (logs / "a.log").read_text() == "me\n")


def test_a_stop_gives_each_program_its_time(up: Callable[..., Supervisor], tmp_path: Path) -> None:
    order = tmp_path / "order"
    names = ("first", "second", "third")
    supervisor = up(*(python(name, POLITE, ORDER=str(order), NAME=name) for name in names))
    wait_until(lambda: all(order.with_name(f"order.{name}").exists() for name in names))
    pids = [supervisor.pid_of(name) for name in names]
    supervisor.stop()
    assert sorted(order.read_text().split()) == sorted(names)  # each had its time to end well
    assert not any(map(alive, pids))
    supervisor.stop()  # again is harmless


def test_a_stop_kills_what_does_not_end(up: Callable[..., Supervisor]) -> None:
    supervisor = up(
        python("deaf", "import signal; signal.signal(15, signal.SIG_IGN); print(1, flush=True); " + SLEEPER)
    )
    pid = supervisor.pid_of("deaf")
    time.sleep(0.3)
    began = time.monotonic()
    supervisor.stop(grace_s=0.5)
    assert time.monotonic() - began < 5
    assert not alive(pid)


def test_start_waits_until_ready(up: Callable[..., Supervisor], tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    script = f"import pathlib, time; time.sleep(0.3); pathlib.Path({str(flag)!r}).touch(); time.sleep(600)"
    up(Program("slow", [sys.executable, "-S", "-c", script], ready=flag.exists))
    assert flag.exists()


def test_what_is_never_ready_is_an_error_with_its_log(logs: Path) -> None:
    argv = [sys.executable, "-S", "-c", "print('no luck', flush=True); " + SLEEPER]
    supervisor = Supervisor([Program("late", argv, ready=lambda: False, ready_timeout_s=1)], logs)
    with pytest.raises(SupervisorError, match=r"(?s)late was not ready within 1 s.*no luck"):
        supervisor.start()
    assert not running(supervisor, "late")


def test_what_cannot_be_started_is_an_error(logs: Path) -> None:
    supervisor = Supervisor([python("fine", SLEEPER), Program("none", ["/no/such/program"])], logs)
    with pytest.raises(SupervisorError, match="none could not be started"):
        supervisor.start()
    assert not running(supervisor, "fine")


def test_names_are_different(logs: Path) -> None:
    with pytest.raises(ValueError, match="same name"):
        Supervisor([python("a", ""), python("a", "")], logs)


def test_one_supervisor_for_one_directory(up: Callable[..., Supervisor], logs: Path) -> None:
    up(python("a", SLEEPER))
    with pytest.raises(SupervisorError, match="already supervises"):
        Supervisor([python("a", SLEEPER)], logs).start()


def test_up_and_down_in_the_background(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", DETACHED, str(tmp_path)]
    ready = tmp_path / "up.json"
    try:
        first = background(argv, tmp_path, ready, timeout_s=60)
        again = background(argv, tmp_path, ready, timeout_s=60)
        assert (first.already_running, again.already_running) == (False, True)
        assert again.pid == first.pid
        assert os.getsid(first.pid) == first.pid
        family = psutil.Process(first.pid).children(recursive=True)
        assert len(family) == 2  # a watchdog and the sleeper
    finally:
        assert stop_background(tmp_path)
    assert not any(alive(process.pid) for process in family)
    assert running_background(tmp_path) is None
    assert not stop_background(tmp_path)


def test_down_after_the_supervisor_was_killed(tmp_path: Path) -> None:
    started = background([sys.executable, "-c", DETACHED, str(tmp_path)], tmp_path, tmp_path / "up.json", timeout_s=60)
    family = psutil.Process(started.pid).children(recursive=True)
    os.kill(started.pid, signal.SIGKILL)
    stop_background(tmp_path)
    assert not any(alive(process.pid) for process in family)


def test_a_system_that_ends_while_starting_says_why(tmp_path: Path) -> None:
    with pytest.raises(SupervisorError, match=r"(?s)ended while starting.*broken leg"):
        background(
            [sys.executable, "-c", "import time; time.sleep(0.3); raise SystemExit('broken leg')"],
            tmp_path,
            tmp_path / "up",
        )
    assert running_background(tmp_path) is None


def test_a_recycled_number_is_never_stopped(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", SLEEPER]) as stranger:
        (tmp_path / "supervisor.pid").write_text(f"{stranger.pid} another-boot:1\n")
        assert not stop_background(tmp_path)
        assert stranger.poll() is None
        stranger.kill()


def test_external_servers_are_left_alone(tmp_path: Path) -> None:
    environ = {"SHELFGUARD_DATABASE_URL": "d", "SHELFGUARD_REDIS_URL": "r", "SHELFGUARD_S3_BUCKET": "b"}
    with System(tmp_path, migrate=[sys.executable, "-S", "-c", ""], environ=environ) as system:
        assert system.servers is None
        assert system.prepare() == environ


def test_a_failed_migration_says_why(tmp_path: Path) -> None:
    environ = {"SHELFGUARD_DATABASE_URL": "d", "SHELFGUARD_REDIS_URL": "r", "SHELFGUARD_S3_ENDPOINT_URL": "s"}
    argv = [sys.executable, "-S", "-c", "raise SystemExit('no such column')"]
    with (
        System(tmp_path, migrate=argv, environ=environ) as system,
        pytest.raises(SupervisorError, match="no such column"),
    ):
        system.prepare()


@pytest.mark.integration
def test_a_system_brings_up_what_is_missing_and_keeps_it_up(tmp_path: Path) -> None:
    environ = {**os.environ, "SHELFGUARD_DATABASE_URL": "d", "SHELFGUARD_S3_BUCKET": "b"}
    seen = tmp_path / "seen.json"
    script = f"import json, os; json.dump(dict(os.environ), open({str(seen)!r}, 'w'))"
    with System(
        tmp_path / "state", migrate=[sys.executable, "-S", "-c", script], environ=environ, durable=False
    ) as system:
        environment = system.prepare()
        assert json.loads(seen.read_text())["SHELFGUARD_REDIS_URL"] == environment["SHELFGUARD_REDIS_URL"]
        system.start([python("a", SLEEPER)])
        assert system.servers is not None
        assert list(system.servers.pids()) == ["valkey"]
        before = system.servers.pids()["valkey"]
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: system.servers is not None and system.servers.pids()["valkey"] != before)
        pids = [system.servers.pids()["valkey"], system.supervisor.pid_of("a") if system.supervisor else 0]
    assert not any(map(alive, pids))
