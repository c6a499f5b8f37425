"""Invokes functions by name, synchronously and asynchronously, in any kind of execution environment."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from local.gateway.environments.pool import EnvironmentPool

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from local.gateway.environments.worker_processes import WorkerProcesses
    from local.gateway.invocation import ExecutionEnvironment, Invocation, Outcome
    from local.gateway.stack import Function, Stack

_log = logging.getLogger("gateway.lambda")

# Seconds before the first and the second retry of a failed asynchronous invoke. Lambda waits 60 and 120 seconds.
RETRY_DELAYS = (1.0, 2.0)

# How long a function keeps more than one idle environment. Another one starts in a moment, but each idle one holds
# 10 MB here and a connection to PostgreSQL.
SURPLUS_SECONDS = 10.0


class LambdaService:
    """The functions of a stack, each with its own pool of at most `workers` environments."""

    def __init__(
        self,
        stack: Stack,
        new_environment: Callable[[Function], ExecutionEnvironment],
        workers: int,
        processes: WorkerProcesses | None = None,
    ) -> None:
        """`new_environment` makes an environment that is not yet started. `processes` are its workers, if any."""
        self.stack = stack
        self._processes = processes
        self._pools = {
            name: EnvironmentPool(lambda function=function: new_environment(function), workers)  # type: ignore[misc]
            for name, function in stack.functions.items()
        }
        self._by_name = {name: function for function in stack.functions.values() for name in function.names}
        self._running: set[asyncio.Task[Any]] = set()
        self._retrying: set[asyncio.Task[Any]] = set()

    def find(self, name: str) -> Function | None:
        """Return the function with this logical id or FunctionName."""
        return self._by_name.get(name)

    async def invoke(self, function: str, invocation: Invocation) -> Outcome:
        """Run one invoke of the function with this logical id.

        The function runs on when the caller is cancelled.
        """
        return await asyncio.shield(self._run(self._invoke(function, invocation)))

    def invoke_async(self, function: str, invocation: Invocation) -> None:
        """Run one invoke in the background. Repeat it after a function error as often as the function's `retries`."""
        self._run(self._invoke_with_retries(self.stack.functions[function], invocation))

    async def warm_up(self) -> None:
        """Start the fork server, so that the first invokes do not wait for it."""
        if self._processes is not None:
            await self._processes.warm_up()

    async def stop_idle(self, seconds: float) -> None:
        """Stop environments that have been idle for `seconds`, and surplus ones of a burst after SURPLUS_SECONDS."""
        for pool in self._pools.values():
            await pool.stop_idle(seconds, SURPLUS_SECONDS)

    async def close(self, grace: float) -> None:
        """Cancel retries, let running invokes finish for `grace` seconds, then stop every environment."""
        for task in self._retrying:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=grace)
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._processes is not None:
            await self._processes.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _invoke(self, function: str, invocation: Invocation) -> Outcome:
        outcome = await self._pools[function].invoke(invocation)
        if outcome.function_error:
            error = outcome.payload.decode(errors="replace")
            _log.error(
                "function error",
                extra={"function": function, "request": invocation.request_id, "error": error},
            )
        return outcome

    async def _invoke_with_retries(self, function: Function, invocation: Invocation) -> None:
        for delay in (*RETRY_DELAYS[: function.retries], None):
            outcome = await self._invoke(function.logical_id, invocation)
            if not outcome.function_error:
                return
            if delay is not None:
                await self._sleep(delay)
        _log.error(
            "asynchronous invoke given up",
            extra={"function": function.logical_id, "request": invocation.request_id},
        )

    async def _sleep(self, delay: float) -> None:
        """Wait before a retry. A stop of the gateway cancels an asynchronous invoke at once only here."""
        task = asyncio.current_task()
        assert task is not None
        self._retrying.add(task)
        try:
            await asyncio.sleep(delay)
        finally:
            self._retrying.discard(task)
