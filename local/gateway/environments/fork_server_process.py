"""The gateway's side of a fork server: its process, and the workers that it has forked.

fork_server.py describes the packets on its socket.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORK_SERVER = Path(__file__).with_name("fork_server.py")
_PACKET = 1 << 16


class WorkerProcess:
    """A started worker. Orders to its fork server contain its number."""

    def __init__(self, server: ForkServerProcess, number: int, pid: int) -> None:
        """Called by ForkServerProcess."""
        self.number = number
        self.pid = pid
        self._server = server
        self.end_ordered = False
        self._ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    @property
    def alive(self) -> bool:
        """Whether its fork server has not yet reported its end."""
        return not self._ended.done()

    async def wait(self) -> int | None:
        """Wait until it has ended. Return its exit status, negative for a signal, or None if it is not known."""
        return await asyncio.shield(self._ended)

    async def end(self) -> None:
        """Kill it with every process that its handler started, and wait until it is gone."""
        if not self.end_ordered:
            self.end_ordered = True
            self._server.end(self)
        await self.wait()

    def has_ended(self, status: int | None) -> None:
        """Record its end. Called by its fork server."""
        if self.alive:
            self._ended.set_result(status)


class ForkServerProcess:
    """One fork server, and its workers whose end it has not yet reported."""

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket) -> None:
        self._process = process
        self._control = control
        self._retired = False
        self._last = 0
        self._workers: dict[int, WorkerProcess] = {}
        self._starting: asyncio.Future[WorkerProcess | None] | None = None
        asyncio.get_running_loop().add_reader(control, self._receive)

    @classmethod
    async def launch(
        cls, shared: dict[str, list[str]], variables: Mapping[str, str], stdout: int | None
    ) -> ForkServerProcess:
        """Start it. It obeys orders once it has imported the shared modules."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # A session of its own, so that Ctrl-C reaches only the gateway, which lets requests finish first.
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", str(_FORK_SERVER), str(theirs.fileno()),
                env=variables, pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL, stdout=stdout, start_new_session=True,
            )  # fmt: skip
        ours.send(json.dumps(shared).encode())
        return cls(process, ours)

    @property
    def alive(self) -> bool:
        """Whether it obeys orders. Its end may not be noticed yet."""
        return self._control.fileno() >= 0

    async def start(self, order: dict[str, Any], connection: socket.socket) -> WorkerProcess | None:
        """Return a new worker, or None when a shared module has changed.

        Raise ConnectionError when the fork server has ended, and another OSError when the system has no more processes.
        """
        self._last += 1
        self._starting = asyncio.get_running_loop().create_future()
        packet = json.dumps({"start": self._last, **order}).encode()
        try:
            socket.send_fds(self._control, [packet], [connection.fileno()])
        except OSError:
            self._lost()
        return await self._starting

    def end(self, worker: WorkerProcess) -> None:
        """Order the end of a worker, once."""
        if worker.number not in self._workers:
            return  # it ended with its fork server
        self._send_end(worker.number)
        self._forget_if_ended(worker)

    def retire(self) -> None:
        """End the fork server once it has no worker."""
        self._retired = True
        self._hang_up_if_unused()

    async def close(self) -> None:
        """End the fork server now."""
        self._hang_up()
        await self._process.wait()

    def _receive(self) -> None:
        try:
            packet = self._control.recv(_PACKET)
        except ConnectionError:
            packet = b""
        if not packet:
            self._lost()
            return
        report = json.loads(packet)
        if "status" not in report:
            self._started(report)
        elif (worker := self._workers.get(report["worker"])) is not None:
            worker.has_ended(report["status"])
            if not worker.end_ordered:  # processes of its handler may be left, and the worker itself is a zombie
                worker.end_ordered = True
                self._send_end(worker.number)
            self._forget_if_ended(worker)

    def _started(self, report: dict[str, Any]) -> None:
        wanted = self._starting is not None and not self._starting.done() and report["worker"] == self._last
        worker = WorkerProcess(self, report["worker"], report["pid"]) if "pid" in report else None
        if worker is not None and wanted:
            self._workers[worker.number] = worker
        elif worker is not None:
            self._send_end(worker.number)  # its caller was cancelled
        if wanted and self._starting is not None:
            if "error" in report:
                self._starting.set_exception(OSError(report["error"]))
            else:
                self._starting.set_result(worker)

    def _send_end(self, number: int) -> None:
        try:
            self._control.send(json.dumps({"end": number}).encode())
        except OSError:
            self._lost()

    def _forget_if_ended(self, worker: WorkerProcess) -> None:
        if worker.end_ordered and not worker.alive:
            self._workers.pop(worker.number, None)
            self._hang_up_if_unused()

    def _hang_up_if_unused(self) -> None:
        if self._retired and not self._workers:
            self._hang_up()

    def _lost(self) -> None:
        """Kill all workers: the fork server has ended by itself, so nobody reports their end."""
        self._hang_up()
        if self._starting is not None and not self._starting.done():
            self._starting.set_exception(ConnectionResetError("the fork server has ended"))
        for worker in self._workers.values():
            if worker.alive:
                with suppress(ProcessLookupError):
                    os.killpg(worker.pid, signal.SIGKILL)
                worker.has_ended(None)
        self._workers.clear()

    def _hang_up(self) -> None:
        if self.alive:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
