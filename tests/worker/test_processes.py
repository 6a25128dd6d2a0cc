"""Guarded children: whatever happens to owner or program, nothing is left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from worker.processes import (
    LOG_LIMIT_BYTES,
    Command,
    DirectoryLock,
    GuardedProcess,
    ProcessError,
    ProcessId,
    end_leftovers,
    free_ports,
    log_tail,
    port_is_free,
    recorded,
    write_private,
)

STUBBORN_FAMILY = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for own_session in (False, True):
    subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=own_session)
print("ready", flush=True)
time.sleep(600)
"""
OWNER = """
import sys, time
from pathlib import Path
from worker.processes import Command, GuardedProcess
command = Command([sys.executable, "-S", "-c", sys.argv[2]], {}, Path("/"), orphan_grace_s=0.5)
child = GuardedProcess.spawn("child", command, Path(sys.argv[1]) / "child.log", Path(sys.argv[1]) / "run")
print("up", flush=True)
time.sleep(600)
"""


def spawn(place: Path, script: str) -> GuardedProcess:
    command = Command([sys.executable, "-S", "-c", script], {}, Path("/"))
    return GuardedProcess.spawn("child", command, place / "child.log", place / "run")


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def family_of(process: GuardedProcess) -> list[psutil.Process]:
    wait_until(lambda: "ready" in log_tail(process.log))
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    assert len(family) == 3
    return family


def living(family: list[psutil.Process]) -> list[psutil.Process]:
    return [member for member in family if member.is_running() and member.status() != psutil.STATUS_ZOMBIE]


def test_output_and_exit_status_are_kept(tmp_path: Path) -> None:
    process = spawn(tmp_path, "import sys; print('hello'); sys.exit(7)")
    assert process.wait(10) == 7
    assert log_tail(process.log) == "hello"
    assert recorded(tmp_path / "run") == []


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match="FileNotFoundError"):
        GuardedProcess.spawn("x", Command(["/no/such/program"], {}, Path("/")), tmp_path / "x.log")


def test_a_stop_is_kind_first(tmp_path: Path) -> None:
    handler = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(5)); "
    process = spawn(tmp_path, handler + "print('ready', flush=True); time.sleep(60)")
    wait_until(lambda: "ready" in log_tail(process.log))
    assert process.stop(grace_s=10) == 5


def test_a_stop_ends_what_ignores_it_and_all_its_descendants(tmp_path: Path) -> None:
    process = spawn(tmp_path, STUBBORN_FAMILY)
    family = family_of(process)
    began = time.monotonic()
    assert process.stop(grace_s=0.3) == 128 + signal.SIGKILL
    assert time.monotonic() - began < 5
    assert living(family) == []


def test_a_kill_reaches_other_sessions(tmp_path: Path) -> None:
    process = spawn(tmp_path, STUBBORN_FAMILY)
    family = family_of(process)
    assert process.kill() == 128 + signal.SIGKILL
    assert living(family) == []
    assert process.kill() == 128 + signal.SIGKILL  # again is harmless


def test_descendants_do_not_outlive_a_program_that_ends_by_itself(tmp_path: Path) -> None:
    process = spawn(tmp_path, STUBBORN_FAMILY)
    family = family_of(process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    assert living(family) == []


def test_nothing_outlives_an_owner_that_is_killed(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", OWNER, str(tmp_path), STUBBORN_FAMILY]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "up\n"
            wait_until(lambda: "ready" in log_tail(tmp_path / "child.log"))
            family = psutil.Process(owner.pid).children(recursive=True)
            assert len(family) == 4  # the watchdog and its three
        finally:
            owner.kill()
    wait_until(lambda: not living(family))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a process to its parent")
def test_a_program_does_not_outlive_its_watchdog(tmp_path: Path) -> None:
    process = spawn(tmp_path, "import time; time.sleep(600)")
    watchdog = psutil.Process(process.pid).parent()
    program = psutil.Process(process.pid)
    assert watchdog is not None
    watchdog.kill()
    wait_until(lambda: not living([program]))
    assert process.wait(5) == -signal.SIGKILL


def test_leftovers_of_an_earlier_owner_are_ended(tmp_path: Path) -> None:
    process = spawn(tmp_path, STUBBORN_FAMILY)
    family = family_of(process)
    end_leftovers(tmp_path / "run", grace_s=5)
    assert living(family) == []
    assert list((tmp_path / "run").iterdir()) == []
    process.wait(5)


def test_a_recycled_number_is_another_process(tmp_path: Path) -> None:
    me = ProcessId.of(os.getpid())
    assert me is not None
    assert me.alive()
    assert "python" in me.command_line()
    stranger = ProcessId(me.pid, "long ago")
    assert not stranger.alive()
    stranger.signal(signal.SIGKILL)  # must not reach us
    write_private(tmp_path / "run" / "x.json", f'[[{me.pid}, "long ago"]]')
    end_leftovers(tmp_path / "run")


def test_the_dead_are_not_alive(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as child:
        wait_until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
        assert ProcessId.of(child.pid) is None
    assert ProcessId.of(child.pid) is None


def test_a_directory_is_held_by_one(tmp_path: Path) -> None:
    first, second = DirectoryLock(tmp_path / "lock"), DirectoryLock(tmp_path / "lock")
    assert first.acquire()
    assert not second.acquire(timeout_s=0.1)
    assert second.holder() == str(os.getpid())
    first.release()
    assert second.acquire()
    second.release()


def test_long_logs_are_set_aside(tmp_path: Path) -> None:
    journal = tmp_path / "child.log"
    with journal.open("wb") as stream:
        stream.truncate(LOG_LIMIT_BYTES + 1)
    spawn(tmp_path, "print('new')").wait(10)
    assert log_tail(journal) == "new"
    assert (tmp_path / "child.log.1").stat().st_size == LOG_LIMIT_BYTES + 1


def test_free_ports_are_free_and_different() -> None:
    ports = free_ports(5, span=-10_000)
    assert len(set(ports)) == 5
    with socket.create_server(("127.0.0.1", ports[0])):
        assert not port_is_free(ports[0])
    assert port_is_free(ports[0])
