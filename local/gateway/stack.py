"""The functions, routes and schedules that the gateway serves, with every value of the template resolved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Lambda: maximum number of retries of an asynchronous invoke, unless an EventInvokeConfig sets another.
DEFAULT_RETRIES = 2

# API Gateway: the longest, and the default, time an HTTP API waits for its integration, in seconds.
INTEGRATION_TIMEOUT = 30.0

DEFAULT_ROUTE = "$default"
ANY_METHOD = "ANY"


@dataclass(frozen=True, slots=True)
class Function:
    """One Lambda function.

    `timeout` is in seconds, `memory` in MiB. `names` are all names that an invoke may use.
    """

    logical_id: str
    code_dir: Path
    handler: str
    runtime: str = "python3.13"
    timeout: int = 3
    memory: int = 128
    variables: dict[str, str] = field(default_factory=dict)
    layer_dirs: tuple[Path, ...] = ()
    names: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    retries: int = DEFAULT_RETRIES


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the HTTP API.

    `method` is upper case or ANY. `path` is a template such as `/users/{id}`, or `$default`. `timeout` is in seconds.
    """

    method: str
    path: str
    function: str
    timeout: float = INTEGRATION_TIMEOUT

    @property
    def key(self) -> str:
        """The routeKey in the event: `GET /users/{id}`, or `$default`."""
        return DEFAULT_ROUTE if self.path == DEFAULT_ROUTE else f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A rule that invokes `function` every `period` seconds.

    `payload` is the event as JSON. None stands for the default event.
    """

    name: str
    function: str
    expression: str
    period: float
    source: str
    payload: str | None = None


@dataclass(frozen=True, slots=True)
class Cors:
    """The CorsConfiguration of an HTTP API. Lists are as in the template. Headers are compared without case."""

    allow_origins: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: int | None = None
    allow_credentials: bool = False


@dataclass(frozen=True, slots=True)
class Stack:
    """Everything of a template that the gateway serves. `warnings` name the parts that it leaves out.

    `unresolved` are the environment variables whose value only a deployment has.
    """

    region: str
    account_id: str
    functions: dict[str, Function]
    routes: tuple[Route, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    cors: Cors | None = None
    unresolved: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def function_arn(self, logical_id: str) -> str:
        """Return the ARN of a function, as context objects and answers contain it."""
        return f"arn:aws:lambda:{self.region}:{self.account_id}:function:{logical_id}"
