"""An execution environment in the Lambda Runtime Interface Emulator, with awslambdaric (RUNTIME=rie).

The emulator enforces the function's Timeout itself.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import TYPE_CHECKING, Any

from local.gateway.environments.emulator import Emulator, EmulatorNotStarted
from local.gateway.invocation import EnvironmentNotStarted, Outcome, exited, failure, limited, timed_out
from local.serving import bound

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from local.gateway.invocation import Invocation
    from local.gateway.stack import Function

# Beyond the function's own Timeout: at most 10 s for the init phase, and the emulator's own work.
_TIMEOUT_MARGIN = 15.0

_ERROR_KEYS = {"errorMessage", "errorType", "requestId", "stackTrace"}


class RieEnvironment:
    """One emulator for one function."""

    def __init__(
        self, function: Function, variables: Mapping[str, str], program: Path, *, stdout: int | None = None
    ) -> None:
        """`variables` is the whole environment of the function. `stdout` is a descriptor for its output."""
        self._function = function
        self._emulator = Emulator(
            program,
            [sys.executable, "-P", "-m", "awslambdaric", function.handler],
            folder=function.code_dir,
            variables=variables,
            # At SIGTERM, unlike at SIGKILL, the emulator ends its child as well.
            launcher=bound.launcher(signal.SIGTERM),
            stdout=stdout,
        )

    @property
    def alive(self) -> bool:
        """Whether the emulator runs."""
        return self._emulator.alive

    async def start(self) -> None:
        """Start the emulator and wait until it listens. Raise EnvironmentNotStarted."""
        try:
            await self._emulator.start()
        except EmulatorNotStarted as error:
            raise EnvironmentNotStarted(failure("Sandbox.Failure", f"Error: {error}")) from error

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Run one invoke over the emulator's HTTP interface."""
        try:
            async with asyncio.timeout(self._function.timeout + _TIMEOUT_MARGIN):
                status, body = await self._emulator.invoke(invocation.payload, invocation.trace_id)
        except TimeoutError:
            await self.stop()
            return timed_out(invocation.request_id, self._function.timeout)
        except OSError:
            await self.stop()
            return exited(invocation.request_id, self._emulator.exit_status)
        return _outcome(status, body, invocation, self._function)

    async def stop(self) -> None:
        """End the emulator and the function's process."""
        await self._emulator.stop()


def _outcome(status: int, body: bytes, invocation: Invocation, function: Function) -> Outcome:
    """Return the outcome in the emulator's answer. Function errors, timeouts and results differ only in the body."""
    if body.startswith(b"Task timed out after"):
        return timed_out(invocation.request_id, function.timeout)
    try:
        answer: Any = json.loads(body) if body else None
    except ValueError:
        return failure("Sandbox.Failure", body.decode(errors="replace"), request_id=invocation.request_id)
    is_error = isinstance(answer, dict) and {"errorMessage", "errorType"} <= answer.keys() <= _ERROR_KEYS
    if status != 200 or is_error:
        # The function's process may have ended. The emulator would start it again, but the pool does that too.
        return Outcome(body, function_error=True, environment_usable=status == 200)
    return limited(Outcome(body or b"null"))
