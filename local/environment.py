"""What the functions are configured with in `make run`: the user's variables, else those of the local parts."""

import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo

from local import install
from local.auth import settings as auth_settings
from local.gateway import settings as gateway_settings
from local.other_sites import is_loopback
from local.ports import Port
from users.rules.passwords import compiled_pattern
from users.rules.secret_key import check_secret_key
from users.settings import Settings, SettingsError

ADMIN_EMAIL = "admin@example.com"
ADMIN_PASSWORD = "12345678"  # noqa: S105 - the documented default of the first login
DATABASE_USER = "magistrala"
DATABASE_PASSWORD = "magistrala"  # noqa: S105 - the documented default, for a server of the user's own
FUNCTIONS_USER = "magistrala_functions"  # bootstrap makes it, as in the stack: it reads and writes rows only
# Upstream's and this project's documentation, and upstream's compose file and chart, have these.
_WELL_KNOWN = {ADMIN_PASSWORD, DATABASE_PASSWORD, "secret", "HyE2D4RUt9nnKG6v8zKEqAp6g6ka8hhZsqUpzgKvnwpXrNVQSH"}
DATABASE = "users"
ENVIRONMENT_FILE = "environment"
_REGION = "eu-central-1"
_OUTBOX_FUNCTION = "DeliverOutboxFunction"
_DATABASE_DEFAULTS = {
    "MG_USERS_DB_HOST": "localhost",
    "MG_USERS_DB_PORT": "5432",
    "MG_USERS_DB_USER": DATABASE_USER,
    "MG_USERS_DB_PASS": DATABASE_PASSWORD,
    "MG_USERS_DB_NAME": DATABASE,
    "MG_USERS_DB_SSL_MODE": "disable",
}
# Pages of this machine, whatever serves them: a front end on its development server, for instance.
_LOOPBACK_ORIGINS = "http://localhost:*,http://127.0.0.1:*,http://[::1]:*"
# Documented defaults for which template.yaml has other values. Those are for AWS.
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
    """Which parts run here; what the user's variables place elsewhere does not."""

    database: bool
    auth: bool
    events: bool
    mail: bool


def parts_wanted(user: Mapping[str, str], ports: Mapping[str, Port]) -> Parts:
    """Read from the user's variables which parts are to run: those that no variable places at another address."""
    auth = _own_addresses(ports["MG_AUTH_GRPC_PORT"])
    events = {f"nats://{address}" for address in _own_addresses(ports["MG_LOCAL_NATS_PORT"])}
    mail = {f"http://{address}" for address in _own_addresses(ports["MG_LOCAL_MAIL_PORT"])}
    return Parts(
        database=not any(value for name, value in user.items() if name.startswith("MG_USERS_DB_")),
        auth=user.get("MG_AUTH_GRPC_URL", "") in {"", *auth},
        events=(user.get("MG_USERS_ES_URL") or user.get("MG_ES_URL") or "").rstrip("/") in {"", *events},
        mail=user.get("AWS_ENDPOINT_URL_SESV2", "").rstrip("/") in {"", *mail},
    )


def problems(user: Mapping[str, str], parts: Parts, ports: Mapping[str, Port]) -> list[str]:
    """Return a line for each of the user's variables that the service, the gateway or the local Auth cannot use."""
    environment = {**user, **{variable: str(port.number) for variable, port in ports.items()}}
    readers: list[Callable[[Mapping[str, str]], object]] = [
        Settings,
        gateway_settings.read_settings,
        lambda given: compiled_pattern(given.get("MG_USERS_PASS_REGEX") or Settings({}).pass_regex),
    ]
    if key := environment.get("MG_USERS_SECRET_KEY"):
        readers.append(lambda _given: check_secret_key(key))
    if parts.auth:
        # What the supervisor gives it later on.
        own = {"MG_AUTH_DB_URL": "a database", "MG_AUTH_KEYS_DIR": "a directory", "MG_AUTH_KEYS_ALGORITHM": "EdDSA"}
        readers.append(lambda given: auth_settings.Settings.from_environment({**own, **given}))
    found: dict[str, str] = {}
    for read in readers:
        try:
            read(environment)
        except (SettingsError, gateway_settings.SettingsError, auth_settings.SettingsError) as error:
            for line in str(error).splitlines():
                found.setdefault(re.split(r"\W", line, maxsplit=1)[0], line)
    return list(found.values())


