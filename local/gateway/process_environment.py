"""An execution environment that is a worker process (RUNTIME=process).

See worker_processes.py for where it comes from, and worker.py for what is spoken with it.
"""

from __future__ import annotations

import asyncio
import json
import select
import socket
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from local.gateway.invocation import (
    EnvironmentStartError,
    Invocation,
    Outcome,
    exited,
    failure,
    limited,
    timed_out,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.gateway.stack import Function
    from local.gateway.worker_processes import WorkerProcess, WorkerProcesses

_LENGTHS = struct.Struct(">II")

# Lambda allows 10 s for the init phase; a busy laptop that starts many workers at once may need longer.
INIT_TIMEOUT = 30.0


class ProcessEnvironment:
    """One worker process of one function. A timeout or a crash ends it; the pool then starts another."""

    def __init__(
        self,
        function: Function,
        variables: Mapping[str, str],
        function_arn: str,
        workers: WorkerProcesses,
    ) -> None:
        """`variables` is the whole environment of the process, which `workers` starts."""
        self._function = function
        self._variables = variables
        self._function_arn = function_arn
        self._workers = workers
        self._worker: WorkerProcess | None = None
        self._socket: socket.socket
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None

    @property
    def alive(self) -> bool:
        """Whether the worker process runs; asked while no invoke does, when it has nothing to say."""
        if self._worker is None or not self._worker.alive or self._socket.fileno() < 0:
            return False
        # The kernel knows of its end before the event loop does.
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    async def start(self) -> None:
        """Start the worker and wait until its handler is loaded; raises EnvironmentStartError."""
        try:
            async with asyncio.timeout(INIT_TIMEOUT):
                await self._spawn()
                status, payload = await self._receive()
        except TimeoutError:
            message = f"Error: Init timed out after {INIT_TIMEOUT:.2f} seconds"
            await self._give_up(failure("Sandbox.Timedout", message))
        except (asyncio.IncompleteReadError, ConnectionError):
            await self._give_up(exited("", await self._exit_status()))
        except OSError as error:
            await self._give_up(failure("Sandbox.Failure", f"Error: the worker cannot be started: {error}"))
        else:
            if status != "ready":
                await self._give_up(Outcome(payload, function_error=True, environment_usable=False))

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Run one invoke; the worker is killed when the function's Timeout passes."""
        try:
            async with asyncio.timeout(self._function.timeout):
                await self._send(invocation)
                status, payload = await self._receive()
        except TimeoutError:
            await self.stop()
            return timed_out(invocation.request_id, self._function.timeout)
        except (asyncio.IncompleteReadError, ConnectionError):
            return exited(invocation.request_id, await self._exit_status())
        return limited(Outcome(payload, function_error=status != "ok"))

    async def stop(self) -> None:
        """Kill the worker and whatever its handler started."""
        if self._writer is not None:
            self._writer.close()
        if self._worker is not None:
            await self._worker.end()

    async def _spawn(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._worker = await self._workers.start(self._function, self._variables, theirs)
        self._reader, self._writer = await asyncio.open_connection(sock=self._socket)

    async def _send(self, invocation: Invocation) -> None:
        assert self._writer is not None
        header = json.dumps(
            {
                "request_id": invocation.request_id,
                "deadline_ms": int((time.time() + self._function.timeout) * 1000),
                "function_arn": self._function_arn,
                "client_context": invocation.client_context,
                "trace_id": invocation.trace_id,
            }
        ).encode()
        self._writer.write(_LENGTHS.pack(len(header), len(invocation.payload)) + header + invocation.payload)
        await self._writer.drain()

    async def _receive(self) -> tuple[str, bytes]:
        header_length, payload_length = _LENGTHS.unpack(await self._reader.readexactly(_LENGTHS.size))
        header: dict[str, Any] = json.loads(await self._reader.readexactly(header_length))
        return header["status"], await self._reader.readexactly(payload_length)

    async def _exit_status(self) -> int | None:
        """How the worker ended; the socket may close a moment before the process is gone."""
        if self._worker is None:
            return None
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                return await self._worker.wait()
        return None

    async def _give_up(self, outcome: Outcome) -> None:
        await self.stop()
        raise EnvironmentStartError(outcome)
