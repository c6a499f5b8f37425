"""Worker processes, forked from a process that has imported the modules that all functions share."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from local.gateway.environments.fork_server_process import ForkServerProcess, WorkerProcess

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Mapping, Sequence

    from local.gateway.stack import Function

_log = logging.getLogger("gateway.workers")


class WorkerProcesses:
    """Starts workers for the functions of a stack. Replaces a fork server that has ended or is out of date."""

    def __init__(
        self, functions: Iterable[Function], variables: Iterable[Mapping[str, str]], *, stdout: int | None = None
    ) -> None:
        """`variables` has the variables of each function. `stdout` is a descriptor for the output of all workers."""
        self._shared, self._variables = shared_by(list(functions), list(variables))
        self._stdout = stdout
        self._server: ForkServerProcess | None = None
        self._one_at_a_time = asyncio.Lock()

    async def start(self, function: Function, variables: Mapping[str, str], connection: socket.socket) -> WorkerProcess:
        """Start a worker that serves `function` over `connection`. Raise OSError when no process can be started."""
        order = {
            "name": function.logical_id,
            "cwd": str(function.code_dir),
            "path": variables["PYTHONPATH"].split(os.pathsep),
            "variables": dict(variables),
        }
        async with self._one_at_a_time:
            for _ in range(2):
                server = await self._running()
                try:
                    worker = await server.start(order, connection)
                except ConnectionError:
                    _log.warning("the fork server has ended, starting another")
                    continue
                if worker is not None:
                    return worker
                _log.info("a shared module has changed, starting a fork server with the new one")
                server.retire()
                self._server = None
            raise OSError("the fork server does not stay alive")

    async def warm_up(self) -> None:
        """Start the fork server before it is needed."""
        async with self._one_at_a_time:
            await self._running()

    async def close(self) -> None:
        """End the fork server. Its workers must have ended before."""
        async with self._one_at_a_time:
            if self._server is not None:
                await self._server.close()

    async def _running(self) -> ForkServerProcess:
        if self._server is None or not self._server.alive:
            self._server = await ForkServerProcess.launch(self._shared, self._variables, self._stdout)
        return self._server


def shared_by(
    functions: Sequence[Function], variables: Sequence[Mapping[str, str]]
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the modules that a fork server of these functions imports, and its variables.

    It has the variables that are the same for all functions, for modules that read a variable when they are imported.
    """
    folders = [[str(layer / "python") for layer in function.layer_dirs] for function in functions]
    shared = {
        "path": [each for each in folders[0] if all(each in other for other in folders)] if folders else [],
        "handlers": sorted({str(_handler_file(function)) for function in functions}),
    }
    return shared, dict(set.intersection(*(set(each.items()) for each in variables))) if variables else {}


def _handler_file(function: Function) -> Path:
    module = function.handler.rpartition(".")[0].replace(".", "/")
    return function.code_dir / f"{module}.py"
