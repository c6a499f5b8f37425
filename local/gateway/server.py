"""Runs the gateway: both HTTP interfaces, the schedules, and an orderly end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from local.gateway.environments.process import ProcessEnvironment
from local.gateway.environments.rie import RieEnvironment
from local.gateway.environments.variables import function_variables
from local.gateway.environments.worker_processes import WorkerProcesses
from local.gateway.http.http_api import HttpApi
from local.gateway.http.lambda_api import LambdaApi
from local.gateway.http_servers import GRACE, Server, http_server, lambda_server
from local.gateway.invocation import ExecutionEnvironment, Invocation
from local.gateway.lambda_service import SURPLUS_SECONDS, LambdaService
from local.gateway.schedules import run_schedule
from local.serving.sockets import LOOPBACK, Port, listen

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from local.gateway.settings import Settings
    from local.gateway.stack import Function, Stack


def lambda_service(
    stack: Stack,
    settings: Settings,
    lambda_port: int,
    *,
    workers: int | None = None,
    stdout: int | None = None,
) -> LambdaService:
    """Return the service that runs the functions of `stack`, in environments of the kind that `settings` name."""
    url = f"http://{LOOPBACK}:{lambda_port}"
    variables = {name: function_variables(each, stack, os.environ, url) for name, each in stack.functions.items()}
    emulator = settings.emulator
    if emulator is not None:

        def new_emulator(function: Function) -> ExecutionEnvironment:
            return RieEnvironment(function, variables[function.logical_id], emulator, stdout=stdout)

        return LambdaService(stack, new_emulator, workers or settings.workers)
    processes = WorkerProcesses(stack.functions.values(), variables.values(), stdout=stdout)

    def new_process(function: Function) -> ExecutionEnvironment:
        arn = stack.function_arn(function.logical_id)
        return ProcessEnvironment(function, variables[function.logical_id], arn, processes)

    return LambdaService(stack, new_process, workers or settings.workers, processes)


async def serve(stack: Stack, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then let requests finish for at most 5 s, and stop every environment.

    Print one line of JSON, `{"message": "ready", "http_port", "lambda_port"}`, when both interfaces answer.
    Raise PortUnusable and SettingsUnusable before that.
    """
    with ExitStack() as resources:
        port = Port("MG_USERS_HTTP_PORT", settings.http_port, settings.http_host, "MG_USERS_HTTP_HOST")
        http_sockets = _listening(resources, port)
        lambda_sockets = _listening(resources, Port("MG_LOCAL_LAMBDA_PORT", settings.lambda_port))
        http_port, lambda_port = (bound[0].getsockname()[1] for bound in (http_sockets, lambda_sockets))
        service = lambda_service(stack, settings, lambda_port)
        http = http_server(HttpApi(service, settings.read_timeout, settings.proxies), settings)
        invoke = lambda_server(LambdaApi(service, settings.http_host), settings)
        serving = [
            asyncio.create_task(http.serve(http_sockets)),
            asyncio.create_task(invoke.serve(lambda_sockets)),
        ]
        background = [asyncio.create_task(work) for work in _background(service, stack, settings)]
        stop = _stop_event()
        await asyncio.gather(http.listening.wait(), invoke.listening.wait())
        scheme = "https" if settings.certificate else "http"
        ready = {"message": "ready", "http_port": http_port, "lambda_port": lambda_port, "scheme": scheme}
        print(json.dumps(ready), flush=True)
        await stop.wait()
        await _end(service, serving, background, http, invoke)


def _background(service: LambdaService, stack: Stack, settings: Settings) -> Iterator[asyncio._CoroutineLike[None]]:
    yield service.warm_up()
    yield _stop_idle(service, settings.idle_seconds)
    if settings.schedules:
        for schedule in stack.schedules:
            yield run_schedule(schedule, stack, lambda name, event: service.invoke_async(name, Invocation(event)))


async def _stop_idle(service: LambdaService, seconds: float) -> None:
    while True:
        await asyncio.sleep(max(0.5, min(seconds, SURPLUS_SECONDS) / 4))
        await service.stop_idle(seconds)


def _listening(resources: ExitStack, port: Port) -> list[socket.socket]:
    return [resources.enter_context(listener) for listener in listen(port)]


def _stop_event() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _end(
    service: LambdaService,
    serving: list[asyncio.Task[None]],
    background: list[asyncio.Task[None]],
    http: Server,
    invoke: Server,
) -> None:
    """End the HTTP API first, then the functions, then the Invoke API.

    A function of a running request may still invoke another one.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + GRACE
    for task in background:
        task.cancel()
    http.should_exit = True
    await asyncio.wait(serving[:1], timeout=GRACE)
    await service.close(grace=max(0.0, deadline - loop.time()))
    invoke.should_exit = True
    http.force_exit = invoke.force_exit = True
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*serving, *background, return_exceptions=True)
