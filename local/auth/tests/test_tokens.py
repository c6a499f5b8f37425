"""Reading a JWT: required claims, and no leeway in time (contract §5.5 and contract §5.6)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from local.auth.errors import TokenExpired, Unauthenticated
from local.auth.signing import SharedSecretSigner
from local.auth.tokens import Claims, TokenType, decode, encode

_SIGNER = SharedSecretSigner("HS256", "secret")
_NOW = 1_700_000_000
_GOOD = {"iss": "magistrala.auth", "iat": _NOW, "exp": _NOW + 60, "type": 0, "role": 1, "verified": True, "sub": "u"}


def _signed(payload: Any) -> str:
    parts = [json.dumps(part).encode() for part in (dict(_SIGNER.header), payload)]
    data = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
    return f"{data}.{base64.urlsafe_b64encode(_SIGNER.sign(data.encode())).rstrip(b'=').decode()}"


def test_claims_survive_writing_and_reading() -> None:
    """All claims are equal afterwards."""
    written = Claims("u", TokenType.REFRESH, 2, verified=False, issued_at=_NOW, expires_at=_NOW + 1, id="j")
    assert decode(encode(written, _SIGNER), _SIGNER, _NOW) == written


def test_token_is_valid_until_the_second_of_its_expiry() -> None:
    """There is no leeway."""
    assert decode(_signed(_GOOD), _SIGNER, _NOW + 59.9).subject == "u"
    with pytest.raises(TokenExpired):
        decode(_signed(_GOOD), _SIGNER, _NOW + 60)


def test_token_without_expiry_does_not_expire() -> None:
    """API keys may have no expiry."""
    payload = {name: value for name, value in _GOOD.items() if name != "exp"}
    assert decode(_signed(payload), _SIGNER, _NOW + 10**9).expires_at is None


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "somebody.else"},
        {"iat": _NOW + 1},
        {"iat": None},
        {"type": 6},
        {"type": -1},
        {"type": True},
        {"type": "0"},
        {"role": 0},
        {"role": 3},
        {"verified": 1},
        {"verified": None},
    ],
    ids=str,
)
def test_wrong_claims_are_refused(change: dict[str, Any]) -> None:
    """Tokens need issuer, iat, type 0..5, role 1..2 and a boolean verified (contract §5.6)."""
    with pytest.raises(Unauthenticated):
        decode(_signed(_GOOD | change), _SIGNER, _NOW)


@pytest.mark.parametrize("payload", [[], 1, None, "text"])
def test_payload_must_be_an_object(payload: Any) -> None:
    """A valid signature does not help."""
    with pytest.raises(Unauthenticated):
        decode(_signed(payload), _SIGNER, _NOW)
