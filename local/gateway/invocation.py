"""An invoke of a function, its outcome, and the error bodies that Lambda itself writes."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

# Lambda quotas, in bytes: payload of a synchronous invoke (request and response) and of an asynchronous one.
SYNCHRONOUS_PAYLOAD_LIMIT = 6_291_456
ASYNCHRONOUS_PAYLOAD_LIMIT = 1_048_576


def _new_request_id() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class Invocation:
    """One event for a function: `payload` is the event's JSON, `client_context` JSON or empty."""

    payload: bytes
    trace_id: str = ""
    client_context: str = ""
    request_id: str = field(default_factory=_new_request_id)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of an invoke: `payload` is the function's answer as JSON, or the error object when `function_error`.

    The execution environment serves another invoke only if `environment_usable`.
    """

    payload: bytes
    function_error: bool = False
    environment_usable: bool = True


class EnvironmentNotStarted(Exception):
    """An execution environment did not start. `outcome` is the answer to the invoke that needed it."""

    def __init__(self, outcome: Outcome) -> None:
        """Take the answer to the invoke."""
        super().__init__(outcome.payload.decode(errors="replace"))
        self.outcome = outcome


class ExecutionEnvironment(Protocol):
    """The place where a function runs: started once, then asked for one invoke at a time, then stopped."""

    @property
    def alive(self) -> bool:
        """Whether it can run an invoke."""

    async def start(self) -> None:
        """Start it. Raise EnvironmentNotStarted."""

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Run one invoke to its end, its timeout or its crash. A failing function is an outcome, never an exception."""

    async def stop(self) -> None:
        """End it at once, with every process that it started."""


def failure(error_type: str, message: str, *, request_id: str = "", stack: Sequence[str] = ()) -> Outcome:
    """Return the outcome of an invoke that Lambda and not the handler ended. The environment is not used again."""
    body = {
        "errorMessage": message,
        "errorType": error_type,
        "requestId": request_id,
        "stackTrace": list(stack),
    }
    return Outcome(json.dumps(body).encode(), function_error=True, environment_usable=False)


def exited(request_id: str, status: int | None) -> Outcome:
    """Return the outcome when the function's process ended during the invoke. A negative status is a signal."""
    how = "unknown reason" if status is None else f"signal: {-status}" if status < 0 else f"exit status {status}"
    message = f"RequestId: {request_id} Error: Runtime exited with error: {how}"
    return failure("Runtime.ExitError", message, request_id=request_id)


def timed_out(request_id: str, seconds: int) -> Outcome:
    """Return the outcome when the function's Timeout passed."""
    message = f"RequestId: {request_id} Error: Task timed out after {seconds:.2f} seconds"
    return failure("Sandbox.Timedout", message, request_id=request_id)


def limited(outcome: Outcome) -> Outcome:
    """Return `outcome`, or the error that Lambda answers in place of a response above its limit."""
    if len(outcome.payload) <= SYNCHRONOUS_PAYLOAD_LIMIT:
        return outcome
    message = f"Response payload size exceeded maximum allowed payload size ({SYNCHRONOUS_PAYLOAD_LIMIT} bytes)."
    body = {"errorMessage": message, "errorType": "Function.ResponseSizeTooLarge"}
    return Outcome(json.dumps(body).encode(), function_error=True, environment_usable=outcome.environment_usable)
