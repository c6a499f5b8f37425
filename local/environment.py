"""The environment of the functions in `make run`: the user's variables, and those of the local parts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo

from local.private_files import kept_secret
from local.serving.other_sites import is_loopback
from local.serving.sockets import Port
from users.settings import Settings, WrongSettings

ADMIN_EMAIL = "admin@example.com"
ADMIN_PASSWORD = "12345678"  # noqa: S105 - the documented default of the first login
DATABASE_USER = "magistrala"
DATABASE_PASSWORD = "magistrala"  # noqa: S105 - the documented default, for a server that the user runs
FUNCTIONS_USER = "magistrala_functions"  # a role that bootstrap makes, as in the stack: it only reads and writes rows
DATABASE = "users"
_DATABASE_DEFAULTS = {
    "MG_USERS_DB_HOST": "localhost",
    "MG_USERS_DB_PORT": "5432",
    "MG_USERS_DB_USER": DATABASE_USER,
    "MG_USERS_DB_PASS": DATABASE_PASSWORD,
    "MG_USERS_DB_NAME": DATABASE,
    "MG_USERS_DB_SSL_MODE": "disable",
}
# Every page of this machine may call the API: for example a front end on its development server.
_LOOPBACK_ORIGINS = "http://localhost:*,http://127.0.0.1:*,http://[::1]:*"
# These documented defaults win over those of template.yaml, which are for AWS.
_NOT_THE_TEMPLATES = {"MG_USERS_DB_SSL_MODE": "disable", "MG_USERS_DB_SSL_ROOT_CERT": "", "MG_EMAIL_PORT": "25"}
_LIBPQ_NAMES = {
    "MG_USERS_DB_HOST": "host",
    "MG_USERS_DB_PORT": "port",
    "MG_USERS_DB_USER": "user",
    "MG_USERS_DB_PASS": "password",
    "MG_USERS_DB_NAME": "dbname",
    "MG_USERS_DB_SSL_MODE": "sslmode",
    "MG_USERS_DB_SSL_CERT": "sslcert",
    "MG_USERS_DB_SSL_KEY": "sslkey",
    "MG_USERS_DB_SSL_ROOT_CERT": "sslrootcert",
}


@dataclass(frozen=True)
class Parts:
    """The parts that run here. A part does not if the user's variables name another one."""

    database: bool
    auth: bool
    events: bool
    mail: bool


def parts_wanted(user: Mapping[str, str], ports: Mapping[str, Port]) -> Parts:
    """Return the parts to run: those for which no variable of the user has another address."""
    auth = _own_addresses(ports["MG_AUTH_GRPC_PORT"])
    events = {f"nats://{address}" for address in _own_addresses(ports["MG_LOCAL_NATS_PORT"])}
    mail = {f"http://{address}" for address in _own_addresses(ports["MG_LOCAL_MAIL_PORT"])}
    return Parts(
        database=not any(value for name, value in user.items() if name.startswith("MG_USERS_DB_")),
        auth=user.get("MG_AUTH_GRPC_URL", "") in {"", *auth},
        events=(user.get("MG_USERS_ES_URL") or user.get("MG_ES_URL") or "").rstrip("/") in {"", *events},
        mail=user.get("AWS_ENDPOINT_URL_SESV2", "").rstrip("/") in {"", *mail},
    )


def external_database(user: Mapping[str, str]) -> str:
    """Return the libpq connection string of the database in the user's MG_USERS_DB_*."""
    values = {**_DATABASE_DEFAULTS, **{name: value for name, value in user.items() if value}}
    return make_conninfo(**{libpq: values[name] for name, libpq in _LIBPQ_NAMES.items() if name in values})


def auth_database_variables(user: Mapping[str, str]) -> str:
    """Return the names of the user's variables that select Auth's database, or `make run` if there are none."""
    if user.get("MG_AUTH_DB_URL"):
        return "MG_AUTH_DB_URL"
    return ", ".join(name for name in _LIBPQ_NAMES if user.get(name)) or "`make run`"


def functions_environment(
    user: Mapping[str, str], parts: Parts, ports: Mapping[str, Port], socket_dir: str | None, local: Path
) -> dict[str, str]:
    """Return the environment of the gateway and the functions. `socket_dir` is that of the bundled database."""
    api = base_url(user, ports)
    defaults = {
        **_NOT_THE_TEMPLATES,
        "MG_USERS_SECRET_KEY": kept_secret(local / "secret-key"),
        "MG_ALLOW_UNVERIFIED_USER": "true",  # decisions 10
        "MG_PASSWORD_RESET_URL_PREFIX": f"{api}/password/reset",
        "MG_VERIFICATION_URL_PREFIX": f"{api}/verify-email",
        "MG_EMAIL_FROM_ADDRESS": "users@example.com",
        "MG_USERS_SES_CONFIGURATION_SET": "",  # the local endpoint has none
        "MG_AUTH_KEYS_ALGORITHM": "EdDSA",
        "POWERTOOLS_METRICS_DISABLED": "true",  # nobody reads them here
        "AWS_ENDPOINT_URL_LAMBDA": _url(ports["MG_LOCAL_LAMBDA_PORT"]),
        **_database_variables(ports, socket_dir, local),
    }
    if parts.auth:
        defaults |= _auth_variables(ports, local)
    if parts.events:
        defaults["MG_USERS_ES_URL"] = f"nats://127.0.0.1:{ports['MG_LOCAL_NATS_PORT'].number}"
    if parts.mail:
        defaults["AWS_ENDPOINT_URL_SESV2"] = _url(ports["MG_LOCAL_MAIL_PORT"])
    found = {variable: str(port.number) for variable, port in ports.items()}  # real ones instead of 0
    found["MG_LOCAL_PARAMETERS"] = template_parameters(user)
    found["MG_LOCAL_EXPOSED"] = "true" if exposing(user, ports) else "false"
    return {**user, **{name: value for name, value in defaults.items() if not user.get(name)}, **found}


