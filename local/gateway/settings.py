"""The gateway's settings, all from environment variables."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from local.gateway.client_address import HEADERS, NetworksError, Proxies, read_networks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local.gateway.client_address import Network

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_DAY = 86400
_LAST_PORT = 65535
_LOG_LEVELS = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR"}
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

# Where set-up puts aws-sam-cli, which carries the emulator, from the directory that the gateway is started
# in.
_SAM_ENVIRONMENT = Path(".local/tools/sam")
_EMULATORS = {"x86_64": "aws-lambda-rie-x86_64", "aarch64": "aws-lambda-rie-arm64"}


_Value = TypeVar("_Value")


class SettingsError(Exception):
    """A variable has a value that cannot be used; the text names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds.

    `emulator` is the Runtime Interface Emulator, for RUNTIME=rie; None = worker processes.
    """

    http_host: str = "localhost"
    http_port: int = 9002
    proxies: Proxies = field(default_factory=Proxies)
    certificate: str = ""
    key: str = ""
    header_timeout: float = 10.0
    read_timeout: float = 15.0
    idle_timeout: float = 60.0
    max_header_bytes: int = 1024 * 1024
    lambda_port: int = 9003
    workers: int = 2
    idle_seconds: float = 60.0
    schedules: bool = True
    region: str = "eu-central-1"
    parameters: dict[str, str] = field(default_factory=dict)
    emulator: Path | None = None
    log_level: str = "INFO"


def read_settings(variables: Mapping[str, str]) -> Settings:
    """Settings from MG_USERS_HTTP_*, MG_USERS_LOG_LEVEL, MG_LOCAL_*, RUNTIME and AWS_REGION.

    An empty variable counts as unset. Raises SettingsError, which has a line for each wrong value.
    """
    given = _Variables(variables)
    in_emulator = given.one_of("RUNTIME", "process", ("process", "rie")) == "rie"
    settings = Settings(
        http_host=given.text("MG_USERS_HTTP_HOST", "localhost"),
        http_port=given.whole("MG_USERS_HTTP_PORT", 9002, most=_LAST_PORT),
        proxies=Proxies(
            given.networks("MG_USERS_TRUSTED_PROXIES"),
            given.one_of("MG_USERS_PROXY_HEADER", HEADERS[0], HEADERS),
        ),
        certificate=given.text("MG_USERS_HTTP_SERVER_CERT", ""),
        key=given.text("MG_USERS_HTTP_SERVER_KEY", ""),
        header_timeout=given.duration("MG_USERS_HTTP_SERVER_READ_HEADER_TIMEOUT", 10.0),
        read_timeout=given.duration("MG_USERS_HTTP_SERVER_READ_TIMEOUT", 15.0),
        idle_timeout=given.duration("MG_USERS_HTTP_SERVER_IDLE_TIMEOUT", 60.0),
        max_header_bytes=given.whole("MG_USERS_HTTP_SERVER_MAX_HEADER_BYTES", 1024 * 1024, least=1024, most=1 << 26),
        lambda_port=given.whole("MG_LOCAL_LAMBDA_PORT", 9003, most=_LAST_PORT),
        workers=max(1, given.whole("MG_LOCAL_WORKERS", 2 * (os.cpu_count() or 1), most=1000)),
        idle_seconds=float(given.whole("MG_LOCAL_IDLE_SECONDS", 60, most=_DAY)),
        schedules=given.one_of("MG_LOCAL_SCHEDULES", "on", ("on", "off")) == "on",
        region=given.text("AWS_REGION", given.text("AWS_DEFAULT_REGION", "eu-central-1")),
        parameters=given.object("MG_LOCAL_PARAMETERS"),
        emulator=given.emulator("MG_LOCAL_RIE") if in_emulator else None,
        log_level=_LOG_LEVELS[given.one_of("MG_USERS_LOG_LEVEL", "info", _LOG_LEVELS)],
    )
    if given.problems:
        raise SettingsError("\n".join(given.problems))
    return settings


class _Variables:
    """Typed access to environment variables; `problems` names those whose value cannot be used."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.problems: list[str] = []

    def text(self, name: str, default: str) -> str:
        return self._variables.get(name) or default

    def one_of(self, name: str, default: str, words: Iterable[str]) -> str:
        text = self.text(name, default)
        if text in words:
            return text
        return self._refused(f"{name}={text}: {', '.join(words)} are its values", default)

    def whole(self, name: str, default: int, *, least: int = 0, most: int) -> int:
        text = self.text(name, str(default))
        if re.fullmatch("[0-9]{1,9}", text) and least <= int(text) <= most:
            return int(text)
        return self._refused(f"{name}={text}: must be a whole number from {least} to {most}", default)

    def duration(self, name: str, default: float) -> float:
        """A Go duration (`15s`, `1m30s`) in seconds, a millisecond or more."""
        text = self.text(name, "")
        parts = _DURATION.findall(text)
        seconds = float(sum(float(number) * _UNITS[unit] for number, unit in parts)) if text else default
        if "".join(number + unit for number, unit in parts) == text and _UNITS["ms"] <= seconds <= _DAY:
            return seconds
        return self._refused(f"{name}={text}: must be a duration from 1ms to 24h, such as 15s or 1m30s", default)

    def networks(self, name: str) -> tuple[Network, ...]:
        try:
            return read_networks(self.text(name, ""))
        except NetworksError as error:
            return self._refused(f"{name}: {error}", ())

    def object(self, name: str) -> dict[str, str]:
        try:
            value = json.loads(self.text(name, "{}"))
        except ValueError as error:
            return self._refused(f"{name} is not JSON: {error}", {})
        if not isinstance(value, dict):
            return self._refused(f"{name} is not a JSON object", {})
        return {key: member if isinstance(member, str) else json.dumps(member) for key, member in value.items()}

    def emulator(self, name: str) -> Path | None:
        """The Runtime Interface Emulator that is named or installed."""
        given = self.text(name, "")
        found = find_emulator(given)
        if found is None:
            where = f"{name}={given} is no file" if given else f"{name} is unset, {_SAM_ENVIRONMENT} has none"
            self.problems.append(f"RUNTIME=rie needs the Lambda Runtime Interface Emulator: {where}")
        return found

    def _refused(self, problem: str, default: _Value) -> _Value:
        self.problems.append(problem)
        return default


def find_emulator(given: str) -> Path | None:
    """The Runtime Interface Emulator.

    The file that is `given`, else the one of aws-sam-cli in .local/tools/sam.
    """
    if given:
        return Path(given) if Path(given).is_file() else None
    name = _EMULATORS.get(os.uname().machine, "")
    found = sorted(_SAM_ENVIRONMENT.glob(f"lib/python3*/site-packages/samcli/local/rapid/{name}"))
    return found[0].resolve() if name and found else None
