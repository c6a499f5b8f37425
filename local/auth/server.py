"""The process: listen on three ports, print the ready line, stop on SIGTERM or SIGINT."""

from __future__ import annotations

import json
import logging
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection

from local.auth import wire
from local.auth.auth_api import auth_service
from local.auth.database import Database
from local.auth.domains_api import domains_service
from local.auth.faults import Faults
from local.auth.health_api import add_health
from local.auth.http_api import HttpServer
from local.auth.service import Auth
from local.auth.signing import load_signer
from local.auth.spicedb_api import PERMISSIONS_SERVICE, permissions_service
from local.auth.token_api import token_service
from local.auth.trials import Trials
from local.serving.sockets import PortUnusable, check, listen

if TYPE_CHECKING:
    from local.auth.settings import Settings
    from local.serving.sockets import Port

_HEALTH_NAME = "auth"
_THREADS = 16  # for both gRPC servers. So at most 16 database connections are open.
_STOP_GRACE_SECONDS = 1.0
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_log = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Serve until a stop signal. Raise SettingsUnusable, PortUnusable, or psycopg.Error without a database."""
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)  # a signal during the start ends the process at once
    signer = load_signer(settings)
    database = Database(settings.database)
    database.create_schema()
    database.close()  # this thread needs no connection any more
    auth = Auth(database, signer, settings.durations, strict=settings.strict)
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)  # threads inherit it, so only sigwait takes the signals
    with ExitStack() as running:
        executor = running.enter_context(ThreadPoolExecutor(_THREADS, thread_name_prefix="grpc"))
        faults = Faults()
        servers = _auth_server(executor, auth, faults), _spicedb_server(executor, database, settings, faults)
        ports = {
            "grpc_port": _bind(servers[0], settings.grpc),
            "http_port": _start_http(running, auth, settings, faults),
            "spicedb_port": _bind(servers[1], settings.spicedb),
        }
        running.callback(_stop, *servers)
        for server in servers:
            server.start()
        print(json.dumps({"message": "ready", **ports}), flush=True)
        _log.info("stopping on %s", signal.Signals(signal.sigwait(_STOP_SIGNALS)).name)


def _auth_server(executor: ThreadPoolExecutor, auth: Auth, faults: Faults) -> grpc.Server:
    """Return the server of Auth and Domains. Only this one has reflection, as upstream."""
    server = _grpc_server(executor)
    server.add_generic_rpc_handlers((token_service(auth, faults), auth_service(auth, faults), domains_service()))
    add_health(server, _HEALTH_NAME)
    names = (wire.TOKEN_SERVICE, wire.AUTH_SERVICE, wire.DOMAINS_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server, pool=wire.POOL)
    return server


def _spicedb_server(
    executor: ThreadPoolExecutor, database: Database, settings: Settings, faults: Faults
) -> grpc.Server:
    """Return the server of SpiceDB's calls. Its health needs no key, as SpiceDB's."""
    server = _grpc_server(executor)
    server.add_generic_rpc_handlers((permissions_service(database, settings.spicedb_key, faults),))
    add_health(server, PERMISSIONS_SERVICE)
    return server


def _grpc_server(executor: ThreadPoolExecutor) -> grpc.Server:
    # By default, gRPC lets two processes share a port: each would answer half of the calls.
    return grpc.server(executor, options=[("grpc.so_reuseport", 0)])


def _bind(server: grpc.Server, port: Port) -> int:
    """Bind a port and return its number. Raise PortUnusable."""
    check(port)  # gRPC's own error contains no reason
    try:
        host = f"[{port.host}]" if ":" in port.host else port.host
        return server.add_insecure_port(f"{host}:{port.number}")
    except RuntimeError as error:
        raise PortUnusable(f"port {port.number} of {port.host} cannot be used ({error})", port.variable) from error


def _start_http(running: ExitStack, auth: Auth, settings: Settings, faults: Faults) -> int:
    """Serve HTTP in a thread until `running` ends, and return the port. Raise PortUnusable."""
    rotate = partial(auth.rotate_keys, Path(settings.keys_dir))
    trials = Trials(faults, rotate, auth.jwks) if settings.faults else None
    listener, *others = listen(settings.http)
    for other in others:  # an address of one family is enough
        other.close()
    server = running.enter_context(HttpServer(listener, auth.jwks, trials))
    threading.Thread(target=server.serve_forever, args=(0.1,), name="http", daemon=True).start()
    running.callback(server.shutdown)
    return int(listener.getsockname()[1])


def _stop(*servers: grpc.Server) -> None:
    """Refuse new calls, give running calls a moment, then cancel them."""
    for stopped in [server.stop(_STOP_GRACE_SECONDS) for server in servers]:
        stopped.wait()
