"""The settings of the process, all from environment variables. README.md lists them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.serving.sockets import LOOPBACK, Port
from local.serving.variables import SettingsUnusable, Variables

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

_EDDSA = "EdDSA"
KEY_ALGORITHMS = (_EDDSA, "HS256", "HS384", "HS512")


@dataclass(frozen=True, slots=True)
class TokenDurations:
    """Lifetimes of the token types (contract §5.5)."""

    access: timedelta
    refresh: timedelta
    recovery: timedelta
    invitation: timedelta


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings."""

    grpc: Port
    http: Port
    spicedb: Port
    spicedb_key: str
    database: str
    keys_algorithm: str
    secret_key: str
    keys_dir: str
    active_key: str
    retiring_key: str
    durations: TokenDurations
    strict: bool
    faults: bool
    log_level: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings. An empty variable counts as unset. Raise SettingsUnusable with a line for each problem."""
        given = Variables(environment)
        settings = cls(
            grpc=_port(given, "MG_AUTH_GRPC_PORT", 8181, "MG_AUTH_GRPC_HOST"),
            http=_port(given, "MG_AUTH_HTTP_PORT", 9001, "MG_AUTH_HTTP_HOST"),
            spicedb=_port(given, "MG_SPICEDB_PORT", 50051, "MG_AUTH_GRPC_HOST"),
            spicedb_key=given.text("MG_SPICEDB_PRE_SHARED_KEY", "12345678"),
            database=given.text("MG_AUTH_DB_URL"),
            keys_algorithm=given.one_of("MG_AUTH_KEYS_ALGORITHM", KEY_ALGORITHMS, _EDDSA),
            secret_key=given.text("MG_AUTH_SECRET_KEY"),
            keys_dir=given.text("MG_AUTH_KEYS_DIR"),
            active_key=given.text("MG_AUTH_KEYS_ACTIVE", "active.key"),
            retiring_key=given.text("MG_AUTH_KEYS_RETIRING", "retiring.key"),
            durations=TokenDurations(
                access=given.duration("MG_AUTH_ACCESS_TOKEN_DURATION", "1h"),
                refresh=given.duration("MG_AUTH_REFRESH_TOKEN_DURATION", "24h"),
                recovery=given.duration("MG_AUTH_RECOVERY_TOKEN_DURATION", "5m"),
                invitation=given.duration("MG_AUTH_INVITATION_TOKEN_DURATION", "168h"),
            ),
            strict=given.switch("AUTH_STRICT"),
            faults=given.switch("AUTH_FAULTS"),
            log_level=given.log_level(),
        )
        problems = [*given.problems, *settings._missing()]
        if problems:
            raise SettingsUnusable("\n".join(problems))
        return settings

    def _missing(self) -> list[str]:
        """Return a line for each variable that must be set and is not."""
        missing = []
        if not self.database:
            missing.append("MG_AUTH_DB_URL is not set: the PostgreSQL database for the tokens (libpq URI or conninfo)")
        if self.keys_algorithm == _EDDSA and not self.keys_dir:
            missing.append("MG_AUTH_KEYS_DIR is not set: the directory of the Ed25519 key files")
        if self.keys_algorithm != _EDDSA and not self.secret_key:
            missing.append(f"MG_AUTH_SECRET_KEY is not set: {self.keys_algorithm} signs with it")
        return missing


def _port(given: Variables, variable: str, default: int, host_variable: str) -> Port:
    return Port(variable, given.port(variable, default), given.text(host_variable, LOOPBACK), host_variable)
