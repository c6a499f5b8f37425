"""The process: binds its ports, says that it is ready, and stops on SIGTERM or SIGINT."""

from __future__ import annotations

import json
import logging
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from local.auth.auth_api import add_auth_services
from local.auth.database import Database
from local.auth.faults import Faults
from local.auth.jwks_api import JwksServer, Trials
from local.auth.service import Auth
from local.auth.signing import load_signer
from local.auth.spicedb_api import add_permissions_service

if TYPE_CHECKING:
    from local.auth.settings import Settings

_THREADS = 16  # shared by both gRPC servers: also the most database connections that are ever open
_STOP_GRACE_SECONDS = 1.0
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_log = logging.getLogger(__name__)


class PortUnavailable(Exception):
    """A port cannot be bound; the message names it and the variable that changes it."""

    def __init__(self, host: str, port: int, variable: str, error: OSError | RuntimeError) -> None:
        """Take the variable's name."""
        reason = getattr(error, "strerror", None) or error
        super().__init__(f"cannot listen on {host} port {port}: {reason} (set {variable} to use another port)")


def serve(settings: Settings) -> None:
    """Serve until a stop signal. Raises SettingsError, PortUnavailable; psycopg.Error without a database."""
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)  # while starting, a signal just ends the process
    signer = load_signer(settings)
    database = Database(settings.database)
    database.create_schema()
    database.close()  # this thread has no more use for it
    auth = Auth(database, signer, settings.durations, strict=settings.strict)
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)  # threads inherit it: only sigwait below takes them
    with ExitStack() as running:
        executor = running.enter_context(ThreadPoolExecutor(_THREADS, thread_name_prefix="grpc"))
        auth_server, spicedb_server = _grpc_server(executor), _grpc_server(executor)
        faults = Faults()
        add_auth_services(auth_server, auth, faults)
        add_permissions_service(spicedb_server, database, settings.spicedb_key, faults)
        ports = {
            "grpc_port": _bind(auth_server, settings.grpc_host, settings.grpc_port, "MG_AUTH_GRPC_PORT"),
            "http_port": _start_http(running, auth, settings, faults),
            "spicedb_port": _bind(spicedb_server, settings.grpc_host, settings.spicedb_port, "MG_SPICEDB_PORT"),
        }
        running.callback(_stop, auth_server, spicedb_server)
        auth_server.start()
        spicedb_server.start()
        print(json.dumps({"message": "ready", **ports}), flush=True)
        _log.info("stopping on %s", signal.Signals(signal.sigwait(_STOP_SIGNALS)).name)


def _grpc_server(executor: ThreadPoolExecutor) -> grpc.Server:
    # Without so_reuseport=0 two processes would share one port, each answering half of the calls.
    return grpc.server(executor, options=[("grpc.so_reuseport", 0)])


def _bind(server: grpc.Server, host: str, port: int, variable: str) -> int:
    """Bind host and port (0 = a free one) and give the port. Raises PortUnavailable."""
    try:
        _probe(host, port)  # gRPC itself does not say why an address cannot be bound
        return server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    except (OSError, RuntimeError) as error:
        raise PortUnavailable(host, port, variable, error) from error


def _probe(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _start_http(running: ExitStack, auth: Auth, settings: Settings, faults: Faults) -> int:
    """Serve the public keys in a thread until `running` ends, and give the port. Raises PortUnavailable."""
    host, port = settings.http_host, settings.http_port
    trials = Trials(faults, partial(auth.rotate_keys, Path(settings.keys_dir))) if settings.faults else None
    try:
        server = running.enter_context(JwksServer((host, port), auth.jwks, trials))
    except OSError as error:
        raise PortUnavailable(host, port, "MG_AUTH_HTTP_PORT", error) from error
    threading.Thread(target=server.serve_forever, args=(0.1,), name="jwks", daemon=True).start()
    running.callback(server.shutdown)
    return server.server_port


def _stop(*servers: grpc.Server) -> None:
    """Refuse new calls, give those that run a moment, then cancel them."""
    for stopped in [server.stop(_STOP_GRACE_SECONDS) for server in servers]:
        stopped.wait()
