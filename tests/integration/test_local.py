"""The embedded servers, for real: they serve, they keep, they come back, and they leave nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3.session
import psutil
import psycopg
import pytest
import redis

from worker.embedded import postgres
from worker.local import Endpoints, LocalServers, ServerError

pytestmark = pytest.mark.integration

PARENT = """
import sys, time
from pathlib import Path
from worker.local import LocalServers
local = LocalServers(Path(sys.argv[1]), durable=False)
local.start()
print("up", flush=True)
time.sleep(600)
"""


def broker(endpoints: Endpoints) -> redis.Redis:
    return redis.Redis.from_url(endpoints.redis_url, socket_timeout=5)


def database(endpoints: Endpoints) -> psycopg.Connection[Any]:
    return psycopg.connect(endpoints.database_url.replace("+psycopg", ""), autocommit=True, connect_timeout=5)


def objects(endpoints: Endpoints) -> Any:
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoints.s3_endpoint_url,
        aws_access_key_id=endpoints.s3_access_key,
        aws_secret_access_key=endpoints.s3_secret_key,
        region_name="us-east-1",
    )


def read_object(endpoints: Endpoints, key: str) -> bytes:
    client = objects(endpoints)
    try:
        body: bytes = client.get_object(Bucket=endpoints.s3_bucket, Key=key)["Body"].read()
        return body
    finally:
        client.close()


def write_object(endpoints: Endpoints, key: str, body: bytes) -> None:
    client = objects(endpoints)
    client.put_object(Bucket=endpoints.s3_bucket, Key=key, Body=body)
    client.close()


def processes_of(state_dir: Path, pids: set[int]) -> list[psutil.Process]:
    """Every living process that is one of `pids`, below one of them, or names the state directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                continue
            family = {process.pid, *(parent.pid for parent in process.parents())}
            places = [*process.cmdline(), process.cwd()]
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if family & pids or any(str(state_dir) in place for place in places):
            found.append(process)
    return found


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "a state directory with spaces, and a name that is longer than any Unix socket may be" / "x"
    yield place
    LocalServers(place, durable=False).destroy()


def test_each_server_keeps_what_it_is_given(endpoints: Endpoints) -> None:
    with broker(endpoints) as client:
        client.set("greeting", "hello")
        assert client.get("greeting") == b"hello"
    with database(endpoints) as connection:
        assert connection.execute("SELECT upper('café'), current_database()").fetchone() == ("CAFÉ", "shelfguard")
    write_object(endpoints, "a/b", b"bytes")
    assert read_object(endpoints, "a/b") == b"bytes"


def test_objects_can_be_written_once_only(endpoints: Endpoints) -> None:
    client = objects(endpoints)
    client.put_object(Bucket=endpoints.s3_bucket, Key="once", Body=b"1", IfNoneMatch="*")
    with pytest.raises(client.exceptions.ClientError, match="PreconditionFailed"):
        client.put_object(Bucket=endpoints.s3_bucket, Key="once", Body=b"2", IfNoneMatch="*")
    client.close()
    assert read_object(endpoints, "once") == b"1"


def test_nothing_answers_without_the_password(endpoints: Endpoints, servers: LocalServers) -> None:
    port = int(endpoints.redis_url.rsplit(":", 1)[1].split("/")[0])
    with redis.Redis(port=port) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(endpoints.database_url.replace("+psycopg", "").replace("shelfguard:", "shelfguard:x"))
    for address in (f"{endpoints.s3_endpoint_url}/{endpoints.s3_bucket}/a/b", filer_address(servers)):
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(address, timeout=5)
        assert refusal.value.code in (401, 403)
        refusal.value.close()


def filer_address(servers: LocalServers) -> str:
    listening = psutil.Process(servers.pids()["s3"]).net_connections("tcp")
    ports = {entry.laddr.port for entry in listening if entry.status == psutil.CONN_LISTEN}
    kept = (servers.state_dir / "servers" / "s3.json").read_text()
    port = next(port for port in ports if f'"filer": {port}' in kept)
    return f"http://127.0.0.1:{port}/buckets/"


def test_they_listen_on_loopback_only(servers: LocalServers) -> None:
    for pid in servers.pids().values():
        entries = psutil.Process(pid).net_connections("inet")
        addresses = {entry.laddr.ip for entry in entries if entry.status == psutil.CONN_LISTEN}
        assert addresses == {"127.0.0.1"}


def test_secrets_are_readable_by_us_alone(servers: LocalServers) -> None:
    for name in ("servers/valkey.json", "servers/postgres.json", "servers/s3.json", "valkey/valkey.conf", "s3/options"):
        assert stat.S_IMODE((servers.state_dir / name).stat().st_mode) == 0o600
    for name in ("servers", "valkey", "s3", "logs", "run"):
        assert stat.S_IMODE((servers.state_dir / name).stat().st_mode) == 0o700
    passwords = [part for part in servers.endpoints().redis_url.split(":") if "@" in part]
    for pid in servers.pids().values():
        assert passwords[0].split("@")[0] not in " ".join(psutil.Process(pid).cmdline())


def test_a_broker_can_forget(servers: LocalServers, endpoints: Endpoints) -> None:
    with broker(endpoints) as client:
        client.set("kept", "no")
    before = servers.pids()["valkey"]
    servers.kill("valkey")
    assert not psutil.pid_exists(before)
    assert "valkey" not in servers.pids()
    servers.restart("valkey", empty=True)
    assert servers.endpoints() == endpoints
    with broker(endpoints) as client:
        assert client.get("kept") is None
    with pytest.raises(ValueError, match="only valkey"):
        servers.restart("postgres", empty=True)


