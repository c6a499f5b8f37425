"""Keys: JWKS, Ed25519 key files and their rotation, shared secrets (contract §5.5 and contract §5.6)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import httpx
import pytest
from nacl.signing import VerifyKey

from local.auth.tests.process import claims, header, new_user, refused

if TYPE_CHECKING:
    from local.auth.tests.conftest import Starter
    from local.auth.tests.process import AuthProcess


def _decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _verify(token: str, keys: list[dict[str, str]]) -> None:
    """Check the signature as a client does, by the key that the header names. Raise for a wrong one."""
    key = next(key for key in keys if key["kid"] == header(token)["kid"])
    data, _, signature = token.rpartition(".")
    VerifyKey(_decoded(key["x"])).verify(data.encode(), _decoded(signature))


def test_jwks_document(auth: AuthProcess) -> None:
    """The document has exactly the members and headers of contract §5.6."""
    answer = auth.jwks()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "public, max-age=900, stale-while-revalidate=60"
    [key] = answer.json()["keys"]
    assert list(key) == ["kid", "kty", "alg", "use", "crv", "x"]
    assert len(_decoded(key.pop("x"))) == 32
    assert key == {"kid": "active", "kty": "OKP", "alg": "EdDSA", "use": "sig", "crv": "Ed25519"}


def test_tokens_verify_with_the_jwks(auth: AuthProcess, member: str) -> None:
    """The document contains the key that signs."""
    tokens = auth.issue(member)
    for token in (tokens.access_token, tokens.refresh_token):
        _verify(token, auth.jwks().json()["keys"])


def test_health_and_unknown_paths(auth: AuthProcess) -> None:
    """/health answers a document, other paths 404."""
    base = f"http://127.0.0.1:{auth.ready['http_port']}"
    health = httpx.get(f"{base}/health")
    assert (health.status_code, health.json()["status"]) == (200, "pass")
    assert httpx.get(f"{base}/keys").status_code == 404


def test_http_survives_other_protocols(auth: AuthProcess) -> None:
    """A bad request line gets 400. A client that goes away has no effect."""
    with socket.create_connection(("127.0.0.1", auth.ready["http_port"]), timeout=10) as client:
        client.sendall(b"GET\r\n\r\n")
        assert b" 400 " in client.recv(1000)
    assert auth.jwks().status_code == 200
    assert "Traceback" not in auth.log()


def test_key_file_is_private_and_lasts(start_auth: Starter) -> None:
    """The service makes the key once. Only the owner can read it, and a restart does not change it."""
    first = start_auth()
    key_file = Path(first.variables["MG_AUTH_KEYS_DIR"], "active.key")
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in key_file.parent.iterdir()] == ["active.key"]
    token = first.command("token", new_user()).stdout.strip()
    keys = first.jwks().json()
    first.stop()
    again = start_auth(
        MG_AUTH_DB_URL=first.variables["MG_AUTH_DB_URL"], MG_AUTH_KEYS_DIR=first.variables["MG_AUTH_KEYS_DIR"]
    )
    assert again.jwks().json() == keys
    assert refused(lambda: again.authenticate(token)) is grpc.StatusCode.OK


def test_rotation_keeps_tokens_of_the_retiring_key_valid(start_auth: Starter) -> None:
    """The active key comes before the retiring one. The key id is the file's name without extension (contract §5.6)."""
    before = start_auth(MG_AUTH_KEYS_ACTIVE="2025.key")
    token = before.command("token", new_user()).stdout.strip()
    before.stop()
    shared = {name: before.variables[name] for name in ("MG_AUTH_DB_URL", "MG_AUTH_KEYS_DIR")}
    after = start_auth(MG_AUTH_KEYS_ACTIVE="2026.key", MG_AUTH_KEYS_RETIRING="2025.key", **shared)
    keys = after.jwks().json()["keys"]
    assert [key["kid"] for key in keys] == ["2026", "2025"]
    _verify(token, keys)
    assert refused(lambda: after.authenticate(token)) is grpc.StatusCode.OK
    assert header(after.command("token", new_user()).stdout)["kid"] == "2026"
    after.stop()
    retired = start_auth(MG_AUTH_KEYS_ACTIVE="2026.key", **shared)
    assert [key["kid"] for key in retired.jwks().json()["keys"]] == ["2026"]
    assert refused(lambda: retired.authenticate(token)) is grpc.StatusCode.UNAUTHENTICATED


