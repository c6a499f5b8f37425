"""gRPC channels to Magistrala's other services, with retries, TLS and mTLS (contract §8.4)."""

import json
from pathlib import Path
from typing import Any

import grpc

from users.errors import Unavailable
from users.telemetry.tracing import call_span

_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.05s",
                "maxBackoff": "0.2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
_OPTIONS = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.enable_retries", 1),
    # A channel that lost its server reconnects soon. gRPC's default pause grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # gRPC's default is 4 MiB, and the refresh tokens of one account can exceed that (S50).
    ("grpc.max_receive_message_length", 32 * 1024 * 1024),
]

_HEALTH_METHOD = "/grpc.health.v1.Health/Check"
_HEALTH_TIMEOUT = 1.0  # seconds


def open_channel(address: str, *, server_ca: str, client_cert: str, client_key: str) -> grpc.Channel:
    """Open a channel to ``host:port``, with ``server_ca`` by TLS. Certificates and key are paths or PEM, or empty."""
    if not server_ca:
        return grpc.insecure_channel(address, options=_OPTIONS)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_pem(server_ca), private_key=_pem(client_key), certificate_chain=_pem(client_cert)
    )
    return grpc.secure_channel(address, credentials, options=_OPTIONS)


def check_serving(channel: grpc.Channel, service: str, dependency: str) -> None:
    """Raise Unavailable unless the server serves ``service``, "" for the whole server (grpc.health.v1)."""
    from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse  # only `health` calls this

    check = channel.unary_unary(
        _HEALTH_METHOD,
        request_serializer=HealthCheckRequest.SerializeToString,
        response_deserializer=HealthCheckResponse.FromString,
    )
    try:
        with call_span(_HEALTH_METHOD) as metadata:
            answer = check(HealthCheckRequest(service=service), timeout=_HEALTH_TIMEOUT, metadata=metadata)
    except grpc.RpcError as error:
        raise Unavailable(dependency, error.code().name) from error
    if answer.status != HealthCheckResponse.SERVING:
        raise Unavailable(dependency, "not serving")


def _pem(path_or_pem: str) -> Any:
    """Return the bytes of a certificate or key that is a path or PEM (contract §8.6), None for an empty text."""
    if not path_or_pem:
        return None
    return path_or_pem.encode() if "-----BEGIN" in path_or_pem else Path(path_or_pem).read_bytes()
