"""TLS by ``MG_USERS_GRPC_*`` (contract §8.6). Certificates and keys are paths or PEM. An authority means mTLS."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from users.settings import Settings, WrongSettings


def server_credentials(s: Settings) -> grpc.ServerCredentials | None:
    """Return the server's credentials, None for plaintext. WrongSettings names the wrong variable.

    With an authority, clients need a certificate: of the client authority, or without one of the server's authority.
    """
    certificate = _pem("MG_USERS_GRPC_SERVER_CERT", s.grpc_server_cert)
    key = _pem("MG_USERS_GRPC_SERVER_KEY", s.grpc_server_key)
    authorities = {
        name: _pem(name, value)
        for name, value in (
            ("MG_USERS_GRPC_SERVER_CA_CERTS", s.grpc_server_ca_certs),
            ("MG_USERS_GRPC_CLIENT_CA_CERTS", s.grpc_client_ca_certs),
        )
    }
    if not (certificate or key or any(authorities.values())):
        return None
    if not (certificate and key):
        raise WrongSettings("MG_USERS_GRPC_SERVER_CERT and MG_USERS_GRPC_SERVER_KEY: TLS needs both")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _check_pair(context, certificate, key)
    trusted = b""
    for name, authority in authorities.items():
        if authority:
            _check_authority(context, name, authority)
            trusted = authority
    return grpc.ssl_server_credentials(
        [(key, certificate)], root_certificates=trusted or None, require_client_auth=bool(trusted)
    )


def _pem(name: str, value: str) -> bytes:
    if not value or "-----BEGIN" in value:
        return value.encode()
    try:
        pem = Path(value).read_bytes()
    except OSError as error:
        raise WrongSettings(f"{name}: {value} cannot be read: {error.strerror}") from error
    if b"-----BEGIN" not in pem:
        raise WrongSettings(f"{name}: {value} is not a PEM file")
    return pem


def _check_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Check now that certificate and key fit. gRPC would only fail each handshake."""
    with _file(certificate) as certificate_file, _file(key) as key_file:
        try:
            context.load_cert_chain(certificate_file, key_file, password="")
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or "not in PEM, or protected by a password"
            raise WrongSettings(
                f"MG_USERS_GRPC_SERVER_CERT and MG_USERS_GRPC_SERVER_KEY are no certificate and its key: {reason}"
            ) from error


def _check_authority(context: ssl.SSLContext, name: str, authority: bytes) -> None:
    try:
        context.load_verify_locations(cadata=authority.decode())
    except (ssl.SSLError, UnicodeDecodeError, ValueError) as error:
        raise WrongSettings(f"{name} holds no certificate in PEM") from error


@contextmanager
def _file(content: bytes) -> Iterator[str]:
    """Write a file in memory, for an interface that accepts only paths."""
    with os.fdopen(os.memfd_create("pem"), "wb") as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"
