"""The service's configuration: every ``MG_*`` variable, read once into a typed, immutable value.

Names, meanings and defaults are those of contract §8 where decisions 4 does not say otherwise.
The table in docs/configuration.md is made of the fields of ``Settings`` (`make generate`).
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

from users.snapstart import not_in_snapshots

_DURATION_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_DURATION = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+")
_DURATION_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_LONGEST = "2562047h"  # of a Go duration: 292 years
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


# The values of MG_USERS_LOG_LEVEL, and what Python calls them.
LOG_LEVELS = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR"}


class SettingsError(Exception):
    """Variables hold what cannot be used. Each line of the message names one and what it may be, never its value."""


# Read where the first is unset (decisions 4).
_OTHER_NAMES = {"MG_USERS_ES_URL": "MG_ES_URL"}


def go_duration(text: str) -> float:
    """Seconds of any Go duration (``1h30m``, ``720h``, ``0s``, ``0``, ``-1s``); ValueError for anything else."""
    if text in {"0", "+0", "-0"}:
        return 0.0
    if not _DURATION.fullmatch(text):
        raise ValueError("not a Go duration, such as 24h or 30s")
    seconds = sum(float(number) * _DURATION_UNITS[unit] for number, unit in _DURATION_PART.findall(text))
    return -seconds if text.startswith("-") else seconds


def _lasting(least: str, most: str, example: str) -> Callable[[str], float]:
    """A parser of Go durations between two others; ValueError for anything else."""
    problem = f"must be a Go duration from {least} to {most}, such as {example}"
    shortest, longest = go_duration(least), go_duration(most)

    def parse(text: str) -> float:
        try:
            seconds = go_duration(text)
        except ValueError:
            raise ValueError(problem) from None
        if not shortest <= seconds <= longest:
            raise ValueError(problem)
        return seconds

    return parse


# Seconds of a span of time that may be nothing.
duration = _lasting("0s", _LONGEST, "24h")
# Seconds between two times that something is done.
interval = _lasting("1ms", _LONGEST, "24h")
# Seconds that another service has to answer, within the time that a function has.
deadline = _lasting("1ms", "1m", "1s")


def count(text: str) -> int:
    """A number of things, 0 to a million; ValueError for anything else."""
    number = int(text) if re.fullmatch(r"[0-9]{1,7}", text) else -1
    if not 0 <= number <= 1_000_000:
        raise ValueError("must be a whole number from 0 to 1000000")
    return number


def boolean(text: str) -> bool:
    """The truth of what Go's ``strconv.ParseBool`` takes; ValueError for anything else."""
    if text not in _BOOLEANS:
        raise ValueError("must be true or false")
    return _BOOLEANS[text]