def external_database(user: Mapping[str, str]) -> str:
    """Return the libpq connection string of the database that the user's MG_USERS_DB_* name."""
    values = {**_DATABASE_DEFAULTS, **{name: value for name, value in user.items() if value}}
    return make_conninfo(**{libpq: values[name] for name, libpq in _LIBPQ_NAMES.items() if name in values})


def auth_database_variables(user: Mapping[str, str]) -> str:
    """Return the variables of the user that say which database Auth uses; `make run` where none does."""
    if user.get("MG_AUTH_DB_URL"):
        return "MG_AUTH_DB_URL"
    return ", ".join(name for name in _LIBPQ_NAMES if user.get(name)) or "`make run`"


def functions_environment(
    user: Mapping[str, str], parts: Parts, ports: Mapping[str, Port], socket_dir: str | None, local: Path
) -> dict[str, str]:
    """Return the environment of the gateway and the functions; `socket_dir` is where the bundled database listens."""
    api = base_url(user, ports)
    defaults = {
        **_NOT_THE_TEMPLATES,
        "MG_USERS_SECRET_KEY": kept_secret(local / "secret-key"),
        "MG_ALLOW_UNVERIFIED_USER": "true",  # decisions.md 10
        "MG_PASSWORD_RESET_URL_PREFIX": f"{api}/password/reset",
        "MG_VERIFICATION_URL_PREFIX": f"{api}/verify-email",
        "MG_EMAIL_FROM_ADDRESS": "users@example.com",
        "MG_USERS_SES_CONFIGURATION_SET": "",  # the endpoint here has none
        "MG_AUTH_KEYS_ALGORITHM": "EdDSA",
        "POWERTOOLS_METRICS_DISABLED": "true",  # nobody reads them out of a log here
        "AWS_ENDPOINT_URL_LAMBDA": _url(ports["MG_LOCAL_LAMBDA_PORT"]),
    }
    if socket_dir is not None:
        defaults |= {**_DATABASE_DEFAULTS, "MG_USERS_DB_HOST": socket_dir, "MG_USERS_DB_USER": FUNCTIONS_USER}
        # The socket's name carries the port, and asks for no password; 127.0.0.1 does (local/parts/postgres.py).
        defaults["MG_USERS_DB_PORT"] = str(ports["MG_LOCAL_POSTGRES_PORT"].number)
        defaults["MG_USERS_DB_PASS"] = kept_secret(local / "functions-database-key")
        defaults |= {"MG_USERS_DB_OWNER": DATABASE_USER, "MG_USERS_DB_OWNER_PASS": owner_password(local)}
    else:  # not the template's, which are of the database that a stack makes
        defaults |= {"MG_USERS_DB_USER": DATABASE_USER, "MG_USERS_DB_OWNER": ""}
    if parts.auth:
        defaults |= {
            "MG_AUTH_GRPC_URL": f"127.0.0.1:{ports['MG_AUTH_GRPC_PORT'].number}",
            "MG_AUTH_JWKS_URL": f"{_url(ports['MG_AUTH_HTTP_PORT'])}/keys/.well-known/jwks.json",
            "MG_DOMAINS_GRPC_URL": f"127.0.0.1:{ports['MG_AUTH_GRPC_PORT'].number}",
            "MG_SPICEDB_HOST": "127.0.0.1",
            "MG_SPICEDB_PRE_SHARED_KEY": kept_secret(local / "spicedb-key"),
        }
    if parts.events:
        defaults["MG_USERS_ES_URL"] = f"nats://127.0.0.1:{ports['MG_LOCAL_NATS_PORT'].number}"
    if parts.mail:
        defaults["AWS_ENDPOINT_URL_SESV2"] = _url(ports["MG_LOCAL_MAIL_PORT"])
    if user.get("RUNTIME") == "rie":
        defaults["MG_LOCAL_RIE"] = str(install.rie_program())
    found = {variable: str(port.number) for variable, port in ports.items()}  # 0 has become a real one
    found["MG_LOCAL_PARAMETERS"] = template_parameters(user)
    found["MG_LOCAL_EXPOSED"] = "true" if exposing(user, ports) else "false"
    return {**user, **{name: value for name, value in defaults.items() if not user.get(name)}, **found}


