"""Tokens as Auth signs them (contract §5.5), and tokens that Auth would never sign."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

from nacl.signing import SigningKey


def encode(part: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


def claims(subject: str, **changes: Any) -> dict[str, Any]:
    """Return the claims of an access token that is valid for an hour. The value ``...`` removes a claim."""
    now = int(time.time())
    whole = {
        "iss": "magistrala.auth",
        "iat": now,
        "exp": now + 3600,
        "type": 0,
        "role": 1,
        "verified": True,
        "sub": subject,
    }
    return {name: value for name, value in (whole | changes).items() if value is not ...}


def signed(payload: Any, key: SigningKey, kid: str = "key", **header: Any) -> str:
    """Return a token with an Ed25519 signature. ``header`` overrides its header."""
    head = {"alg": "EdDSA", "typ": "JWT", "kid": kid} | header
    text = f"{encode(json.dumps(head).encode())}.{encode(json.dumps(payload).encode())}"
    return f"{text}.{encode(key.sign(text.encode()).signature)}"


def signed_symmetrically(payload: Any, secret: bytes, kid: str = "key", algorithm: str = "HS256") -> str:
    """Return a token with an HMAC signature."""
    head = {"alg": algorithm, "typ": "JWT", "kid": kid}
    text = f"{encode(json.dumps(head).encode())}.{encode(json.dumps(payload).encode())}"
    mac = hmac.digest(secret, text.encode(), getattr(hashlib, f"sha{algorithm[2:]}"))
    return f"{text}.{encode(mac)}"


def unsigned(payload: Any, kid: str = "key", algorithm: str = "none") -> str:
    """Return a token without a signature."""
    head = {"alg": algorithm, "typ": "JWT", "kid": kid}
    return f"{encode(json.dumps(head).encode())}.{encode(json.dumps(payload).encode())}."


def key_set(**keys: SigningKey) -> bytes:
    """Return the JWKS document of keys by key id."""
    return json.dumps(
        {
            "keys": [
                {
                    "kid": kid,
                    "kty": "OKP",
                    "alg": "EdDSA",
                    "use": "sig",
                    "crv": "Ed25519",
                    "x": encode(key.verify_key.encode()),
                }
                for kid, key in keys.items()
            ]
        }
    ).encode()
