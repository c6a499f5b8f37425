"""An execution environment that is the Lambda Runtime Interface Emulator with awslambdaric (RUNTIME=rie).

The emulator starts the function's process at the first invoke, enforces its Timeout, and serves one invoke at
a time (two at once crash it), which is what an execution environment promises anyway.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import h11

from local.gateway.invocation import (
    EnvironmentNotStarted,
    Invocation,
    Outcome,
    exited,
    failure,
    limited,
    timed_out,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from local.gateway.stack import Function

_INVOKE_PATH = "/2015-03-31/functions/function/invocations"
_START_TIMEOUT = 10.0
_START_ATTEMPTS = 5

# Beyond the function's own Timeout: init of the function (10 s at most) and the emulator's own work.
_TIMEOUT_MARGIN = 15.0

# The emulator cannot be told to end with its parent; SIGTERM (unlike SIGKILL) makes it end its child as well.
# prctl(PR_SET_PDEATHSIG = 1), which survives the exec; if the parent is gone already there will be no signal.
_EXEC_BOUND_TO_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""

_ERROR_KEYS = {"errorMessage", "errorType", "requestId", "stackTrace"}


class RieEnvironment:
    """One emulator process for one function."""

    def __init__(
        self, function: Function, variables: Mapping[str, str], binary: Path, *, stdout: int | None = None
    ) -> None:
        """`variables` is the whole environment of the function; `stdout` a descriptor for its output."""
        self._function = function
        self._variables = dict(variables)
        self._binary = binary
        self._stdout = stdout
        self._process: asyncio.subprocess.Process | None = None
        self._host = _own_loopback_address()
        self._port = 0

    @property
    def alive(self) -> bool:
        """Whether the emulator runs."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start the emulator and wait until it listens; raises EnvironmentNotStarted."""
        try:
            for _ in range(_START_ATTEMPTS):
                # Free now, taken by another by the time the emulator binds: then it ends, and other ports are
                # tried.
                await self._spawn(*_free_ports(self._host, 2))
                if await self._listens():
                    return
                await self.stop()
        except OSError as error:
            raise EnvironmentNotStarted(failure("Sandbox.Failure", f"Error: {self._binary}: {error}")) from error
        raise EnvironmentNotStarted(failure("Sandbox.Failure", f"Error: {self._binary} does not start"))

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Run one invoke over the emulator's HTTP interface."""
        try:
            async with asyncio.timeout(self._function.timeout + _TIMEOUT_MARGIN):
                status, body = await self._post(invocation)
        except TimeoutError:
            await self.stop()
            return timed_out(invocation.request_id, self._function.timeout)
        except (OSError, h11.RemoteProtocolError):
            await self.stop()
            return exited(invocation.request_id, self._process.returncode if self._process else None)
        return _outcome(status, body, invocation, self._function)

    async def stop(self) -> None:
        """End the emulator; it ends its child."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(2):
                await self._process.wait()
        except TimeoutError:
            pass
        finally:
            # What may be left of its session: a child that does not heed the signal.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    async def _spawn(self, port: int, runtime_port: int) -> None:
        self._port = port
        launcher = [sys.executable, "-I", "-S", "-c", _EXEC_BOUND_TO_PARENT, str(os.getpid())]
        emulator = [
            str(self._binary), "--log-level", "warn",
            "--runtime-interface-emulator-address", f"{self._host}:{port}",
            "--runtime-api-address", f"{self._host}:{runtime_port}",
        ]  # fmt: skip
        runtime = [sys.executable, "-P", "-m", "awslambdaric", self._function.handler]
        self._process = await asyncio.create_subprocess_exec(
            *launcher, *emulator, *runtime,
            cwd=self._function.code_dir, env=self._variables,
            stdin=asyncio.subprocess.DEVNULL, stdout=self._stdout, start_new_session=True,
        )  # fmt: skip

    async def _listens(self) -> bool:
        """Wait until the emulator accepts connections; False if it ends or does not come up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_TIMEOUT):
                while self.alive:
                    with suppress(OSError):
                        _, writer = await asyncio.open_connection(self._host, self._port)
                        writer.close()
                        await writer.wait_closed()
                        return True
                    await asyncio.sleep(0.005)
        return False

    async def _post(self, invocation: Invocation) -> tuple[int, bytes]:
        """One POST over a connection of its own; status and body of the answer."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            connection = h11.Connection(h11.CLIENT)
            headers = [
                ("Host", self._host),
                ("Content-Length", str(len(invocation.payload))),
                ("Connection", "close"),
            ]
            if invocation.trace_id:
                headers.append(("X-Amzn-Trace-Id", invocation.trace_id))
            for event in (
                h11.Request(method="POST", target=_INVOKE_PATH, headers=headers),
                h11.Data(data=invocation.payload),
                h11.EndOfMessage(),
            ):
                writer.write(connection.send(event) or b"")
            await writer.drain()
            return await _read_response(connection, reader)
        finally:
            writer.close()


async def _read_response(connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[int, bytes]:
    status, body = 0, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return status, bytes(body)


def _outcome(status: int, body: bytes, invocation: Invocation, function: Function) -> Outcome:
    """What the emulator's answer means.

    It tells function errors, timeouts and results apart only by their body.
    """
    if body.startswith(b"Task timed out after"):
        return timed_out(invocation.request_id, function.timeout)
    try:
        answer: Any = json.loads(body) if body else None
    except ValueError:
        return failure("Sandbox.Failure", body.decode(errors="replace"), request_id=invocation.request_id)
    is_error = isinstance(answer, dict) and {"errorMessage", "errorType"} <= answer.keys() <= _ERROR_KEYS
    if status != 200 or is_error:
        # The function's process may have ended; the emulator would start it anew, but so does the pool.
        return Outcome(body, function_error=True, environment_usable=status == 200)
    return limited(Outcome(body or b"null"))


def _own_loopback_address() -> str:
    """A loopback address of this process only: no other process takes a port that was found free on it."""
    if not sys.platform.startswith("linux"):
        return "127.0.0.1"
    pid = os.getpid()
    return f"127.{64 + (pid >> 16) % 64}.{pid >> 8 & 255}.{pid & 255 or 255}"


def _free_ports(host: str, count: int) -> list[int]:
    """Ports that are free at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for listener in sockets:
            listener.bind((host, 0))
        return [listener.getsockname()[1] for listener in sockets]
    finally:
        for listener in sockets:
            listener.close()
