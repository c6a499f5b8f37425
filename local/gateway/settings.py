"""The gateway's settings, all from environment variables."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local.gateway.http.client_address import HEADERS, Proxies, read_networks
from local.serving.variables import Variables

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_DAY = 86400


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, with times in seconds.

    `emulator` is the Runtime Interface Emulator of RUNTIME=rie. None stands for worker processes.
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
    """Return the settings in MG_USERS_HTTP_*, MG_USERS_LOG_LEVEL, MG_LOCAL_*, RUNTIME and AWS_REGION.

    An empty variable counts as unset. Raise SettingsUnusable, which has a line for each wrong value.
    """
    given = Variables(variables)
    in_emulator = given.one_of("RUNTIME", ("process", "rie"), "process") == "rie"
    settings = Settings(
        http_host=given.text("MG_USERS_HTTP_HOST", "localhost"),
        http_port=given.port("MG_USERS_HTTP_PORT", 9002),
        proxies=Proxies(
            given.parsed("MG_USERS_TRUSTED_PROXIES", read_networks, ()),
            given.one_of("MG_USERS_PROXY_HEADER", HEADERS, HEADERS[0]),
        ),
        certificate=given.text("MG_USERS_HTTP_SERVER_CERT"),
        key=given.text("MG_USERS_HTTP_SERVER_KEY"),
        header_timeout=_seconds(given, "MG_USERS_HTTP_SERVER_READ_HEADER_TIMEOUT", "10s"),
        read_timeout=_seconds(given, "MG_USERS_HTTP_SERVER_READ_TIMEOUT", "15s"),
        idle_timeout=_seconds(given, "MG_USERS_HTTP_SERVER_IDLE_TIMEOUT", "60s"),
        max_header_bytes=given.whole("MG_USERS_HTTP_SERVER_MAX_HEADER_BYTES", 1024 * 1024, least=1024, most=1 << 26),
        lambda_port=given.port("MG_LOCAL_LAMBDA_PORT", 9003),
        workers=max(1, given.whole("MG_LOCAL_WORKERS", 2 * (os.cpu_count() or 1), most=1000)),
        idle_seconds=float(given.whole("MG_LOCAL_IDLE_SECONDS", 60, most=_DAY)),
        schedules=given.one_of("MG_LOCAL_SCHEDULES", ("on", "off"), "on") == "on",
        region=given.text("AWS_REGION", given.text("AWS_DEFAULT_REGION", "eu-central-1")),
        parameters=given.parsed("MG_LOCAL_PARAMETERS", _parameters, {}),
        emulator=_emulator(given) if in_emulator else None,
        log_level=given.log_level(),
    )
    given.check()
    return settings


def _seconds(given: Variables, name: str, default: str) -> float:
    return given.duration(name, default, ("1ms", "24h")).total_seconds()


def _parameters(text: str) -> dict[str, str]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")  # noqa: TRY004 - the text of a variable, not a type
    return {name: member if isinstance(member, str) else json.dumps(member) for name, member in value.items()}


def _emulator(given: Variables) -> Path | None:
    from local.gateway.environments.emulator import SAM_ENVIRONMENT, find_emulator

    name = given.text("MG_LOCAL_RIE")
    found = find_emulator(name)
    if found is None:
        where = f"MG_LOCAL_RIE={name} is no file" if name else f"MG_LOCAL_RIE is unset, {SAM_ENVIRONMENT} has none"
        given.problems.append(f"RUNTIME=rie needs the Lambda Runtime Interface Emulator: {where}")
    return found