def test_database_and_objects_survive_a_kill(servers: LocalServers, endpoints: Endpoints) -> None:
    with database(endpoints) as connection:
        connection.execute("CREATE TABLE survivor AS SELECT 42 AS answer")
    write_object(endpoints, "survivor", b"42")
    for name in ("postgres", "s3"):
        family = [psutil.Process(servers.pids()[name]), *psutil.Process(servers.pids()[name]).children(recursive=True)]
        servers.kill(name)
        assert not [process for process in family if process.is_running()]
        servers.restart(name)
    with database(endpoints) as connection:
        assert connection.execute("SELECT answer FROM survivor").fetchone() == (42,)
        connection.execute("DROP TABLE survivor")
    assert read_object(endpoints, "survivor") == b"42"


def test_what_died_unasked_is_revived(servers: LocalServers, endpoints: Endpoints) -> None:
    assert servers.revive() == []
    os.kill(servers.pids()["valkey"], signal.SIGKILL)
    assert wait_until(lambda: servers.revive() == ["valkey"], 5)
    with broker(endpoints) as client:
        assert client.ping()


def test_a_stop_leaves_no_process_and_a_start_finds_everything_again(state_dir: Path) -> None:
    local = LocalServers(state_dir)
    first = local.start()
    with broker(first) as client:
        client.set("kept", "yes")
    with database(first) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    write_object(first, "kept", b"yes")
    pids = set(local.pids().values())
    assert processes_of(state_dir, pids)
    local.stop()
    assert processes_of(state_dir, pids) == []
    assert not list((state_dir / "run").glob("*/*.json"))

    lock = next(place / "postmaster.pid" for place in data_directories(state_dir))
    lock.write_text(f"{os.getpid()}\n{lock.parent}\n")  # as after a crash, when our number was PostgreSQL's
    with local:
        again = local.endpoints()
        assert again == first
        with broker(again) as client:
            assert client.get("kept") == b"yes"
        with database(again) as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
        assert read_object(again, "kept") == b"yes"


def data_directories(state_dir: Path) -> list[Path]:
    server = postgres.Postgres(state_dir, durable=True)
    return [server.data]


def test_nothing_outlives_a_parent_that_is_killed(state_dir: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(state_dir)], stdout=subprocess.PIPE, text=True)
    with parent:
        try:
            assert parent.stdout is not None
            assert parent.stdout.readline() == "up\n"
            pids = {process.pid for process in psutil.Process(parent.pid).children(recursive=True)}
            assert len(pids) >= 6  # three watchdogs, three servers
        finally:
            parent.kill()
    assert wait_until(lambda: processes_of(state_dir, pids) == [], 20)
    with LocalServers(state_dir, durable=False) as local, broker(local.endpoints()) as client:
        assert client.ping()


def test_a_start_right_after_a_kill_waits_for_the_leftovers(state_dir: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(state_dir)], stdout=subprocess.PIPE, text=True)
    with parent:
        try:
            assert parent.stdout is not None
            assert parent.stdout.readline() == "up\n"
        finally:
            parent.kill()
    with LocalServers(state_dir, durable=False) as local, database(local.endpoints()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_one_process_at_a_time_holds_a_state_directory(servers: LocalServers) -> None:
    with pytest.raises(ServerError, match=f"process {os.getpid()} already runs"):
        LocalServers(servers.state_dir).start()


def test_a_port_that_was_taken_meanwhile_is_replaced(state_dir: Path) -> None:
    local = LocalServers(state_dir, durable=False, servers=["valkey"])
    first = local.start()
    local.stop()
    assert first.database_url == first.s3_bucket == ""
    assert list(first.environment()) == ["SHELFGUARD_REDIS_URL"]
    port = int(first.redis_url.rsplit(":", 1)[1].split("/")[0])
    with socket.create_server(("127.0.0.1", port)), local:
        assert local.endpoints().redis_url != first.redis_url
        with broker(local.endpoints()) as client:
            assert client.ping()


def test_a_server_that_cannot_start_says_why(state_dir: Path) -> None:
    (state_dir / "valkey" / "data").mkdir(parents=True)
    (state_dir / "valkey" / "data" / "appendonlydir").write_text("not a directory")
    with pytest.raises(ServerError, match=r"(?s)valkey ended with status 1 .*valkey\.log.*appendonlydir"):
        LocalServers(state_dir, servers=["valkey"]).start()
    assert processes_of(state_dir, set()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user for PostgreSQL")
def test_root_runs_postgres_from_a_wheel_that_only_root_can_read(
    state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = postgres._package()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(wheel / "pginstall", closed / wheel.name / "pginstall")
    if (libraries := wheel.with_name(wheel.name + ".libs")).exists():
        shutil.copytree(libraries, closed / libraries.name)
    monkeypatch.setattr(postgres, "_package", lambda: closed / wheel.name)
    with LocalServers(state_dir, durable=False, servers=["postgres"]) as local:
        server = psutil.Process(local.pids()["postgres"])
        assert server.uids().real != 0
        assert not server.exe().startswith(str(closed))
        with database(local.endpoints()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