def _rotate(auth: AuthProcess, **order: object) -> httpx.Response:
    return httpx.post(f"http://127.0.0.1:{auth.ready['http_port']}/rotations", json=order, trust_env=False)


@pytest.mark.parametrize("kid", ["active", "2027"])
def test_rotation_on_demand(start_auth: Starter, kid: str) -> None:
    """The service signs the next token with the new key. Old tokens stay valid if the key id changes."""
    auth = start_auth(AUTH_FAULTS="1")
    user = new_user()
    auth.grant(user, "member")
    before, old_keys = auth.issue(user).access_token, auth.jwks().json()["keys"]
    answer = _rotate(auth, **({} if kid == "active" else {"kid": kid}))
    keys = auth.jwks().json()["keys"]
    assert (answer.status_code, answer.json()) == (201, keys)
    assert [key["kid"] for key in keys] == list(dict.fromkeys([kid, "active"]))
    assert keys[0]["x"] != old_keys[0]["x"]
    after = auth.issue(user).access_token
    assert header(after)["kid"] == kid
    _verify(after, keys)
    assert refused(lambda: auth.authenticate(after)) is grpc.StatusCode.OK
    same_id = kid == "active"
    assert (refused(lambda: auth.authenticate(before)) is grpc.StatusCode.UNAUTHENTICATED) is same_id
    # The file contains the new key: the service accepts tokens that a command makes with it.
    auth.variables["MG_AUTH_KEYS_ACTIVE"] = f"{kid}.key"
    made = auth.command("token", user).stdout.strip()
    assert refused(lambda: auth.authenticate(made)) is grpc.StatusCode.OK


def test_rotation_only_where_it_is_allowed_and_possible(auth: AuthProcess, start_auth: Starter) -> None:
    """By default, /rotations does not exist. A wrong key id and a shared secret get 400."""
    assert _rotate(auth).status_code == 404
    allowed = start_auth(AUTH_FAULTS="1")
    keys = allowed.jwks().json()
    assert [_rotate(allowed, kid=kid).status_code for kid in ("../x", "a/b", 7, "x" * 65)] == [400] * 4
    assert allowed.jwks().json() == keys
    secret = start_auth(AUTH_FAULTS="1", MG_AUTH_KEYS_ALGORITHM="HS256", MG_AUTH_SECRET_KEY="s3cret")  # noqa: S106
    assert _rotate(secret).status_code == 400


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_shared_secret_signs(start_auth: Starter, algorithm: str) -> None:
    """Tokens are signed by HMAC with MG_AUTH_SECRET_KEY. There is no kid and no public key (contract §5.5)."""
    auth = start_auth(MG_AUTH_KEYS_ALGORITHM=algorithm, MG_AUTH_SECRET_KEY="s3cret")  # noqa: S106
    token = auth.command("token", new_user()).stdout.strip()
    assert header(token) == {"alg": algorithm, "typ": "JWT"}
    data, _, signature = token.rpartition(".")
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[algorithm]
    assert hmac.new(b"s3cret", data.encode(), digest).digest() == _decoded(signature)
    assert auth.jwks().json() == {"keys": []}
    assert auth.authenticate(token).user_id == claims(token)["sub"]


def test_public_key_does_not_sign(auth: AuthProcess) -> None:
    """The service refuses a token signed by HMAC with the published key, and a token without signature."""
    key = auth.jwks().json()["keys"][0]
    body = auth.command("token", new_user()).stdout.strip().split(".")[1]
    for algorithm in ("HS256", "none"):
        head = json.dumps({"alg": algorithm, "typ": "JWT", "kid": key["kid"]}).encode()
        data = f"{base64.urlsafe_b64encode(head).rstrip(b'=').decode()}.{body}"
        signature = hmac.new(_decoded(key["x"]), data.encode(), hashlib.sha256).digest() if algorithm != "none" else b""
        token = f"{data}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
        assert refused(lambda token=token: auth.authenticate(token)) is grpc.StatusCode.UNAUTHENTICATED  # type: ignore[misc]