def exposing(user: Mapping[str, str], ports: Mapping[str, Port]) -> str:
    """Return the setting by which others than this machine reach the API, as NAME=value; empty where none does."""
    host = ports["MG_USERS_HTTP_PORT"].host
    if not is_loopback(host):
        return f"MG_USERS_HTTP_HOST={host}"
    proxies = user.get("MG_USERS_TRUSTED_PROXIES")
    return f"MG_USERS_TRUSTED_PROXIES={proxies}" if proxies else ""


def known_secrets(user: Mapping[str, str], parts: Parts) -> list[str]:
    """Return the variables whose secrets everybody knows, because documentation has them as defaults or examples.

    Secrets that nobody sets and that `make run` makes at random are none of them.
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


def base_url(user: Mapping[str, str], ports: Mapping[str, Port]) -> str:
    """Return the address of the HTTP API as a person on this machine types it."""
    port = ports["MG_USERS_HTTP_PORT"]
    scheme = "https" if user.get("MG_USERS_HTTP_SERVER_CERT") and user.get("MG_USERS_HTTP_SERVER_KEY") else "http"
    host = "localhost" if port.host in ("0.0.0.0", "::") else port.host  # noqa: S104 - compared, not bound
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port.number}"


def owner_password(local: Path) -> str:
    """Return the password of the role that owns the bundled database, from its file in `local`."""
    return kept_secret(local / "owner-database-key")


def kept_secret(path: Path) -> str:
    """Return the random secret in the file `path`, made at the first call; only its owner may read it."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32))
    return path.read_text()


def write_environment(path: Path, environment: Mapping[str, str]) -> None:
    """Keep the functions' configuration for programs beside them (`python -m users`), quoted as dotenv files are.

    Only its owner may read it. Credentials of a real AWS account stay out; local ones are put in their place.
    """
    told = {name: value for name, value in environment.items() if name.startswith(("MG_", "AWS_ENDPOINT_URL"))}
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or _REGION
    told |= {"AWS_SAM_LOCAL": "true", "AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    told |= {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "OUTBOX_FUNCTION": _OUTBOX_FUNCTION}
    write_private(path, "".join(f"{name}={_quoted(value)}\n" for name, value in sorted(told.items())))


def template_parameters(user: Mapping[str, str]) -> str:
    """Return template.yaml's parameters: the user's, and defaults for what `make run` does otherwise than a stack."""
    text = user.get("MG_LOCAL_PARAMETERS") or "{}"
    try:
        given = json.loads(text)
    except ValueError:
        return text  # the gateway refuses it
    defaults = {"DeleteInterval": _rate(user), "CorsAllowOrigins": _LOOPBACK_ORIGINS}
    return json.dumps(defaults | given) if isinstance(given, dict) else text


def _rate(user: Mapping[str, str]) -> str:
    """Return MG_USERS_DELETE_INTERVAL as a schedule expression of a second or more; the default's for a wrong value."""
    name = "MG_USERS_DELETE_INTERVAL"
    try:
        seconds = Settings({name: user.get(name, "")}).delete_interval
    except SettingsError:  # told by problems()
        seconds = Settings({}).delete_interval
    return f"rate({max(1, round(seconds))} seconds)"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123 - a mode
        file.write(text)
    new.replace(path)


def _own_addresses(port: Port) -> set[str]:
    return {f"{host}:{port.number}" for host in ("127.0.0.1", "localhost")}


def _url(port: Port) -> str:
    return f"http://{port.host}:{port.number}"
