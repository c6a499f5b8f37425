"""The HTTP servers of both interfaces: uvicorn, with the limits of contract §8.6 and TLS.

MG_USERS_HTTP_SERVER_* set the limits of the HTTP API. READ_HEADER_TIMEOUT is in http/protocol.py. READ_TIMEOUT is the
time for a body, then 408. IDLE_TIMEOUT is for keep-alive connections. uvicorn has no WRITE_TIMEOUT, but an answer comes
after the route's integration timeout (30 s) at the latest, as with API Gateway. API Gateway also limits
request line and headers to 10 240 bytes. Here the limit is MAX_HEADER_BYTES (1 MiB).
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from local.gateway.http.protocol import Patience, UnambiguousRequests, patient_protocol
from local.serving.variables import SettingsUnusable

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator, Iterator

    from local.gateway.http.asgi import Application
    from local.gateway.settings import Settings

# Seconds that requests and invokes have to finish when the gateway stops (contract §8.6).
GRACE = 5.0


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to `serve` and sets `listening` once it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signal handlers of the process as they are."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and set `listening`."""
        await super().startup(sockets)
        self.listening.set()


def lambda_server(application: Application, settings: Settings) -> Server:
    """Return the server of the Invoke API."""
    return Server(_config(application, settings))


def http_server(application: Application, settings: Settings) -> Server:
    """Return the server of the HTTP API, with TLS if the settings have a certificate. Raise SettingsUnusable."""
    config = _config(
        application,
        settings,
        timeout_keep_alive=int(settings.idle_timeout),
        h11_max_incomplete_event_size=settings.max_header_bytes,
    )
    if settings.certificate or settings.key:
        _use_certificate(config, settings)
    return Server(config)


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


def _use_certificate(config: uvicorn.Config, settings: Settings) -> None:
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


@contextmanager
def _pem_file(variable: str, value: str) -> Iterator[str]:
    """Yield a file with the PEM text. `value` is the text or the path of a file.

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
