"""The process: it binds its port, logs that it is ready, and ends within 5 seconds on SIGTERM or SIGINT."""

import asyncio
import errno
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import grpc
from grpc_health.v1 import health as grpc_health
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection

from background.users_service import health, retrieval
from background.users_service.certificates import server_credentials
from users.repository import database
from users.settings import Settings, WrongSettings
from users.telemetry.log import logger

_GRACE = 3.0  # seconds for running calls during a stop
_CLOSING = 0.5  # seconds to close the database connection
_MOST_CALLS = 256  # at once, including streams of reflection and health


async def serve(s: Settings) -> None:
    """Serve until a signal. WrongSettings when the port cannot be bound or TLS cannot be set up."""
    credentials = server_credentials(s)
    # One thread, because a process has one database connection. Calls wait in the loop, where a client can cancel them.
    worker = ThreadPoolExecutor(1, "database")
    server = grpc.aio.server(maximum_concurrent_rpcs=_MOST_CALLS, options=[("grpc.so_reuseport", 0)])
    status = health.Health(worker)
    server.add_generic_rpc_handlers((retrieval.users_service(worker),))
    add_HealthServicer_to_server(status, server)
    names = (retrieval.SERVICE, grpc_health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    address = _bind(server, s.grpc_host, s.grpc_port, credentials)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.start()
    security = "mTLS" if s.grpc_server_ca_certs or s.grpc_client_ca_certs else "TLS" if credentials else "plaintext"
    logger.info("ready", address=address, security=security)
    await stop.wait()
    logger.info("stopping")
    await status.enter_graceful_shutdown()
    await server.stop(_GRACE)
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(worker, database.close), _CLOSING)


def _bind(server: grpc.aio.Server, host: str, port: int, credentials: grpc.ServerCredentials | None) -> str:
    _check_free(host, port)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if credentials:
            server.add_secure_port(address, credentials)
        else:
            server.add_insecure_port(address)
    except RuntimeError as error:
        raise WrongSettings(f"MG_USERS_GRPC_HOST, MG_USERS_GRPC_PORT: cannot listen on {address}") from error
    return address


def _check_free(host: str, port: int) -> None:
    """Check each address of the host. gRPC reports no reason of a failure, and accepts one address of several."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise WrongSettings(f"MG_USERS_GRPC_HOST: {host} cannot be resolved: {error.strerror}") from error
    refusals = [refusal for family, _, _, _, address in found if (refusal := _refusal(family, address))]
    # A family of addresses may be missing on this machine, but no address may be in use.
    taken = [refusal for refusal in refusals if refusal.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}]
    if taken or len(refusals) == len(found):
        raise WrongSettings(
            f"MG_USERS_GRPC_PORT: cannot listen on {host} port {port}: {(taken or refusals)[0].strerror};"
            " end the program on that port, or set another port"
        )


def _refusal(family: int, address: tuple[Any, ...]) -> OSError | None:
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        return error
    return None
