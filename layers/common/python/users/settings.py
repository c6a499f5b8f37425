"""The service's configuration: one declaration for every ``MG_*`` variable.

Names, meanings and defaults are those of contract §8, except where decisions 4 differs. `make generate` makes the table
in docs/configuration.md out of the declarations.
"""

import os
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, Generic, Never, NoReturn, Self, TypeVar, overload

from users.parsers import (
    LOG_LEVELS,
    boolean,
    color,
    count,
    deadline,
    duration,
    interval,
    mail_address,
    one_of,
    port,
    secure_address,
    share,
    username_list,
    web_address,
)
from users.snapstart import not_in_snapshots

T = TypeVar("T")


class WrongSettings(Exception):
    """Variables have values that the service cannot use.

    Each line of the message names one variable and the values that it accepts. No line contains the value itself.
    """


class Variable(Generic[T]):
    """The declaration of one variable, as an attribute of the class ``Settings``.

    An instance of ``Settings`` has the variable's value there, which ``parse`` returns for the variable's text. A
    variable that is empty counts as unset: the text is then that of ``other_name``, or ``default``.
    """

    field: str  # the attribute's name

    def __init__(self, name: str, parse: Callable[[str], T], default: str, about: str, *, other_name: str = "") -> None:
        self.name = name
        self.parse = parse
        self.default = default
        self.about = about
        self.other_name = other_name

    def __set_name__(self, owner: type, field: str) -> None:
        """Keep the attribute's name."""
        self.field = field

    @overload
    def __get__(self, settings: None, owner: type) -> Self: ...

    @overload
    def __get__(self, settings: object, owner: type) -> T: ...

    def __get__(self, settings: object, owner: type) -> Self | T:
        """Return the value in an instance, and the declaration in the class."""
        if settings is None:
            return self
        value: T = vars(settings)[self.field]
        return value

    def __set__(self, settings: object, value: Never) -> NoReturn:
        """Refuse a new value, because all code of an environment shares its settings."""
        raise AttributeError(f"{self.field} is read-only")


class Secret:
    """The variable of a secret. ``users.aws.secrets`` reads the secret, which may be in Secrets Manager.

    ``plain`` is the variable's own value, which only counts where the secret is not in Secrets Manager.
    """

    def __init__(self, variable: str, plain: str) -> None:
        self.variable = variable
        self.plain = plain


def secret_variable(name: str, default: str, about: str) -> Variable[Secret]:
    """Declare the variable of a secret."""
    return Variable(name, partial(Secret, name), default, about)


