"""S67: deployment refuses Auth's public keys over plain http where an attacker could replace them."""

import ipaddress
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.bootstrapping import bootstrap, refused
from tests.http_server import http_server
from tests.service import Service
from users.errors import Unavailable
from users.peers import jwt

PUBLIC, PRIVATE = "8.8.8.8", "10.1.2.3"  # addresses, so that no name needs to be resolved
TLS = {"MG_AUTH_GRPC_SERVER_CA_CERTS": "/opt/python/certificates/auth-ca.pem"}


@contextmanager
def deployed(service: Service, monkeypatch: pytest.MonkeyPatch, url: str, **variables: str) -> Iterator[None]:
    """Configure the service as on AWS, not as on a developer's machine."""
    with service.configured(MG_AUTH_JWKS_URL=url, **variables):
        monkeypatch.delenv("AWS_SAM_LOCAL")
        yield


@pytest.mark.parametrize("url", [f"http://{PRIVATE}:9001/keys", "http://localhost:9001/keys", f"http://{PUBLIC}/keys"])
def test_s67_http_beside_tls(empty: Service, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """TLS for the calls to Auth means that the network is not trusted. Replaced keys would make any token valid."""
    with deployed(empty, monkeypatch, url, **TLS), refused("MG_AUTH_JWKS_URL: .*https.*MG_AUTH_GRPC_SERVER_CA_CERTS"):
        bootstrap()
    assert empty.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public'") == [], "nothing was changed"


@pytest.mark.parametrize("host", [PUBLIC, "[2001:4860:4860::8888]", "134744072", "0x08080808", "[::ffff:8.8.8.8]"])
def test_s67_http_to_somewhere_outside(empty: Service, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    with (
        deployed(empty, monkeypatch, f"http://{host}:9001/keys"),
        refused("MG_AUTH_JWKS_URL: must begin with https, .*leaves"),
    ):
        bootstrap()


@pytest.mark.parametrize(
    ("url", "variables"),
    [
        (f"https://{PUBLIC}/keys", {}),
        (f"https://{PUBLIC}/keys", TLS),
        (f"http://{PRIVATE}:9001/keys", {}),
        ("http://localhost:9001/keys", {}),
        ("http://[fd00::1]:9001/keys", {}),
        ("http://100.64.1.2:9001/keys", {}),
        ("http://auth..internal:9001/keys", {}),
        (f"http://{PUBLIC}/keys", {"MG_AUTH_KEYS_ALGORITHM": "HS256"}),
    ],
    ids=["https", "https and TLS", "private", "loopback", "private IPv6", "shared", "no address yet", "no keys"],
)
def test_s67_what_is_taken(
    empty: Service, monkeypatch: pytest.MonkeyPatch, url: str, variables: dict[str, str]
) -> None:
    with deployed(empty, monkeypatch, url, **variables):
        assert bootstrap()["administrator"] == "made the administrator"


def test_s67_a_developer_may(empty: Service) -> None:
    with empty.configured(MG_AUTH_JWKS_URL=f"http://{PUBLIC}/keys", **TLS):
        assert bootstrap()["administrator"] == "made the administrator"


@pytest.mark.parametrize("form", ["path", "PEM"])
def test_s67_the_authority_of_grpc_is_that_of_the_keys(service: Service, tmp_path: Path, form: str) -> None:
    """Otherwise https would need an authority of the system, which an Auth in a VPC does not have."""
    authority, context = _certificate(tmp_path)
    keys = json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": "A" * 43}]}).encode()
    trusted = str(authority) if form == "path" else authority.read_text()
    with http_server(body=keys, tls=context) as server:
        with service.configured(MG_AUTH_JWKS_URL=server.url, MG_AUTH_GRPC_SERVER_CA_CERTS=trusted):
            key_set = jwt._KeySet()
            key_set._fetch()
            assert key_set._keys == {"k": bytes(32)}
        with service.configured(MG_AUTH_JWKS_URL=server.url), pytest.raises(Unavailable):
            jwt._KeySet()._fetch()


def _certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Return a new self-signed certificate of 127.0.0.1, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "auth")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    (folder / "auth.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "auth.key").write_bytes(key.private_bytes(*form))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "auth.pem", folder / "auth.key")
    return folder / "auth.pem", context
