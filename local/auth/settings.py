"""What the process is told by its environment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_ALGORITHMS = ("EdDSA", "HS256", "HS384", "HS512")

_LOG_LEVELS = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR"}
_DURATION_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_TERM = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_MAX_DURATION_SECONDS = 2**63 / 1e9  # a Go duration is a signed 64-bit count of nanoseconds


class SettingsError(Exception):
    """A variable has a value that the service cannot work with; the message names the variable."""


@dataclass(frozen=True, slots=True)
class TokenDurations:
    """Lifetimes of the token types (contract §5.5)."""

    access: timedelta
    refresh: timedelta
    recovery: timedelta
    invitation: timedelta


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings; `from_environment` gives the names and defaults."""

    grpc_host: str
    grpc_port: int
    http_host: str
    http_port: int
    spicedb_port: int
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
        """Read the settings; an empty variable counts as unset. Raises SettingsError."""

        def text(name: str, default: str) -> str:
            return environment.get(name) or default

        def duration(name: str, default: str) -> timedelta:
            value = text(name, default)
            try:
                return parse_duration(value)
            except ValueError as error:
                raise SettingsError(f"{name}: {error}") from error

        settings = cls(
            grpc_host=text("MG_AUTH_GRPC_HOST", "127.0.0.1"),
            grpc_port=_port(environment, "MG_AUTH_GRPC_PORT", 8181),
            http_host=text("MG_AUTH_HTTP_HOST", "127.0.0.1"),
            http_port=_port(environment, "MG_AUTH_HTTP_PORT", 9001),
            spicedb_port=_port(environment, "MG_SPICEDB_PORT", 50051),
            spicedb_key=text("MG_SPICEDB_PRE_SHARED_KEY", "12345678"),
            database=text("MG_AUTH_DB_URL", ""),
            keys_algorithm=text("MG_AUTH_KEYS_ALGORITHM", "EdDSA"),
            secret_key=text("MG_AUTH_SECRET_KEY", ""),
            keys_dir=text("MG_AUTH_KEYS_DIR", ""),
            active_key=text("MG_AUTH_KEYS_ACTIVE", "active.key"),
            retiring_key=text("MG_AUTH_KEYS_RETIRING", "retiring.key"),
            durations=TokenDurations(
                access=duration("MG_AUTH_ACCESS_TOKEN_DURATION", "1h"),
                refresh=duration("MG_AUTH_REFRESH_TOKEN_DURATION", "24h"),
                recovery=duration("MG_AUTH_RECOVERY_TOKEN_DURATION", "5m"),
                invitation=duration("MG_AUTH_INVITATION_TOKEN_DURATION", "168h"),
            ),
            strict=_switch(environment, "AUTH_STRICT"),
            faults=_switch(environment, "AUTH_FAULTS"),
            log_level=_log_level(environment),
        )
        settings._check()
        return settings

    def _check(self) -> None:
        if not self.database:
            raise SettingsError(
                "MG_AUTH_DB_URL is not set: the PostgreSQL database for the tokens (libpq URI or conninfo)"
            )
        if self.keys_algorithm not in KEY_ALGORITHMS:
            raise SettingsError(
                f"MG_AUTH_KEYS_ALGORITHM: {self.keys_algorithm!r} is not one of {', '.join(KEY_ALGORITHMS)}"
            )
        if self.keys_algorithm == "EdDSA" and not self.keys_dir:
            raise SettingsError("MG_AUTH_KEYS_DIR is not set: the directory of the Ed25519 key files")
        if self.keys_algorithm != "EdDSA" and not self.secret_key:
            raise SettingsError(f"MG_AUTH_SECRET_KEY is not set: {self.keys_algorithm} signs with it")


def parse_duration(text: str) -> timedelta:
    """Read a Go duration such as ``1h30m``, ``500ms``, ``-1s`` or ``0``. Raises ValueError."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return timedelta()
    terms = _DURATION_TERM.findall(rest)
    if not terms or "".join(number + unit for number, unit in terms) != rest:
        raise ValueError(f"{text!r} is not a duration such as 1h30m, 90s or 500ms")
    seconds = sum(float(number) * _DURATION_UNITS[unit] for number, unit in terms)
    if seconds >= _MAX_DURATION_SECONDS:
        raise ValueError(f"{text!r} is too long for a duration")
    return timedelta(seconds=sign * seconds)


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise SettingsError(f"{name}: {text!r} is not a port (0 to 65535, 0 = a free one)")
    return int(text)


def _log_level(environment: Mapping[str, str]) -> str:
    """logging's name of the service's level, for the whole of `make run`."""
    text = environment.get("MG_USERS_LOG_LEVEL") or "info"
    if text not in _LOG_LEVELS:
        raise SettingsError(f"MG_USERS_LOG_LEVEL: {text!r} is not one of {', '.join(_LOG_LEVELS)}")
    return _LOG_LEVELS[text]


def _switch(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name) or "0"
    if text.lower() not in {"0", "1", "false", "true"}:
        raise SettingsError(f"{name}: {text!r} is neither 1 nor 0")
    return text.lower() in {"1", "true"}
