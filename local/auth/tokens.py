"""JSON Web Tokens with exactly the claims of contract §5.5."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeGuard

from local.auth.errors import TokenExpired, Unauthenticated

if TYPE_CHECKING:
    from local.auth.signing import Signer

ISSUER = "magistrala.auth"


class TokenType(IntEnum):
    """The claim ``type``, and AuthNRes.token_type (contract §5.3)."""

    ACCESS = 0
    REFRESH = 1
    RECOVERY = 2
    API_KEY = 3
    PERSONAL_ACCESS_TOKEN = 4
    INVITATION = 5


class Role(IntEnum):
    """The claim ``role`` (contract §5.3): the role in the database of the Users service, plus one."""

    USER = 1
    ADMIN = 2


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a token. Times are Unix seconds. `role` is an int, because Issue signs any number."""

    subject: str
    type: TokenType
    role: int
    verified: bool
    issued_at: int
    expires_at: int | None
    id: str = ""


def encode(claims: Claims, signer: Signer) -> str:
    """Sign the claims, without ``exp`` and ``jti`` if there are none."""
    payload: dict[str, Any] = {
        "iss": ISSUER,
        "iat": claims.issued_at,
        "type": int(claims.type),
        "role": claims.role,
        "verified": claims.verified,
        "sub": claims.subject,
    }
    if claims.expires_at is not None:
        payload["exp"] = claims.expires_at
    if claims.id:
        payload["jti"] = claims.id
    data = f"{_segment(_json(signer.header))}.{_segment(_json(payload))}"
    return f"{data}.{_segment(signer.sign(data.encode()))}"


def decode(token: str, signer: Signer, now: float, *, api_keys_without_role: bool = False) -> Claims:
    """Check signature, expiry, issuer and the form of the claims, in this order. Accept every type of token.

    Like upstream, allow no leeway in time (contract §5.6). Upstream signs API keys of role 0 at ``POST /keys`` and then
    refuses them. `api_keys_without_role` accepts them. Raise TokenExpired or Unauthenticated.
    """
    try:
        header_part, payload_part, signature_part = token.split(".")
        header = _object(header_part)
        if not signer.verify(header, f"{header_part}.{payload_part}".encode(), _bytes(signature_part)):
            raise Unauthenticated
        payload = _object(payload_part)
    except (ValueError, RecursionError) as error:  # RecursionError: JSON nested without end
        raise Unauthenticated from error
    expires_at, issued_at = payload.get("exp"), payload.get("iat")
    if _is_number(expires_at) and now >= expires_at:
        raise TokenExpired
    if payload.get("iss") != ISSUER or not _is_number(issued_at) or issued_at > now:
        raise Unauthenticated
    without_role = api_keys_without_role and payload.get("type") == TokenType.API_KEY
    return _claims(payload, least_role=0 if without_role else Role.USER)


def _claims(payload: dict[str, Any], *, least_role: int) -> Claims:
    type_, role, verified = payload.get("type"), payload.get("role"), payload.get("verified")
    if not (
        _is_number(type_)
        and 0 <= type_ <= 5
        and _is_number(role)
        and least_role <= role <= Role.ADMIN
        and isinstance(verified, bool)
    ):
        raise Unauthenticated
    return Claims(
        subject=str(payload.get("sub", "")),
        type=TokenType(type_),
        role=role,
        verified=verified,
        issued_at=payload["iat"],
        expires_at=payload.get("exp"),
        id=str(payload.get("jti", "")),
    )


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(segment: str) -> bytes:
    if "=" in segment:
        raise ValueError("padded segment")
    return base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)


def _object(segment: str) -> dict[str, Any]:
    value = json.loads(_bytes(segment))
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - the caller handles a wrong text
    return value