def _database_variables(ports: Mapping[str, Port], socket_dir: str | None, local: Path) -> dict[str, str]:
    if socket_dir is None:  # the template's roles are those of a stack's own database
        return {"MG_USERS_DB_USER": DATABASE_USER, "MG_USERS_DB_OWNER": ""}
    return {
        **_DATABASE_DEFAULTS,
        "MG_USERS_DB_HOST": socket_dir,
        # The socket's file name contains the port. Only 127.0.0.1 needs the passwords (local/parts/postgres.py).
        "MG_USERS_DB_PORT": str(ports["MG_LOCAL_POSTGRES_PORT"].number),
        "MG_USERS_DB_USER": FUNCTIONS_USER,
        "MG_USERS_DB_PASS": kept_secret(local / "functions-database-key"),
        "MG_USERS_DB_OWNER": DATABASE_USER,
        "MG_USERS_DB_OWNER_PASS": owner_password(local),
    }


def _auth_variables(ports: Mapping[str, Port], local: Path) -> dict[str, str]:
    return {
        "MG_AUTH_GRPC_URL": f"127.0.0.1:{ports['MG_AUTH_GRPC_PORT'].number}",
        "MG_AUTH_JWKS_URL": f"{_url(ports['MG_AUTH_HTTP_PORT'])}/keys/.well-known/jwks.json",
        "MG_DOMAINS_GRPC_URL": f"127.0.0.1:{ports['MG_AUTH_GRPC_PORT'].number}",
        "MG_SPICEDB_HOST": "127.0.0.1",
        "MG_SPICEDB_PRE_SHARED_KEY": kept_secret(local / "spicedb-key"),
    }


def exposing(user: Mapping[str, str], ports: Mapping[str, Port]) -> str:
    """Return the setting that lets other machines reach the API, as NAME=value, or an empty text."""
    host = ports["MG_USERS_HTTP_PORT"].host
    if not is_loopback(host):
        return f"MG_USERS_HTTP_HOST={host}"
    proxies = user.get("MG_USERS_TRUSTED_PROXIES")
    return f"MG_USERS_TRUSTED_PROXIES={proxies}" if proxies else ""


def base_url(user: Mapping[str, str], ports: Mapping[str, Port]) -> str:
    """Return the address of the HTTP API for a person at this machine."""
    port = ports["MG_USERS_HTTP_PORT"]
    scheme = "https" if user.get("MG_USERS_HTTP_SERVER_CERT") and user.get("MG_USERS_HTTP_SERVER_KEY") else "http"
    host = "localhost" if port.host in ("0.0.0.0", "::") else port.host  # noqa: S104 - compared, not bound
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port.number}"


def owner_password(local: Path) -> str:
    """Return the password of the role that owns the bundled database."""
    return kept_secret(local / "owner-database-key")


def template_parameters(user: Mapping[str, str]) -> str:
    """Return the parameters of template.yaml: the user's, and defaults that differ between `make run` and a stack."""
    text = user.get("MG_LOCAL_PARAMETERS") or "{}"
    try:
        given = json.loads(text)
    except ValueError:
        return text  # the gateway reports it
    defaults = {"DeleteInterval": _rate(user), "CorsAllowOrigins": _LOOPBACK_ORIGINS}
    return json.dumps(defaults | given) if isinstance(given, dict) else text


def _rate(user: Mapping[str, str]) -> str:
    """Return MG_USERS_DELETE_INTERVAL as a schedule expression of at least a second. A wrong value counts as unset."""
    name = "MG_USERS_DELETE_INTERVAL"
    try:
        seconds = Settings({name: user.get(name, "")}).delete_interval
    except WrongSettings:  # checks.problems() reports it
        seconds = Settings({}).delete_interval
    return f"rate({max(1, round(seconds))} seconds)"


def _own_addresses(port: Port) -> set[str]:
    return {f"{host}:{port.number}" for host in ("127.0.0.1", "localhost")}


def _url(port: Port) -> str:
    return f"http://{port.host}:{port.number}"