class Settings:
    """The values of all variables in one environment. Durations are in seconds."""

    log_level = Variable(
        "MG_USERS_LOG_LEVEL",
        one_of(*LOG_LEVELS),
        "info",
        "Lowest level that functions log: `debug`, `info`, `warn`, `error`.",
    )
    instance_id = Variable(
        "MG_USERS_INSTANCE_ID", str, "", "Id of the process that `/health` returns; empty: a random one."
    )

    allow_self_register = Variable(
        "MG_USERS_ALLOW_SELF_REGISTER", boolean, "true", "`true`: anybody may register; `false`: administrators only."
    )
    allow_unverified_user = Variable(
        "MG_ALLOW_UNVERIFIED_USER",
        boolean,
        "false",
        "`true`: unverified accounts may use every operation. `make run` sets `true`.",
    )
    verify_on_register = Variable(
        "MG_USERS_VERIFY_ON_REGISTER",
        boolean,
        "true",
        "`true`: self-registration sends the verification mail, and registration by an administrator the invitation."
        " An account without a password gets the invitation in any case.",
    )
    unverified_after = Variable(
        "MG_USERS_UNVERIFIED_AFTER",
        duration,
        "168h",
        "Age at which the service removes a self-registered account that was never verified. It sends a reminder at"
        " half of that age. `0s`: never. Applies only while `MG_ALLOW_UNVERIFIED_USER=false`.",
    )
    pats = Variable(
        "MG_USERS_PATS",
        boolean,
        "true",
        "`true`: the service accepts personal access tokens and API keys of Auth; `false`: it refuses them.",
    )
    pass_regex = Variable("MG_USERS_PASS_REGEX", str, "^.{8,}$", "RE2 pattern that a password must match.")
    pass_common_check = Variable(
        "MG_USERS_PASS_COMMON_CHECK",
        boolean,
        "true",
        "`true`: refuse very common passwords, also with the usual decorations (`P@ssw0rd2026!`).",
    )
    pass_max_age = Variable(
        "MG_USERS_PASS_MAX_AGE",
        duration,
        "0s",
        "Age at which a password expires. The owner then sends a new password as `new_secret` with the login. `0s`:"
        " never.",
    )
    rehash = Variable(
        "MG_USERS_REHASH", boolean, "true", "`true`: replace a bcrypt or weaker argon2id hash at the next login."
    )
    read_events = Variable(
        "MG_USERS_READ_EVENTS", boolean, "false", "`true`: publish events of reads (view, list, search) too."
    )
    registrations_per_hour = Variable(
        "MG_USERS_REGISTRATIONS_PER_HOUR",
        count,
        "100",
        "Most self-registrations from one address in an hour; `0`: no limit.",
    )
    max_failed_logins = Variable(
        "MG_USERS_MAX_FAILED_LOGINS",
        count,
        "100",
        "Number of wrong passwords in a row after which an account accepts its password only from known networks;"
        " `0`: no limit.",
    )
    reserved_usernames = Variable(
        "MG_USERS_RESERVED_USERNAMES",
        username_list,
        "abuse,admin,administrator,help,helpdesk,hostmaster,info,mailer-daemon,noc,noreply,official,operator,"
        "postmaster,root,security,staff,superuser,support,sysadmin,system,webmaster",
        "Usernames that only an administrator may assign, with commas between them. Letter case, `-` and `_` make no"
        " difference. `-`: no username is reserved.",
    )
    delete_after = Variable(
        "MG_USERS_DELETE_AFTER",
        duration,
        "720h",
        "Grace period of deleted and disabled accounts. `0s`: deleted accounts have none, and disabled accounts stay.",
    )
    delete_interval = Variable(
        "MG_USERS_DELETE_INTERVAL",
        interval,
        "24h",
        "Time between two runs of the removal under `make run`. On AWS, `DeleteInterval` is a schedule expression.",
    )
    delete_disabled = Variable(
        "MG_USERS_DELETE_DISABLED",
        boolean,
        "true",
        "`true`: remove disabled accounts after the grace period too; `false`: remove deleted accounts only.",
    )
    origin_secret = secret_variable(
        "MG_USERS_ORIGIN_SECRET",
        "",
        "Secret that CloudFront sends as `X-Origin-Verify`. The service trusts `CloudFront-Viewer-Address` only in"
        " requests with it.",
    )
    secret_key = secret_variable(
        "MG_USERS_SECRET_KEY",
        "",
        "Key for link tokens, cursors and digests of addresses, at least 32 characters. `make run` makes one.",
    )

    admin_email = Variable(
        "MG_USERS_ADMIN_EMAIL", str, "admin@example.com", "E-mail address of the first administrator."
    )
    admin_password = secret_variable(
        "MG_USERS_ADMIN_PASSWORD",
        "12345678",
        "Password of the first administrator. Only local mode accepts the default.",
    )
    admin_username = Variable("MG_USERS_ADMIN_USERNAME", str, "admin", "Username of the first administrator.")
    admin_first_name = Variable("MG_USERS_ADMIN_FIRST_NAME", str, "super", "First name of the first administrator.")
    admin_last_name = Variable("MG_USERS_ADMIN_LAST_NAME", str, "admin", "Last name of the first administrator.")

    db_host = Variable("MG_USERS_DB_HOST", str, "localhost", "PostgreSQL host, or the directory of its socket.")
    db_port = Variable("MG_USERS_DB_PORT", port, "5432", "PostgreSQL port.")
    db_user = Variable("MG_USERS_DB_USER", str, "magistrala", "PostgreSQL role.")
    db_pass = secret_variable("MG_USERS_DB_PASS", "magistrala", "Password of `MG_USERS_DB_USER`.")
    db_owner = Variable(
        "MG_USERS_DB_OWNER",
        str,
        "",
        "Role that owns the tables. `bootstrap` uses it for migrations, and makes `MG_USERS_DB_USER`, which may only"
        " read and write rows. Empty: `MG_USERS_DB_USER` owns the tables.",
    )
    db_owner_pass = secret_variable("MG_USERS_DB_OWNER_PASS", "", "Password of `MG_USERS_DB_OWNER`.")
    db_name = Variable("MG_USERS_DB_NAME", str, "users", "Database.")
    db_ssl_mode = Variable(
        "MG_USERS_DB_SSL_MODE",
        one_of("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
        "disable",
        "libpq's `sslmode`.",
    )
    db_ssl_cert = Variable("MG_USERS_DB_SSL_CERT", str, "", "Path of the client certificate for PostgreSQL.")
    db_ssl_key = Variable("MG_USERS_DB_SSL_KEY", str, "", "Path of the client certificate's key.")
    db_ssl_root_cert = Variable(
        "MG_USERS_DB_SSL_ROOT_CERT",
        str,
        "",
        "Path of the certificate of the authority that signed PostgreSQL's.",
    )
    db_prepare = Variable(
        "MG_USERS_DB_PREPARE",
        boolean,
        "true",
        "`true`: prepare statements, so that PostgreSQL does not plan them for each request. Set `false` behind a"
        " transaction pooler that does not support prepared statements, such as PgBouncer before 1.21 or with"
        " `max_prepared_statements=0`.",
    )

    auth_grpc_url = Variable("MG_AUTH_GRPC_URL", str, "localhost:8181", "`host:port` of Auth's gRPC server.")
    auth_grpc_timeout = Variable(
        "MG_AUTH_GRPC_TIMEOUT", deadline, "1s", "Deadline of one call to Auth, retries included."
    )
    auth_grpc_client_cert = Variable(
        "MG_AUTH_GRPC_CLIENT_CERT", str, "", "Client certificate for mTLS with Auth (path or PEM)."
    )
    auth_grpc_client_key = secret_variable(
        "MG_AUTH_GRPC_CLIENT_KEY", "", "Key of `MG_AUTH_GRPC_CLIENT_CERT` (path or PEM)."
    )
    auth_grpc_server_ca_certs = Variable(
        "MG_AUTH_GRPC_SERVER_CA_CERTS",
        str,
        "",
        "Certificate of the authority that signed Auth's certificate (path or PEM). Set: calls to Auth use TLS.",
    )
    auth_keys_algorithm = Variable(
        "MG_AUTH_KEYS_ALGORITHM",
        one_of("EdDSA", "HS256", "HS384", "HS512"),
        "EdDSA",
        "Algorithm of Auth's signatures. `EdDSA`: functions check tokens with Auth's public keys; `HS256`, `HS384`,"
        " `HS512`: functions ask Auth.",
    )
    auth_jwks_url = Variable(
        "MG_AUTH_JWKS_URL",
        web_address,
        "http://auth:9001/keys/.well-known/jwks.json",
        "URL of Auth's public keys. Functions do not follow redirects.",
    )

    domains_grpc_url = Variable(
        "MG_DOMAINS_GRPC_URL",
        str,
        "",
        "`host:port` of Domains' gRPC server. Empty: the service does not report removed accounts to Domains.",
    )
    domains_grpc_timeout = Variable("MG_DOMAINS_GRPC_TIMEOUT", deadline, "1s", "Deadline of one call to Domains.")
    domains_grpc_client_cert = Variable(
        "MG_DOMAINS_GRPC_CLIENT_CERT", str, "", "Client certificate for mTLS with Domains (path or PEM)."
    )
    domains_grpc_client_key = secret_variable(
        "MG_DOMAINS_GRPC_CLIENT_KEY", "", "Key of `MG_DOMAINS_GRPC_CLIENT_CERT` (path or PEM)."
    )
    domains_grpc_server_ca_certs = Variable(
        "MG_DOMAINS_GRPC_SERVER_CA_CERTS",
        str,
        "",
        "Certificate of the authority that signed Domains' certificate (path or PEM). Set: calls to Domains use TLS.",
    )

    spicedb_host = Variable(
        "MG_SPICEDB_HOST", str, "", "SpiceDB host. Empty: the service neither writes nor checks relations."
    )
    spicedb_port = Variable("MG_SPICEDB_PORT", port, "50051", "SpiceDB port.")
    spicedb_timeout = Variable("MG_SPICEDB_TIMEOUT", deadline, "1s", "Deadline of one call to SpiceDB.")
    spicedb_pre_shared_key = secret_variable(
        "MG_SPICEDB_PRE_SHARED_KEY", "12345678", "Bearer key that SpiceDB accepts."
    )

    grpc_host = Variable("MG_USERS_GRPC_HOST", str, "localhost", "Host name or address on which `make grpc` listens.")
    grpc_port = Variable("MG_USERS_GRPC_PORT", port, "7002", "Port on which `make grpc` listens.")
    grpc_server_cert = Variable(
        "MG_USERS_GRPC_SERVER_CERT", str, "", "Certificate of the gRPC server (path or PEM). Set: the server uses TLS."
    )
    grpc_server_key = Variable("MG_USERS_GRPC_SERVER_KEY", str, "", "Key of `MG_USERS_GRPC_SERVER_CERT` (path or PEM).")
    grpc_server_ca_certs = Variable(
        "MG_USERS_GRPC_SERVER_CA_CERTS",
        str,
        "",
        "Certificate of an authority (path or PEM). Set: clients need a certificate of this authority (mTLS).",
    )
    grpc_client_ca_certs = Variable(
        "MG_USERS_GRPC_CLIENT_CA_CERTS",
        str,
        "",
        "As `MG_USERS_GRPC_SERVER_CA_CERTS`. Where both are set, clients need a certificate of this authority.",
    )

    es_url = Variable(
        "MG_USERS_ES_URL",
        str,
        "nats://localhost:4222",
        "Destination of events: `nats://host:port` or `tls://host:port`, several with commas between them, or"
        " `eventbridge://<bus>`.",
        other_name="MG_ES_URL",
    )
    product_name = Variable("MG_USERS_PRODUCT_NAME", str, "Magistrala", "Name of the product in mails and pages.")
    product_color = Variable(
        "MG_USERS_PRODUCT_COLOR", color, "#0b57a4", "Colour of buttons and links in mails and pages."
    )
    app_url = Variable(
        "MG_USERS_APP_URL",
        web_address,
        "",
        "Address of the application, to which mails and pages link. Empty: they have no such link.",
    )
    contact_address = Variable(
        "MG_USERS_CONTACT_ADDRESS",
        mail_address,
        "",
        "E-mail address for questions, which mails and pages show. Empty: they show none.",
    )
    logo_url = Variable(
        "MG_USERS_LOGO_URL",
        secure_address,
        "",
        "`https` URL of a picture that mails and pages show in place of the product's name.",
    )
    email_host = Variable(
        "MG_EMAIL_HOST",
        str,
        "",
        "Mail server; empty: SES. Functions verify the server's certificate, with the authorities of `SSL_CERT_FILE`"
        " where it is set.",
    )
    email_port = Variable(
        "MG_EMAIL_PORT",
        port,
        "25",
        "Port of the mail server. 465: TLS from the start; others: STARTTLS when the server offers it. Lambda cannot"
        " reach port 25.",
    )
    email_username = Variable(
        "MG_EMAIL_USERNAME", str, "", "Username for the mail server, if the server offers AUTH. Empty: no login."
    )
    email_password = secret_variable("MG_EMAIL_PASSWORD", "", "Password of `MG_EMAIL_USERNAME`. Empty: no login.")
    email_from_address = Variable("MG_EMAIL_FROM_ADDRESS", str, "", "Sender of the mails: `local@domain`.")
    email_from_name = Variable("MG_EMAIL_FROM_NAME", str, "", "Sender's name in the mails.")
    ses_configuration_set = Variable(
        "MG_USERS_SES_CONFIGURATION_SET",
        str,
        "",
        "SES configuration set for the mails. Empty: the default one of the SES identity.",
    )
    password_reset_url_prefix = Variable(
        "MG_PASSWORD_RESET_URL_PREFIX",
        web_address,
        "http://localhost/password/reset",
        "Start of the password reset link.",
    )
    verification_url_prefix = Variable(
        "MG_VERIFICATION_URL_PREFIX",
        web_address,
        "http://localhost/verify-email",
        "Start of the verification link.",
    )

    jaeger_url = Variable(
        "MG_JAEGER_URL",
        web_address,
        "",
        "OTLP/HTTP endpoint of the collector of spans, such as `http://localhost:4318/v1/traces`. Empty: no spans.",
    )
    jaeger_trace_ratio = Variable(
        "MG_JAEGER_TRACE_RATIO",
        share,
        "1.0",
        "Share of the traces that the service keeps, 0 to 1. Applies to traces that begin here.",
    )
    send_telemetry = Variable(
        "MG_SEND_TELEMETRY", boolean, "true", "`true`: report the version in use to `MG_CALLHOME_URL` once a day."
    )
    callhome_url = Variable(
        "MG_CALLHOME_URL",
        web_address,
        "",
        "URL (`https`) to which the service reports its version. Empty: it sends no report.",
    )

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Read and check every variable. WrongSettings names all variables with a wrong value."""
        values, problems = vars(self), []
        for variable in self.variables():
            text = environment.get(variable.name) or environment.get(variable.other_name) or variable.default
            try:
                values[variable.field] = variable.parse(text)
            except ValueError as error:
                problems.append(f"{variable.name}: {error}")
        if problems:
            raise WrongSettings("\n".join(problems))

    @classmethod
    def variables(cls) -> list[Variable[Any]]:
        """Return the declarations, in their order."""
        return [declared for declared in vars(cls).values() if isinstance(declared, Variable)]

    def secrets(self) -> list[Secret]:
        """Return the values that are secrets."""
        return [value for value in vars(self).values() if isinstance(value, Secret)]


@cache
def settings() -> Settings:
    """Return the settings of this execution environment, which the first call reads."""
    return Settings(os.environ)


not_in_snapshots(settings.cache_clear)
