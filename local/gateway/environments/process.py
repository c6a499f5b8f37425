"""An execution environment that is a worker process (RUNTIME=process).

worker_processes.py starts the process. worker.py describes the frames on its socket.
"""

from __future__ import annotations

import asyncio
import json
import select
import socket
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING, cast

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

    from local.gateway.environments.fork_server_process import WorkerProcess
    from local.gateway.environments.worker_processes import WorkerProcesses
    from local.gateway.stack import Function

_LENGTHS = struct.Struct(">II")

# Lambda allows 10 s for the init phase; a busy laptop that starts many workers at once may need longer.
INIT_TIMEOUT = 30.0


class ProcessEnvironment:
    """One worker process of one function. After a timeout or a crash it has ended, and the pool starts another."""

    def __init__(
        self,
        function: Function,
        variables: Mapping[str, str],
        function_arn: str,
        workers: WorkerProcesses,
    ) -> None:
        """`variables` is the whole environment of the process. `workers` starts it."""
        self._function = function
        self._variables = variables
        self._function_arn = function_arn
        self._workers = workers
        self._worker: WorkerProcess | None = None
        self._socket: socket.socket
        self._channel: _Channel | None = None

    @property
    def alive(self) -> bool:
        """Whether the worker process runs. Only valid while no invoke runs, because then the worker sends nothing."""
        if self._worker is None or not self._worker.alive or self._socket.fileno() < 0:
            return False
        # The kernel reports its end before the event loop does.
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    async def start(self) -> None:
        """Start the worker and wait until its handler is loaded. Raise EnvironmentNotStarted."""
        try:
            async with asyncio.timeout(INIT_TIMEOUT):
                status, payload = await (await self._spawn()).answer()
        except TimeoutError:
            message = f"Error: Init timed out after {INIT_TIMEOUT:.2f} seconds"
            await self._give_up(failure("Sandbox.Timedout", message))
        except ConnectionError:
            await self._give_up(exited("", await self._exit_status()))
        except OSError as error:
            await self._give_up(failure("Sandbox.Failure", f"Error: the worker cannot be started: {error}"))
        else:
            if status != "ready":
                await self._give_up(Outcome(payload, function_error=True, environment_usable=False))

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Run one invoke. Kill the worker when the function's Timeout passes."""
        try:
            async with asyncio.timeout(self._function.timeout):
                status, payload = await self._ask(invocation)
        except TimeoutError:
            await self.stop()
            return timed_out(invocation.request_id, self._function.timeout)
        except ConnectionError:
            return exited(invocation.request_id, await self._exit_status())
        return limited(Outcome(payload, function_error=status != "ok"))

    async def stop(self) -> None:
        """Kill the worker and every process that its handler started."""
        if self._channel is not None:
            self._channel.close()
        if self._worker is not None:
            await self._worker.end()

    async def _spawn(self) -> _Channel:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._worker = await self._workers.start(self._function, self._variables, theirs)
        self._socket.setblocking(False)
        loop = asyncio.get_running_loop()
        _, self._channel = await loop.create_connection(_Channel, sock=self._socket)
        return self._channel

    async def _ask(self, invocation: Invocation) -> tuple[str, bytes]:
        assert self._channel is not None
        header = {
            "request_id": invocation.request_id,
            "deadline_ms": int((time.time() + self._function.timeout) * 1000),
            "function_arn": self._function_arn,
            "client_context": invocation.client_context,
            "trace_id": invocation.trace_id,
        }
        return await self._channel.ask(json.dumps(header).encode(), invocation.payload)

    async def _exit_status(self) -> int | None:
        """Return the worker's exit status. The socket may close a moment before the process is gone."""
        if self._worker is None:
            return None
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                return await self._worker.wait()
        return None

    async def _give_up(self, outcome: Outcome) -> None:
        await self.stop()
        raise EnvironmentNotStarted(outcome)


class _Channel(asyncio.Protocol):
    """The gateway's end of a worker's socket. Each frame out is followed by one frame in (worker.py)."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._received = bytearray()
        self._lost = False
        self._awaited: asyncio.Future[tuple[str, bytes]] | None = None

    async def ask(self, header: bytes, payload: bytes) -> tuple[str, bytes]:
        """Send a frame and return status and payload of its answer. Raise ConnectionError when the worker has ended."""
        # A worker reads the whole frame before it works, so there is no need to wait for the transport.
        self._transport.write(_LENGTHS.pack(len(header), len(payload)) + header + payload)
        return await self.answer()

    async def answer(self) -> tuple[str, bytes]:
        """Return status and payload of the next frame. Raise ConnectionError when the worker has ended."""
        self._awaited = asyncio.get_running_loop().create_future()
        self._settle()
        return await self._awaited

    def close(self) -> None:
        """Close the socket."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take the data."""
        self._received += data
        self._settle()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Record that the worker has ended, or that the socket was closed here."""
        self._lost = True
        self._settle()

    def _settle(self) -> None:
        """Pass the next frame to the waiting caller once it is whole, or the end of the worker."""
        if self._awaited is None or self._awaited.done():
            return
        if len(self._received) >= _LENGTHS.size:
            header_length, payload_length = _LENGTHS.unpack_from(self._received)
            payload_at = _LENGTHS.size + header_length
            end = payload_at + payload_length
            if len(self._received) >= end:
                status = json.loads(self._received[_LENGTHS.size : payload_at])["status"]
                payload = bytes(self._received[payload_at:end])
                self._received.clear()
                self._awaited.set_result((status, payload))
                return
        if self._lost:
            self._awaited.set_exception(ConnectionResetError("the worker has ended"))
