"""The local system: its parts, the order in which they start, and the stop in reverse order."""

import time
from collections.abc import Mapping
from pathlib import Path

import psycopg

from local import environment as local_environment
from local import logs
from local.environment_file import ENVIRONMENT_FILE, write_environment
from local.parts import AuthPorts, AuthServer, Gateway, MailServer, NatsServer, Part, PartFailed, PostgresServer
from local.parts.launch import ROOT
from local.private_files import kept_secret
from local.screen import say
from local.serving.sockets import Port
from local.stop_signals import StopSignals

_AUTH_DATABASE = "auth"


class System:
    """The parts that run for one data directory."""

    def __init__(
        self,
        user: Mapping[str, str],
        ports: Mapping[str, Port],
        wanted: local_environment.Parts,
        local: Path,
        signals: StopSignals,
    ) -> None:
        """Take the user's variables, the parts to start, and the data directory. Start nothing yet."""
        self._user = user
        self._ports = ports
        self._wanted = wanted
        self._local = local
        self.logs = local / "logs"
        self._environment_file = local / ENVIRONMENT_FILE
        self._signals = signals
        self._begin = time.monotonic()
        self.parts: list[Part] = []

    @property
    def elapsed(self) -> str:
        """The time since the start."""
        return f"{time.monotonic() - self._begin:4.1f} s"

    def start(self) -> dict[str, str]:
        """Start the parts, independent ones side by side. Return the functions' environment. Raise PartFailed."""
        say("Starting")
        side_by_side = self._independent_parts()
        for part in side_by_side:
            self._launch(part)
        auth_database = local_environment.external_database(self._user)
        socket_dir = None
        if self._wanted.database:
            database = PostgresServer(
                self._local / "postgres" / "data", self._number("MG_LOCAL_POSTGRES_PORT"), self._log("postgres")
            )
            self._launch(database)
            self._await(database)
            auth_database = self._prepare(database)
            socket_dir = database.host
        environment = local_environment.functions_environment(
            self._user, self._wanted, self._ports, socket_dir, self._local
        )
        write_environment(self._environment_file, environment)
        if self._wanted.auth:
            side_by_side.append(self._auth(auth_database, environment))
            self._launch(side_by_side[-1])
        for part in side_by_side:
            self._await(part)
        self._open_gateway(environment)
        return environment

    def stop(self) -> None:
        """Stop the parts in reverse order."""
        self._signals.ignore()
        self._environment_file.unlink(missing_ok=True)
        for part in reversed(self.parts):
            part.stop()

    def begin(self, part: Part) -> None:
        """Start a part. A signal during the start arrives when the part's process is known."""
        with self._signals.held():
            part.start()

    def _independent_parts(self) -> list[Part]:
        """Return the parts that do not need the others."""
        parts: list[Part] = []
        if self._wanted.events:
            parts.append(NatsServer(self._local / "nats", self._number("MG_LOCAL_NATS_PORT"), self._log("nats")))
        if self._wanted.mail:
            own_name = self._ports["MG_USERS_HTTP_PORT"].host
            store, log = self._local / "mails", self._log("mail")
            parts.append(MailServer(self._number("MG_LOCAL_MAIL_PORT"), log, own_name=own_name, store_dir=store))
        return parts

    def _prepare(self, database: PostgresServer) -> str:
        """Make the roles and databases of the service and of Auth. Return Auth's connection string."""
        if database.relocated:
            say(f"  the database is in {database.data_dir}: PostgreSQL does not run as root, and the user"
                f" {database.home.account and database.home.account.name} cannot enter {ROOT}")  # fmt: skip
        owner, password = local_environment.DATABASE_USER, local_environment.owner_password(self._local)
        try:
            database.ensure_role(owner, password, makes_roles=True)
            database.ensure_database(local_environment.DATABASE, owner)
            database.ensure_role(_AUTH_DATABASE, kept_secret(self._local / "auth-database-key"))
            database.ensure_database(_AUTH_DATABASE, _AUTH_DATABASE)
        except psycopg.Error as error:
            raise PartFailed(database.name, f"refused: {error}", database.log) from error
        return database.conninfo_for(_AUTH_DATABASE, _AUTH_DATABASE)

    def _auth(self, conninfo: str, environment: Mapping[str, str]) -> AuthServer:
        return AuthServer(
            self._user.get("MG_AUTH_DB_URL") or conninfo,
            Path(self._user.get("MG_AUTH_KEYS_DIR") or self._local / "auth-keys"),
            ports=AuthPorts(*map(self._number, ("MG_AUTH_GRPC_PORT", "MG_AUTH_HTTP_PORT", "MG_SPICEDB_PORT"))),
            environment=environment,
            log=self._log("auth"),
            database_of=local_environment.auth_database_variables(self._user),
        )

    def _open_gateway(self, environment: Mapping[str, str]) -> None:
        gateway = Gateway(
            http_port=self._number("MG_USERS_HTTP_PORT"),
            lambda_port=self._number("MG_LOCAL_LAMBDA_PORT"),
            environment=environment,
            log=self._log("gateway"),
        )
        gateway.invoke("BootstrapFunction", ROOT / "events" / "bootstrap.json", self._log("bootstrap"))
        say(f"  {self.elapsed}  bootstrap: the database is migrated, the administrator exists")
        self._launch(gateway)
        self._await(gateway)

    def _launch(self, part: Part) -> None:
        """Start a part. The final stop includes it from now on."""
        self.parts.append(part)
        self.begin(part)

    def _await(self, part: Part) -> None:
        part.wait_ready()
        say(f"  {self.elapsed}  {part.name} is ready")

    def _log(self, name: str) -> Path:
        """Return a new log file for a part. The files of the last runs stay beside it."""
        self.logs.mkdir(mode=0o700, exist_ok=True)
        path = self.logs / f"{name}.log"
        logs.set_aside(path)
        return path

    def _number(self, variable: str) -> int:
        return self._ports[variable].number