def one_of(*allowed: str) -> Callable[[str], str]:
    """A parser that takes the given words only."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return text

    return parse


def port(text: str) -> int:
    """A TCP port; ValueError for anything else."""
    number = int(text) if re.fullmatch(r"[0-9]{1,5}", text) else 0
    if not 0 < number < 65536:
        raise ValueError("must be a port from 1 to 65535")
    return number


def web_address(text: str) -> str:
    """An ``http`` or ``https`` URL, or nothing; ValueError for anything else."""
    if text and not re.fullmatch(r"https?://[^\s/?#]+\S*", text):
        raise ValueError("must be a URL that starts with http:// or https://")
    return text


def secure_address(text: str) -> str:
    """An ``https`` URL that fits into an attribute and a Content-Security-Policy, or nothing; ValueError otherwise."""
    if text and not re.fullmatch(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[^\s;,'\"<>\\]*)?", text):
        raise ValueError("must be a URL that starts with https://")
    return text


def mail_address(text: str) -> str:
    """``local@domain``, or nothing; ValueError for anything else."""
    if text and not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", text):
        raise ValueError("must be an e-mail address, such as help@example.com")
    return text


def share(text: str) -> float:
    """A number from 0 to 1; ValueError for anything else."""
    number = float(text) if re.fullmatch(r"[0-9]+\.?[0-9]*|\.[0-9]+", text) else -1.0
    if not 0 <= number <= 1:
        raise ValueError("must be a number from 0 to 1")
    return number


def color(text: str) -> str:
    """A colour of six hexadecimal digits; ValueError for anything else."""
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise ValueError("must be a colour such as #0b57a4")
    return text


def username_list(text: str) -> frozenset[str]:
    """Usernames by commas, each as ``folded_username`` makes it; ``-`` alone is the empty list.

    ValueError for what is no username, as ``root support``: it would reserve nothing.
    """
    names = [name.strip() for name in text.split(",")] if text.strip() not in {"", "-"} else []
    if not all(re.fullmatch("[A-Za-z0-9_-]*[A-Za-z0-9][A-Za-z0-9_-]*", name) for name in names):
        raise ValueError("must be usernames with commas between them, or - for none")
    return frozenset(map(folded_username, names))


def folded_username(username: str) -> str:
    """What a reserved username is compared by: lower case, without ``-`` and ``_``."""
    return username.strip().lower().replace("-", "").replace("_", "")


def variable(name: str, default: str, about: str, parse: Callable[[str], Any] = str) -> Any:
    """A field of ``Settings`` that is read from ``name``; an empty variable counts as unset."""
    return field(default=parse(default), metadata={"name": name, "default": default, "about": about, "parse": parse})


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says. Durations are in seconds."""

    log_level: str = variable(
        "MG_USERS_LOG_LEVEL",
        "info",
        "Least level that is logged: `debug`, `info`, `warn`, `error`.",
        one_of(*LOG_LEVELS),
    )
    instance_id: str = variable("MG_USERS_INSTANCE_ID", "", "Shown by `/health`; a random one when empty.")

    allow_self_register: bool = variable(
        "MG_USERS_ALLOW_SELF_REGISTER", "true", "Anybody may register; `false`: administrators only.", boolean
    )
    allow_unverified_user: bool = variable(
        "MG_ALLOW_UNVERIFIED_USER",
        "false",
        "Unverified accounts may use every operation. `make run` sets it.",
        boolean,
    )
    verify_on_register: bool = variable(
        "MG_USERS_VERIFY_ON_REGISTER",
        "true",
        "Self-registration sends the verification mail, and an administrator's registration the invitation; one without"
        " a password sends it always.",
        boolean,
    )
    unverified_after: float = variable(
        "MG_USERS_UNVERIFIED_AFTER",
        "168h",
        "Age at which a self-registered account that was never verified is removed (Go duration), after a reminder"
        " half-way; `0s`: never. Only while `MG_ALLOW_UNVERIFIED_USER=false`.",
        duration,
    )
    pats: bool = variable(
        "MG_USERS_PATS",
        "true",
        "Personal access tokens and API keys of Auth work; `false`: they are refused.",
        boolean,
    )
    pass_regex: str = variable("MG_USERS_PASS_REGEX", "^.{8,}$", "RE2 pattern that a password must match.")
    pass_common_check: bool = variable(
        "MG_USERS_PASS_COMMON_CHECK", "true", "Refuse very common passwords, decorated ones too.", boolean
    )
    pass_max_age: float = variable(
        "MG_USERS_PASS_MAX_AGE",
        "0s",
        "Age at which a password expires (Go duration), until `new_secret` at a login replaces it; `0s`: never.",
        duration,
    )
    rehash: bool = variable(
        "MG_USERS_REHASH", "true", "Replace a bcrypt or weaker argon2id hash at the next login.", boolean
    )
    read_events: bool = variable(
        "MG_USERS_READ_EVENTS", "false", "Publish events of reads (view, list, search) too.", boolean
    )
    registrations_per_hour: int = variable(
        "MG_USERS_REGISTRATIONS_PER_HOUR", "100", "Self-registrations from one address in an hour; `0`: any.", count
    )
    max_failed_logins: int = variable(
        "MG_USERS_MAX_FAILED_LOGINS",
        "100",
        "Wrong passwords in a row after which an account takes its password only from known addresses; `0`: never.",
        count,
    )
    reserved_usernames: frozenset[str] = variable(
        "MG_USERS_RESERVED_USERNAMES",
        "abuse,admin,administrator,help,helpdesk,hostmaster,info,mailer-daemon,noc,noreply,official,operator,"
        "postmaster,root,security,staff,superuser,support,sysadmin,system,webmaster",
        "Usernames that only an administrator may give, by commas, in any letter case, with and without `-` and `_`;"
        " `-`: none are reserved.",
        username_list,
    )
    delete_after: float = variable(
        "MG_USERS_DELETE_AFTER",
        "720h",
        "Grace period of deleted and disabled accounts (Go duration); `0s`: none for deleted ones, disabled ones stay.",
        duration,
    )
    delete_interval: float = variable(
        "MG_USERS_DELETE_INTERVAL",
        "24h",
        "How often `make run` removes what is due (Go duration); on AWS, `DeleteInterval` is a schedule expression.",
        interval,
    )
    delete_disabled: bool = variable(
        "MG_USERS_DELETE_DISABLED", "true", "Remove disabled accounts too; `false`: deleted ones only.", boolean
    )
    origin_secret: str = variable(
        "MG_USERS_ORIGIN_SECRET",
        "",
        "Value of `X-Origin-Verify` by which a CloudFront distribution proves that `CloudFront-Viewer-Address` is its.",
    )
    secret_key: str = variable(
        "MG_USERS_SECRET_KEY",
        "",
        "Key of link tokens, cursors and digests of addresses, 32 characters or more. `make run` makes one.",
    )

    admin_email: str = variable("MG_USERS_ADMIN_EMAIL", "admin@example.com", "E-mail of the first administrator.")
    admin_password: str = variable(
        "MG_USERS_ADMIN_PASSWORD", "12345678", "Its password; the default is refused outside local mode."
    )
    admin_username: str = variable("MG_USERS_ADMIN_USERNAME", "admin", "Its username.")
    admin_first_name: str = variable("MG_USERS_ADMIN_FIRST_NAME", "super", "Its first name.")
    admin_last_name: str = variable("MG_USERS_ADMIN_LAST_NAME", "admin", "Its last name.")

    db_host: str = variable("MG_USERS_DB_HOST", "localhost", "PostgreSQL host, or the directory of its socket.")
    db_port: int = variable("MG_USERS_DB_PORT", "5432", "PostgreSQL port.", port)
    db_user: str = variable("MG_USERS_DB_USER", "magistrala", "PostgreSQL role.")
    db_pass: str = variable("MG_USERS_DB_PASS", "magistrala", "Its password.")
    db_owner: str = variable(
        "MG_USERS_DB_OWNER",
        "",
        "Role that owns the tables. `bootstrap` migrates by it, and makes `MG_USERS_DB_USER`, which reads and writes"
        " rows only. Empty: `MG_USERS_DB_USER` owns them.",
    )
    db_owner_pass: str = variable("MG_USERS_DB_OWNER_PASS", "", "Its password.")
    db_name: str = variable("MG_USERS_DB_NAME", "users", "Database.")
    db_ssl_mode: str = variable(
        "MG_USERS_DB_SSL_MODE",
        "disable",
        "libpq `sslmode`; on AWS `verify-full`.",
        one_of("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    )
    db_ssl_cert: str = variable("MG_USERS_DB_SSL_CERT", "", "Path of the client certificate.")
    db_ssl_key: str = variable("MG_USERS_DB_SSL_KEY", "", "Path of its key.")
    db_ssl_root_cert: str = variable("MG_USERS_DB_SSL_ROOT_CERT", "", "Path of the authority's certificate.")
    db_prepare: bool = variable(
        "MG_USERS_DB_PREPARE",
        "true",
        "Prepare statements, so that PostgreSQL does not plan them each time. `false` is for a pooler of transactions"
        " that does not know prepared statements, such as PgBouncer before 1.21 or with `max_prepared_statements=0`.",
        boolean,
    )

    auth_grpc_url: str = variable("MG_AUTH_GRPC_URL", "localhost:8181", "`host:port` of Auth's gRPC server.")
    auth_grpc_timeout: float = variable(
        "MG_AUTH_GRPC_TIMEOUT", "1s", "Deadline of one call to Auth or SpiceDB, retries included.", deadline
    )
    auth_grpc_client_cert: str = variable("MG_AUTH_GRPC_CLIENT_CERT", "", "Client certificate (path or PEM), for mTLS.")
    auth_grpc_client_key: str = variable("MG_AUTH_GRPC_CLIENT_KEY", "", "Its key (path or PEM).")
    auth_grpc_server_ca_certs: str = variable(
        "MG_AUTH_GRPC_SERVER_CA_CERTS", "", "Authority of Auth's certificate (path or PEM); set: TLS is used."
    )
    auth_keys_algorithm: str = variable(
        "MG_AUTH_KEYS_ALGORITHM",
        "EdDSA",
        "`EdDSA`: tokens are checked here by JWKS; `HS256`, `HS384`, `HS512`: by Auth.",
        one_of("EdDSA", "HS256", "HS384", "HS512"),
    )
    auth_jwks_url: str = variable(
        "MG_AUTH_JWKS_URL",
        "http://auth:9001/keys/.well-known/jwks.json",
        "Auth's public keys; redirects are not followed.",
        web_address,
    )

    domains_grpc_url: str = variable(
        "MG_DOMAINS_GRPC_URL", "", "`host:port` of Domains' gRPC server; empty: it is not told of removed accounts."
    )
    domains_grpc_timeout: float = variable("MG_DOMAINS_GRPC_TIMEOUT", "1s", "Deadline of one call to it.", deadline)
    domains_grpc_client_cert: str = variable(
        "MG_DOMAINS_GRPC_CLIENT_CERT", "", "Client certificate (path or PEM), for mTLS."
    )
    domains_grpc_client_key: str = variable("MG_DOMAINS_GRPC_CLIENT_KEY", "", "Its key (path or PEM).")
    domains_grpc_server_ca_certs: str = variable(
        "MG_DOMAINS_GRPC_SERVER_CA_CERTS", "", "Authority of Domains' certificate (path or PEM); set: TLS is used."
    )

    spicedb_host: str = variable("MG_SPICEDB_HOST", "", "SpiceDB host; empty: no relations are written or asked.")
    spicedb_port: int = variable("MG_SPICEDB_PORT", "50051", "SpiceDB port.", port)
    spicedb_pre_shared_key: str = variable("MG_SPICEDB_PRE_SHARED_KEY", "12345678", "SpiceDB bearer key.")

    grpc_host: str = variable("MG_USERS_GRPC_HOST", "localhost", "Where `make grpc` listens.")
    grpc_port: int = variable("MG_USERS_GRPC_PORT", "7002", "Its port.", port)
    grpc_server_cert: str = variable(
        "MG_USERS_GRPC_SERVER_CERT", "", "Its certificate (path or PEM); set: TLS is used."
    )
    grpc_server_key: str = variable("MG_USERS_GRPC_SERVER_KEY", "", "The certificate's key (path or PEM).")
    grpc_server_ca_certs: str = variable(
        "MG_USERS_GRPC_SERVER_CA_CERTS", "", "Authority (path or PEM); set: clients need its certificate (mTLS)."
    )
    grpc_client_ca_certs: str = variable(
        "MG_USERS_GRPC_CLIENT_CA_CERTS", "", "The same; where both are set, clients need a certificate of this one."
    )

    es_url: str = variable(
        "MG_USERS_ES_URL",
        "nats://localhost:4222",
        "Where events go: `nats://host:port` (`tls://`; several by commas), `eventbridge://<bus>`. Else `MG_ES_URL`.",
    )
    product_name: str = variable("MG_USERS_PRODUCT_NAME", "Magistrala", "What mails and pages call the product.")
    product_color: str = variable(
        "MG_USERS_PRODUCT_COLOR", "#0b57a4", "Colour of buttons and links in mails and pages.", color
    )
    app_url: str = variable(
        "MG_USERS_APP_URL",
        "",
        "Address of the application, to which mails and pages lead; empty: they lead nowhere.",
        web_address,
    )
    contact_address: str = variable(
        "MG_USERS_CONTACT_ADDRESS",
        "",
        "E-mail address that mails and pages name for questions; empty: none.",
        mail_address,
    )
    logo_url: str = variable(
        "MG_USERS_LOGO_URL", "", "Picture (`https`) that mails and pages show for the product's name.", secure_address
    )
    email_host: str = variable(
        "MG_EMAIL_HOST",
        "",
        "Mail server; empty: SES. Its certificate is verified, by `SSL_CERT_FILE` where it is set.",
    )
    email_port: int = variable(
        "MG_EMAIL_PORT", "25", "465: TLS from the start; else STARTTLS when offered. Lambda cannot reach port 25.", port
    )
    email_username: str = variable(
        "MG_EMAIL_USERNAME", "", "Who logs in, where the server offers AUTH; empty: no login."
    )
    email_password: str = variable("MG_EMAIL_PASSWORD", "", "Its password; empty: no login.")
    email_from_address: str = variable("MG_EMAIL_FROM_ADDRESS", "", "Sender of the mails: `local@domain`.")
    email_from_name: str = variable("MG_EMAIL_FROM_NAME", "", "Sender's name.")
    ses_configuration_set: str = variable(
        "MG_USERS_SES_CONFIGURATION_SET", "", "Configuration set that SES sends by; empty: the identity's."
    )
    password_reset_url_prefix: str = variable(
        "MG_PASSWORD_RESET_URL_PREFIX", "http://localhost/password/reset", "Start of the reset link.", web_address
    )
    verification_url_prefix: str = variable(
        "MG_VERIFICATION_URL_PREFIX", "http://localhost/verify-email", "Start of the verification link.", web_address
    )

    jaeger_url: str = variable(
        "MG_JAEGER_URL",
        "",
        "Where spans go, by OTLP over HTTP, such as `http://localhost:4318/v1/traces`; empty: there are none.",
        web_address,
    )
    jaeger_trace_ratio: float = variable(
        "MG_JAEGER_TRACE_RATIO", "1.0", "Share of the traces that begin here which are kept: 0 to 1.", share
    )
    send_telemetry: bool = variable(
        "MG_SEND_TELEMETRY", "true", "Report the version in use to `MG_CALLHOME_URL` once a day.", boolean
    )
    callhome_url: str = variable(
        "MG_CALLHOME_URL", "", "Who is told (`https`); empty: nobody, nothing leaves.", web_address
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read and check every variable; SettingsError names all that cannot be used."""
        values: dict[str, Any] = {}
        problems = []
        for spec in fields(cls):
            name = spec.metadata["name"]
            if text := environment.get(name) or environment.get(_OTHER_NAMES.get(name, ""), ""):
                try:
                    values[spec.name] = spec.metadata["parse"](text)
                except ValueError as error:
                    problems.append(f"{name}: {error}")
        if problems:
            raise SettingsError("\n".join(problems))
        return cls(**values)


@cache
def settings() -> Settings:
    """The settings of this execution environment, read at first use."""
    return Settings.from_environment(os.environ)


not_in_snapshots(settings.cache_clear)
