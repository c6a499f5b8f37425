"""The checks of `make run` before it starts a part: the user's variables, their secrets, and the ports."""

import re
import time
from collections.abc import Callable, Iterable, Mapping

from local import ports as local_ports
from local.auth.settings import Settings as AuthSettings
from local.environment import ADMIN_PASSWORD, DATABASE_PASSWORD, Parts, exposing
from local.gateway.settings import read_settings as read_gateway_settings
from local.serving.sockets import Port
from local.serving.variables import SettingsUnusable
from users.rules.passwords import compiled_pattern
from users.rules.secret_key import check_secret_key
from users.settings import Settings, WrongSettings

# These are in the documentation of upstream and of this project, and in upstream's compose file and chart.
_WELL_KNOWN = {ADMIN_PASSWORD, DATABASE_PASSWORD, "secret", "HyE2D4RUt9nnKG6v8zKEqAp6g6ka8hhZsqUpzgKvnwpXrNVQSH"}


class CannotRun(Exception):
    """Something prevents the start. The text contains the reason and a remedy."""


def check_settings(user: Mapping[str, str], parts: Parts, ports: Mapping[str, Port]) -> None:
    """Raise CannotRun with a line for each variable that has a wrong value."""
    if found := problems(user, parts, ports):
        raise _nothing_started(found)


def problems(user: Mapping[str, str], parts: Parts, ports: Mapping[str, Port]) -> list[str]:
    """Return a line for each variable of the user that the service, the gateway or the local Auth cannot use."""
    environment = {**user, **{variable: str(port.number) for variable, port in ports.items()}}
    readers: list[Callable[[Mapping[str, str]], object]] = [
        Settings,
        read_gateway_settings,
        lambda given: compiled_pattern(given.get("MG_USERS_PASS_REGEX") or Settings({}).pass_regex),
    ]
    if key := environment.get("MG_USERS_SECRET_KEY"):
        readers.append(lambda _given: check_secret_key(key))
    if parts.auth:
        # The supervisor sets these later.
        own = {"MG_AUTH_DB_URL": "a database", "MG_AUTH_KEYS_DIR": "a directory", "MG_AUTH_KEYS_ALGORITHM": "EdDSA"}
        readers.append(lambda given: AuthSettings.from_environment({**own, **given}))
    found: dict[str, str] = {}
    for read in readers:
        try:
            read(environment)
        except (WrongSettings, SettingsUnusable) as error:
            for line in str(error).splitlines():
                found.setdefault(re.split(r"\W", line, maxsplit=1)[0], line)
    return list(found.values())


def refuse_known_secrets(user: Mapping[str, str], parts: Parts, ports: Mapping[str, Port]) -> None:
    """Raise CannotRun if others can reach the system, and it has secrets that everybody knows."""
    setting = exposing(user, ports)
    known = known_secrets(user, parts)
    if setting and known:
        names = ", ".join(known)
        raise _nothing_started(
            [
                f"{setting} lets others reach the API, but everybody knows these secrets of it: {names}.",
                f"Set {names} to values of your own, or leave {setting.partition('=')[0]} unset.",
            ]
        )


def known_secrets(user: Mapping[str, str], parts: Parts) -> list[str]:
    """Return the variables whose secrets everybody knows, because public documentation contains them.

    `make run` makes some secrets at random if the user does not set them. Nobody knows those.
    """
    own = {"MG_USERS_ADMIN_PASSWORD": ADMIN_PASSWORD, "MG_USERS_SECRET_KEY": "", "MG_SPICEDB_PRE_SHARED_KEY": ""}
    if parts.auth:
        own["MG_AUTH_SECRET_KEY"] = ""
    elif user.get("MG_SPICEDB_HOST"):
        own["MG_SPICEDB_PRE_SHARED_KEY"] = Settings({}).spicedb_pre_shared_key.plain
    if not parts.database:
        own["MG_USERS_DB_PASS"] = DATABASE_PASSWORD
        own["MG_USERS_DB_OWNER_PASS"] = ""
    given = {name: user.get(name) or default for name, default in own.items() if not user.get(f"{name}_SECRET_ARN")}
    return [name for name, secret in given.items() if secret in _WELL_KNOWN]


def check_ports(user: Mapping[str, str], parts: Parts, ports: Mapping[str, Port], *, patience: float) -> None:
    """Raise CannotRun with a line for each taken port.

    Wait up to `patience` seconds: the parts of a run that was killed may still be ending.
    """
    deadline = time.monotonic() + patience
    while found := _port_problems(user, parts, ports):
        if time.monotonic() > deadline:
            raise _nothing_started(found)
        time.sleep(0.1)


def _port_problems(user: Mapping[str, str], parts: Parts, ports: Mapping[str, Port]) -> list[str]:
    variables = ["MG_USERS_HTTP_PORT", "MG_LOCAL_LAMBDA_PORT"]
    if parts.auth:
        variables += ["MG_AUTH_GRPC_PORT", "MG_AUTH_HTTP_PORT", "MG_SPICEDB_PORT"]
    variables += ["MG_LOCAL_POSTGRES_PORT"] * parts.database
    variables += ["MG_LOCAL_NATS_PORT"] * parts.events + ["MG_LOCAL_MAIL_PORT"] * parts.mail
    used = [ports[variable] for variable in variables]
    if clashes := local_ports.shared([*used, local_ports.grpc_port(user)]):
        return clashes
    found = [(port.variable, local_ports.problem(port)) for port in used]
    return [f"{problem}: choose another with {variable}" for variable, problem in found if problem]


def _nothing_started(lines: Iterable[str]) -> CannotRun:
    return CannotRun("\n".join([*lines, "Nothing was started."]))
