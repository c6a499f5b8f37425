"""Runs the gateway: both HTTP interfaces, the schedules, and an orderly end.

The HTTP API has the limits of contract §8.6, set by MG_USERS_HTTP_SERVER_*: READ_HEADER_TIMEOUT (http/protocol.py),
READ_TIMEOUT (the time for a body, then 408), IDLE_TIMEOUT (keep-alive connections) and MAX_HEADER_BYTES. At the end,
requests have 5 s. uvicorn has no WRITE_TIMEOUT, but an answer comes after the route's integration timeout (30 s) at the
latest, as with API Gateway. API Gateway also limits request line and headers to 10 240 bytes. Here the limit is
MAX_HEADER_BYTES (1 MiB).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from local.gateway.environments.process import ProcessEnvironment
from local.gateway.environments.rie import RieEnvironment
from local.gateway.environments.variables import function_variables
from local.gateway.environments.worker_processes import WorkerProcesses
from local.gateway.http.http_api import HttpApi
from local.gateway.http.lambda_api import LambdaApi
from local.gateway.http.protocol import Patience, UnambiguousRequests, patient_protocol
from local.gateway.invocation import ExecutionEnvironment, Invocation
from local.gateway.lambda_service import SURPLUS_SECONDS, LambdaService
from local.gateway.schedules import run_schedule
from local.serving.sockets import LOOPBACK, Port, listen
from local.serving.variables import SettingsUnusable

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator, Iterator

    from local.gateway.http.asgi import Application
    from local.gateway.settings import Settings
    from local.gateway.stack import Function, Stack

# Seconds that requests and invokes have to finish when the gateway stops (contract §8.6).
GRACE = 5.0


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
        http = Port("MG_USERS_HTTP_PORT", settings.http_port, settings.http_host, "MG_USERS_HTTP_HOST")
        http_sockets = _listening(resources, http)
        lambda_sockets = _listening(resources, Port("MG_LOCAL_LAMBDA_PORT", settings.lambda_port))
        http_port, lambda_port = (bound[0].getsockname()[1] for bound in (http_sockets, lambda_sockets))
        service = lambda_service(stack, settings, lambda_port)
        http_server = _Server(_http_config(HttpApi(service, settings.read_timeout, settings.proxies), settings))
        lambda_server = _Server(_config(LambdaApi(service, settings.http_host), settings))
        serving = [
            asyncio.create_task(http_server.serve(http_sockets)),
            asyncio.create_task(lambda_server.serve(lambda_sockets)),
        ]
        background = [asyncio.create_task(work) for work in _background(service, stack, settings)]
        stop = _stop_event()
        await asyncio.gather(http_server.listening.wait(), lambda_server.listening.wait())
        scheme = "https" if settings.certificate else "http"
        ready = {"message": "ready", "http_port": http_port, "lambda_port": lambda_port, "scheme": scheme}
        print(json.dumps(ready), flush=True)
        await stop.wait()
        await _end(service, serving, background, http_server, lambda_server)


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to `serve` and sets `listening` once it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


def _config(application: Application, settings: Settings, **options: object) -> uvicorn.Config:
    return uvicorn.Config(
        UnambiguousRequests(application),
        http=patient_protocol(Patience(settings.header_timeout, settings.read_timeout)),  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        # Otherwise a client on this machine could choose its address by X-Forwarded-For. client_address.py reads it.
        proxy_headers=False,
        timeout_graceful_shutdown=int(GRACE),
        **options,  # type: ignore[arg-type]
    )


def _http_config(application: Application, settings: Settings) -> uvicorn.Config:
    config = _config(
        application,
        settings,
        timeout_keep_alive=int(settings.idle_timeout),
        h11_max_incomplete_event_size=settings.max_header_bytes,
    )
    if not settings.certificate and not settings.key:
        return config
    try:
        with (
            _pem_file("MG_USERS_HTTP_SERVER_CERT", settings.certificate) as certificate,
            _pem_file("MG_USERS_HTTP_SERVER_KEY", settings.key) as key,
        ):
            config.ssl_certfile, config.ssl_keyfile = certificate, key
            config.load()
    except OSError as error:  # ssl.SSLError is one
        variables = "MG_USERS_HTTP_SERVER_CERT, MG_USERS_HTTP_SERVER_KEY"
        raise SettingsUnusable(f"{variables}: the certificate or key cannot be used: {error}") from error
    return config


@contextmanager
def _pem_file(variable: str, value: str) -> Iterator[str]:
    """Yield a file with the PEM text; `value` is the text or the path of a file.

    The file of an inline text exists only while the context is open.
    """
    if not value:
        raise SettingsUnusable(f"{variable} is unset, but its counterpart is set: TLS needs both")
    if "-----BEGIN" not in value:
        if not Path(value).is_file():
            raise SettingsUnusable(f"{variable}: there is no file {value}")
        yield value
        return
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(value.replace("\\n", "\n"))
        file.flush()
        yield file.name


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
    http_server: _Server,
    lambda_server: _Server,
) -> None:
    """End the HTTP API first, then the functions, then the Invoke API.

    A function of a running request may still invoke another one.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + GRACE
    for task in background:
        task.cancel()
    http_server.should_exit = True
    await asyncio.wait(serving[:1], timeout=GRACE)
    await service.close(grace=max(0.0, deadline - loop.time()))
    lambda_server.should_exit = True
    http_server.force_exit = lambda_server.force_exit = True
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*serving, *background, return_exceptions=True)
