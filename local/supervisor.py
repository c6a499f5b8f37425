"""`make run`: start the parts, bootstrap, serve; stop everything in reverse order on Ctrl-C or SIGTERM."""

import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import psycopg

from local import environment as local_environment
from local import install, logs, ports
from local.keeper import Keeper
from local.parts import AuthPorts, AuthServer, Gateway, MailServer, NatsServer, Part, PartFailed, PostgresServer
from local.parts.postgres_home import NoHome
from local.parts.process import ROOT
from local.serving.bound import bind_to_parent
from local.serving.variables import SettingsUnusable

if TYPE_CHECKING:
    from types import FrameType
    from typing import TextIO

_WATCH_SECONDS = 0.1
_PREDECESSOR_SECONDS = 15.0
_AUTH_DATABASE = "auth"


class Stopped(BaseException):
    """The user, or the system, asked to stop."""


class CannotRun(Exception):
    """The text says what is in the way and what helps."""


class StopSignals:
    """SIGINT, SIGTERM and SIGHUP as the exception Stopped, except while a block must not be left half-way."""

    def __init__(self) -> None:
        self._held = False
        self._pending = False

    def install(self) -> None:
        """Take the signals over; a SIGHUP that the starter ignores (nohup) stays ignored."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._arrived)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._arrived)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Deliver a signal that arrives inside the block at its end."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._pending:
            raise Stopped

    def ignore(self) -> None:
        """Take no more signals: the stop is under way and bounded in time."""
        self._held = True

    def _arrived(self, _number: int, _frame: "FrameType | None") -> None:
        if not self._pending:  # a second one changes nothing: the stop is under way
            self._pending = True
            if not self._held:
                raise Stopped


class Supervisor:
    """The local system of one project directory; one runs at a time."""

    def __init__(self, user: dict[str, str]) -> None:
        self._user = user
        self._local = _data_directory(user)
        self._logs = self._local / "logs"
        self._environment_file = self._local / local_environment.ENVIRONMENT_FILE
        self._ports = ports.read(user)
        self._wanted = local_environment.parts_wanted(user, self._ports)
        self._signals = StopSignals()
        self._started: list[Part] = []
        self._begin = time.monotonic()

    def run(self) -> int:
        """Run until asked to stop; return the exit code."""
        self._signals.install()
        exit_code = 1
        try:
            self._check_settings()
            self._refuse_known_secrets()
            with self._only_one() as crashed:
                self._check_ports(_PREDECESSOR_SECONDS if crashed else 0)
                exit_code = self._serve()
        except CannotRun as reason:
            _say(str(reason))
        except Stopped:
            _say("Nothing was started.")
        return exit_code

    def _serve(self) -> int:
        try:
            environment = self._start()
            self._announce(environment)
            self._watch()
        except Stopped:
            _say("\nStopping")
            return 0
        except (PartFailed, NoHome) as failure:
            self._explain(failure)
            return 1
        finally:
            self._signals.ignore()
            self._environment_file.unlink(missing_ok=True)
            for part in reversed(self._started):
                part.stop()
            _say("Everything is stopped.")

    def _start(self) -> dict[str, str]:
        """Start the parts, those that do not need one another side by side; return the functions' environment."""
        _say("Starting")
        nats = NatsServer(self._local / "nats", self._number("MG_LOCAL_NATS_PORT"), self._log("nats"))
        own_name = self._ports["MG_USERS_HTTP_PORT"].host
        mail = MailServer(
            self._number("MG_LOCAL_MAIL_PORT"), self._log("mail"), own_name=own_name, store_dir=self._local / "mails"
        )
        database = PostgresServer(
            self._local / "postgres" / "data", self._number("MG_LOCAL_POSTGRES_PORT"), self._log("postgres")
        )
        side_by_side: list[Part] = [
            part for part, wanted in ((nats, self._wanted.events), (mail, self._wanted.mail)) if wanted
        ]
        for part in side_by_side:
            self._launch(part)
        auth_database = local_environment.external_database(self._user)
        if self._wanted.database:
            self._launch(database)
            self._await(database)
            try:
                auth_database = self._prepare(database)
            except psycopg.Error as error:
                raise PartFailed(database.name, f"refused: {error}", database.log) from error
        socket_dir = database.host if self._wanted.database else None
        environment = local_environment.functions_environment(
            self._user, self._wanted, self._ports, socket_dir, self._local
        )
        local_environment.write_environment(self._environment_file, environment)
        if self._wanted.auth:
            side_by_side.append(self._auth(auth_database, environment))
            self._launch(side_by_side[-1])
        for part in side_by_side:
            self._await(part)
        self._open_gateway(environment)
        return environment

    def _prepare(self, database: PostgresServer) -> str:
        """Make the roles and databases of the service and of Auth; return Auth's connection string."""
        if database.relocated:
            _say(f"  the database lies in {database.data_dir}: PostgreSQL does not run as root, and the user"
                 f" {database.home.account and database.home.account.name} cannot enter {ROOT}")  # fmt: skip
        owner, password = local_environment.DATABASE_USER, local_environment.owner_password(self._local)
        database.ensure_role(owner, password, makes_roles=True)
        database.ensure_database(local_environment.DATABASE, local_environment.DATABASE_USER)
        database.ensure_role(_AUTH_DATABASE, local_environment.kept_secret(self._local / "auth-database-key"))
        database.ensure_database(_AUTH_DATABASE, _AUTH_DATABASE)
        return database.conninfo_for(_AUTH_DATABASE, _AUTH_DATABASE)

    def _auth(self, conninfo: str, environment: dict[str, str]) -> AuthServer:
        return AuthServer(
            self._user.get("MG_AUTH_DB_URL") or conninfo,
            Path(self._user.get("MG_AUTH_KEYS_DIR") or self._local / "auth-keys"),
            ports=AuthPorts(*map(self._number, ("MG_AUTH_GRPC_PORT", "MG_AUTH_HTTP_PORT", "MG_SPICEDB_PORT"))),
            environment=environment,
            log=self._log("auth"),
            database_of=local_environment.auth_database_variables(self._user),
        )

    def _open_gateway(self, environment: dict[str, str]) -> None:
        gateway = Gateway(
            http_port=self._number("MG_USERS_HTTP_PORT"),
            lambda_port=self._number("MG_LOCAL_LAMBDA_PORT"),
            environment=environment,
            log=self._log("gateway"),
        )
        gateway.invoke("BootstrapFunction", ROOT / "events" / "bootstrap.json", self._log("bootstrap"))
        _say(f"  {self._elapsed()}  bootstrap: the database is migrated, the administrator exists")
        self._launch(gateway)
        self._await(gateway)

    def _launch(self, part: Part) -> None:
        """Start a part; it is known to the final stop before it runs."""
        self._started.append(part)
        self._begin_part(part)

    def _begin_part(self, part: Part) -> None:
        """Start a part; a signal that arrives meanwhile is delivered when the part's process is known."""
        with self._signals.held():
            part.start()

    def _await(self, part: Part) -> None:
        part.wait_ready()
        _say(f"  {self._elapsed()}  {part.name} is ready")

    def _watch(self) -> NoReturn:
        """Keep the parts alive until asked to stop; raise PartFailed when one cannot be kept."""
        keepers = [Keeper(part, self._begin_part, _say) for part in self._started]
        while True:
            time.sleep(_WATCH_SECONDS)
            for keeper in keepers:
                keeper.look()
                if keeper.serves:  # one that starts is awaited by a line in its log
                    logs.keep_small(keeper.part.log)

    def _announce(self, environment: dict[str, str]) -> None:
        api = local_environment.base_url(self._user, self._ports)
        email = environment.get("MG_USERS_ADMIN_EMAIL") or local_environment.ADMIN_EMAIL
        password = local_environment.ADMIN_PASSWORD
        if self._user.get("MG_USERS_ADMIN_PASSWORD"):
            password = "the value of MG_USERS_ADMIN_PASSWORD"  # noqa: S105 - not one
        lines = [
            f"\nThe Users service is ready after {self._elapsed().strip()}.\n",
            f"  API            {api}",
            f"  Reference      {api}/docs",
            f"  Mail page      {environment.get('AWS_ENDPOINT_URL_SESV2', 'none')}",
            f"  Administrator  {email} / {password}",
            "                 (as set by MG_USERS_ADMIN_EMAIL, MG_USERS_ADMIN_PASSWORD at the first start)",
            f"  Logs           {self._logs}",
        ]
        if environment["MG_ALLOW_UNVERIFIED_USER"] == "true" and not self._user.get("MG_ALLOW_UNVERIFIED_USER"):
            lines += [
                "\n  MG_ALLOW_UNVERIFIED_USER=true is set here: an account works before its address is verified.",
                "  Its default is false; `MG_ALLOW_UNVERIFIED_USER=false make run` shows that.",
            ]
        if problem := ports.problem(ports.grpc_port(self._user)):
            lines.append(
                f"\n  {problem}: `make grpc` needs another MG_USERS_GRPC_PORT, unless it is what listens there."
            )
        _say("\n".join([*lines, "\n  Ctrl-C stops everything.\n"]))

    def _explain(self, failure: Exception) -> None:
        _say(f"\nFAILED: {failure}")
        if isinstance(failure, PartFailed):
            tail = _foreseen(failure.log) or failure.log_tail()
            _say(f"{tail}\n\nThe whole log: {failure.log}" if tail else f"Its log is empty: {failure.log}")

    def _check_settings(self) -> None:
        """Raise CannotRun naming every variable with a wrong value, and what it may be."""
        if problems := local_environment.problems(self._user, self._wanted, self._ports):
            raise CannotRun("\n".join([*problems, "Nothing was started."]))

    def _refuse_known_secrets(self) -> None:
        """Raise CannotRun where others would reach a system whose secrets everybody knows."""
        exposing = local_environment.exposing(self._user, self._ports)
        known = local_environment.known_secrets(self._user, self._wanted)
        if exposing and known:
            names = ", ".join(known)
            raise CannotRun(
                f"{exposing} lets others reach the API, but everybody knows these secrets of it: {names}.\n"
                f"Set {names} to values of your own, or leave {exposing.partition('=')[0]} unset.\n"
                "Nothing was started."
            )

    def _check_ports(self, patience: float) -> None:
        """Raise CannotRun naming every port that is taken; wait first for the parts of a run that was killed."""
        deadline = time.monotonic() + patience
        while problems := self._port_problems():
            if time.monotonic() > deadline:
                raise CannotRun("\n".join([*problems, "Nothing was started."]))
            time.sleep(0.1)

    def _port_problems(self) -> list[str]:
        variables = ["MG_USERS_HTTP_PORT", "MG_LOCAL_LAMBDA_PORT"]
        if self._wanted.auth:
            variables += ["MG_AUTH_GRPC_PORT", "MG_AUTH_HTTP_PORT", "MG_SPICEDB_PORT"]
        variables += ["MG_LOCAL_POSTGRES_PORT"] * self._wanted.database
        variables += ["MG_LOCAL_NATS_PORT"] * self._wanted.events + ["MG_LOCAL_MAIL_PORT"] * self._wanted.mail
        used = [self._ports[variable] for variable in variables]
        if clashes := ports.shared([*used, ports.grpc_port(self._user)]):
            return clashes
        found = [(port.variable, ports.problem(port)) for port in used]
        return [f"{problem}: choose another with {variable}" for variable, problem in found if problem]

    @contextmanager
    def _only_one(self) -> Iterator[bool]:
        """Hold the lock of this project; yield whether the run before ended without letting go in order."""
        with (self._local / "run.lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise CannotRun(f"It runs already, as process {lock.read().strip()}; Ctrl-C there stops it.") from None
            try:
                yield _replace_text(lock, str(os.getpid()))
            finally:
                _replace_text(lock, "")

    def _log(self, name: str) -> Path:
        """Return the log file of a part, which begins anew; those of the runs before are kept beside it."""
        self._logs.mkdir(mode=0o700, exist_ok=True)
        path = self._logs / f"{name}.log"
        logs.set_aside(path)
        return path

    def _number(self, variable: str) -> int:
        return self._ports[variable].number

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._begin:4.1f} s"


