"""The services beside the measured functions: Auth, NATS, a Lambda API, and a migrated database."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from loopback_server import serving

from local.parts.auth import AuthServer
from local.parts.nats import NatsServer
from local.parts.postgres import PostgresServer


@contextmanager
def _lambda_api() -> Iterator[str]:
    """Yield the address of a Lambda API that accepts every asynchronous Invoke, with which changes wake the relay."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Accept an Invoke."""
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(202)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with serving(Handler) as url:
        yield url


@contextmanager
def surroundings(server: PostgresServer, folder: Path) -> Iterator[dict[str, str]]:
    """Run Auth with SpiceDB's calls, NATS, and a migrated database. Yield the variables for them."""
    auth = AuthServer(server.create_database("auth"), folder / "keys")
    nats = NatsServer(folder / "nats")
    with _lambda_api() as lambda_url:
        try:
            for part in (auth, nats):
                part.start()
                part.wait_ready()
            variables = {
                "AWS_ENDPOINT_URL_LAMBDA": lambda_url,
                "AWS_SAM_LOCAL": "true",
                "OUTBOX_FUNCTION": "deliver_outbox",
                "MG_USERS_DB_HOST": server.host,
                "MG_USERS_DB_PORT": str(server.port),
                "MG_USERS_DB_USER": "postgres",
                "MG_USERS_DB_NAME": "users",
                "MG_AUTH_GRPC_URL": auth.grpc_url,
                "MG_AUTH_JWKS_URL": auth.jwks_url,
                "MG_SPICEDB_HOST": "127.0.0.1",
                "MG_SPICEDB_PORT": str(auth.ports.spicedb),
                "MG_USERS_ES_URL": nats.url,
                "MG_USERS_SECRET_KEY": "0123456789abcdef0123456789abcdef",
                "MG_USERS_ADMIN_PASSWORD": "an operator chose this",
                "MG_USERS_REGISTRATIONS_PER_HOUR": "0",
                "MG_USERS_VERIFY_ON_REGISTER": "false",
                "MG_ALLOW_UNVERIFIED_USER": "true",
            }
            server.create_database("users")
            os.environ |= variables | {"MG_USERS_LOG_LEVEL": "warn"}  # only for this process
            from background.setup.schema import migrate

            migrate()
            yield variables
        finally:
            nats.stop()
            auth.stop()
