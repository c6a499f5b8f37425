"""The execution environments of one function: as many as it needs, up to a limit, each with one invoke at a time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from local.gateway.invocation import EnvironmentNotStarted, ExecutionEnvironment, Invocation, Outcome, failure

if TYPE_CHECKING:
    from collections.abc import Callable


class EnvironmentPool:
    """Gives each invoke a free environment, starts one when none is free, and queues invokes (FIFO) beyond `size`.

    A waiting invoke takes the first environment that becomes free, even if another one is being started for it.
    """

    def __init__(self, new_environment: Callable[[], ExecutionEnvironment], size: int) -> None:
        """`new_environment` makes an environment that is not yet started. `size` is the largest number of them."""
        self._new_environment = new_environment
        self._size = size
        self._environments: set[ExecutionEnvironment] = set()
        self._idle: list[tuple[ExecutionEnvironment, float]] = []
        self._waiting: deque[asyncio.Future[ExecutionEnvironment]] = deque()
        self._starting: set[asyncio.Task[None]] = set()
        self._closed = False

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Run one invoke. It must not be cancelled, because its environment would stay in the middle of it."""
        try:
            environment = await self._acquire()
        except EnvironmentNotStarted as error:
            return error.outcome
        outcome = await environment.invoke(invocation)
        if outcome.environment_usable and environment.alive:
            self._offer(environment)
        else:
            await self._discard(environment)
        return outcome

    async def stop_idle(self, seconds: float, surplus_seconds: float) -> None:
        """Stop the environments that have been idle for `seconds`. All but one stop after `surplus_seconds`."""
        now = time.monotonic()
        kept: list[tuple[ExecutionEnvironment, float]] = []
        old: list[tuple[ExecutionEnvironment, float]] = []
        for place, (environment, since) in enumerate(reversed(self._idle)):
            patience = min(seconds, surplus_seconds) if place else seconds
            (kept if now - since < patience else old).append((environment, since))
        self._idle = kept[::-1]
        for environment, _ in old:
            await self._discard(environment)

    async def close(self) -> None:
        """Stop every environment. A running invoke then ends as a crash, a waiting one as a failed start."""
        self._closed = True
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        while (waiting := self._next_waiting()) is not None:
            waiting.set_exception(_stopping())
        await asyncio.gather(*(environment.stop() for environment in self._environments))

    async def _acquire(self) -> ExecutionEnvironment:
        if self._closed:
            raise _stopping()
        while self._idle:
            # The environment that was used last, so that the others grow old and are stopped.
            environment, _ = self._idle.pop()
            if environment.alive:
                return environment
            await self._discard(environment)
        waiting: asyncio.Future[ExecutionEnvironment] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self._grow()
        return await waiting

    def _grow(self) -> None:
        """Start environments for the waiting invokes, up to the limit."""
        while len(self._starting) < len(self._waiting) and len(self._environments) < self._size:
            environment = self._new_environment()
            self._environments.add(environment)
            task = asyncio.create_task(self._start(environment))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _start(self, environment: ExecutionEnvironment) -> None:
        try:
            await environment.start()
        except EnvironmentNotStarted as error:
            self._environments.discard(environment)
            if (waiting := self._next_waiting()) is not None:
                waiting.set_exception(error)
        else:
            self._offer(environment)
        finally:
            # The done callback would do this too, but the next invoke may arrive before it runs.
            task = asyncio.current_task()
            if task is not None:
                self._starting.discard(task)
        if not self._closed:
            self._grow()

    def _offer(self, environment: ExecutionEnvironment) -> None:
        if (waiting := self._next_waiting()) is not None:
            waiting.set_result(environment)
        else:
            self._idle.append((environment, time.monotonic()))

    async def _discard(self, environment: ExecutionEnvironment) -> None:
        await environment.stop()
        self._environments.discard(environment)
        if not self._closed:
            self._grow()

    def _next_waiting(self) -> asyncio.Future[ExecutionEnvironment] | None:
        """Take the invoke that has waited longest from the queue. Cancelled ones are skipped."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                return waiting
        return None


def _stopping() -> EnvironmentNotStarted:
    return EnvironmentNotStarted(failure("Sandbox.Shutdown", "Error: the gateway is stopping"))
