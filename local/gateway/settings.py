"""The gateway's settings, all from environment variables."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_LOG_LEVELS = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR"}
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

# Where set-up puts aws-sam-cli, which carries the emulator, from the directory that the gateway is started
# in.
_SAM_ENVIRONMENT = Path(".local/tools/sam")
_EMULATORS = {"x86_64": "aws-lambda-rie-x86_64", "aarch64": "aws-lambda-rie-arm64"}


class SettingsError(Exception):
    """A variable has a value that cannot be used; the text names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds.

    `emulator` is the Runtime Interface Emulator, for RUNTIME=rie; None = worker processes.
    """

    http_host: str = "localhost"
    http_port: int = 9002
    certificate: str = ""
    key: str = ""
    header_timeout: float = 10.0
    read_timeout: float = 15.0
    idle_timeout: float = 60.0
    max_header_bytes: int = 1024 * 1024
    lambda_port: int = 9003
    workers: int = 2
    idle_seconds: float = 300.0
    schedules: bool = True
    region: str = "eu-central-1"
    parameters: dict[str, str] = field(default_factory=dict)
    emulator: Path | None = None
    log_level: str = "INFO"


def read_settings(variables: Mapping[str, str]) -> Settings:
    """Settings from MG_USERS_HTTP_*, MG_USERS_LOG_LEVEL, MG_LOCAL_*, RUNTIME and AWS_REGION.

    An empty variable counts as unset. Raises SettingsError.
    """
    given = _Variables(variables)
    runtime = given.text("RUNTIME", "process")
    if runtime not in ("process", "rie"):
        raise SettingsError(f"RUNTIME={runtime}: process or rie")
    log_level = given.text("MG_USERS_LOG_LEVEL", "info")
    if log_level not in _LOG_LEVELS:
        raise SettingsError(f"MG_USERS_LOG_LEVEL={log_level}: {', '.join(_LOG_LEVELS)}")
    return Settings(
        http_host=given.text("MG_USERS_HTTP_HOST", "localhost"),
        http_port=given.whole("MG_USERS_HTTP_PORT", 9002),
        certificate=given.text("MG_USERS_HTTP_SERVER_CERT", ""),
        key=given.text("MG_USERS_HTTP_SERVER_KEY", ""),
        header_timeout=given.duration("MG_USERS_HTTP_SERVER_READ_HEADER_TIMEOUT", 10.0),
        read_timeout=given.duration("MG_USERS_HTTP_SERVER_READ_TIMEOUT", 15.0),
        idle_timeout=given.duration("MG_USERS_HTTP_SERVER_IDLE_TIMEOUT", 60.0),
        max_header_bytes=given.whole("MG_USERS_HTTP_SERVER_MAX_HEADER_BYTES", 1024 * 1024),
        lambda_port=given.whole("MG_LOCAL_LAMBDA_PORT", 9003),
        workers=max(1, given.whole("MG_LOCAL_WORKERS", 2 * (os.cpu_count() or 1))),
        idle_seconds=float(given.whole("MG_LOCAL_IDLE_SECONDS", 300)),
        schedules=given.text("MG_LOCAL_SCHEDULES", "on") != "off",
        region=given.text("AWS_REGION", given.text("AWS_DEFAULT_REGION", "eu-central-1")),
        parameters=given.object("MG_LOCAL_PARAMETERS"),
        emulator=_emulator(given.text("MG_LOCAL_RIE", "")) if runtime == "rie" else None,
        log_level=_LOG_LEVELS[log_level],
    )


class _Variables:
    """Typed access to environment variables."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def text(self, name: str, default: str) -> str:
        return self._variables.get(name) or default

    def whole(self, name: str, default: int) -> int:
        text = self.text(name, str(default))
        if not text.isdigit():
            raise SettingsError(f"{name}={text}: a whole number is wanted")
        return int(text)

    def duration(self, name: str, default: float) -> float:
        """A Go duration (`15s`, `1m30s`) in seconds."""
        text = self.text(name, "")
        if not text:
            return default
        parts = _DURATION.findall(text)
        if "".join(number + unit for number, unit in parts) != text:
            raise SettingsError(f"{name}={text}: a duration such as 15s or 1m30s is wanted")
        return float(sum(float(number) * _UNITS[unit] for number, unit in parts))

    def object(self, name: str) -> dict[str, str]:
        try:
            value = json.loads(self.text(name, "{}"))
        except ValueError as error:
            raise SettingsError(f"{name} is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise SettingsError(f"{name} is not a JSON object")
        return {key: member if isinstance(member, str) else json.dumps(member) for key, member in value.items()}


def find_emulator(given: str) -> Path | None:
    """The Runtime Interface Emulator.

    The file that is `given`, else the one of aws-sam-cli in .local/tools/sam.
    """
    if given:
        return Path(given) if Path(given).is_file() else None
    name = _EMULATORS.get(os.uname().machine, "")
    found = sorted(_SAM_ENVIRONMENT.glob(f"lib/python3*/site-packages/samcli/local/rapid/{name}"))
    return found[0].resolve() if name and found else None


def _emulator(given: str) -> Path:
    emulator = find_emulator(given)
    if emulator is None:
        where = f"MG_LOCAL_RIE={given} is no file" if given else f"MG_LOCAL_RIE is unset, {_SAM_ENVIRONMENT} has none"
        raise SettingsError(f"RUNTIME=rie needs the Lambda Runtime Interface Emulator: {where}")
    return emulator