def _data_directory(user: dict[str, str]) -> Path:
    """Return where data and logs lie: `.local` of the project, or the directory MG_LOCAL_DIR, made if need be."""
    other = user.get("MG_LOCAL_DIR")
    if not other:
        return install.local_directory()
    place = Path(other).resolve()
    try:
        if not place.exists():
            place.mkdir(parents=True)
            place.chmod(install.private_mode())
    except OSError as error:
        raise CannotRun(f"MG_LOCAL_DIR={other} cannot be made: {error.strerror}") from error
    if not place.is_dir():
        raise CannotRun(f"MG_LOCAL_DIR={other} is no directory")
    return place


def _foreseen(log: Path) -> str:
    """Return what bootstrap says is to be done, where it foresaw its failure: the message of its answer in the log."""
    *_, last = [""] + (log.read_text(errors="replace").splitlines() if log.exists() else [])
    try:
        answer = json.loads(last)
    except ValueError:
        return ""
    foreseen = isinstance(answer, dict) and answer.get("errorType") in ("BootstrapFailed", "NewerRelease")
    return str(answer["errorMessage"]) if foreseen else ""


def _replace_text(file: "TextIO", text: str) -> bool:
    """Write `text` as the whole content of the open `file`; return whether it held something before."""
    file.seek(0)
    before = file.read()
    file.truncate(0)
    file.write(text)
    file.flush()
    return bool(before)


def _say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    """Run the local system of this project with the variables of this process."""
    if "MAKELEVEL" in os.environ:  # started by make: not to outlive it
        bind_to_parent(signal.SIGTERM, os.getppid())
    try:
        return Supervisor(dict(os.environ)).run()
    except (CannotRun, install.CannotInstall, SettingsUnusable) as reason:
        _say(str(reason))
        return 1


if __name__ == "__main__":
    sys.exit(main())
